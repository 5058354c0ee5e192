// Zooming and moving a picture by wheel, pinch, double click, dragging and keys; and swipes where it is not zoomed.

const ZOOM_STEP = 1.4; // of the keys and buttons
const ZOOM_MOST = 8; // screen pixels for one of the picture; the fit may be more
const FIT_MOST = 4; // small pictures are enlarged up to this
const TAP_DISTANCE = 8; // pixels that a finger may move in a tap
const TAP_TIME = 350; // milliseconds between the taps of a double tap
const SWIPE = 60; // pixels

class Zoom {
  /**
   * @param {HTMLElement} area what shows the picture; takes the pointers
   * @param {{changed(), tap(x, y, event), swipe(direction), hover(x, y), grab(x, y, event)}} to
   *   `swipe` is called with "left", "right" or "down"; `grab` may return an object with `move(x, y)` and `end()`
   *   that takes a drag for itself. Places are in pixels of the picture.
   */
  constructor(area, to) {
    Object.assign(this, { area, to, width: 0, height: 0, scale: 1, x: 0, y: 0, fits: true });
    this.pointers = new Map(); // id -> {x, y}
    this.lastTap = { time: -Infinity, x: 0, y: 0 };
    area.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    area.addEventListener("pointerdown", (event) => this.onDown(event));
    area.addEventListener("pointermove", (event) => this.onMove(event));
    area.addEventListener("pointerup", (event) => this.onUp(event));
    area.addEventListener("pointercancel", (event) => this.onUp(event, true));
    area.addEventListener("pointerleave", () => to.hover?.(null));
    new ResizeObserver(() => this.resized()).observe(area);
  }

  /** Set the size of the picture. @param {boolean} keep the part that is shown, if it is the same picture */
  setSize(width, height, keep = false) {
    Object.assign(this, { width, height });
    if (!keep) this.fits = true;
    this.resized();
  }

  resized() {
    if (!this.width) return;
    if (this.fits) this.fit();
    else this.settle();
  }

  /** The scale at which all of the picture is shown. */
  get fitScale() {
    const { clientWidth, clientHeight } = this.area;
    return Math.max(0.001, Math.min(clientWidth / this.width, clientHeight / this.height, FIT_MOST));
  }

  get zoomed() { return !this.fits; }

  fit() {
    this.fits = true;
    this.scale = this.fitScale;
    this.settle();
  }

  /** Zoom so that the point at a place of the area stays there. */
  zoomAt(x, y, scale) {
    const next = Math.min(Math.max(scale, this.fitScale), Math.max(ZOOM_MOST, this.fitScale * 2));
    this.x = x - ((x - this.x) / this.scale) * next;
    this.y = y - ((y - this.y) / this.scale) * next;
    this.scale = next;
    this.fits = next <= this.fitScale * 1.001;
    this.settle();
  }

  /** Zoom around the middle. */
  zoomBy(factor) { this.zoomAt(this.area.clientWidth / 2, this.area.clientHeight / 2, this.scale * factor); }

  /** Between the whole picture and its details, at a place of the area. */
  toggleAt(x, y) {
    if (this.zoomed) this.fit();
    else this.zoomAt(x, y, Math.max(this.fitScale * 2.5, Math.min(1, this.fitScale * 6)));
  }

  panBy(x, y) {
    this.x += x;
    this.y += y;
    this.settle();
  }

  /** Show a box of the picture; moves only as far as needed. */
  reveal([left, top, right, bottom]) {
    if (!this.zoomed) return;
    const { clientWidth, clientHeight } = this.area;
    const within = (low, high, size, offset) => {
      const [from, to] = [low * this.scale + offset, high * this.scale + offset];
      if (to - from > size) return (size - from - to) / 2;
      return from < 24 ? 24 - from : to > size - 24 ? size - 24 - to : 0;
    };
    this.panBy(within(left, right, clientWidth, this.x), within(top, bottom, clientHeight, this.y));
  }

