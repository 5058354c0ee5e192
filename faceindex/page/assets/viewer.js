// What can be done with a photo and its faces: decide, move on, draw a box, hide everything but the photo.

class PhotoViewer extends PhotoView {
  /** The keys of the viewer. */
  bindings() {
    const words = WORDS.photo;
    const { zoom } = this.stage;
    const onButton = (event) => event.target.closest?.("button, a, summary") !== null && event.target !== this.dialog;
    const arrow = (event, otherwise) => {
      if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) return this.neighbour(event.key === "ArrowLeft" ? -1 : 1);
      return zoom.zoomed ? zoom.onKey(event.key) : otherwise();
    };
    const press = (id) => () => byId(id)?.click();
    return [
      { keys: ["ArrowLeft"], label: words.previous, run: (event) => arrow(event, () => this.step(-1)) },
      { keys: ["ArrowRight"], label: words.next, run: (event) => arrow(event, () => this.step(1)) },
      { keys: ["PageUp"], run: () => this.step(-1) },
      { keys: ["PageDown"], run: () => this.step(1) },
      { keys: ["ArrowUp", "k"], label: words.previousHere, run: (event) => (event.key === "k" ? this.stepHere(-1) : arrow(event, () => this.stepHere(-1))) },
      { keys: ["ArrowDown", "j"], label: words.nextHere, run: (event) => (event.key === "j" ? this.stepHere(1) : arrow(event, () => this.stepHere(1))) },
      { keys: [",", "<"], label: words.earlier, run: () => this.neighbour(-1) },
      { keys: [".", ">"], label: words.later, run: () => this.neighbour(1) },
      { keys: ["+", "="], label: words.zoomIn, run: () => this.zoomKey("+") },
      { keys: ["-"], label: words.zoomOut, run: () => this.zoomKey("-") },
      { keys: ["0"], label: words.zoomFit, run: () => this.zoomKey("0") },
      { keys: ["b"], label: words.boxes, run: () => this.toggleBoxes() },
      { keys: ["f"], label: words.whole, run: () => this.toggleBare() },
      { keys: ["n"], label: words.name, run: () => this.name() },
      { keys: ["N"], label: words.nameOnly, run: () => this.name(true) },
      { keys: ["c"], label: words.confirmAny, run: () => this.confirm() },
      { keys: ["x"], label: words.rejectAny, run: () => this.decide("reject") },
      { keys: ["i"], label: words.ignore, run: () => this.decide("ignore") },
      { keys: ["d"], label: words.notFace, run: () => this.decide("not_a_face") },
      { keys: ["Enter", "p"], label: words.goTo, run: (event) => (event.key === "Enter" && onButton(event) ? false : this.goTo()) },
      ...(this.app.source.can.why ? [{ keys: ["w"], label: words.why, run: () => this.toggleWhy() }] : []),
      ...(this.app.source.can.addFace ? [{ keys: ["a"], label: words.addFace, run: () => this.toggleDrawing() }] : []),
      { keys: ["u", "Mod+z"], label: words.undo, run: () => this.undo() },
      { keys: ["?"], run: press("help-button") },
      { keys: ["t"], run: press("theme") },
      { keys: ["Escape"], label: words.close, typing: true, run: () => this.escape() },
    ];
  }

  /** Close what is on top: the box that is drawn, the explanation, the bare photo, the viewer. */
  escape() {
    if (this.hand.active) this.stopDrawing();
    else if (this.why.open) this.why.hide();
    else if (this.isBare) this.setBare(false);
    else if (this.dialog.classList.contains("list-open")) this.toggleList(false);
    else this.app.router.close();
  }

  // Moving --------------------------------------------------------------------------------------

  /** The id of the face that is some places later in the list, or on the photo if there is no list; null at the ends. */
  stepTo(by) {
    const { list } = this;
    if (!list || this.listAt === null) return this.hereTo(by);
    // From a face that is not in the list, as after a look at its neighbour on the photo, back is where one left.
    const start = list[this.listAt] === this.faceId || by > 0 ? this.listAt + by : this.listAt;
    for (let at = start; at >= 0 && at < list.length; at += by) if (this.album.find(list[at]) >= 0) return list[at];
    return null;
  }

  hereTo(by) {
    const faces = this.faces.filter.value ? this.faces.shown : this.shownFaces ?? [];
    if (!faces.length) return null;
    const at = faces.findIndex(({ key }) => key === this.faceId);
    return faces[at < 0 ? (by > 0 ? 0 : faces.length - 1) : at + by]?.key ?? null;
  }

  step(by) { this.goToFace(this.stepTo(by)); }
  stepHere(by) { this.goToFace(this.hereTo(by)); }

  goToFace(face) {
    if (face !== null) this.app.router.replace({ ...this.app.router.route, photo: null, face });
  }

  /** Show the photo that was taken before or after this one. */
  neighbour(by) {
    const photo = this.album.neighbour(this.photo, by);
    if (photo >= 0) this.app.router.replace({ ...this.app.router.route, photo: this.album.photo[photo], face: null });
  }

  onSwipe(direction) {
    if (direction === "down") this.app.router.close();
    else if (this.stepTo(direction === "left" ? 1 : -1) !== null) this.step(direction === "left" ? 1 : -1);
    else if (this.face === null) this.neighbour(direction === "left" ? 1 : -1);
  }

  /** Go to the next face of the photo of which nothing was decided, if there is one. */
  goOn() {
    const faces = this.shownFaces;
    const at = faces.findIndex(({ key }) => key === this.faceId);
    const open = (face) => face.at !== this.face && [LABEL.NOTHING, LABEL.NAMED].includes(this.album.label[face.at]);
    const next = [...faces.slice(at + 1), ...faces.slice(0, Math.max(0, at))].find(open);
    if (next) this.goToFace(next.key);
  }

  /** Go to the person, the cluster or the other faces of this one. */
  goTo() {
    if (this.face === null) return;
    const route = Router.parse(Router.group(this.album.keyOf(this.face)));
    if (Router.viewOf(route) === Router.viewOf({ ...this.app.router.route, order: null })) this.app.router.close();
    else this.app.router.go(route);
  }

  // Deciding ------------------------------------------------------------------------------------

  decide(verb) {
    if (this.face === null) return;
    const { label, person } = this.album;
    if (verb === "reject" && (person[this.face] === -1 || isNobody(label[this.face]))) return void this.app.say(WORDS.photo.nobodyToReject);
    const action = { do: verb, faces: [this.faceId] };
    if (verb === "reject") action.person = person[this.face];
    this.act(action);
  }

  /** Decide about the current face, and go on. */
  act(action) {
    this.acted = this.faceId;
    this.app.actions.do(action);
    this.goOn();
  }

  /** Take back the newest decision; the face that it was about is shown again. */
  undo() {
    const { acted } = this;
    this.acted = null;
    byId("undo").click();
    if (acted !== null && this.album.find(acted) >= 0) this.goToFace(acted);
  }

  confirm() {
    if (this.face === null) return;
    if (this.album.keyOf(this.face)[0] !== "p") return void this.name();
    if (this.album.isConfirmed(this.face)) this.goOn();
    else this.act({ do: "confirm", faces: [this.faceId], person: this.album.person[this.face] });
  }

  /** Name the face, or the cluster that it is in. @param {boolean} only this face */
  async name(only = false) {
    if (this.face === null) return;
    const { album, face } = this;
    const key = album.keyOf(face);
    const id = album.face[face];
    const whole = key[0] === "c" && !only;
    const title = whole ? WORDS.photo.whoIsCluster(album.title(key), album.group(key).size) : WORDS.photo.whoIsThis;
    const picked = await this.app.names.pick({ title, exclude: key[0] === "p" ? [album.person[face]] : [] });
    if (this.open) this.dialog.focus({ preventScroll: true });
    if (!picked) return;
    const action = { do: "name", name: picked.name, faces: whole ? [] : [id], clusters: whole ? [Number(key.slice(1))] : [] };
    if (this.open && this.faceId === id) this.act(action);
    else this.app.actions.do(action);
  }

  // A box by hand -------------------------------------------------------------------------------

  toggleDrawing() {
    if (this.hand.active) return this.stopDrawing();
    if (!this.adding || !this.info || !this.stage.size) return;
    this.setBare(false);
    const sizes = this.info.faces.map(({ box }) => box[2] - box[0]).sort((a, b) => a - b);
    this.dialog.classList.add("drawing");
    this.stage.zoom.resized();
    this.hand.start(sizes[sizes.length >> 1]);
    this.adding.setAttribute("aria-pressed", "true");
    announce(WORDS.photo.drawHint);
  }

  stopDrawing() {
    this.hand.stop();
    this.dialog.classList.remove("drawing");
    this.adding?.setAttribute("aria-pressed", "false");
    if (this.open) this.dialog.focus({ preventScroll: true });
  }

  async saveBox(box, named) {
    const photo = this.album.photo[this.photo];
    let name = null;
    if (named) {
      const picked = await this.app.names.pick({ title: WORDS.photo.whoIsThis });
      if (!picked) return void this.hand.frame.focus({ preventScroll: true });
      name = picked.name;
    }
    const waiting = { photo, box };
    this.waiting.push(waiting);
    this.stopDrawing();
    this.drawFaces();
    announce(WORDS.photo.saving);
    const result = await this.app.actions.do({ do: "add_face", photo, box, ...(name === null ? {} : { name }) });
    this.waiting = this.waiting.filter((one) => one !== waiting);
    this.app.details.forget(photo);
    if (result && this.album.find(result.face ?? -1) < 0) await this.app.reload();
    if (!this.open || this.photo === null || this.album.photo[this.photo] !== photo) return;
    this.photo = null; // read it again
    if (result && this.album.find(result.face ?? -1) >= 0) this.goToFace(result.face);
    if (this.photo === null) this.show(this.app.router.route);
  }

  /** Zoom by a key: around the current face, if there is one. */
  zoomKey(key) {
    const { zoom } = this.stage;
    const box = this.stage.boxes.find((one) => one.key === this.faceId)?.box;
    const [x, y] = box ? [(box[0] + box[2]) / 2 * zoom.scale + zoom.x, (box[1] + box[3]) / 2 * zoom.scale + zoom.y] : [-1, -1];
    const { clientWidth, clientHeight } = this.stage.area;
    if (key !== "0" && x >= 0 && y >= 0 && x <= clientWidth && y <= clientHeight) zoom.zoomAt(x, y, zoom.scale * (key === "+" ? ZOOM_STEP : 1 / ZOOM_STEP));
    else zoom.onKey(key);
  }

  // What is shown -------------------------------------------------------------------------------

  toggleWhy() {
    if (this.why.open || this.face === null) this.why.hide();
    else this.why.show(this.face);
    this.dialog.classList.toggle("why-open", this.why.open);
  }

  toggleBoxes() {
    this.stage.toggleBoxes();
    this.boxes.setAttribute("aria-pressed", String(this.stage.showsBoxes));
  }

  get isBare() { return this.dialog.classList.contains("bare"); }
  toggleBare() { this.setBare(!this.isBare); }

  /** Show the whole photo without boxes, with its date and name. */
  setBare(bare) {
    if (bare === this.isBare) return;
    this.dialog.classList.toggle("bare", bare);
    this.bare.setAttribute("aria-pressed", String(bare));
    if (bare) this.shownBoxes = this.stage.showsBoxes;
    this.stage.toggleBoxes(bare ? false : this.shownBoxes);
    if (bare) this.stage.zoom.fit();
    if (bare) announce(this.caption.textContent);
  }

  /** On phones: the list of the faces. */
  toggleList(open = !this.dialog.classList.contains("list-open")) {
    this.dialog.classList.toggle("list-open", open);
    this.openList.setAttribute("aria-expanded", String(open));
    this.faces.draw();
  }
}
