// People, dates and photos that a search finds.

class SearchView {
  constructor(app) {
    this.app = app;
    this.root = make("section", { className: "view" });
  }
  show() {}
  hide() {}
  changed() {}
}
