// Saying that two groups are one person: by name, or by dropping one on the other.

/** Decide that a group (a key) belongs to another one, whose name stays. */
function joinGroups(app, from, into) {
  const { album } = app;
  [from, into] = [from, into].map((key) => app.actions.realKey(key)); // the index may have numbered them since
  if (from === into || !album.group(from)) return null;
  const [id, other] = [Number(from.slice(1)), Number(into.slice(1))];
  // The one with a name has it in the end, whichever was dropped on the other.
  if (from[0] === "p" && into[0] === "c") return joinGroups(app, into, from);
  if (from[0] === "p") return app.actions.do({ do: "merge", into: other, others: [id] });
  if (into[0] === "p") return app.actions.do({ do: "name", name: album.people.get(other).name, clusters: [id] });
  const typical = (key) => album.face[album.bySimilarity(album.facesOf(key))[0]];
  return app.actions.do({ do: "same", faces: [typical(into), typical(from)] });
}

/** Let the user choose by name whom a group belongs to. Returns whether something was decided. */
async function pickAndJoin(app, key) {
  const { album } = app;
  const isPerson = key[0] === "p";
  const picked = await app.names.pick({ title: WORDS.merging.title(album.title(key)), exclude: isPerson ? [Number(key.slice(1))] : [], text: "" });
  key = app.actions.realKey(key);
  if (!picked || !album.group(key)) return false;
  if (picked.person !== null) joinGroups(app, key, `p${picked.person}`);
  else if (isPerson) app.actions.do({ do: "rename", person: Number(key.slice(1)), name: picked.name });
  else app.actions.do({ do: "name", name: picked.name, clusters: [Number(key.slice(1))] });
  return true;
}

/** Drags cards with the mouse, or with a finger after a long press. */
class CardDragging {
  /**
   * @param {Grid} grid of groups
   * @param {{drop(from, onto), press(group)}} on `press`: a long press that did not move
   */
  constructor(grid, on) {
    Object.assign(this, { grid, on });
    this.scroller = new EdgeScroller(() => this.aim());
    const { element } = grid;
    element.addEventListener("dragstart", (event) => event.preventDefault());
    element.addEventListener("pointerdown", (event) => {
      this.dragged = false;
      if (event.pointerType === "mouse" && event.button === 0 && event.target.closest(".card")) this.pressed = { x: event.clientX, y: event.clientY, index: grid.indexOf(event.target) };
    });
    addEventListener("pointermove", (event) => this.moveMouse(event));
    addEventListener("pointerup", (event) => { if (event.pointerType === "mouse") this.release(); });
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.item) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      this.cancel();
    }, { capture: true });
    element.addEventListener("click", (event) => {
      if (!this.dragged) return;
      this.dragged = false;
      event.stopImmediatePropagation();
    }, { capture: true });
    this.touch = new LongPress(element, {
      start: (event) => {
        const index = event.target.closest(".card") ? grid.indexOf(event.target) : null;
        if (index === null) return false;
        this.pressed = { x: event.clientX, y: event.clientY, index };
        this.lift(event.clientX, event.clientY, true);
        return true;
      },
      move: (event) => this.move(event.clientX, event.clientY),
      end: () => this.release(true),
      cancel: () => this.cancel(),
    });
  }

  moveMouse(event) {
    if (event.pointerType !== "mouse" || !this.pressed) return;
    if (!(event.buttons & 1)) return void this.cancel();
    if (!this.item) {
      if (Math.hypot(event.clientX - this.pressed.x, event.clientY - this.pressed.y) < SLACK) return;
      this.lift(event.clientX, event.clientY);
    }
    this.move(event.clientX, event.clientY);
  }

  /** Start to drag the pressed card. */
  lift(x, y, byTouch = false) {
    this.byTouch = byTouch;
    const node = this.grid.shown.get(this.pressed.index);
    if (!node) return;
    this.item = this.grid.items[this.pressed.index];
    this.moved = false;
    node.classList.add("lifted");
    const thumb = node.querySelector(".thumb");
    this.ghost = make("div", { className: "ghost" });
    this.ghost.style.backgroundImage = thumb.style.backgroundImage;
    this.ghost.style.backgroundSize = thumb.style.backgroundSize;
    this.ghost.style.backgroundPosition = thumb.style.backgroundPosition;
    this.hint = make("span");
    this.ghost.append(this.hint);
    document.body.append(this.ghost);
    document.body.classList.add("dragging");
    this.point = { x, y };
    this.follow();
  }

  move(x, y) {
    if (!this.item) return;
    if (Math.hypot(x - this.pressed.x, y - this.pressed.y) >= SLACK) this.moved = true;
    this.point = { x, y };
    this.follow();
    this.scroller.move(y);
    this.aim();
  }

  /** Beside the mouse, and above a finger: what is below stays visible. */
  follow() {
    const [x, y] = this.byTouch ? [-36, -116] : [14, 14];
    this.ghost.style.transform = `translate(${Math.min(this.point.x + x, innerWidth - 80)}px, ${Math.max(4, this.point.y + y)}px)`;
  }

  /** Mark the card below the pointer. */
  aim() {
    const index = this.grid.at(this.point.x, this.point.y);
    const onto = index === null || this.grid.items[index] === this.item ? null : this.grid.items[index];
    if (onto === this.onto) return;
    this.grid.element.querySelector(".target")?.classList.remove("target");
    this.onto = onto;
    if (onto) this.grid.shown.get(index)?.classList.add("target");
    this.hint.textContent = onto ? WORDS.merging.hint(this.on.title(this.item), this.on.title(onto)) : "";
  }

  release(isTouch = false) {
    const { item, onto, moved } = this;
    this.pressed = null;
    if (!item) return;
    this.dragged = !isTouch;
    setTimeout(() => { this.dragged = false; });
    this.cancel();
    if (onto) this.on.drop(item, onto);
    else if (isTouch && !moved) this.on.press(item);
  }

  cancel() {
    this.pressed = null;
    if (!this.item) return;
    this.scroller.stop();
    this.ghost.remove();
    document.body.classList.remove("dragging");
    for (const node of this.grid.element.querySelectorAll(".lifted, .target")) node.classList.remove("lifted", "target");
    this.item = this.onto = null;
  }
}
