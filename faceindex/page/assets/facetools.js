// What stands beside the heading of a person or cluster, and the selection of all faces below a similarity.

/** Orders, previous and next, rename, merge, confirm, and more. */
class FaceTools {
  /** @param {FacesView} view */
  constructor(view) {
    Object.assign(this, { view, app: view.app });
    const words = WORDS.faces;
    this.previous = make("a", { className: "button", "aria-label": words.previous, title: `${words.previous} ([)`, textContent: "‹" });
    this.next = make("a", { className: "button", "aria-label": words.next, title: `${words.next} (])`, textContent: "›" });
    this.rename = button("", () => this.name());
    this.confirmAll = button("", () => this.confirm());
    this.merge = button(words.merge, () => this.mergeInto(), { title: `${words.merge} (m)` });
    this.about = button(words.about, () => this.toggleAbout(), { title: `${words.about} (e)`, "aria-expanded": "false" });
    this.ignoreAll = button(words.ignoreAll, () => this.ignore(), { title: words.ignoreAllTitle });
    this.below = button(words.below, () => view.below.toggle(), { title: `${words.below} (b)`, "aria-expanded": "false" });
    this.print = button(words.print, () => this.app.printer.print(), { title: words.print });
    this.order = make("select", { "aria-label": words.order, title: `${words.order} (o)`, onchange: () => view.setOrder(this.order.value) });
    for (const rare of [this.merge, this.about, this.ignoreAll, this.below, this.print]) rare.classList.add("rare");
    this.more = button(words.more, () => this.toggleMore(), { className: "more-tools", "aria-expanded": "false" }); // only on phones
    this.root = make("div", { className: "actions" }, this.rename, this.confirmAll, this.more, this.merge, this.about, this.ignoreAll, this.below, this.print,
      make("span", { className: "together" }, this.order, this.previous, this.next));
  }

  get person() { return this.view.key[0] === "p" ? this.app.album.people.get(Number(this.view.key.slice(1))) ?? null : null; }
  get cluster() { return this.view.key[0] === "c" && this.app.album.group(this.view.key) ? Number(this.view.key.slice(1)) : null; }

  toggleMore() { this.more.setAttribute("aria-expanded", String(this.root.classList.toggle("open"))); }

  draw() {
    const { view, person, cluster } = this;
    const words = WORDS.faces;
    const grouped = person !== null || cluster !== null;
    const left = view.items.length - view.confirmed;
    this.rename.hidden = !grouped;
    this.rename.textContent = person ? words.rename : words.name;
    this.rename.title = `${this.rename.textContent} (${person ? "r" : "n"})`;
    this.rename.classList.toggle("main-button", cluster !== null);
    this.confirmAll.hidden = !person || left <= 0;
    this.confirmAll.textContent = words.confirmAll(left);
    this.confirmAll.title = `${this.confirmAll.textContent} (Shift+C)`;
    this.merge.hidden = !grouped;
    this.about.hidden = !person;
    this.about.setAttribute("aria-expanded", String(!view.about.root.hidden));
    this.ignoreAll.hidden = cluster === null;
    this.below.hidden = !view.hasSimilarity || view.items.length < 2;
    this.print.hidden = !view.items.length;
    this.more.hidden = !grouped;
    this.root.classList.toggle("plain", !grouped);
    const orders = FACE_ORDERS.filter((order) => order !== "doubtful" || view.hasSimilarity);
    if (orders.length !== this.order.options.length) {
      this.order.replaceChildren(...orders.map((order) => make("option", { value: order, textContent: words.orders[order] })));
    }
    this.order.value = view.order;
    this.order.hidden = view.items.length < 2;
    const [previous, next] = /^[pc]/.test(view.key) ? this.neighbours() : [null, null];
    for (const [link, key] of [[this.previous, previous], [this.next, next]]) {
      link.hidden = !/^[pc]/.test(view.key);
      link.setAttribute("aria-disabled", String(key === null));
      if (key === null) link.removeAttribute("href");
      else link.href = Router.group(key, { order: this.app.router.route.order });
    }
  }

  get bindings() {
    const words = WORDS.faces;
    const grouped = this.person !== null || this.cluster !== null;
    const list = [
      { keys: ["["], label: words.previous, run: () => this.go(0) },
      { keys: ["]"], label: words.next, run: () => this.go(1) },
      { keys: ["m"], label: words.merge, run: () => this.mergeInto() },
      { keys: ["b"], label: words.below, run: () => this.view.below.toggle() },
    ];
    if (this.person) {
      list.push({ keys: ["r"], label: words.rename, run: () => this.name() }, { keys: ["e"], label: words.about, run: () => this.toggleAbout() },
        { keys: ["h"], label: WORDS.people.hideKey, run: () => (this.person ? void this.app.actions.do({ do: "hide", person: this.person.id, hidden: !this.person.hidden }) : false) },
        { keys: ["C"], label: words.confirmLeft, run: () => this.confirm() });
    } else if (grouped) list.push({ keys: ["n", "r"], label: words.name, run: () => this.name() });
    return list;
  }

