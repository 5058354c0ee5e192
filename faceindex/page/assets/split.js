// What goes with faces that are split off, before it is done.

const MOST_ON_SIDE = 60; // faces of a side that are shown

/** A dialog with the two sides of a split. */
class SplitDialog {
  /** @param app @param key of the group @param {number[]} faces ids of the faces to split off */
  constructor(app, key, faces) {
    Object.assign(this, { app, key, faces });
    this.part = null; // ids; null until the answer is there
    this.partList = make("ul", { className: "side-faces", tabIndex: 0, "aria-label": WORDS.split.part });
    this.restList = make("ul", { className: "side-faces", "aria-label": WORDS.split.rest });
    this.partCount = make("h3");
    this.restCount = make("h3");
    this.state = make("p", { className: "about", role: "status" });
    this.name = new NameField({ app, label: WORDS.split.name, placeholder: WORDS.split.noName, exclude: key[0] === "p" ? [Number(key.slice(1))] : [],
      onPick: ({ name }) => {
        this.name.text = name;
        this.ok.focus();
      } });
    this.ok = make("button", { className: "main-button", value: "split" });
    this.only = make("button", { value: "only", textContent: WORDS.split.only(faces.length) });
    const form = make("form", { method: "dialog" },
      make("h2", { id: "split-title", textContent: WORDS.split.title(app.album.title(key)) }), this.state,
      make("div", { className: "split-sides" }, make("section", {}, this.partCount, this.partList), make("section", {}, this.restCount, this.restList)),
      make("div", { className: "field" }, make("label", { for: this.name.input.id, textContent: WORDS.split.name }), this.name.root),
      make("div", { className: "dialog-buttons" }, button(WORDS.split.cancel, () => this.root.close("")), this.only, this.ok));
    this.root = make("dialog", { className: "split", tabIndex: -1, "aria-labelledby": "split-title" }, form);
  }

  /** Resolves to {faces, name, only} or, if it is cancelled, to null. */
  ask() {
    document.body.append(this.root);
    this.draw();
    this.root.showModal();
    this.root.focus(); // a phone would show its keyboard for the field
    this.propose();
    return new Promise((resolve) => {
      this.root.addEventListener("close", () => {
        const answer = this.root.returnValue;
        this.root.remove();
        resolve(answer ? { faces: this.faces, part: this.part ?? this.faces, name: this.name.text.trim(), only: answer === "only" } : null);
      });
    });
  }

  async propose() {
    const { source } = this.app;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (!source.can.split) {
      this.part = this.faces;
      return void this.draw();
    }
    this.state.textContent = WORDS.split.looking;
    try {
      const found = await source.split({ [this.key[0] === "p" ? "person" : "cluster"]: this.key.slice(1), faces: this.faces });
      if (turn !== this.turn) return;
      this.part = found.part;
      this.state.textContent = found.clear === false ? WORDS.split.unclear : "";
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (turn !== this.turn) return;
      this.part = this.faces;
      this.state.textContent = problem.message;
    }
    this.draw();
  }

  draw() {
    const { album } = this.app;
    const part = new Set(this.part ?? this.faces);
    const rest = [...album.facesOf(this.key)].filter((at) => !part.has(album.face[at]));
    const goes = [...part].map((face) => album.find(face)).filter((at) => at >= 0);
    const asked = new Set(this.faces);
    const more = goes.length - this.faces.length;
    // The selected ones first, then those that go with them.
    goes.sort((a, b) => asked.has(album.face[b]) - asked.has(album.face[a]) || album.similarity[a] - album.similarity[b]);
    this.partCount.textContent = WORDS.split.goes(goes.length);
    this.restCount.textContent = WORDS.split.stays(rest.length);
    this.fill(this.partList, goes, (at) => this.tile(at, asked.has(album.face[at])));
    // Those that resemble their cluster least could be on the wrong side.
    this.fill(this.restList, [...album.bySimilarity(rest)].reverse(), (at) => this.restTile(at));
    this.ok.textContent = WORDS.split.ok(goes.length);
    this.ok.disabled = this.part === null || !rest.length;
    this.only.hidden = more <= 0;
    if (document.activeElement === this.root && !this.ok.disabled) this.ok.focus();
  }

  fill(list, positions, makeTile) {
    const more = positions.length - MOST_ON_SIDE;
    list.replaceChildren(...positions.slice(0, MOST_ON_SIDE).map((at) => make("li", {}, makeTile(at))));
    if (more > 0) list.append(make("li", { className: "more", textContent: WORDS.split.more(more) }));
  }

  tile(at, asked) {
    const thumb = make("span", { className: `thumb${asked ? " chosen" : ""}`, role: "img", "aria-label": asked ? WORDS.split.selected : WORDS.split.similar });
    this.app.source.paint(thumb, this.app.album.face[at]);
    return thumb;
  }

  /** A face that stays; a click on it sends it, and what resembles it, to the other side. */
  restTile(at) {
    const face = this.app.album.face[at];
    const thumb = make("button", {
      type: "button", className: "thumb", "aria-label": WORDS.split.sendAlong, title: WORDS.split.sendAlong,
      onclick: () => {
        this.faces = [...this.faces, face];
        this.part = [...(this.part ?? []), face];
        this.only.textContent = WORDS.split.only(this.faces.length);
        this.draw();
        this.propose();
      },
    });
    this.app.source.paint(thumb, face);
    return thumb;
  }
}
