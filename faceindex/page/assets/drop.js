// Find by picture: who is on a photo that is dropped into the page.

class DropView {
  constructor(app) {
    this.app = app;
    this.root = make("section", { className: "view" });
  }
  show() {}
  hide() {}
  changed() {}
}
