// Addresses (the URL after #), and what Back does: it closes what was opened, one step each.
//
// ``            people              view=none       unclustered faces      q=TEXT       search
// p=ID          a person            view=ignored    strangers              view=drop    find by picture
// c=ID          a cluster           view=questions  questions
// &photo=ID or &face=ID             the photo is open on top
// &order=ORDER                      the order of the items
// &show=FILTER                      which people are shown

class Router {
  /** @param onRoute (route, before) called for each new address; `before` is null at first */
  constructor(onRoute) {
    this.onRoute = onRoute;
    this.route = null;
    this.scrolls = JSON.parse(keptText("sessionStorage", "scrolls") ?? "{}");
    history.scrollRestoration = "manual";
    addEventListener("popstate", () => this.read());
    addEventListener("hashchange", () => this.read());
    addEventListener("pagehide", () => this.keepPlace());
  }

  start() { this.read(); }

  static parse(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const numeric = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
    const route = { view: "people", id: null, query: null, order: given.get("order"), show: given.get("show"), photo: numeric("photo"), face: numeric("face") };
    if (given.has("p")) Object.assign(route, { view: "person", id: Number(given.get("p")) });
    else if (given.has("c")) Object.assign(route, { view: "cluster", id: numeric("c") ?? NaN });
    else if (given.has("q")) Object.assign(route, { view: "search", query: given.get("q") });
    else if (["none", "ignored", "questions", "drop"].includes(given.get("view"))) route.view = given.get("view");
    return route;
  }

  static address(route) {
    const parts = new URLSearchParams();
    if (route.view === "person") parts.set("p", route.id);
    else if (route.view === "cluster") parts.set("c", route.id);
    else if (route.view === "search") parts.set("q", route.query);
    else if (route.view !== "people") parts.set("view", route.view);
    if (route.order) parts.set("order", route.order);
    if (route.show) parts.set("show", route.show);
    if (route.photo !== null && route.photo !== undefined) parts.set("photo", route.photo);
    if (route.face !== null && route.face !== undefined) parts.set("face", route.face);
    return `#${parts}`;
  }

  /** The address of a group. */
  static group(key, more = {}) {
    if (key === "none" || key === "ignored") return Router.address({ view: key, ...more });
    return Router.address({ view: key[0] === "p" ? "person" : "cluster", id: Number(key.slice(1)), ...more });
  }

  /** The view without what is open on top. */
  static viewOf(route) { return Router.address({ ...route, photo: null, face: null }); }

  read() {
    const before = this.route;
    if (before && location.hash === this.hash) return;
    if (before) this.keepPlace();
    this.closing = false;
    this.hash = location.hash;
    this.route = Router.parse(location.hash);
    this.onRoute(this.route, before);
  }

  /** Go to an address, as a new step. */
  go(route) {
    const address = Router.address(route);
    if (address === location.hash || (address === "#" && !location.hash)) return;
    history.pushState({ opened: true }, "", address);
    this.read();
  }

  /**
   * Change the address without a step, such as to the next photo.
   * @param {{stay?: boolean}} options whether it is the same group with another id, so that the place in it stays
   */
  replace(route, { stay = false } = {}) {
    history.replaceState(history.state, "", Router.address(route));
    this.staying = stay;
    this.read();
    this.staying = false;
  }

  /** Close what is open on top: one step back, or, if the page was opened like this, its view. */
  close() {
    if (this.closing) return; // going back takes a moment, and a key that is held comes again
    this.closing = Boolean(history.state?.opened);
    if (this.closing) history.back();
    else this.replace({ ...this.route, photo: null, face: null });
  }

  keepPlace() {
    this.scrolls[Router.viewOf(this.route)] = Math.round(scrollY);
    keepText("sessionStorage", "scrolls", JSON.stringify(this.scrolls));
  }

  /** Where the view was scrolled to when it was left. */
  get place() { return this.scrolls[Router.viewOf(this.route)] ?? 0; }
}
