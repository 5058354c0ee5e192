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

class App {
  constructor(source, bundle) {
    this.source = source;
    this.album = new Album(bundle);
    this.actions = new Actions(this.album, source, {
      saving: (count) => this.showSaving(count),
      busy: (problem) => this.showBusy(problem),
      problem: (problem) => this.say(problem.message, { isProblem: true }),
      stored: (result, action) => this.onStored(result, action),
      reload: () => this.reload(),
    });
    this.made = new Map(); // views, by their classes
    this.current = null;
    this.viewer = new PhotoViewer(this);
    this.searchBox = new SearchBox(this);
    this.drops = new PictureDrops(this);
    this.router = new Router((route, before) => this.onRoute(route, before));
    this.album.onChange((changes) => {
      this.current?.changed(changes);
      this.viewer.changed(changes);
    });
    this.theme = localStorage.getItem("theme") ?? "system";
    byId("theme").addEventListener("click", () => this.nextTheme());
    this.showTheme();
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
      document.title = WORDS.title(view.heading?.textContent ?? "");
      scrollTo(0, this.router.place);
      for (const link of document.querySelectorAll("#bar nav a")) {
        if (link.getAttribute("href") === Router.viewOf(route)) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    }
    this.searchBox.show(route);
    this.viewer.show(route);
  }

  /** Read everything again: faces came or went. */
  async reload() {
    this.album.load(await this.source.load());
    this.current?.changed({ reload: true });
    this.viewer.changed({ reload: true });
  }

  /** Open a photo on top, as a new step; see `PhotoView.openFrom`. */
  openPhoto(what, list) { this.viewer.openFrom(what, list); }

  /** Follow what others change, for as long as the page is open. */
  async follow() {
    for (;;) {
      try {
        const changes = await this.source.changes(this.album.generation);
        this.showBusy(changes.busy ? { holder: changes.busy, kind: "busy" } : null);
        if (this.actions.unsaved || changes.generation <= this.album.generation) continue; // those answers bring them
        if (changes.reload) await this.reload();
        else this.album.apply(changes);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        this.showBusy(problem);
        await new Promise((done) => setTimeout(done, 2000));
      }
    }
  }

  // Messages ----------------------------------------------------------------------------------

  /** Show a sentence at the bottom for a while. */
  say(text, { isProblem = false } = {}) {
    byId("message").textContent = text;
    byId("message").classList.toggle("problem", isProblem);
    byId("message").hidden = false;
    announce(text);
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => { byId("message").hidden = true; }, isProblem ? 12000 : 4000);
  }

  showSaving(count) { byId("saving").textContent = count ? WORDS.problems.unsaved(count) : ""; }

  showBusy(problem) {
    byId("banner").hidden = !problem;
    if (problem) byId("banner").textContent = problem.kind === "gone" ? problem.message : WORDS.problems.busy(problem.holder);
  }

  onStored() {}

  nextTheme() {
    const themes = ["system", "light", "dark"];
    this.theme = themes[(themes.indexOf(this.theme) + 1) % themes.length];
    localStorage.setItem("theme", this.theme);
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
  const source = config.mode === "live" ? new LiveSource(config) : new StaticSource(config);
  try {
    const app = new App(source, await source.load());
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
