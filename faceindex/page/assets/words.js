"use strict";
// All English texts of the page. A text with values is a function.

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
  problems: {
    gone: { problem: "The server has ended.", remedy: "Start `faceindex review` again, and open the address that it prints." },
    unexpected: (status) => `The server answered with status ${status}.`,
    busy: (holder) => `${holder ?? "Another program"} is changing the index. What you decide is stored as soon as it has finished.`,
    unsaved: (count) => `${counted(count, "decision")} not stored yet`,
  },
  theme: { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
};