  neighbours() { return neighbourGroups(this.app, this.view.key, this.place, (place) => { this.place = place; }); }

  go(which) {
    const key = /^[pc]/.test(this.view.key) ? this.neighbours()[which] : null;
    if (key === null) return false;
    this.app.router.go(Router.parse(Router.group(key, { order: this.app.router.route.order })));
    return true;
  }

  async name() {
    const { person, cluster } = this;
    if (!person && cluster === null) return;
    const words = WORDS.faces;
    const picked = await this.app.names.pick({
      title: person ? words.renameTitle(readable(person.name)) : words.nameTitle(this.app.album.title(this.view.key)),
      exclude: [], text: person?.name ?? "",
    });
    if (!picked) return;
    if (!person) this.app.actions.do({ do: "name", name: picked.name, clusters: [cluster] });
    else if (picked.person === null || picked.person === person.id) {
      if (picked.name !== person.name) this.app.actions.do({ do: "rename", person: person.id, name: picked.name });
    } else joinGroups(this.app, this.view.key, `p${picked.person}`);
  }

  async mergeInto() {
    if (this.person || this.cluster !== null) await pickAndJoin(this.app, this.view.key);
  }

  confirm() {
    const { album } = this.app;
    const left = [...this.view.items].filter((at) => !album.isConfirmed(at)).map((at) => album.face[at]);
    if (this.person && left.length) this.app.actions.do({ do: "confirm", faces: left, person: this.person.id });
  }

  ignore() {
    if (this.cluster !== null) this.app.actions.do({ do: "ignore", clusters: [this.cluster] });
  }

  toggleAbout() {
    if (this.person) this.about.setAttribute("aria-expanded", String(this.view.about.toggle()));
  }
}

/** A slider; the faces whose similarity is below its value are selected, and a line in the grid is where they end. */
class BelowSlider {
  /** @param {FacesView} view */
  constructor(view) {
    this.view = view;
    this.isOpen = false;
    this.slider = make("input", { type: "range", id: "below", step: "any", oninput: () => this.select() });
    this.value = make("output", { for: "below" });
    this.root = make("p", { className: "below", hidden: true }, make("label", { for: "below", textContent: WORDS.faces.belowLabel }), this.slider, this.value,
      button("✕", () => this.close(), { "aria-label": WORDS.faces.closeBelow }));
  }

  toggle() {
    if (this.isOpen) return void this.close();
    if (!this.view.hasSimilarity || this.view.items.length < 2) return;
    this.isOpen = true;
    this.view.selection.clear();
    if (this.view.order !== "doubtful") this.view.setOrder("doubtful");
    this.view.tools.below.setAttribute("aria-expanded", "true");
    this.root.hidden = false;
    this.root.style.top = `${byId("bar").offsetHeight}px`;
    this.draw(true);
    this.slider.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    const focused = this.root.contains(document.activeElement);
    this.root.hidden = true;
    this.view.tools.below.setAttribute("aria-expanded", "false");
    this.view.grid.setBorder(null);
    if (focused) this.view.tools.below.focus();
  }

  /** The faces that it can select: not confirmed, with a similarity, in the order "doubtful". */
  get range() {
    const { album } = this.view.app;
    return [...this.view.items].filter((at) => !album.isConfirmed(at) && album.similarity[at] !== NO_SIMILARITY)
      .sort((a, b) => album.similarity[a] - album.similarity[b]);
  }

  draw(reset = false) {
    if (!this.isOpen) return;
    if (this.view.order !== "doubtful") return void this.close();
    const { album } = this.view.app;
    const range = this.range;
    if (!range.length) return void this.close();
    this.slider.min = album.similarity[range[0]];
    this.slider.max = album.similarity[range.at(-1)] + 1;
    if (reset) this.slider.value = this.slider.min;
    this.showBorder();
  }

  select() {
    const { album } = this.view.app;
    const value = Number(this.slider.value);
    this.view.selection.set(this.range.filter((at) => album.similarity[at] < value));
    this.showBorder();
    const { grid } = this.view;
    if (grid.border > 0) grid.reveal(grid.border - 1);
  }

  showBorder() {
    const { album } = this.view.app;
    const value = Number(this.slider.value);
    const count = this.range.filter((at) => album.similarity[at] < value).length;
    const text = (value / 10000).toFixed(2);
    this.value.textContent = WORDS.faces.belowValue(text, count);
    this.slider.setAttribute("aria-valuetext", this.value.textContent);
    this.view.grid.setBorder(count ? count : null);
  }

  onSelected() {}
}
