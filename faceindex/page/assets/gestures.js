// How faces are selected in a grid: by clicks, by dragging a rectangle, by a long press and by keys.

const LONG_PRESS = 450; // milliseconds
const SLACK = 8; // pixels that a finger may move in a long press, and a mouse before it drags
const EDGE = 64; // pixels at the top and bottom of the window where dragging scrolls
const FASTEST = 22; // pixels per frame of that scrolling

/** Scrolls while the pointer is near the top or bottom of the window. */
class EdgeScroller {
  /** @param onScroll called after each step */
  constructor(onScroll) { this.onScroll = onScroll; }

  move(y) {
    this.y = y;
    if (!this.frame && this.speed()) this.frame = requestAnimationFrame(() => this.step());
  }

  speed() {
    const top = byId("bar").offsetHeight;
    if (this.y < top + EDGE) return -Math.min(FASTEST, (top + EDGE - this.y) / 3);
    if (this.y > innerHeight - EDGE) return Math.min(FASTEST, (this.y - innerHeight + EDGE) / 3);
    return 0;
  }

  step() {
    this.frame = null;
    const before = scrollY;
    scrollBy(0, this.speed());
    if (scrollY === before) return;
    this.onScroll();
    this.move(this.y);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.y = innerHeight / 2;
  }
}

/** A press of a finger that lasts, and the moves after it, which do not scroll the page then. */
class LongPress {
  /**
   * @param element
   * @param {{start(event): boolean, move(event), end(event), cancel()}} gesture `start` returns whether the press is for it
   */
  constructor(element, gesture) {
    this.gesture = gesture;
    this.active = false;
    element.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" || !event.isPrimary) return;
      this.from = event;
      this.timer = setTimeout(() => {
        this.active = gesture.start(event);
        if (this.active) navigator.vibrate?.(12);
      }, LONG_PRESS);
    });
    element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || !event.isPrimary) return;
      if (this.active) gesture.move(event);
      else if (this.from && Math.hypot(event.clientX - this.from.clientX, event.clientY - this.from.clientY) > SLACK) this.stop();
    });
    element.addEventListener("pointerup", (event) => this.finish(event));
    element.addEventListener("pointercancel", () => {
      if (this.active) gesture.cancel();
      this.stop();
    });
    // Once scrolling has begun it cannot be prevented: the listener must be there, and not be passive, from the start.
    element.addEventListener("touchmove", (event) => { if (this.active && event.cancelable) event.preventDefault(); }, { passive: false });
    element.addEventListener("contextmenu", (event) => { if (this.active || event.pointerType === "touch") event.preventDefault(); });
    // The click that follows a long press is not meant, wherever it would go.
    element.addEventListener("touchend", (event) => { if (this.ended && event.timeStamp - this.ended < 100 && event.cancelable) event.preventDefault(); }, { passive: false });
    element.addEventListener("click", (event) => {
      if (!this.ended || event.timeStamp - this.ended > 120) return;
      this.ended = 0;
      event.preventDefault();
      event.stopImmediatePropagation();
    }, { capture: true });
  }

  finish(event) {
    if (this.active) {
      this.gesture.end(event);
      this.ended = event.timeStamp;
    }
    this.stop();
  }

  stop() {
    clearTimeout(this.timer);
    this.active = false;
    this.from = null;
  }
}

class SelectionGestures {
  /** @param {Grid} grid of positions @param {Selection} selection */
  constructor(grid, selection) {
    Object.assign(this, { grid, selection });
    this.scroller = new EdgeScroller(() => this.stretch());
    this.frame = make("div", { className: "marquee" });
    const { element } = grid;
    element.addEventListener("pointerdown", (event) => this.press(event));
    addEventListener("pointermove", (event) => this.drag(event));
    addEventListener("pointerup", () => this.release());
    addEventListener("pointercancel", () => this.release());
    element.addEventListener("dragstart", (event) => event.preventDefault());
    element.addEventListener("click", (event) => {
      if (!this.dragged) return;
      this.dragged = false;
      event.stopImmediatePropagation();
    }, { capture: true });
    grid.onMove = (from, to, event) => { if (event.shiftKey) this.extend(from, to); };
    this.touch = new LongPress(element, {
      start: (event) => this.startTouch(event),
      move: (event) => this.moveTouch(event),
      end: () => this.endTouch(),
      cancel: () => this.endTouch(),
    });
  }

