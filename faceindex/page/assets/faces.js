// The faces of a person, of a cluster, in no cluster, and of strangers.

const FACE_ORDERS = ["good", "doubtful", "newest", "oldest"]; // as `order` in addresses; the first one is the default

/** Positions in an order; a new array. Made for a million. */
function orderFaces(album, positions, order) {
  const { similarity, quality, label } = album;
  const rank = { // whole numbers
    // Good faces first, blurred, dark and small ones last. Without similarities the quality decides.
    good: (at) => (album.isPoor(at) ? 40000 : 0) - (similarity[at] === NO_SIMILARITY ? quality[at] - 20000 : similarity[at]),
    // The least similar first; those without a similarity, and then those that are confirmed, last.
    doubtful: (at) => (label[at] === LABEL.CONFIRMED ? 80000 : 0) + (similarity[at] === NO_SIMILARITY ? 40000 : similarity[at]),
    newest: (at) => -Math.round(album.takenOf(at)),
    oldest: (at) => Math.round(album.takenOf(at)),
  }[order];
  const n = positions.length;
  const ranks = new Float64Array(n);
  let low = 0;
  let high = 0;
  for (let i = 0; i < n; i++) {
    ranks[i] = rank(positions[i]); // NaN, without a date, comes last
    if (ranks[i] < low) low = ranks[i];
    else if (ranks[i] > high) high = ranks[i];
  }
  for (let i = 0; i < n; i++) if (Number.isNaN(ranks[i])) ranks[i] = high + 1;
  if ((high - low + 2) * n > Number.MAX_SAFE_INTEGER) {
    return Uint32Array.from(ranks.keys()).sort((a, b) => ranks[a] - ranks[b] || a - b).map((i) => positions[i]);
  }
  // Rank and place in one number: sorting numbers is much faster than sorting with a function.
  for (let i = 0; i < n; i++) ranks[i] = (ranks[i] - low) * n + i;
  ranks.sort();
  const ordered = new Uint32Array(n);
  for (let i = 0; i < n; i++) ordered[i] = positions[ranks[i] - Math.floor(ranks[i] / n) * n];
  return ordered;
}

