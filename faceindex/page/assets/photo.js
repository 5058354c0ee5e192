// A photo with a box for each face, on top of a view.

const PHOTO_SIDE = 1600; // pixels of the rendition that is shown before zooming in

/** Shows a photo, who is on it, and who the current face is. `PhotoViewer` decides and moves on. */
class PhotoView {
  constructor(app) {
    this.app = app;
    this.list = null; // ids of the faces that the arrow keys move through
    this.listAt = null; // where the last one of them that was shown is in it
    this.acted = null; // id of the face that was decided last
    this.photo = null; // position
    this.face = null; // position
    this.info = null; // details of the photo, once they are loaded
    this.waiting = []; // boxes by hand that are not stored yet: {photo (id), box}
    this.build();
    byId("main").after(this.dialog);
  }

  build() {
    const words = WORDS.photo;
    this.stage = new PhotoStage({
      select: (key) => { if (!this.hand.active) this.choose(key); },
      swipe: (direction) => this.onSwipe(direction),
      picture: (failed) => this.onPicture(failed),
      grab: (x, y, event) => this.hand.grab(x, y, event),
    });
    this.hand = new HandBox(this.stage, { save: (box, named) => this.saveBox(box, named), cancel: () => this.stopDrawing() });
    this.stage.onDrawn = () => {
      this.hand.draw();
      this.shownZoom.textContent = `${Math.round(this.stage.zoom.scale * 100)}%`;
    };
    this.why = new WhyPanel(this.app, { open: (face) => this.app.router.replace({ ...this.app.router.route, face, photo: null }), close: () => this.why.hide() });
    this.faces = new FaceList({ choose: (key) => this.choose(key), point: (key) => this.stage.point(key), paint: (element, row) => this.app.source.paint(element, row.key) });
    this.missing = make("p", { className: "missing", hidden: true });
    this.title = make("h2", { id: "photo-name" });
    this.folder = make("p", { id: "photo-folder" });
    this.date = make("p", { id: "photo-date" });
    this.place = make("span", { id: "position" });
    this.shownZoom = make("span", { className: "zoom-now", "aria-hidden": "true" });
    const icon = (text, label, key, run, more = {}) => button(text, run, { "aria-label": label, title: key ? `${label} (${key})` : label, ...more });
    this.previous = icon("‹", words.previous, "←", () => this.step(-1), { className: "side", id: "previous" });
    this.next = icon("›", words.next, "→", () => this.step(1), { className: "side", id: "next" });
    this.earlier = iconButton("earlier", words.earlier, ",", () => this.neighbour(-1));
    this.later = iconButton("later", words.later, ".", () => this.neighbour(1));
    this.boxes = iconButton("boxes", words.boxes, "b", () => this.toggleBoxes(), { "aria-pressed": true });
    this.adding = this.app.source.can.addFace ? iconButton("addFace", words.addFace, "a", () => this.toggleDrawing(), { "aria-pressed": false }) : null;
    this.bare = iconButton("whole", words.whole, "f", () => this.toggleBare(), { "aria-pressed": false });
    this.original = make("a", { className: "button", id: "original", target: "_blank", rel: "noopener", "aria-label": words.original, title: words.original }, drawnIcon("original"));
    this.openList = button("", () => this.toggleList(), { className: "open-list", "aria-expanded": false });
    this.tools = make("div", { className: "photo-tools" }, this.earlier, this.later,
      make("span", { className: "zooming" }, icon("−", words.zoomOut, "-", () => this.zoomKey("-")), this.shownZoom,
        icon("+", words.zoomIn, "+", () => this.zoomKey("+"))), this.boxes, this.adding, this.bare, this.original);
    this.bar = make("div", { className: "viewer-bar" }, make("div", { className: "photo-title" }, this.title, make("div", { className: "under" }, this.date, this.folder)),
      this.place, this.tools, iconButton("close", words.close, "Esc", () => this.app.router.close(), { id: "close" }));
    this.card = make("section", { className: "face-card", "aria-label": words.face });
    this.side = make("aside", { className: "photo-side", "aria-label": words.side }, this.card, this.openList, this.why.root, this.faces.root);
    this.stage.area.append(this.hand.frame, this.missing);
    this.caption = make("p", { className: "caption" });
    this.dialog = make("dialog", { id: "viewer", "aria-labelledby": "photo-name", tabIndex: -1 }, this.bar,
      make("div", { id: "viewer-body" }, make("div", { className: "photo-area" }, this.stage.area, this.previous, this.next, this.hand.bar, this.caption), this.side));
  }

