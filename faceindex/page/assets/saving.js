// Saving the decisions of a gallery as a file.

/** Shows in the header how many decisions there are, and saves them as a file. */
class Saving {
  constructor(app, decisions) {
    Object.assign(this, { app, decisions, root: null, dialog: null });
    addEventListener("beforeunload", (event) => { if (decisions.unsaved) event.preventDefault(); });
    decisions.onChange(() => this.show());
    this.show();
  }

  show() {
    const { decisions } = this;
    const { unsaved, count } = decisions;
    const hidden = !unsaved && !decisions.listed.length;
    if (!this.root) {
      if (hidden) return;
      this.count = make("span", { id: "decision-count", role: "status" });
      this.root = make("div", { className: "decisions" }, this.count, button(WORDS.gallery.save, () => this.save(), { id: "save-decisions" }));
      byId("bar").append(this.root);
    }
    this.root.hidden = hidden;
    this.count.textContent = WORDS.gallery.state(unsaved, count, decisions.store.works);
    this.count.title = decisions.older.length ? WORDS.gallery.older(decisions.older.length) : "";
    this.root.classList.toggle("unsaved", unsaved > 0);
  }

  save() {
    const { decisions } = this;
    const lines = decisions.listed.length + decisions.older.length;
    const url = URL.createObjectURL(new Blob([decisions.text()], { type: "application/jsonl" }));
    const link = make("a", { href: url, download: "decisions.jsonl" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    decisions.markSaved();
    this.explain(lines);
  }

  /** Say what to do with the file. */
  explain(lines) {
    const dialog = make("dialog", { id: "saved-dialog", "aria-labelledby": "saved-heading" },
      make("h2", { id: "saved-heading", className: "heading", textContent: WORDS.gallery.savedHeading }),
      make("p", { textContent: WORDS.gallery.saved(lines) }),
      make("pre", { tabIndex: 0, "aria-label": WORDS.gallery.commands, role: "group",
        textContent: "faceindex people apply decisions.jsonl --dry-run\nfaceindex people apply decisions.jsonl" }),
      make("p", { className: "summary", textContent: WORDS.gallery.savedMore }),
      make("div", { className: "dialog-buttons" }, button(WORDS.keys.close, () => dialog.close())));
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}
