// Names as they are typed: the known ones first, by their faces; a new one if nobody has it.

const MOST_NAMES = 8; // in the list
const RECENT_NAMES = 6; // offered before anything is typed

/** A name as the index stores it. */
const cleanName = (name) => oneLine(name.normalize("NFC"));

/**
 * Edits (a letter more, less, other, or two swapped) from one text to another, at most `most` + 1.
 * With `prefix`, what follows in `other` does not count. (Optimal string alignment.)
 */
function editsBetween(one, other, most, prefix = false) {
  if (!prefix && Math.abs(one.length - other.length) > most) return most + 1;
  let before = [];
  let row = Array.from({ length: other.length + 1 }, (_, j) => j);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= other.length; j++) {
      const cost = one[i - 1] === other[j - 1] ? 0 : 1;
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + cost);
      if (cost && i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
      least = Math.min(least, next[j]);
    }
    if (least > most) return most + 1;
    [before, row] = [row, next];
  }
  return prefix ? Math.min(...row) : row[other.length];
}

/** The ranks of matches, best first; a new name comes before those with the text inside. */
const RANK = { EXACT: 0, START: 1, WORDS: 2, NEAR: 3, INSIDE: 4, NONE: 5 };

/** How a typed text (folded, not empty) fits a name (folded): [rank, edits]. */
function rankOf(typed, name) {
  if (name.startsWith(typed)) return [RANK.START, 0];
  const words = name.split(/[\s\-.'’]+/);
  if (typed.split(" ").every((part) => words.some((word) => word.startsWith(part)))) return [RANK.WORDS, 0];
  const most = typed.length < 4 ? 0 : typed.length < 7 ? 1 : 2;
  if (most) {
    const edits = Math.min(editsBetween(typed, name, most), ...words.map((word) => editsBetween(typed, word, most, typed.length < word.length)));
    if (edits <= most) return [RANK.NEAR, edits];
  }
  return [name.includes(typed) ? RANK.INSIDE : RANK.NONE, 0];
}

/**
 * What a typed name may mean: {options: [{name, person: id | null}], chosen}; `chosen` is the option that Enter takes.
 * An option without a person is a new name; a `near` one is spelt alike.
 * @param {{exclude?: Iterable<number>, known?: boolean, recent?: number[]}} options people that it cannot be; only known people; ids used last
 */
function namesFor(album, text, { exclude = [], known = false, recent = [] } = {}) {
  const out = new Set(exclude);
  const name = cleanName(text);
  const option = (person) => ({ name: person.name, person: person.id });
  const used = new Map(recent.map((id, i) => [id, i]));
  const order = (a, b) => (used.get(a.id) ?? RECENT_NAMES) - (used.get(b.id) ?? RECENT_NAMES)
    || (album.group(`p${b.id}`)?.size ?? 0) - (album.group(`p${a.id}`)?.size ?? 0) || collator().compare(a.name, b.name);
  if (!name) {
    const offered = recent.map((id) => album.people.get(id)).filter((person) => person && !out.has(person.id));
    return { options: offered.slice(0, RECENT_NAMES).map(option), chosen: -1 };
  }
  const typed = folded(name);
  const exact = album.byName.get(nameKey(name));
  const ranks = Array.from({ length: RANK.NONE }, () => []);
  for (const person of album.people.values()) {
    if (out.has(person.id)) continue;
    const [rank, edits] = person === exact ? [RANK.EXACT, 0] : rankOf(typed, foldedName(person.name));
    if (rank < RANK.NONE) ranks[rank].push([edits, person]);
  }
  for (const found of ranks) found.sort((a, b) => a[0] - b[0] || order(a[1], b[1]));
  const [equal, start, words, near, inside] = ranks.map((found) => found.map(([, person]) => option(person)));
  const sure = [...equal, ...start, ...words, ...near.map((each) => ({ ...each, near: true }))].slice(0, MOST_NAMES - 1);
  const fresh = exact || known ? [] : [{ name, person: null }];
  const options = [...sure, ...fresh, ...inside].slice(0, MOST_NAMES);
  return { options, chosen: options.length ? 0 : -1, excluded: Boolean(exact && out.has(exact.id)) };
}

const foldedNames = new Map();
function foldedName(name) {
  if (foldedNames.size > 50000) foldedNames.clear();
  if (!foldedNames.has(name)) foldedNames.set(name, folded(name));
  return foldedNames.get(name);
}

let fieldsMade = 0;

/** A text field for a name, with a list of those that it may mean (ARIA: combobox). */
class NameField {
  /**
   * @param {{app, onPick: function({name: string, person: number | null}), label?: string, exclude?: Iterable<number>, known?: boolean,
   *   text?: string, onTyping?: function(string), placeholder?: string}} options `onPick` is called for Enter, a click, and a tap;
   *   `known`: no new names; `onTyping`: called with the text whenever it changes
   */
  constructor({ app, onPick, label = WORDS.names.label, exclude = [], known = false, text = "", onTyping = null, placeholder = "" }) {
    Object.assign(this, { app, onPick, exclude, known, onTyping });
    const id = `names-${++fieldsMade}`;
    this.options = [];
    this.chosen = -1;
    this.input = make("input", {
      type: "text", id: `${id}-input`, value: text, placeholder, autocomplete: "off", spellcheck: false, maxLength: 200, enterKeyHint: "done",
      role: "combobox", "aria-label": label, "aria-autocomplete": "list", "aria-expanded": false, "aria-controls": id, autocapitalize: "words",
    });
    this.list = make("ul", { id, className: "name-options", role: "listbox", "aria-label": WORDS.names.options, hidden: true });
    this.hint = make("p", { className: "name-hint", "aria-live": "polite" });
    this.root = make("div", { className: "name-field" }, this.input, this.list, this.hint);
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("focus", () => this.update());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.pick(this.options[Number(item.dataset.at)]);
    });
  }

  get text() { return this.input.value; }
  set text(text) {
    this.input.value = text;
    this.close();
  }

  focus() { this.input.focus({ preventScroll: true }); }

  typed() {
    this.warned = false;
    this.update();
    this.onTyping?.(this.input.value);
  }

  /** Look again who may be meant. */
  update() {
    const { options, chosen, excluded } = namesFor(this.app.album, this.input.value, {
      exclude: this.exclude, known: this.known, recent: this.app.names?.recent ?? [],
    });
    this.options = options;
    this.excluded = excluded;
    this.show(chosen);
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  show(chosen) {
    this.list.replaceChildren(...this.options.map((option, i) => this.option(option, i)));
    this.list.hidden = !this.options.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.choose(chosen);
  }

  option({ name, person }, i) {
    const { album, source } = this.app;
    const thumb = make("span", { className: "thumb" });
    const group = person === null ? null : album.group(`p${person}`);
    if (group) source.paint(thumb, album.face[album.cover(group)]);
    else if (person === null) thumb.textContent = "+";
    const about = person === null ? WORDS.names.fresh : WORDS.people.faces(group?.size ?? 0);
    return make("li", { id: `${this.list.id}-${i}`, role: "option", "aria-selected": false, dataset: { at: i } }, thumb,
      make("span", { className: "name", textContent: readable(name) }), make("span", { className: "about", textContent: about }), make("kbd", { textContent: "↵", "aria-hidden": true }));
  }

  choose(chosen) {
    this.chosen = chosen;
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
    const item = this.list.children[chosen];
    if (item) {
      this.input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
    const option = this.options[chosen];
    this.hint.textContent = this.excluded ? WORDS.names.excluded
      : option ? (option.person === null ? WORDS.names.takesNew(readable(option.name)) : WORDS.names.takes(readable(option.name)))
        : this.known && cleanName(this.text) ? WORDS.names.nobody : "";
  }

  onKey(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !event.altKey && !event.ctrlKey && !event.metaKey) {
      if (!open) this.update();
      const count = this.options.length;
      this.warned = true; // the user looks at the list
      if (count) this.choose(this.chosen < 0 ? (step > 0 ? 0 : count - 1) : (this.chosen + step + count) % count);
      event.preventDefault();
    } else if (event.key === "Enter") {
      if (!open) this.update(); // the text may have come from a program
      const name = cleanName(this.text);
      const fresh = (event.ctrlKey || event.metaKey || event.shiftKey) && name && !this.known && !this.app.album.byName.has(nameKey(name));
      const option = fresh ? { name, person: null } : this.options[this.chosen];
      if (option) {
        event.preventDefault();
        event.stopPropagation();
        if (option.near && !this.warned) { // who types without looking must not name another person
          this.warned = true;
          this.hint.textContent = WORDS.names.near(readable(option.name), readable(name));
        } else this.pick(option);
      } else if (name) event.preventDefault();
    } else if (event.key === "Escape" && open && this.text) {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    }
  }

  pick(option) {
    this.close();
    this.hint.textContent = "";
    this.onPick({ name: option.name, person: option.person });
  }
}

/** Names that were used, and the dialog in which one is chosen. */
class Names {
  constructor(app) {
    this.app = app;
    this.recent = []; // ids of people, the last one first
    this.done = null;
    this.heading = make("h2", { id: "name-heading" });
    this.place = make("div");
    this.root = make("dialog", { id: "name-dialog", "aria-labelledby": "name-heading" }, this.heading, this.place,
      make("div", { className: "dialog-buttons" }, button(WORDS.names.cancel, () => this.root.close())));
    this.root.addEventListener("close", () => this.finish(null));
    this.root.addEventListener("click", (event) => { if (event.target === this.root) this.root.close(); });
    document.body.append(this.root);
  }

  /** A person was named: offer the name first next time. */
  used(person) {
    this.recent = [person, ...this.recent.filter((id) => id !== person && this.app.album.people.has(id))].slice(0, RECENT_NAMES);
  }

  /**
   * Let the user choose a name.
   * @param {{title: string, exclude?: number[], text?: string, known?: boolean}} options people that it cannot be, what the field
   *   holds at first, and whether only a known person can be chosen
   * @returns {Promise<{name: string, person: number | null} | null>} null if the user cancelled; person null for a new name
   */
  pick({ title, exclude = [], text = "", known = false }) {
    this.finish(null);
    this.heading.textContent = title;
    const field = new NameField({ app: this.app, exclude, text, known, label: title, onPick: (picked) => this.finish(picked) });
    this.place.replaceChildren(field.root);
    return new Promise((resolve) => {
      this.done = resolve;
      if (!this.root.open) this.root.showModal();
      field.focus();
      field.input.select();
      field.update();
    });
  }

  finish(picked) {
    const { done } = this;
    this.done = null;
    if (picked && picked.person !== null) this.used(picked.person);
    if (this.root.open) this.root.close();
    done?.(picked);
  }
}