  get open() { return this.dialog.open; }
  get album() { return this.app.album; }
  get faceId() { return this.face === null ? null : this.album.face[this.face]; }

  // Opening and closing -------------------------------------------------------------------------

  /**
   * Open the viewer as a new step.
   * @param {number | {photo: number}} what position of a face, or of a photo
   * @param {Iterable<number>} list positions of the faces that the arrow keys move through
   */
  openFrom(what, list = null) {
    const { album, app } = this;
    this.setList(list);
    if (typeof what === "number") app.router.go({ ...app.router.route, photo: null, face: album.face[what] });
    else app.router.go({ ...app.router.route, photo: album.photo[what.photo], face: null });
  }

  setList(list) {
    this.list = list && Uint32Array.from(list, (at) => this.album.face[at]);
    this.listAt = null;
  }

  /** Show the photo of a route (`photo` or `face`, ids), or close it if there is none. */
  show(route) {
    const asked = route.face !== null || route.photo !== null;
    const face = route.face === null ? -1 : this.album.find(route.face);
    const photo = face >= 0 ? this.album.facePhoto[face] : route.photo === null ? -1 : this.album.findPhoto(route.photo);
    if (photo < 0) {
      if (asked) this.app.say(WORDS.photo.gone, { isProblem: true });
      return this.hide();
    }
    const first = !this.open;
    if (first) this.reveal();
    this.face = face < 0 ? null : face;
    if (first && !this.list) this.setList(this.app.current?.viewerList?.() ?? null); // after a reload
    if (photo !== this.photo) this.showPhoto(photo);
    this.mark(true);
    if (this.why.open && this.face !== null && this.why.face !== this.faceId) this.why.show(this.face);
  }

  reveal() {
    this.focused = document.activeElement;
    this.dialog.show(); // not modal, so that messages stay above it; everything else is inert
    for (const id of ["bar", "main"]) byId(id).inert = true;
    document.documentElement.classList.add("viewing");
    dispatchEvent(new Event("resize")); // grids take away the elements that are covered
    this.dialog.focus({ preventScroll: true });
    this.app.keys.add(this.dialog, this.bindings(), { title: WORDS.photo.keys });
  }

  hide() {
    if (!this.open) return;
    const face = this.face;
    this.stopDrawing();
    this.why.hide();
    this.setBare(false);
    this.app.keys.remove(this.dialog);
    this.dialog.close();
    for (const id of ["bar", "main"]) byId(id).inert = false;
    document.documentElement.classList.remove("viewing");
    dispatchEvent(new Event("resize"));
    this.stage.clear();
    this.photo = this.face = this.info = this.list = null;
    if (face !== null) this.app.current?.focusFace?.(face);
    if (byId("main").contains(document.activeElement)) return;
    (this.focused?.isConnected && this.focused !== document.body ? this.focused : byId("main")).focus({ preventScroll: true });
  }

  /** Faces or people have changed. */
  changed(changes) {
    if (!this.open) return;
    if (changes.reload) {
      this.photo = null;
      this.show(this.app.router.route);
    } else {
      this.drawFaces();
      if (this.why.open && this.face !== null) this.why.show(this.face);
    }
  }

  // The photo -----------------------------------------------------------------------------------

