// What is known of a person: dates, a note, whether the person is hidden.

const A_DATE = /^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$/; // as faceindex.people.dates.clean_date

/** A panel below the heading. Each field is stored when it is left. */
class AboutPanel {
  /** @param onClose called when Escape closed it */
  constructor(app, onClose) {
    Object.assign(this, { app, onClose });
    this.person = null;
    this.born = this.field("born", WORDS.about.born, { placeholder: WORDS.about.datePlaceholder, inputMode: "numeric", maxLength: 10 });
    this.died = this.field("died", WORDS.about.died, { placeholder: WORDS.about.datePlaceholder, inputMode: "numeric", maxLength: 10 });
    this.note = this.field("note", WORDS.about.note, { maxLength: 1000 });
    this.hidden = make("input", { type: "checkbox", id: "about-hidden", onchange: () => this.app.actions.do({ do: "hide", person: this.person, hidden: this.hidden.checked }) });
    this.problem = make("p", { className: "field-problem", id: "about-problem", role: "alert" });
    this.root = make("form", { className: "about-panel", hidden: true, "aria-label": WORDS.about.heading },
      this.born.row, this.died.row, this.note.row,
      make("p", { className: "field check" }, this.hidden, make("label", { for: "about-hidden", textContent: WORDS.about.hidden })), this.problem);
    this.root.addEventListener("submit", (event) => event.preventDefault());
    this.root.addEventListener("keydown", (event) => {
      if (!["Enter", "Escape"].includes(event.key) || event.isComposing || event.target.type !== "text") return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Enter") event.target.blur();
      else this.close();
    });
  }

  field(name, label, properties) {
    const input = make("input", { type: "text", id: `about-${name}`, autocomplete: "off", onchange: () => this.store(name, input), ...properties });
    return { input, row: make("p", { className: `field ${name}` }, make("label", { for: input.id, textContent: label }), input) };
  }

  store(name, input) {
    const value = input.value.trim();
    const wrong = name !== "note" && value !== "" && !A_DATE.test(value);
    input.setAttribute("aria-invalid", String(wrong));
    input.setAttribute("aria-describedby", "about-problem");
    this.problem.textContent = wrong ? WORDS.about.notADate(value) : "";
    if (wrong) return;
    this.app.actions.do({ do: name, person: this.person, [name === "note" ? "note" : "date"]: value || null });
  }

  /** Store what is being typed: it is about the person that is shown now. */
  leave() { if (this.root.contains(document.activeElement)) document.activeElement.blur(); }

  /** Show a person (a record of the album), or nothing. */
  show(person) {
    const other = person === null || this.person === null || this.app.actions.realPerson(this.person) !== person.id;
    if (other) this.leave();
    if (!person) {
      this.root.hidden = true;
      this.person = null;
      return;
    }
    this.person = person.id;
    for (const name of ["born", "died", "note"]) {
      const { input } = this[name];
      if (other || document.activeElement !== input) {
        input.value = person[name] ?? "";
        input.removeAttribute("aria-invalid");
      }
    }
    if (other) this.problem.textContent = "";
    this.hidden.checked = person.hidden;
  }

  close() {
    this.root.hidden = true;
    this.onClose();
  }

  toggle() {
    this.root.hidden = !this.root.hidden;
    if (!this.root.hidden) this.born.input.focus();
    return !this.root.hidden;
  }
}
