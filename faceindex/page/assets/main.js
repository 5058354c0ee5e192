// Puts the parts together: the source, the album, the views and what they share.

/** The views by their names in addresses; each has `root`, `show(route, before)`, `hide()` and `changed(changes)`. */
const VIEWS = {
  people: PeopleView,
  person: FacesView,
  cluster: FacesView,
  none: FacesView,
  ignored: FacesView,
  questions: QuestionsView,
  search: SearchView,
  drop: DropView,
};

const WAIT = 25; // seconds that the server waits for changes before it answers that there are none
const HIDDEN = 20; // seconds between two looks for changes while the page is not on the screen

class App {
  constructor(source, bundle) {
    this.source = source;
    this.album = new Album(bundle);
    this.actions = new Actions(this.album, source, {
      saving: (count) => this.showSaving(count),
      busy: (problem) => this.showBusy("storing", problem),
      problem: (problem, again) => this.say(problem.message, { isProblem: true, more: again && { label: WORDS.actions.again, run: again } }),
      shown: (action, text) => this.onShown(action, text),
      stored: (result, action) => this.onStored(result, action),
      undone: (text, result) => this.onUndone(text, result),
      reload: () => this.reload(),
    });
    this.details = new PhotoDetails(source);
    this.busy = {}; // who is in the way, by what found out
    this.message = byId("message");
    document.addEventListener("close", () => this.homeMessage(), { capture: true }); // of dialogs
    this.keys = new Keys();
    this.names = new Names(this);
    this.help = new HelpDialog(this.keys);
    this.addKeys();
    this.made = new Map(); // views, by their classes
    this.current = null;
    this.viewer = new PhotoViewer(this);
    this.searchBox = new SearchBox(this);
    this.drops = new PictureDrops(this);
    this.printer = new Printer(this);
    this.router = new Router((route, before) => this.onRoute(route, before));
    this.album.onChange((changes) => {
      this.showUndo();
      this.current?.changed(changes);
      this.viewer.changed(changes);
      this.showTitle();
    });
    this.theme = keptText("localStorage", "theme");
    if (!Object.hasOwn(WORDS.theme, this.theme)) this.theme = "system";
    byId("theme").addEventListener("click", () => this.nextTheme());
    this.showTheme();
    this.showUndo();
  }