  async showPhoto(photo) {
    this.photo = photo;
    this.info = null;
    this.stopDrawing();
    const id = this.album.photo[photo];
    const { source } = this.app;
    this.missing.hidden = true;
    this.title.textContent = WORDS.photo.alt(this.album.onPhoto(photo).length); // until its name is there: a heading is not empty
    this.folder.textContent = "";
    this.date.textContent = dateText(this.album.taken[photo]);
    this.faces.clearFilter();
    this.stage.show(source.photoUrls(id, PHOTO_SIDE), source.photoUrls(id, null), WORDS.photo.alt(this.album.onPhoto(photo).length));
    this.drawFaces();
    this.original.href = source.originalUrl?.(id) ?? source.photoUrls(id, null)[0] ?? "";
    this.earlier.disabled = this.album.neighbour(photo, -1) < 0;
    this.later.disabled = this.album.neighbour(photo, 1) < 0;
    let info;
    try {
      info = await this.app.details.get(id);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (this.photo === photo) this.showMissing(problem.message);
      return;
    }
    if (this.photo !== photo) return;
    this.info = info;
    const name = readable(info.name.split(/[/\\]/).at(-1));
    this.title.textContent = this.title.title = name;
    this.folder.textContent = this.folder.title = readable(info.folder ?? "");
    this.date.textContent = momentText(info.taken ?? NaN);
    this.stage.alt = WORDS.photo.altNamed(name, info.faces.length);
    if (this.stage.frame.firstChild) this.stage.frame.firstChild.alt = this.stage.alt;
    this.caption.replaceChildren(make("strong", { textContent: this.date.textContent || WORDS.photo.undated }), ` ${name}`,
      make("span", { textContent: readable(info.path ?? info.folder ?? "") }));
    if (info.problem) this.showMissing(readable(info.problem));
    this.stage.setSize(info.width, info.height);
    this.drawFaces();
    this.mark(true);
  }

  async onPicture(failed) {
    if (!failed) {
      this.missing.hidden = true;
      const url = this.app.source.originalUrl?.(this.album.photo[this.photo], this.stage.frame.firstChild?.src);
      if (url) this.original.href = url;
      return this.prefetch();
    }
    const { photo } = this;
    const reason = this.info?.problem ?? await this.app.source.photoProblem?.(failed.at(-1));
    if (this.photo === photo && this.open) this.showMissing(readable(reason ?? WORDS.photo.cannotShow));
  }

  showMissing(text) {
    this.missing.textContent = text;
    this.missing.hidden = false;
    if (!this.stage.size) this.stage.setSize(this.info?.width || 1200, this.info?.height || 900);
  }

  /** Load the photo of the next face. */
  prefetch() {
    const at = this.list ? this.list.indexOf(this.faceId) : -1;
    const next = at >= 0 && at + 1 < this.list.length ? this.album.find(this.list[at + 1]) : -1;
    if (next < 0 || this.album.facePhoto[next] === this.photo) return;
    const id = this.album.photo[this.album.facePhoto[next]];
    this.stage.prefetch(this.app.source.photoUrls(id, PHOTO_SIDE));
    this.app.details.get(id).catch(() => {});
  }

  // Its faces -----------------------------------------------------------------------------------

  /** What is shown of a face. */
  shownFace(at, details) {
    const { album } = this;
    const key = album.keyOf(at);
    const label = album.label[at];
    const title = key === "none" ? WORDS.photo.unclustered : key === "ignored" ? (label === LABEL.STRANGER ? WORDS.photo.stranger : WORDS.photo.notAFace) : album.title(key);
    const similarity = album.similarityOf(at);
    const note = [album.isConfirmed(at) ? WORDS.photo.confirmed : (label === LABEL.NOTHING || label === LABEL.NAMED) && similarity !== null ? WORDS.photo.similarity(similarity) : "",
      details?.by_hand ? WORDS.photo.byHand : "", album.isPoor(at) ? WORDS.photo.poor : ""].filter(Boolean).join(", ");
    const kind = key === "none" || key === "ignored" ? key : key[0] === "p" ? "person" : "cluster";
    const text = (kind === "person" || kind === "cluster" ? title : "") + (details?.by_hand ? " ✎" : "");
    return { at, key: album.face[at], box: details?.box, kind, title, note, text: kind === "none" || kind === "ignored" ? title : text, quiet: kind === "none" || kind === "ignored" };
  }