class FacesView {
  constructor(app) {
    this.app = app;
    this.key = null;
    this.items = new Uint32Array(0);
    this.selection = new Selection();
    this.heading = make("h2", { className: "heading" });
    this.summary = make("p", { className: "summary", "aria-live": "polite" });
    this.noteText = make("p", { className: "note" });
    this.tools = new FaceTools(this);
    this.about = new AboutPanel(app, () => {
      this.tools.draw();
      this.tools.about.focus();
    });
    this.timeline = new Timeline((to) => this.jump(to));
    this.below = new BelowSlider(this);
    this.empty = make("div", { className: "empty", hidden: true });
    this.list = make("div", { className: "grid faces", role: "listbox", "aria-multiselectable": "true" });
    this.commands = new FaceCommands(app, this);
    this.root = make("section", { className: "view" },
      make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary, this.noteText), this.tools.root),
      this.about.root, this.timeline.root, this.below.root, this.empty, this.list, this.commands.bar);
    this.grid = new Grid(this.list, (at) => this.makeFace(at), (at, index, event) => this.open(at, event), {
      mark: (node, at) => this.mark(node, at),
      prefetch: (positions) => app.source.prefetch?.([...positions].map((at) => app.album.face[at])),
      each: 1, bare: true,
    });
    this.gestures = new SelectionGestures(this.grid, this.selection);
    this.selection.onChange(() => this.onSelected());
    PHONE.addEventListener("change", () => { if (this.root.isConnected) this.draw(); });
  }

  get order() { return FACE_ORDERS.includes(this.app.router.route.order) ? this.app.router.route.order : FACE_ORDERS[0]; }
  get hasSimilarity() { return this.key !== "none" && this.key !== "ignored"; }

  show(route, before) {
    const key = route.view === "person" ? `p${route.id}` : route.view === "cluster" ? `c${route.id}` : route.view;
    const person = route.view === "cluster" ? this.app.album.clusterPerson.get(route.id) : undefined;
    if (person !== undefined && this.app.album.group(`p${person}`)) {
      queueMicrotask(() => this.app.router.replace({ ...route, view: "person", id: person })); // an old link: the cluster has a name now
    }
    const { staying } = this.app.router;
    const other = key !== this.key && !staying;
    this.key = key;
    if (other) {
      this.selection.clear();
      this.below.close();
      this.about.leave();
      this.about.root.hidden = true;
      this.timeline.open = null;
    }
    this.draw(staying);
    this.commands.draw();
    this.app.keys?.add("faces", this.bindings(), { title: WORDS.faces.keys });
    // Coming from the people, the arrow keys move through the faces at once.
    if (other && before?.view === "people" && route.face === null) this.grid.focus(0, false);
  }

  hide() {
    this.selection.clear();
    this.below.close();
    reserveHeight(0);
    this.app.keys?.remove("faces");
  }

  changed(changes) {
    if (changes.reload) {
      // Positions mean other faces now.
      this.selection.clear();
      return void this.draw();
    }
    const moved = this.follow();
    if (moved) return void this.app.router.replace({ ...this.app.router.route, ...moved }, { stay: true });
    this.draw(true);
  }

  /** Where the faces have gone if their group is no more, as a part of a route: a cluster that was named is a person now. */
  follow() {
    const { album } = this.app;
    if (album.group(this.key) || !this.items.length || !["p", "c"].includes(this.key[0])) return null;
    const counts = new Map();
    for (const at of this.items) counts.set(album.keyOf(at), (counts.get(album.keyOf(at)) ?? 0) + 1);
    const [key] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    if (key === "none" || key === "ignored" || key === this.key) return null;
    return { view: key[0] === "p" ? "person" : "cluster", id: Number(key.slice(1)), face: this.app.router.route.face };
  }

  // Drawing -----------------------------------------------------------------------------------

  draw(isUpdate = false) {
    const { album } = this.app;
    const members = album.facesOf(this.key);
    this.heading.textContent = this.title();
    this.drawSummary(members);
    const person = this.key[0] === "p" ? album.people.get(Number(this.key.slice(1))) : null;
    this.noteText.textContent = readable(person?.note ?? "");
    if (!person) this.about.root.hidden = true;
    this.about.show(person ?? null);
    this.timeline.show(album, members);
    this.items = orderFaces(album, members, this.order);
    this.selection.keep(members);
    this.list.setAttribute("aria-label", this.title());
    this.list.hidden = !this.items.length;
    const size = { minWidth: PHONE.matches ? 74 : 100, maxWidth: 140, captionHeight: this.order === "good" ? 0 : 22 };
    const focused = this.grid.focusedNode() !== null;
    if (isUpdate) this.grid.update(this.items, size);
    else this.grid.show(this.items, size, this.grid.items === this.items ? this.grid.active : 0);
    this.drawEmpty();
    if (focused && !this.items.length) this.empty.querySelector("a").focus();
    this.tools.draw();
    this.below.draw();
  }

  title() {
    const { album } = this.app;
    if (this.key[0] === "c" && !album.group(this.key)) return WORDS.faces.noCluster(this.key.slice(1));
    if (this.key[0] === "p" && !album.people.has(Number(this.key.slice(1)))) return WORDS.faces.noSuchPerson;
    return album.title(this.key);
  }

  drawSummary(members) {
    const { album } = this.app;
    const photos = new Set();
    let sum = 0;
    let known = 0;
    let confirmed = 0;
    for (const at of members) {
      photos.add(album.facePhoto[at]);
      if (album.similarity[at] !== NO_SIMILARITY) {
        sum += album.similarity[at] / 10000;
        known++;
      }
      if (album.isConfirmed(at)) confirmed++;
    }
    this.confirmed = confirmed;
    const person = this.key[0] === "p" ? album.people.get(Number(this.key.slice(1))) : null;
    const parts = [WORDS.people.summary(members.length, photos.size)];
    if (confirmed) parts.push(WORDS.faces.confirmed(confirmed));
    if (this.hasSimilarity && known) parts.push(WORDS.faces.cohesion(sum / known));
    if (person) {
      const clusters = album.clustersOf(person.id).map(([id]) => id);
      if (clusters.length) parts.push(WORDS.faces.clusters(clusters));
      if (person.born) parts.push(WORDS.faces.born(person.born));
      if (person.died) parts.push(WORDS.faces.died(person.died));
      if (person.hidden) parts.push(WORDS.faces.isHidden);
    }
    if (this.key === "none" && album.newerFaces) parts.push(WORDS.faces.newer(album.newerFaces));
    this.summary.textContent = members.length ? parts.join(" · ") : "";
  }

  drawEmpty() {
    this.empty.hidden = this.items.length > 0;
    if (this.items.length) return;
    const { album } = this.app;
    const words = WORDS.faces;
    const person = this.key[0] === "p" ? album.people.get(Number(this.key.slice(1))) : null;
    const text = !album.faces ? WORDS.people.empty
      : this.key === "none" ? (album.clustered ? words.noneLeft : WORDS.people.noClusters)
      : this.key === "ignored" ? words.noStrangers
      : person ? words.noFaces(readable(person.name))
      : this.key[0] === "p" ? words.noPerson : words.clusterGone;
    this.empty.replaceChildren(make("p", { textContent: text }), make("a", { className: "button", href: "#", textContent: words.toPeople }));
  }

  makeFace(at) {
    const node = make("div", { className: "face", role: "option" });
    this.app.source.paint(node, this.app.album.face[at]);
    return node;
  }

  mark(node, at) {
    const { album } = this.app;
    const selected = this.selection.has(at);
    node.setAttribute("aria-selected", String(selected));
    node.classList.toggle("confirmed", album.isConfirmed(at));
    node.classList.toggle("not-a-face", album.label[at] === LABEL.NOT_A_FACE);
    const similarity = this.hasSimilarity ? album.similarityOf(at) : null;
    const date = dateText(album.takenOf(at));
    node.dataset.caption = this.order === "good" ? "" : this.order === "doubtful" ? similarity?.toFixed(2) ?? "" : date;
    const label = [WORDS.faces.face, similarity === null ? "" : WORDS.faces.similarity(similarity), date, album.isConfirmed(at) ? WORDS.faces.isConfirmed : "",
      album.label[at] === LABEL.NOT_A_FACE ? WORDS.selection.notFace : ""].filter(Boolean).join(", ");
    node.setAttribute("aria-label", label);
    node.title = label;
  }

  // Selecting and opening ---------------------------------------------------------------------

  onSelected() {
    this.list.classList.toggle("selecting", this.selection.size > 0);
    this.grid.remark();
    this.below.onSelected();
  }

  open(at, event) {
    if (this.gestures.click(at, event)) return;
    if (this.app.openPhoto) this.app.openPhoto(at, this.items);
    else this.app.router.go({ ...this.app.router.route, face: this.app.album.face[at] });
  }

  /** Positions of the faces that the arrow keys move through in a photo that was not opened from here, as after a reload. */
  viewerList() { return this.items; }

  /** Scroll to a face and focus it, such as the one whose photo was open. Returns whether it is there. */
  focusFace(at) {
    const index = this.items.indexOf(at);
    if (index >= 0) this.grid.focus(index);
    return index >= 0;
  }

  selectAll() {
    this.selection.set(this.items);
    this.app.say(WORDS.selection.count(this.selection.size));
  }

  toggleFocused() {
    if (!this.grid.focusedNode()) return false;
    this.selection.toggle(this.items[this.grid.active]);
    return true;
  }

  bindings() {
    const { tools } = this;
    const words = WORDS.faces;
    return [
      ...this.commands.bindings,
      { keys: ["Escape"], run: () => (this.selection.size ? this.selection.clear() : this.below.isOpen ? this.below.close() : false) },
      { keys: [" "], label: WORDS.selection.toggle, run: () => this.toggleFocused() },
      { keys: ["Mod+a"], label: WORDS.selection.all, run: () => this.selectAll() },
      ...tools.bindings,
      { keys: ["o"], label: words.nextOrder, run: () => this.setOrder(FACE_ORDERS[(FACE_ORDERS.indexOf(this.order) + 1) % FACE_ORDERS.length]) },
      { keys: ["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"], run: () => this.grid.enter() },
    ];
  }

  setOrder(order) {
    const { router } = this.app;
    router.replace({ ...router.route, order: order === FACE_ORDERS[0] ? null : order, photo: null, face: null });
    scrollTo(0, 0);
  }

  // Time --------------------------------------------------------------------------------------

  /** Show the faces of a year or month (null: without a date), in the order of time. */
  jump(to) {
    if (this.order !== "newest" && this.order !== "oldest") this.setOrder("oldest");
    const { album } = this.app;
    const { step } = this.timeline;
    const index = this.items.findIndex((at) => {
      const taken = album.takenOf(at);
      if (!to || !Number.isFinite(taken)) return !to && !Number.isFinite(taken);
      const moment = momentOf(taken);
      return Math.floor(moment.getUTCFullYear() / step) * step === to.year && (to.month === undefined || moment.getUTCMonth() === to.month);
    });
    if (index < 0) return;
    this.grid.setActive(index);
    scrollBy(0, this.list.getBoundingClientRect().top + this.grid.rectOf(index).y - byId("bar").offsetHeight - 12);
    this.grid.draw();
    this.grid.button(index)?.animate([{ boxShadow: "0 0 0 5px var(--accent)" }, { boxShadow: "0 0 0 5px transparent" }], 1500);
  }

  /** What is printed. */
  printed() {
    return { title: this.heading.textContent, about: this.summary.textContent, face: (at) => this.app.album.face[at], caption: (at) => dateText(this.app.album.takenOf(at)), items: this.items };
  }
}
