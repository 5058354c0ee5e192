// Which faces are selected, and what can be done with them.

/** A set of positions of faces, or of whatever identifies the items of a grid. */
class Selection {
  constructor() {
    this.chosen = new Set();
    this.from = null; // the position that a range starts at
    this.listeners = new Set();
  }

  get size() { return this.chosen.size; }
  has(at) { return this.chosen.has(at); }

  /** Call `listener()` after each change. */
  onChange(listener) { this.listeners.add(listener); }
  changed() { for (const listener of this.listeners) listener(); }

  /** Select these and no others. */
  set(positions) {
    this.chosen = new Set(positions);
    this.changed();
  }

  add(positions) {
    for (const at of positions) this.chosen.add(at);
    this.changed();
  }

  toggle(at) {
    if (!this.chosen.delete(at)) this.chosen.add(at);
    this.from = at;
    this.changed();
  }

  clear() {
    this.from = null;
    if (this.size) this.set([]);
  }

  /** Forget those that are not among these any more. */
  keep(positions) {
    if (!this.size) return;
    const before = this.size;
    const there = new Set(positions);
    for (const at of this.chosen) if (!there.has(at)) this.chosen.delete(at);
    if (this.size !== before) this.changed();
  }
}

/**
 * What can be done with faces: by the bar at the bottom of the screen, and by keys. `view` is what shows them; it has
 * `key` (of their group, or null), `items` (positions in their order), `grid` and `selection`.
 */
class FaceCommands {
  constructor(app, view) {
    Object.assign(this, { app, view });
    this.count = make("strong", { className: "count" });
    this.buttons = Object.fromEntries(FaceCommands.LIST.map(([name, key]) => [name, button("", () => this.run(name), { title: key })]));
    this.bar = make("div", { className: "action-bar", role: "toolbar", "aria-label": WORDS.selection.bar, hidden: true },
      this.count, ...Object.values(this.buttons));
    view.selection.onChange(() => this.draw());
    new ResizeObserver(() => reserveBar(this.bar)).observe(this.bar);
  }

  static LIST = [["name", "n"], ["confirm", "c"], ["reject", "x"], ["ignore", "i"], ["notFace", "d"], ["split", "s"], ["clear", "Esc"]];

  /** The person of the group, if it is one. */
  get person() { return this.view.key?.[0] === "p" ? Number(this.view.key.slice(1)) : null; }
  get cluster() { return this.view.key?.[0] === "c" ? Number(this.view.key.slice(1)) : null; }

  /** What a command is for: the selected faces or, if none is, the focused one. */
  get faces() {
    const { selection, grid, items } = this.view;
    if (selection.size) return [...selection.chosen];
    return grid.focusedNode() ? [items[grid.active]] : [];
  }

  /** Whether a command makes sense here. */
  can(name) {
    const { key } = this.view;
    const grouped = key === null || key === undefined || key[0] === "p" || key[0] === "c";
    if (name === "confirm") return this.person !== null || key === null;
    if (name === "reject") return grouped;
    if (name === "split") return this.person !== null || this.cluster !== null;
    return true;
  }

  draw() {
    const { selection } = this.view;
    this.bar.hidden = !selection.size;
    this.count.textContent = WORDS.selection.count(selection.size);
    for (const [name, key] of FaceCommands.LIST) {
      const text = this.label(name);
      Object.assign(this.buttons[name], { textContent: text, title: `${text} (${key})`, hidden: !this.can(name) });
    }
    reserveBar(this.bar);
  }

  label(name) {
    const words = WORDS.selection;
    const { key } = this.view;
    if (name === "name") return this.person === null ? words.name : words.somebodyElse;
    if (name === "reject") return this.person === null ? words.notOfCluster : words.reject(this.app.album.title(key));
    return words[name];
  }

  /** Bindings for `app.keys.add`. */
  get bindings() {
    return FaceCommands.LIST.filter(([name]) => name !== "clear" && this.can(name)).map(([name, key]) => ({
      keys: [key], label: this.label(name), run: () => this.run(name),
    }));
  }

  /** Returns false if there is nothing to do it with. */
  run(name) {
    const faces = this.faces;
    if (!faces.length || !this.can(name)) return false;
    this[name](faces);
    return true;
  }

  ids(positions) { return positions.map((at) => this.app.album.face[at]); }

  /** Decide; the selection has served its purpose then, and the next face has the focus. */
  do(action, faces) {
    const decided = new Set(faces);
    this.view.grid.focusNext((at) => !decided.has(at));
    const stored = this.app.actions.do(action);
    this.view.selection.clear();
    return stored;
  }

  async name(faces) {
    const title = this.person === null ? WORDS.selection.nameTitle(faces.length) : WORDS.selection.elseTitle(faces.length);
    const ids = this.ids(faces); // faces may come and go while the user types
    const picked = await this.app.names.pick({ title, exclude: this.person === null ? [] : [this.person], text: "" });
    if (picked) this.do({ do: "name", name: picked.name, faces: ids }, faces);
  }

  confirm(faces) {
    const { album } = this.app;
    const open = faces.filter((at) => !album.isConfirmed(at) && album.person[at] !== -1);
    if (!open.length) return void this.view.selection.clear();
    this.do({ do: "confirm", faces: this.ids(open), ...(this.person === null ? {} : { person: this.person }) }, faces);
  }

  reject(faces) { this.do({ do: "reject", faces: this.ids(faces), ...(this.person === null ? {} : { person: this.person }) }, faces); }
  ignore(faces) { this.do({ do: "ignore", faces: this.ids(faces) }, faces); }
  notFace(faces) { this.do({ do: "not_a_face", faces: this.ids(faces) }, faces); }
  clear() { this.view.selection.clear(); }

  async split(faces) {
    const { key } = this.view;
    if (faces.length === this.app.album.facesOf(key).length) return void this.app.say(WORDS.split.all);
    const chosen = await new SplitDialog(this.app, key, this.ids(faces)).ask();
    if (!chosen) return;
    const of = this.person === null ? { cluster: this.cluster } : { person: this.person };
    // A name is for exactly these; without one, the index keeps them apart and looks for their place again.
    if (chosen.only && chosen.name) this.do({ do: "name", name: chosen.name, faces: chosen.faces }, faces);
    else if (chosen.only) this.do({ do: "reject", faces: chosen.faces, ...(this.person === null ? {} : { person: this.person }) }, faces);
    else this.do({ do: "split", ...of, faces: chosen.faces, part: chosen.part, ...(chosen.name ? { name: chosen.name } : {}) }, faces);
  }
}