  /** Keep the picture in the area, or in its middle where it is smaller. */
  settle() {
    const inside = (offset, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, offset)));
    this.x = inside(this.x, this.width * this.scale, this.area.clientWidth);
    this.y = inside(this.y, this.height * this.scale, this.area.clientHeight);
    this.to.changed();
  }

  // Places ------------------------------------------------------------------------------------

  /** A place of an event, in pixels of the area. */
  placeOf(event) {
    const { left, top } = this.area.getBoundingClientRect();
    return { x: event.clientX - left - this.area.clientLeft, y: event.clientY - top - this.area.clientTop };
  }

  /** A place of the area, in pixels of the picture. */
  toPicture({ x, y }) { return [(x - this.x) / this.scale, (y - this.y) / this.scale]; }

  // Pointers ----------------------------------------------------------------------------------

  onWheel(event) {
    event.preventDefault();
    const { x, y } = this.placeOf(event);
    const pixels = event.deltaY * [1, 32, 400][event.deltaMode];
    this.zoomAt(x, y, this.scale * Math.exp(-Math.max(-160, Math.min(160, pixels)) / (event.ctrlKey ? 120 : 360))); // a pinch of a touchpad has ctrlKey
  }

  onDown(event) {
    if (event.button !== 0 || event.target.closest("a, input")) return;
    const place = this.placeOf(event);
    this.pointers.set(event.pointerId, place);
    this.area.setPointerCapture(event.pointerId);
    if (this.pointers.size === 1) {
      this.drag = { from: place, last: place, moved: false, target: event.target, grabbed: this.to.grab?.(...this.toPicture(place), event) ?? null };
    } else if (this.drag) {
      this.drag.grabbed?.cancel?.();
      this.drag.grabbed = null;
      this.drag.moved = true; // a pinch is no tap
    }
    this.pinch = null;
  }

  onMove(event) {
    const place = this.placeOf(event);
    if (!this.pointers.has(event.pointerId)) {
      if (event.pointerType === "mouse") this.to.hover?.(...this.toPicture(place));
      return;
    }
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size === 2) this.onPinch();
    else if (this.pointers.size === 1 && this.drag) this.onDrag(place);
  }

  onPinch() {
    const [one, other] = [...this.pointers.values()];
    const now = { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, distance: Math.max(1, Math.hypot(one.x - other.x, one.y - other.y)) };
    if (this.pinch) {
      this.x += now.x - this.pinch.x;
      this.y += now.y - this.pinch.y;
      this.zoomAt(now.x, now.y, this.scale * (now.distance / this.pinch.distance));
    }
    this.pinch = now;
  }

  onDrag(place) {
    const { drag } = this;
    if (!drag.moved && Math.hypot(place.x - drag.from.x, place.y - drag.from.y) < TAP_DISTANCE) return;
    drag.moved = true;
    if (drag.grabbed) drag.grabbed.move(...this.toPicture(place));
    else if (this.zoomed) this.panBy(place.x - drag.last.x, place.y - drag.last.y);
    drag.last = place;
  }

  onUp(event, cancelled = false) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.pinch = null;
    const { drag } = this;
    if (this.pointers.size === 1 && drag) [drag.last] = this.pointers.values(); // a finger stays: go on from there
    if (this.pointers.size || !drag) return;
    this.drag = null;
    const place = this.placeOf(event);
    if (drag.grabbed) return void drag.grabbed.end(drag.moved && !cancelled);
    if (cancelled) return;
    if (!drag.moved) return this.onTap(place, event, drag.target);
    if (this.zoomed || event.pointerType === "mouse" || drag.last === drag.from) return;
    const [across, down] = [place.x - drag.from.x, place.y - drag.from.y];
    if (Math.abs(across) > SWIPE && Math.abs(across) > 1.5 * Math.abs(down)) this.to.swipe?.(across < 0 ? "left" : "right");
    else if (down > SWIPE && down > 1.5 * Math.abs(across)) this.to.swipe?.("down");
  }

  onTap(place, event, target) {
    const isDouble = event.timeStamp - this.lastTap.time < TAP_TIME && Math.hypot(place.x - this.lastTap.x, place.y - this.lastTap.y) < 24;
    this.lastTap = isDouble ? { time: -Infinity, x: 0, y: 0 } : { time: event.timeStamp, ...place };
    if (isDouble) this.toggleAt(place.x, place.y);
    else this.to.tap?.(...this.toPicture(place), event, target);
  }

  /** The keys of zooming; true if one was used. Arrows move the picture only where it is zoomed. */
  onKey(key) {
    const far = Math.min(this.area.clientWidth, this.area.clientHeight) / 5;
    const arrows = { ArrowLeft: [far, 0], ArrowRight: [-far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] };
    if (key === "+" || key === "=") this.zoomBy(ZOOM_STEP);
    else if (key === "-") this.zoomBy(1 / ZOOM_STEP);
    else if (key === "0") this.fit();
    else if (arrows[key] && this.zoomed) this.panBy(...arrows[key]);
    else return false;
    return true;
  }
}