  drawFaces() {
    const details = new Map((this.info?.faces ?? []).map((face) => [face.face, face]));
    const faces = [...this.album.onPhoto(this.photo)].map((at) => this.shownFace(at, details.get(this.album.face[at])));
    const id = this.album.photo[this.photo];
    const waiting = this.waiting.filter((one) => one.photo === id).map(({ box }, i) => ({ key: -1 - i, box, kind: "none", text: WORDS.photo.saving }));
    this.stage.setBoxes([...faces.filter(({ box }) => box), ...waiting]);
    this.shownFaces = this.info ? readingOrder(faces.filter(({ box }) => box)) : faces;
    const heading = WORDS.photo.facesOn(faces.length);
    this.faces.show(this.shownFaces, heading);
    this.openList.textContent = heading;
    this.mark();
  }

  /** Show which face is the current one. */
  mark(reveal = false) {
    this.stage.setCurrent(this.faceId, reveal);
    this.faces.setCurrent(this.faceId);
    const at = this.list ? this.list.indexOf(this.faceId) : -1;
    if (at >= 0) this.listAt = at;
    this.place.textContent = at < 0 ? "" : WORDS.photo.position(at + 1, this.list.length);
    this.previous.disabled = !this.stepTo(-1);
    this.next.disabled = !this.stepTo(1);
    this.drawCard();
  }

  drawCard() {
    const words = WORDS.photo;
    const had = this.card.contains(document.activeElement) ? document.activeElement.dataset.do : null;
    if (this.face === null) return void this.card.replaceChildren(make("p", { className: "about", textContent: this.album.onPhoto(this.photo).length ? words.choose : words.noFaces }));
    const details = this.info?.faces.find(({ face }) => face === this.faceId);
    const face = this.shownFace(this.face, details);
    const thumb = make("span", { className: "thumb" });
    this.app.source.paint(thumb, face.key);
    const key = this.album.keyOf(this.face);
    const act = (verb, text, keys, enabled, run) => button(text, run, { dataset: { do: verb }, title: `${text} (${keys})`, disabled: !enabled });
    const isPerson = face.kind === "person";
    const size = this.album.group(key)?.size ?? 0;
    this.card.replaceChildren(
      make("div", { className: "who" }, thumb, make("div", {},
        make("a", { className: "name", href: Router.group(key), textContent: face.title, title: words.goTo }),
        make("span", { className: "about", textContent: [face.note, face.kind === "ignored" ? "" : WORDS.people.faces(size)].filter(Boolean).join(" · ") }))),
      make("div", { className: "face-actions" },
        act("confirm", isPerson ? words.confirm(face.title) : words.confirmAny, "c", isPerson && !this.album.isConfirmed(this.face), () => this.confirm()),
        act("name", face.kind === "cluster" ? words.nameCluster(size) : isPerson ? words.somebodyElse : words.name, "n", true, () => this.name()),
        face.kind === "cluster" ? act("only", words.nameOnly, "Shift+N", true, () => this.name(true)) : null,
        act("reject", isPerson ? words.reject(face.title) : words.rejectAny, "x", isPerson, () => this.decide("reject")),
        act("ignore", words.ignore, "i", this.album.label[this.face] !== LABEL.STRANGER, () => this.decide("ignore")),
        act("not_a_face", words.notFace, "d", this.album.label[this.face] !== LABEL.NOT_A_FACE, () => this.decide("not_a_face")),
        this.app.source.can.why ? act("why", words.why, "w", true, () => this.toggleWhy()) : null));
    if (had) (this.card.querySelector(`[data-do="${had}"]:not(:disabled)`) ?? this.dialog).focus({ preventScroll: true });
  }

  /** Select a face of this photo, by its id; null for none. */
  choose(key) {
    if (key === null || key < 0) return;
    this.toggleList(false);
    this.app.router.replace({ ...this.app.router.route, photo: null, face: key });
  }
}
