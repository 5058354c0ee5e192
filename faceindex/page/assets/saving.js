// Saving the decisions of a gallery as a file.

/** Shows in the header how many decisions there are, and saves them as a file. */
class Saving {
  constructor(app, decisions) {
    Object.assign(this, { app, decisions });
    this.count = make("span", { id: "decision-count", role: "status" });
    this.button = button(WORDS.gallery.save, () => this.save(), { id: "save-decisions" });
    this.root = make("div", { className: "decisions", hidden: true }, this.count, this.button);
    byId("bar").append(this.root);
    this.text = make("p");
    this.commands = make("pre", { tabIndex: 0, "aria-label": WORDS.gallery.commands });
    this.dialog = make("dialog", { id: "saved-dialog", "aria-labelledby": "saved-heading" },
      make("h2", { id: "saved-heading", className: "heading", textContent: WORDS.gallery.savedHeading }), this.text, this.commands,
      make("p", { className: "about", textContent: WORDS.gallery.savedMore }),
      make("div", { className: "dialog-buttons" }, button(WORDS.keys.close, () => this.dialog.close())));
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    document.body.append(this.dialog);
    addEventListener("beforeunload", (event) => { if (decisions.unsaved) event.preventDefault(); });
    decisions.onChange(() => this.show());
    this.show();
  }

  show() {
    const { decisions } = this;
    const { unsaved, count } = decisions;
    this.root.hidden = !unsaved && !decisions.listed.length;
    this.count.textContent = WORDS.gallery.state(unsaved, count, decisions.store.works);
    this.count.title = decisions.older.length ? WORDS.gallery.older(decisions.older.length) : "";
    this.root.classList.toggle("unsaved", unsaved > 0);
  }

  save() {
    const url = URL.createObjectURL(new Blob([this.decisions.text()], { type: "application/jsonl" }));
    const link = make("a", { href: url, download: "decisions.jsonl" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    this.text.textContent = WORDS.gallery.saved(this.decisions.listed.length + this.decisions.older.length);
    this.commands.textContent = "faceindex people apply decisions.jsonl --dry-run\nfaceindex people apply decisions.jsonl";
    this.decisions.markSaved();
    this.dialog.showModal();
  }
}
