// Questions, those that settle most first.

class QuestionsView {
  constructor(app) {
    this.app = app;
    this.root = make("section", { className: "view" });
  }
  show() {}
  hide() {}
  changed() {}
}