  onRoute(route, before) {
    const View = VIEWS[route.view] ?? VIEWS.people;
    if (!this.made.has(View)) this.made.set(View, new View(this));
    const view = this.made.get(View);
    if (!before || Router.viewOf(before) !== Router.viewOf(route)) {
      if (this.current && this.current !== view) {
        this.current.hide();
        this.current.root.remove();
      }
      if (this.current !== view) byId("view").append(view.root);
      this.current = view;
      view.show(route, before);
      this.showTitle();
      if (!this.router.staying) scrollTo(0, this.router.place);
      for (const link of document.querySelectorAll("#bar nav a")) {
        if (link.getAttribute("href") === Router.viewOf({ ...route, order: null, show: null })) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    }
    this.searchBox.show(route);
    this.viewer.show(route);
  }

  showTitle() { document.title = WORDS.title(this.current?.heading?.textContent ?? ""); }

  /** Read everything again: faces came or went. */
  async reload() {
    const bundle = await this.source.load();
    this.album.load(bundle);
    this.details.forget();
    this.actions.redo();
    this.showUndo();
    this.current?.changed({ reload: true });
    this.viewer.changed({ reload: true });
  }

  /** Open a photo on top, as a new step; see `PhotoView.openFrom`. */
  openPhoto(what, list) { this.viewer.openFrom(what, list); }

  /**
   * Follow what others change, for as long as the page is open. A browser has six connections to a server for all of its tabs: one
   * that is not on the screen looks now and then, which says that the page is still open, and does not keep a connection.
   */
  async follow() {
    let waiting = null;
    let wake = null;
    const pause = (seconds) => new Promise((done) => {
      wake = done;
      setTimeout(done, 1000 * seconds);
    });
    document.addEventListener("visibilitychange", () => {
      waiting?.abort();
      wake?.();
    });
    for (;;) {
      const { hidden } = document;
      waiting = new AbortController();
      try {
        const changes = await this.source.changes(this.album.generation, waiting.signal, hidden ? 0 : WAIT);
        this.showBusy("following", changes.busy ? { holder: changes.busy, kind: "busy" } : null);
        if (!changes.busy) this.actions.retry();
        await this.actions.follow(changes);
        if (hidden && document.hidden) await pause(HIDDEN);
      } catch (problem) {
        if (problem.name === "AbortError") continue;
        if (problem instanceof Problem) this.showBusy("following", problem);
        else reportError(problem); // and go on
        await pause(hidden ? HIDDEN : 2);
      }
    }
  }

  /** The keys that work in all views. */
  addKeys() {
    const go = (view) => this.router.go({ view });
    byId("help-button").addEventListener("click", () => this.help.open());
    byId("undo").addEventListener("click", () => this.undo());
    this.keys.add("app", [
      { keys: ["u", "Mod+z"], label: WORDS.keys.undo, run: () => this.undo() },
      { keys: ["/"], label: WORDS.keys.search, run: () => { byId("query").focus(); byId("query").select(); } },
      { keys: ["g p"], label: WORDS.keys.people, run: () => go("people") },
      { keys: ["g q"], label: WORDS.keys.questions, run: () => go("questions") },
      { keys: ["g u"], label: WORDS.keys.none, run: () => go("none") },
      { keys: ["t"], label: WORDS.keys.theme, run: () => this.nextTheme() },
      { keys: ["?"], label: WORDS.keys.help, run: () => this.help.open() },
    ], { title: WORDS.keys.everywhere });
  }

  /** Take back the newest decision; what the view did last comes first, such as a skipped question. */
  undo() {
    if (this.current?.undo?.()) return;
    if (this.actions.canUndo) this.actions.undo();
    else this.say(WORDS.actions.nothing);
  }

  // Messages ----------------------------------------------------------------------------------

  /**
   * Show a sentence for a while.
   * @param {string} text
   * @param {{isProblem?: boolean, more?: {label: string, run: function}}} options `more`: a button after it
   */
  say(text, { isProblem = false, more = null } = {}) {
    const place = this.message;
    this.homeMessage();
    place.classList.toggle("problem", isProblem);
    const close = () => place.replaceChildren();
    const parts = [make("span", { textContent: text })];
    if (more) {
      parts.push(button(more.label, () => {
        close();
        more.run();
      }));
    }
    if (isProblem) parts.push(button("×", close, { "aria-label": WORDS.actions.dismiss }));
    place.replaceChildren(...parts);
    clearTimeout(this.hiding);
    this.hiding = setTimeout(close, isProblem ? 20000 : 5000);
  }

  /** Put the message where it can be seen and used: into the dialog that is open. */
  homeMessage() {
    const home = Keys.dialog() ?? document.body;
    if (this.message.parentElement !== home) home.append(this.message);
  }

  showSaving(count) {
    byId("saving").textContent = count ? WORDS.problems.unsaved(count) : "";
    this.showBanner();
    this.showUndo();
  }

  /** Show what is in the way: another program that writes, or a server that has ended. */
  showBusy(who, problem) {
    this.busy[who] = problem;
    this.showBanner();
  }

  showBanner() {
    const found = Object.values(this.busy).find(Boolean) ?? null;
    const unsaved = this.actions?.unsaved ?? 0;
    const text = !found ? "" : found.kind === "gone" ? WORDS.problems.kept(found.message, unsaved) : WORDS.problems.busy(found.holder, unsaved);
    byId("banner").hidden = !found;
    if (byId("banner").textContent !== text) byId("banner").textContent = text;
  }

  showUndo() {
    const text = this.actions?.undoText ?? null;
    byId("undo").title = text ? WORDS.actions.undoes(text) : WORDS.actions.nothing;
    byId("undo").setAttribute("aria-label", byId("undo").title);
    byId("undo").setAttribute("aria-disabled", String(!text));
  }

  onShown(action, text) {
    this.current?.decided?.(action);
    this.useName(action);
    this.say(text, { more: { label: WORDS.actions.undo, run: () => this.undo() } });
  }

  onUndone(text) {
    this.showUndo();
    this.say(WORDS.actions.undone(text ?? ""));
  }

  onStored(result, action) {
    this.useName(action);
    this.showUndo();
    const { route } = this.router;
    const key = route?.view === "person" ? `p${route.id}` : route?.view === "cluster" ? `c${route.id}` : null;
    const real = key && this.actions.realKey(key);
    if (real !== key) this.router.replace({ ...route, id: Number(real.slice(1)) }, { stay: true });
  }

  /** A name that was given is offered first the next time. */
  useName({ name }) {
    const person = name && this.album.byName.get(nameKey(name));
    if (person) this.names.used(person.id);
  }

  nextTheme() {
    const themes = ["system", "light", "dark"];
    this.theme = themes[(themes.indexOf(this.theme) + 1) % themes.length];
    keepText("localStorage", "theme", this.theme);
    this.showTheme();
  }

  showTheme() {
    document.documentElement.dataset.theme = this.theme;
    byId("theme").textContent = { system: "◐", light: "☀", dark: "☾" }[this.theme];
    byId("theme").setAttribute("aria-label", WORDS.theme[this.theme]);
    byId("theme").title = WORDS.theme[this.theme];
  }
}

async function start() {
  const config = JSON.parse(byId("config").textContent);
  const source = config.mode === "live" ? new LiveSource(config, EARLY) : new StaticSource(config);
  try {
    const app = new App(source, await source.load());
    source.attach?.(app);
    app.router.start();
    if (config.mode === "live") app.follow();
    return app;
  } catch (problem) {
    byId("banner").hidden = false;
    byId("banner").textContent = problem.message;
    throw problem;
  }
}

const APP = start();