  /** A click on an item. Returns false if the item is to be opened. */
  click(at, event) {
    const { selection } = this;
    if (event.shiftKey && (selection.from !== null || selection.size)) this.selectTo(at);
    else if (event.ctrlKey || event.metaKey || event.shiftKey) selection.toggle(at);
    else if (selection.size && event.type === "click") selection.toggle(at);
    else return false;
    return true;
  }

  /** Select from where the last one was selected up to an item. */
  selectTo(at) {
    const { items } = this.grid;
    const ends = [items.indexOf(this.selection.from ?? at), items.indexOf(at)].sort((a, b) => a - b);
    this.selection.add(items.slice(Math.max(0, ends[0]), ends[1] + 1));
  }

  /** Shift and an arrow key: select what the focus moves over. */
  extend(from, to) {
    const { items } = this.grid;
    this.selection.from ??= items[from];
    this.selection.add(items.slice(Math.min(from, to), Math.max(from, to) + 1));
  }

  // A rectangle, with the mouse

  press(event) {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    this.dragged = false;
    this.start = this.point(event);
    this.base = event.shiftKey || event.ctrlKey || event.metaKey ? [...this.selection.chosen] : [];
  }

  /** The point of an event in coordinates of the list. */
  point(event) {
    const box = this.grid.element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  drag(event) {
    if (!this.start || event.pointerType !== "mouse") return;
    if (!(event.buttons & 1)) return void this.release();
    const point = this.point(event);
    if (!this.dragged && Math.hypot(point.x - this.start.x, point.y - this.start.y) < SLACK) return;
    if (!this.dragged) {
      this.dragged = true;
      this.grid.element.append(this.frame);
      getSelection()?.removeAllRanges();
    }
    this.pointer = { clientX: event.clientX, clientY: event.clientY };
    this.scroller.move(event.clientY);
    this.stretch();
  }

  stretch() {
    if (this.touched) return void this.moveTouch(this.pointer);
    const to = this.point(this.pointer);
    const left = Math.min(this.start.x, to.x);
    const top = Math.min(this.start.y, to.y);
    const width = Math.abs(to.x - this.start.x);
    const height = Math.abs(to.y - this.start.y);
    Object.assign(this.frame.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    this.selection.set([...this.base, ...this.grid.within(left, top, left + width, top + height).map((index) => this.grid.items[index])]);
  }

  release() {
    if (!this.start) return;
    this.start = null;
    this.scroller.stop();
    this.frame.remove();
    if (!this.dragged) return;
    // Where the button is released outside of the list, no click follows.
    setTimeout(() => { this.dragged = false; });
  }

  // A long press selects; moving on selects the range up to the finger.

  startTouch(event) {
    const index = this.grid.at(event.clientX, event.clientY);
    if (index === null) return false;
    this.touched = { index, base: [...this.selection.chosen], on: !this.selection.has(this.grid.items[index]) };
    this.selection.toggle(this.grid.items[index]);
    return true;
  }

  endTouch() {
    this.touched = null;
    this.scroller.stop();
  }

  moveTouch(event) {
    this.pointer = { clientX: event.clientX, clientY: event.clientY };
    this.scroller.move(event.clientY);
    const index = this.grid.at(event.clientX, event.clientY);
    if (index === null) return;
    const { index: from, base, on } = this.touched;
    const range = this.grid.items.slice(Math.min(from, index), Math.max(from, index) + 1);
    const chosen = new Set(base);
    for (const at of range) if (on) chosen.add(at); else chosen.delete(at);
    this.selection.set(chosen);
  }
}
