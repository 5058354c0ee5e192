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
  problems: {
    gone: { problem: "The server has ended.", remedy: "Start `faceindex review` again, and open the address that it prints." },
    unexpected: (status) => `The server answered with status ${status}.`,
    busy: (holder) => `${holder ?? "Another program"} is changing the index. What you decide is stored as soon as it has finished.`,
    unsaved: (count) => `${counted(count, "decision")} not stored yet`,
  },
  theme: { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
};
