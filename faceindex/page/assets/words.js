"use strict";
// All English texts of the page. A text with values is a function.

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const WORDS = {
  title: (heading) => (heading ? `${heading} - faceindex` : "faceindex"),
  groups: {
    none: "Unclustered faces",
    ignored: "Strangers",
    unknown: "Nobody",
    cluster: (id) => `Cluster ${id}`,
  },
  people: {
    heading: "People",
    faces: (count) => counted(count, "face"),
    summary: (faces, photos) => `${counted(faces, "face")} on ${counted(photos, "photo")}`,
    empty: "There are no faces in this index. Add photos with: faceindex index FOLDER",
    noClusters: "The faces are not clustered yet. Run: faceindex cluster",
  },
  names: {
    label: "Name",
    options: "People with such a name",
    fresh: "new person",
    takes: (name) => `Enter: ${name}`,
    takesNew: (name) => `Enter: new person ${name}`,
    near: (known, name) => `There is ${known}. Enter once more takes ${known}; Shift+Enter adds ${name}.`,
    excluded: "This is the person in question. Type another name.",
    nobody: "Nobody has such a name.",
    cancel: "Cancel",
  },
  keys: {
    heading: "Keyboard shortcuts",
    here: "Here",
    everywhere: "Everywhere",
    close: "Close",
    control: "Ctrl",
    undo: "take back the newest decision",
    search: "search",
    help: "this list",
    theme: "light, dark, or as the system",
    people: "people",
    questions: "questions",
    none: "unclustered faces",
  },
  actions: {
    again: "Do it anyway",
    undo: "Undo",
    undone: (text) => `Undone: ${text}`,
    undoes: (text) => `Undo: ${text} (u)`,
    nothing: "There is nothing to undo",
    dismiss: "Close the message",
    /** What an action did, with the number of its faces. */
    did: ({ do: verb, as, name, person, into, date, hidden }, count, album) => {
      if (verb === "answer") {
        if (!as?.length) return "You can name these";
        return as.map((each) => WORDS.actions.did(each, as.length > 1 ? each.faces.length : count, album)).join(", ");
      }
      const faces = counted(count, "face");
      const who = (id) => readable(album.people.get(id)?.name ?? WORDS.groups.unknown);
      const texts = {
        name: () => `${faces} named ${readable(name)}`,
        confirm: () => (person === undefined ? `${faces} confirmed` : `${faces} confirmed as ${who(person)}`),
        reject: () => (person === undefined ? `${faces} taken out` : `Not ${who(person)}`),
        ignore: () => `${faces} of strangers`,
        not_a_face: () => (count === 1 ? "1 is not a face" : `${number(count)} are not faces`),
        same: () => "The same person",
        different: () => "Different people",
        split: () => (name ? `${faces} split off: ${readable(name)}` : `${faces} split off`),
        merge: () => `Merged into ${who(into)}`,
        rename: () => `Renamed to ${readable(name)}`,
        born: () => (date ? `${who(person)}: born ${date}` : `${who(person)}: birth date removed`),
        died: () => (date ? `${who(person)}: died ${date}` : `${who(person)}: date of death removed`),
        hide: () => (hidden ? `${who(person)} is hidden` : `${who(person)} is shown again`),
        note: () => `Note about ${who(person)}`,
        add_face: () => (name ? `Face added: ${readable(name)}` : "Face added"),
      };
      return texts[verb]?.() ?? verb;
    },
  },
  questions: {
    keys: "Questions",
    progress: "Named faces",
    reached: (named, all, left) => `${number(named)} of ${counted(all, "face")} named${left ? `; about ${counted(left, "question")} left` : ""}`,
    text: ({ kind, person, faces }, name) => {
      if (kind === "who") return "Who is this?";
      if (kind === "anyone") return "Can you name any of these?";
      if (kind === "same") return person === null ? "Are these two one person?" : `Is this ${name}?`;
      return faces.length === 1 ? `Is this face ${name}?` : `Are these ${faces.length} faces all ${name}?`;
    },
    settles: (count) => `Settles ${counted(count, "face")}`,
    these: (count) => (count === 1 ? "This face" : "These faces"),
    face: (index, count) => (count === 1 ? "The face" : `Face ${index}`),
    toggle: (label, kind) => (kind === "is" ? `${label} is somebody else` : `I can name ${label.toLowerCase()}`),
    opens: (label) => `${label}: open the photo`,
    openPhoto: "Open the photo",
    placeholder: "Type a name",
    who: (count) => (count === 1 ? "Who is this?" : "Who are these?"),
    yes: ({ kind, faces }, name) => (kind === "anyone" ? "Yes, all" : kind === "is" && faces.length > 1 ? `All ${name}` : "Yes"),
    no: ({ kind, faces }) => (kind === "anyone" ? "No: strangers" : kind === "is" && faces.length > 1 ? "None" : "No"),
    marked: (kind, marked, count, name) => {
      if (kind === "anyone") return marked === count ? "All of these" : marked === 1 ? "Only this one; the others are strangers" : `These ${marked}; the others are strangers`;
      return marked === count ? `None is ${name}` : `${name}, but not ${marked === 1 ? "that one" : `those ${marked}`}`;
    },
    somebodyElse: "Somebody else",
    ignore: "Stranger",
    skip: "Skip",
    open: "Photo",
    undo: "Undo",
    unskipped: "The skipped question again",
    yesKey: "yes, or all of them",
    noKey: "no, or none of them",
    markKey: "to 4: mark a wrong face; of strangers, one that you can name",
    enterKey: "the answer with this sign; with marks, what they mean",
    elseKey: "somebody else: type a name",
    ignoreKey: "a stranger",
    skipKey: "skip the question",
    openKey: "open the photo",
    fieldIgnoreKey: "in an empty name field: a stranger",
    fieldSkipKey: "in an empty name field: skip",
    fieldUndoKey: "in an empty name field: undo",
    fieldLeaveKey: "leave the name field, so that letters are keys",
    states: {
      preparing: "The next questions are being prepared",
      none: "There are no more questions",
      unavailable: "Questions cannot be asked here",
      gone: "The server has ended",
      nowhere: "Questions are asked in the live page: faceindex review",
    },
    wait: "This takes some seconds in a large index. You can name people meanwhile.",
    done: (clusters, loose) => (clusters || loose
      ? `${clusters ? `${counted(clusters, "cluster")} without a name` : ""}${clusters && loose ? " and " : ""}${loose ? `${counted(loose, "face")} in no cluster` : ""} remain. They may be of people that you do not know.`
      : "Every face has a name."),
    look: "Look at the people",
    loose: (count) => `${counted(count, "unclustered face")}`,
    unskip: (count) => `Ask the ${counted(count, "skipped question")} again`,
  query: {
    closing: (place) => `The query has \`)\` at character ${place} without a \`(\` before it.`,
    removeOrOpen: "Remove it, or add a `(`.",
    noOperator: (written, place) => `The query lacks an operator before \`${written}\` at character ${place}.`,
    writeOperator: "Write & or | between two names, and quotes around a name with such characters.",
    openQuote: (quote, place) => `The quote ${quote} at character ${place} of the query is not closed.`,
    closeQuote: 'Write it once more after the name; put a name with an apostrophe at its start into " quotes.',
    opening: (place) => `The \`(\` at character ${place} of the query is not closed.`,
    addClosing: "Add a `)`.",
    emptyQuotes: (place) => `The name in quotes at character ${place} of the query is empty.`,
    writeName: "Write a name.",
    minus: (written, place) => `'${written}' at character ${place} of the query is no name.`,
    writeNot: "Write ! or not to leave a person out.",
    oneFace: (written, place) => `'${written}' at character ${place} of the query is one face.`,
    nameOrCluster: "Write the name of a person, or a cluster.",
    turned: (written, place) => `The dates ${written} at character ${place} of the query begin after their end.`,
    swap: "Swap them.",
    empty: "The query is empty.",
    example: "Write a name, such as Anna, or Anna & Ben.",
    nameAfter: (written, place) => `The query lacks a name after \`${written}\` at character ${place}.`,
    nameBefore: (written, place) => `The query lacks a name before \`${written}\` at character ${place}.`,
    tooDeep: (most) => `The query has more than ${most} parentheses or \`!\` inside one another.`,
    shorter: "Write it shorter.",
    nobody: (name) => `Nobody has the name '${name}'.`,
    checkName: "Choose a name from the list that opens while you write.",
    noCluster: (cluster) => `There is no cluster ${cluster}.`,
    checkCluster: "People and clusters are listed under People.",
  },
  photo: {
    side: "Who is on the photo", face: "This face", list: "Faces on this photo", keys: "In a photo",
    filter: "Filter by name",
    facesOn: (count) => (count ? counted(count, "face") : "No faces"),
    alt: (faces) => `Photo with ${counted(faces, "face")}`,
    altNamed: (name, faces) => `${name}, ${counted(faces, "face")}`,
    position: (at, of) => `${number(at)} of ${number(of)}`,
    previous: "Previous face", next: "Next face", previousHere: "Previous face on this photo", nextHere: "Next face on this photo",
    earlier: "Photo taken before", later: "Photo taken after",
    zoomIn: "Zoom in", zoomOut: "Zoom out", zoomFit: "Whole photo in the window", boxes: "Boxes and names", whole: "Only the photo, its date and name",
    close: "Close", cancel: "Cancel", undo: "Undo",
    undated: "No date", gone: "This photo or face is not in the index any more.",
    cannotShow: "The photo cannot be shown. It was moved or deleted, or the browser does not support its format.",
    choose: "Choose a face to say who it is.", noFaces: "No face was found on this photo.",
    unclustered: "Unclustered", stranger: "Stranger", notAFace: "Not a face",
    confirmed: "confirmed", byHand: "drawn by hand", poor: "poor quality", similarity: (value) => `similarity ${value.toFixed(2)}`,
    confirm: (name) => `Yes, ${name}`, confirmAny: "Confirm", reject: (name) => `Not ${name}`, rejectAny: "Not this person",
    name: "Name", nameOnly: "Name only this face", nameCluster: (size) => (size === 1 ? "Name" : `Name all ${number(size)} faces`), somebodyElse: "Somebody else",
    ignore: "Stranger", notFace: "Not a face", goTo: "Go to the person or cluster",
    whoIsThis: "Who is this?", whoIsCluster: (title, size) => `Who is ${title} (${counted(size, "face")})?`,
    nobodyToReject: "This face has no name yet.",
    why: "Why this name", closeWhy: "Close the explanation", looking: "Looking for the reasons ...",
    whyTitle: (title, kind) => (kind === "p" || kind === "c" ? `Why ${title}?` : "Why no name?"),
    resembles: ({ best, similarity, probability, needed }) => `It resembles ${best} most: similarity ${similarity.toFixed(2)}`
      + `${Number.isFinite(needed) ? `, where ${needed.toFixed(2)} is needed for a name` : ""}. `
      + `${Number.isFinite(probability) ? `The probability that it is ${best} is ${Math.round(probability * 100)}%.` : ""}`,
    secondBest: ({ second, margin }) => `Next is ${second}${Number.isFinite(margin) ? `, ${margin.toFixed(2)} behind` : ""}.`,
    nearest: "Most similar faces", nearFace: (title, similarity) => `${title}, similarity ${similarity.toFixed(2)}: show its photo`,
    decisions: "Your decisions about this face", decision: (id, command) => `${number(id)}: ${command}`,
    addFace: "Add a face", handBox: "Box of the new face: the arrow keys move it, with Shift they resize it",
    drawHint: "Draw a box around the face, or move this one and pull its corners.",
    saveNamed: "Name it", saveUnnamed: "Save without a name", saving: "Saving ...",
  },
  problems: {
    gone: { problem: "The server has ended.", remedy: "Start `faceindex review` again, and open the address that it prints." },
    unexpected: (status) => `The server answered with status ${status}.`,
    busy: (holder, count) => `${holder ? capital(holder) : "Another program"} is changing the index. ${
      count ? `Your ${counted(count, "decision")} ${count === 1 ? "is" : "are"}` : "What you decide is"} stored as soon as it has finished.`,
    kept: (problem, count) => (count ? `${problem} ${counted(count, "decision")} ${count === 1 ? "is" : "are"} not stored; keep this page open.` : problem),
    unsaved: (count) => `${counted(count, "decision")} not stored yet`,
  },
  theme: { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
};
