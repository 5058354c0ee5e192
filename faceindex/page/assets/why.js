// Why a face has its name: what resembles it, what the user decided, and which rules placed it.

class WhyPanel {
  /** @param {{open(face), close()}} to `open` gets the id of a face that resembles this one */
  constructor(app, to) {
    Object.assign(this, { app, to, face: null });
    this.body = make("div", { className: "why-body", "aria-live": "polite" });
    this.heading = make("h3");
    this.root = make("section", { className: "why", hidden: true, "aria-label": WORDS.photo.why },
      make("div", { className: "why-head" }, this.heading, button("×", () => to.close(), { "aria-label": WORDS.photo.closeWhy, className: "plain" })), this.body);
  }

  get open() { return !this.root.hidden; }

  /** Explain a face, by its position. */
  async show(at) {
    const { album, source } = this.app;
    const face = album.face[at];
    this.face = face;
    this.root.hidden = false;
    this.heading.textContent = WORDS.photo.whyTitle(album.title(album.keyOf(at)), album.keyOf(at)[0]);
    this.body.replaceChildren(make("p", { textContent: WORDS.photo.looking }));
    try {
      const why = await source.why(face);
      if (this.face === face) this.body.replaceChildren(...this.parts(why));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (this.face === face) this.body.replaceChildren(make("p", { textContent: problem.message }));
    }
  }

  hide() {
    this.face = null;
    this.root.hidden = true;
    this.body.replaceChildren();
  }

  parts(why) {
    const list = (items) => make("ul", {}, ...items.map((text) => make("li", { textContent: readable(text) })));
    const parts = [list(why.rules)];
    if (why.best) {
      parts.push(make("p", { textContent: readable(WORDS.photo.resembles(why)) }));
      if (why.second) parts.push(make("p", { textContent: readable(WORDS.photo.secondBest(why)) }));
    }
    if (why.nearest.length) {
      parts.push(make("h4", { textContent: WORDS.photo.nearest }), make("div", { className: "nearest" }, ...why.nearest.map((near) => this.near(near))));
    }
    if (why.decisions.length) {
      parts.push(make("h4", { textContent: WORDS.photo.decisions }),
        list(why.decisions.map(({ number: id, command }) => WORDS.photo.decision(id, command))));
    }
    return parts;
  }

  near({ face, similarity }) {
    const id = face.face ?? face.id ?? face;
    const { album, source } = this.app;
    const at = album.find(id);
    const title = at < 0 ? WORDS.groups.unknown : album.title(album.keyOf(at));
    const thumb = make("span", { className: "thumb" });
    source.paint(thumb, id);
    return make("button", { type: "button", className: "near", title, "aria-label": WORDS.photo.nearFace(title, similarity), onclick: () => this.to.open(id) },
      thumb, make("span", { className: "about", textContent: `${title} ${percent(similarity)}` }));
  }
}

const percent = (share) => (Number.isFinite(share) ? share.toFixed(2) : "");
