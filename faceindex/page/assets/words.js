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
