// The search box in the bar: results while typing, and names for the last word.

class SearchBox {
  constructor(app) {
    this.app = app;
    this.input = byId("query");
    this.list = make("ul", { id: "suggestions", role: "listbox", "aria-label": WORDS.search.suggestions, hidden: true });
    byId("search").append(this.list);
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", "suggestions"], ["aria-expanded", "false"]]) this.input.setAttribute(name, value);
    this.options = [];
    this.chosen = -1;
    this.input.addEventListener("input", () => this.onInput());
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.take(Number(item.dataset.at));
    });
    if (app.source.can.identify) {
      const open = () => app.router.go(Router.parse("view=drop"));
      byId("search").append(iconButton("picture", WORDS.search.picture, "", open, { id: "by-picture" }));
    }
    byId("search").addEventListener("submit", (event) => event.preventDefault());
  }

  /** Follow the address. */
  show(route) {
    const text = route.view === "search" ? route.query : "";
    if (route.view !== "search") clearTimeout(this.timer);
    if (this.input.value !== text && !(document.activeElement === this.input && route.view === "search")) this.input.value = text;
  }

  onInput() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), TYPING);
    this.suggest();
  }

  search() {
    clearTimeout(this.timer);
    const { router } = this.app;
    const text = this.input.value;
    const isHere = router.route.view === "search";
    if (!oneLine(text)) {
      if (isHere && this.opened) history.back();
      else if (isHere) router.replace(Router.parse(""));
      this.opened = false;
      return;
    }
    if (isHere && router.route.query === text) return;
    const route = { view: "search", id: null, query: text, order: isHere && router.route.order === "newest" ? "newest" : null, photo: null, face: null };
    if (isHere) router.replace(route);
    else {
      this.opened = true;
      router.go(route);
    }
  }

  // Suggestions ---------------------------------------------------------------------------------

  /** The name that is being written: {text, start} of what follows the last operator. */
  get written() {
    const { value, selectionEnd } = this.input;
    if (selectionEnd !== value.length) return null;
    const match = /(?:^|[&|!(+,]|\s(?:and|or|not|AND|OR|NOT)(?=\s))\s*(["']?)([^&|!()+,"]*)$/u.exec(value);
    if (!match || !oneLine(match[2])) return null;
    return { text: oneLine(match[2]), start: value.length - match[1].length - match[2].length };
  }

  suggest() {
    const { album } = this.app;
    const { written } = this;
    const key = written && nameKey(written.text);
    const people = written ? new Finder(album).beginning(written.text).map((id) => album.people.get(id)) : [];
    this.options = people.filter(({ name }) => nameKey(name) !== key).slice(0, MOST_SUGGESTIONS);
    this.chosen = -1;
    this.list.replaceChildren(...this.options.map((person, at) => {
      const thumb = make("span", { className: "thumb" });
      const group = album.group(`p${person.id}`);
      if (group) this.app.source.paint(thumb, album.face[album.cover(group)]);
      return make("li", { id: `suggestion-${at}`, role: "option", "aria-selected": "false", dataset: { at } }, thumb,
        make("span", { className: "name", textContent: readable(person.name) }), make("span", { className: "about", textContent: WORDS.people.faces(group?.size ?? 0) }));
    }));
    this.setOpen(this.options.length > 0);
  }

  setOpen(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (!open) this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    this.chosen = -1;
    this.setOpen(false);
  }

  choose(at) {
    this.chosen = at;
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    if (at < 0) this.input.removeAttribute("aria-activedescendant");
    else {
      this.input.setAttribute("aria-activedescendant", `suggestion-${at}`);
      this.list.children[at].scrollIntoView({ block: "nearest" });
    }
  }

  /** Write a suggested name instead of the last word. */
  take(at) {
    const { written } = this;
    if (written) this.input.value = `${this.input.value.slice(0, written.start)}${quotedName(this.options[at].name)}`;
    this.close();
    this.search();
  }

  onKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const count = this.options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (!this.list.hidden && count) this.choose(this.chosen + step < -1 ? count - 1 : this.chosen + step >= count ? -1 : this.chosen + step);
      else if (event.key === "ArrowDown") this.toResults();
      else return;
    } else if (event.key === "Enter") {
      if (!this.list.hidden && this.chosen >= 0) this.take(this.chosen);
      else {
        this.search();
        this.close();
        this.toResults();
      }
    } else if (event.key === "Escape") {
      if (!this.list.hidden) this.close();
      else if (this.input.value) {
        this.input.value = "";
        this.search();
      } else this.input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Go from the box to the first thing that was found. */
  toResults() {
    this.input.blur();
    if (this.app.router.route.view === "search") document.querySelector("#found-people a, .search-view .card")?.focus();
  }
}
