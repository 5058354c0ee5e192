// Printing: all pictures of a view, not only those near the screen.

const MOST_PRINTED = 2000; // pictures
const MOST_WAITING = 60000; // milliseconds until pictures that have not come are printed as blanks

class Printer {
  /** @param app its current view has `printed()`: {title, about, items, face(item) -> id, caption(item)} */
  constructor(app) {
    this.app = app;
    this.sheet = null;
    this.ready = false; // the sheet is laid out for the dialog that opens now
    addEventListener("beforeprint", () => { if (!this.ready) this.lay(); });
    addEventListener("afterprint", () => this.clear());
    // The browser does not wait for pictures that are not there yet; this does.
    app.keys?.add("print", [{ keys: ["Mod+p"], typing: true, run: () => (this.canPrint ? void this.print() : false) }]);
  }

  get canPrint() {
    const { route } = this.app.router;
    return Boolean(this.app.current?.printed?.().items.length) && route.face === null && route.photo === null;
  }

  /** Lay out the sheet, wait for its pictures, and open the browser's dialog. */
  async print() {
    this.lay();
    if (!this.sheet) return void print();
    this.app.say(WORDS.print.loading);
    const until = performance.now() + MOST_WAITING;
    const { items, face } = this.app.current.printed();
    const loaded = this.app.source.loaded?.([...items.slice(0, MOST_PRINTED)].map(face));
    if (loaded) await Promise.race([loaded, new Promise((done) => setTimeout(done, MOST_WAITING))]);
    while (this.waiting().length && performance.now() < until) await new Promise((done) => setTimeout(done, 60));
    if (!this.sheet) return;
    this.note();
    this.ready = true;
    print(); // and afterprint removes the sheet
    this.ready = false;
  }

  /** Pictures that have not come. */
  waiting() { return this.sheet ? [...this.sheet.querySelectorAll(".thumb:not(.no-picture)")].filter((thumb) => !thumb.style.backgroundImage) : []; }

  /** Say on the sheet which pictures are not on it. */
  note() {
    const missing = this.waiting().length;
    this.notes.textContent = [this.bounded, missing ? WORDS.print.missing(missing) : ""].filter(Boolean).join(" ");
  }

  lay() {
    this.clear();
    if (!this.canPrint) return;
    const { source } = this.app;
    const { title, about, items, face, caption } = this.app.current.printed();
    const pictures = [...items.slice(0, MOST_PRINTED)].map((item) => {
      const thumb = make("span", { className: "thumb" });
      source.paint(thumb, face(item));
      return make("li", {}, thumb, make("span", { textContent: caption(item) }));
    });
    this.bounded = items.length > MOST_PRINTED ? WORDS.print.bounded(MOST_PRINTED, items.length) : "";
    this.notes = make("p");
    this.sheet = make("section", { id: "sheet", "aria-hidden": "true" }, make("h2", { textContent: title }), make("p", { textContent: about }), this.notes, make("ul", {}, ...pictures));
    document.body.append(this.sheet);
    this.note();
    document.body.classList.add("printing");
  }

  clear() {
    this.sheet?.remove();
    this.sheet = null;
    document.body.classList.remove("printing");
  }
}
