// The view of all people and clusters.

const PHONE = matchMedia("(max-width: 480px)");

class PeopleView {
  constructor(app) {
    this.app = app;
    this.heading = make("h2", { className: "heading" });
    this.summary = make("p", { className: "summary", "aria-live": "polite" });
    this.empty = make("p", { className: "empty", hidden: true });
    const list = make("div", { className: "grid", role: "list" });
    this.root = make("section", { className: "view" },
      make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary)), this.empty, list);
    this.grid = new Grid(list, (group) => this.card(group), (group) => { location.hash = Router.group(group.key); });
  }

  show() { this.draw(); }
  hide() {}
  changed() { this.draw(); }

  draw() {
    const { album } = this.app;
    this.heading.textContent = WORDS.people.heading;
    this.summary.textContent = WORDS.people.summary(album.faces, album.photos);
    const groups = album.list();
    this.empty.hidden = groups.length > 0;
    this.empty.textContent = album.faces ? WORDS.people.noClusters : WORDS.people.empty;
    this.grid.show(groups, { minWidth: PHONE.matches ? 96 : 136, maxWidth: 180, captionHeight: 46 }, this.grid.active);
  }

  card(group) {
    const { album, source } = this.app;
    const thumb = make("span", { className: "thumb" });
    source.paint(thumb, album.face[album.cover(group)]);
    const title = album.title(group.key);
    return make("button", { type: "button", className: "card person", "aria-label": `${title}, ${WORDS.people.faces(group.size)}` },
      thumb, make("span", { className: "name", textContent: title }), make("span", { className: "about", textContent: WORDS.people.faces(group.size) }));
  }
}
