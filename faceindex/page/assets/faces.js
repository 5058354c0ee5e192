// The faces of a person, of a cluster, in no cluster, and of strangers.

class FacesView {
  constructor(app) {
    this.app = app;
    this.root = make("section", { className: "view" });
  }
  show() {}
  hide() {}
  changed() {}
}
