// A grid of any number of items. Only items near the visible part of the page have elements.

const MOST_ELEMENTS = 500; // of the document, on a screen of any size
const SPARE_ELEMENTS = 25; // of these for messages, the list of a dialog, and items that leave
const LEAST_ELEMENTS = 160; // of a grid
const FIRST = 150; // milliseconds in which only what is visible is drawn
const SETTLING = 220; // milliseconds in which items move to their new places

class Grid {
  static isFirst = true; // since the page was opened

  /**
   * @param element the list
   * @param makeItem (item, index) => the button of an item (or an array of elements); with `bare`, the element of the item itself
   * @param onOpen (item, index, event) called on a click or Enter
   * @param {object} options
   * @param {function} options.keyOf (item) => what identifies an item in the next list of items
   * @param {function} options.stamp (item) => changes if the element has to be made again
   * @param {function} options.mark (element, item, index) brings the element of an item up to date
   * @param {function} options.prefetch (items) called with the items that come next in the direction of scrolling
   * @param {number} options.each elements for each item
   * @param {boolean} options.bare the elements of the items are options of a list box, and can have the focus
   */
  constructor(element, makeItem, onOpen, { keyOf = (item) => item, stamp = () => "", mark = () => {}, prefetch = null, each = 4, bare = false } = {}) {
    Object.assign(this, { element, makeItem, onOpen, keyOf, stamp, mark, prefetch, each, bare });
    this.items = [];
    this.shown = new Map(); // index -> element
    this.active = 0;
    this.most = LEAST_ELEMENTS;
    this.scrolled = 0;
    this.direction = 1;
    /** Called with (from, to, event) when the keyboard moves the focus. */
    this.onMove = null;
    this.schedule = oncePerFrame(() => this.draw());
    for (const name of ["scroll", "resize"]) addEventListener(name, () => this.drawAll(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(element);
    element.addEventListener("click", (event) => {
      const index = this.indexOf(event.target);
      if (index !== null) this.setActive(index);
      if (index !== null) this.onOpen(this.items[index], index, event);
    });
    element.addEventListener("focusin", (event) => {
      const node = event.target.closest(".item");
      if (node && !node.classList.contains("leaving")) this.setActive(Number(node.dataset.index));
    });
    element.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Replace the items. `size`: {minWidth, maxWidth, captionHeight} of a cell in pixels. */
  show(items, size, active = 0) {
    this.items = items;
    this.size = size;
    this.active = Math.max(0, Math.min(active, items.length - 1));
    this.drawVisibleFirst();
    this.setBorder(null);
    for (const node of [...this.element.children]) node.remove();
    this.shown.clear();
    const others = document.getElementsByTagName("*").length - this.element.getElementsByTagName("*").length;
    this.most = Math.max(LEAST_ELEMENTS, MOST_ELEMENTS - SPARE_ELEMENTS - others);
    this.layout();
  }

  /** At first, only what is visible has elements: it is on the screen sooner. */
  drawVisibleFirst() {
    if (!Grid.isFirst) return;
    Grid.isFirst = false;
    this.isNew = true;
    setTimeout(() => this.drawAll(), FIRST);
  }

  drawAll() {
    this.isNew = false;
    this.schedule();
  }

  /** Take over items of which most were there before: what stays keeps its place on the screen and the focus, what leaves fades out. */
  update(items, size = this.size) {
    if (!this.columns || !this.items.length || !items.length) return void this.show(items, size, this.active);
    const places = new Map();
    for (let index = 0; index < items.length; index++) places.set(this.keyOf(items[index]), index);
    const focused = this.focusedNode();
    const typing = focused !== null && isTyping({ target: document.activeElement });
    const anchor = this.anchor(places);
    const old = this.shown;
    const staying = this.stay(Math.min(this.active, this.items.length - 1), places);
    const active = staying === null ? 0 : places.get(this.keyOf(this.items[staying]));
    this.items = items;
    this.size = size;
    this.shown = new Map();
    this.active = active;
    this.measure();
    const moved = this.keepPlace(anchor, places);
    const reused = new Map([...old.values()].map((node) => [node.key, node]));
    const [first, last] = this.range();
    for (let index = first; index < last; index++) this.reuse(index, reused, typing ? focused : null);
    if (focused && reused.has(focused.key) && places.has(focused.key)) this.reuse(places.get(focused.key), reused, focused);
    for (const node of reused.values()) this.leave(node, !places.has(node.key) && !moved);
    this.sort(focused);
    if (focused && !focused.contains(document.activeElement)) this.focus(this.active, false);
    if (moved) return;
    this.element.classList.add("settling");
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.element.classList.remove("settling"), SETTLING);
  }

  reuse(index, reused, typed) {
    const item = this.items[index];
    const node = reused.get(this.keyOf(item));
    if (this.shown.has(index)) return;
    if (!node || (node.stamp !== this.stamp(item) && node !== typed)) return void this.add(index);
    reused.delete(node.key);
    this.shown.set(index, node);
    this.number(index, node);
    this.place(index, node);
    this.mark(node, item, index);
  }

  leave(node, fade) {
    if (!fade || node.contains(document.activeElement)) return void node.remove();
    node.classList.add("leaving");
    node.inert = true;
    node.removeAttribute("role");
    setTimeout(() => node.remove(), SETTLING);
  }

  // Geometry ----------------------------------------------------------------------------------

  /**
   * The item whose place on the screen stays: the focused one, unless it goes elsewhere than most; of the visible ones
   * that which moves as most do. `places`: key -> index of what comes next.
   */
  anchor(places) {
    const bar = byId("bar").offsetHeight;
    const top = this.element.getBoundingClientRect().top;
    if (top >= bar - this.rowHeight / 2) return null; // nothing is scrolled away
    const placed = (index) => ({ key: this.keyOf(this.items[index]), top: top + Math.floor(index / this.columns) * this.rowHeight });
    const move = (index) => Math.floor(places.get(this.keyOf(this.items[index])) / this.columns) - Math.floor(index / this.columns);
    const first = Math.max(0, Math.ceil((bar - top - this.rowHeight / 2) / this.rowHeight)) * this.columns;
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / this.rowHeight) * this.columns);
    const staying = [];
    for (let index = first; index < last; index++) if (places.has(this.keyOf(this.items[index]))) staying.push(index);
    if (!staying.length) {
      const index = this.stay(Math.min(first, this.items.length - 1), places);
      return index === null ? null : { ...placed(index), top: placed(Math.min(first, this.items.length - 1)).top };
    }
    const middle = staying.sort((a, b) => move(a) - move(b) || a - b)[staying.length >> 1];
    const focused = this.focusedNode() && staying.includes(this.active) && Math.abs(move(this.active) - move(middle)) <= 1;
    return placed(focused ? this.active : middle);
  }

  /** The item at an index, or the next one, or the one before, that is still there; null if none is. */
  stay(index, places) {
    for (let i = index; i < this.items.length; i++) if (places.has(this.keyOf(this.items[i]))) return i;
    for (let i = index - 1; i >= 0; i--) if (places.has(this.keyOf(this.items[i]))) return i;
    return null;
  }

  /** Scroll so that the anchor is where it was; returns whether that moved anything. */
  keepPlace(anchor, places) {
    if (!anchor) return false;
    const top = this.element.getBoundingClientRect().top + Math.floor(places.get(anchor.key) / this.columns) * this.rowHeight;
    const before = scrollY;
    scrollBy(0, top - anchor.top);
    return scrollY !== before;
  }

  resize() {
    if (!this.size || !this.element.clientWidth || this.element.clientWidth === this.width) return;
    const bar = byId("bar").offsetHeight;
    const top = this.element.getBoundingClientRect().top;
    const row = this.columns && top < bar ? Math.round((bar - top) / this.rowHeight) : 0;
    const first = row * this.columns;
    this.layout();
    if (row) scrollBy(0, this.element.getBoundingClientRect().top + Math.floor(first / this.columns) * this.rowHeight - bar);
    this.draw();
  }

  layout() {
    if (!this.measure()) return;
    for (const [index, node] of this.shown) this.place(index, node);
    this.draw();
  }

  measure() {
    this.width = this.element.clientWidth;
    if (!this.width || !this.size) return false;
    let { minWidth, maxWidth, captionHeight } = this.size;
    this.gap = this.width < 480 ? 8 : 14;
    for (;;) {
      this.columns = Math.max(1, Math.floor((this.width + this.gap) / (minWidth + this.gap)));
      this.cell = Math.min(Math.floor((this.width - this.gap * (this.columns - 1)) / this.columns), maxWidth);
      this.rowHeight = this.cell + captionHeight + this.gap;
      // On a very large screen, larger cells: the number of elements is bounded.
      if ((Math.ceil(innerHeight / this.rowHeight) + 3) * this.columns * this.each <= this.most || this.columns === 1) break;
      minWidth *= 1.1;
      maxWidth = Math.max(maxWidth, minWidth * 1.3);
    }
    this.rows = Math.ceil(this.items.length / this.columns);
    this.element.style.height = `${Math.max(0, this.rows * this.rowHeight - this.gap)}px`;
    this.drawBorder();
    return true;
  }

  rectOf(index) {
    const x = (index % this.columns) * (this.cell + this.gap);
    return { x, y: Math.floor(index / this.columns) * this.rowHeight, width: this.cell, height: this.cell + this.size.captionHeight };
  }

  place(index, node) {
    const { x, y, width, height } = this.rectOf(index);
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    node.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** Indices of the items that a rectangle in coordinates of the list touches. */
  within(left, top, right, bottom) {
    const found = [];
    const step = this.cell + this.gap;
    const first = Math.max(0, Math.floor((top + this.gap) / this.rowHeight));
    for (let row = first; row < this.rows && row * this.rowHeight <= bottom; row++) {
      if (row * this.rowHeight + this.rowHeight - this.gap < top) continue;
      for (let column = 0; column < this.columns; column++) {
        const index = row * this.columns + column;
        if (index < this.items.length && column * step <= right && column * step + this.cell >= left) found.push(index);
      }
    }
    return found;
  }

  /** The index of the item at a point of the window, or null. */
  at(x, y) {
    const box = this.element.getBoundingClientRect();
    return this.within(x - box.left, y - box.top, x - box.left, y - box.top)[0] ?? null;
  }

  // Elements ----------------------------------------------------------------------------------

  /** Indices of the items that have elements: what is visible, and more in the direction of scrolling. */
  range() {
    if (document.documentElement.classList.contains("viewing")) return [0, 0]; // a photo covers the page
    const top = this.element.getBoundingClientRect().top;
    const first = Math.floor(-top / this.rowHeight);
    if (this.isNew) return [first, Math.ceil((innerHeight - top) / this.rowHeight)].map((row) => Math.max(0, Math.min(this.items.length, row * this.columns)));
    const visible = Math.ceil(innerHeight / this.rowHeight) + 1;
    const spare = Math.max(2, Math.min(3 * visible, Math.floor(this.most / this.each / this.columns) - visible));
    const ahead = Math.ceil(spare * 0.7);
    const above = this.direction < 0 ? ahead : spare - ahead;
    const end = (first + visible + spare - above) * this.columns;
    return [Math.max(0, first - above) * this.columns, Math.max(0, Math.min(this.items.length, end))];
  }

  draw() {
    if (!this.columns || !this.element.isConnected || !this.element.clientWidth) return;
    if (scrollY !== this.scrolled) this.direction = scrollY < this.scrolled ? -1 : 1;
    this.scrolled = scrollY;
    const [first, last] = this.range();
    for (const [index, node] of this.shown) {
      // Keep the focused element: without it, the arrow keys would start at the top again.
      if ((index < first || index >= last) && index !== this.active && !node.contains(document.activeElement)) {
        node.remove();
        this.shown.delete(index);
      }
    }
    for (let index = first; index < last; index++) if (!this.shown.has(index)) this.add(index);
    if (!this.prefetch || this.isNew) return;
    const screen = Math.ceil(innerHeight / this.rowHeight) * this.columns;
    this.prefetch(this.direction < 0 ? this.items.slice(Math.max(0, first - screen), first).reverse() : this.items.slice(last, last + screen));
  }

  add(index) {
    const item = this.items[index];
    const made = this.makeItem(item, index);
    const node = this.bare ? made : make("div", { role: "listitem" }, ...[made].flat());
    node.classList.add("item");
    node.key = this.keyOf(item);
    node.stamp = this.stamp(item);
    this.number(index, node);
    this.place(index, node);
    this.mark(node, item, index);
    this.element.insertBefore(node, this.after(index));
    this.shown.set(index, node);
    return node;
  }

  number(index, node) {
    node.dataset.index = index;
    node.setAttribute("aria-setsize", this.items.length);
    node.setAttribute("aria-posinset", index + 1);
    for (const stop of Grid.stops(node, this.bare)) stop.tabIndex = index === this.active ? 0 : -1;
  }

  static stops(node, bare) { return bare ? [node] : node.querySelectorAll("button"); }

  /** The element before which the one of an index belongs: elements are in the order of the items, for screen readers. */
  after(index) {
    for (let i = index + 1; i <= index + this.columns; i++) if (this.shown.has(i)) return this.shown.get(i);
    let next = null;
    for (const [other, element] of this.shown) {
      if (other > index && (!next || other < Number(next.dataset.index))) next = element;
    }
    return next;
  }

  /** Bring the elements into the order of the items, without moving the focused one, which would lose the focus. */
  sort(focused) {
    let cursor = this.element.firstElementChild;
    for (const [, node] of [...this.shown].sort((a, b) => a[0] - b[0])) {
      while (node === focused && cursor && cursor !== node) {
        const next = cursor.nextElementSibling;
        this.element.append(cursor);
        cursor = next;
      }
      if (node === cursor) cursor = cursor.nextElementSibling;
      else this.element.insertBefore(node, cursor);
    }
  }

  remark() { for (const [index, node] of this.shown) this.mark(node, this.items[index], index); }

  /** Draw a line between the items before an index and the others; null for none. */
  setBorder(index) {
    this.border = index;
    this.drawBorder();
  }

  drawBorder() {
    this.borders ??= [make("div", { className: "border before" }), make("div", { className: "border behind" })];
    if (this.border === null || this.border === undefined || !this.columns) return void this.borders.forEach((line) => line.remove());
    const { x, y, height } = this.rectOf(this.border);
    const [half, [before, behind]] = [this.gap / 2, this.borders];
    Object.assign(before.style, { left: `${-half}px`, width: `${x}px`, top: `${y - half}px`, height: `${height + this.gap}px` });
    Object.assign(behind.style, { left: `${x - half}px`, right: `${-half}px`, top: `${y - half}px` });
    if (!before.isConnected) this.element.append(before, behind);
  }

  // Focus -------------------------------------------------------------------------------------

  /** The index of the item that a click is for, or null: only its button counts, not what else the item holds. */
  indexOf(target) {
    const node = target.closest(".item");
    if (!node || node.classList.contains("leaving")) return null;
    return this.bare || target.closest(".card") ? Number(node.dataset.index) : null;
  }

  focusedNode() {
    const node = document.activeElement?.closest(".item") ?? null;
    return this.element.contains(node) ? node : null;
  }

  button(index) {
    const node = this.shown.get(index);
    return (this.bare ? node : node?.querySelector("button")) ?? null;
  }

  setActive(index) {
    for (const [at, tabIndex] of [[this.active, -1], [index, 0]]) {
      if (this.shown.has(at)) for (const stop of Grid.stops(this.shown.get(at), this.bare)) stop.tabIndex = tabIndex;
    }
    this.active = index;
  }

  /** Scroll to an item and focus it. */
  focus(index, scroll = true) {
    if (!this.items.length || !this.columns) return;
    index = Math.max(0, Math.min(index, this.items.length - 1));
    if (scroll) this.reveal(index);
    this.setActive(index);
    if (!this.shown.has(index)) this.add(index);
    this.button(index).focus({ preventScroll: true });
    this.draw();
  }

  /** Focus the active item, unless something else has the focus and may need the key. Returns false then. */
  enter() {
    if (this.focusedNode() || document.activeElement?.closest("input, select, dialog")) return false;
    this.focus(this.active);
    return true;
  }

  /** Focus the next item (or the one before) for which `stays(item)`, if the focused one does not. */
  focusNext(stays) {
    if (!this.focusedNode() || stays(this.items[this.active])) return;
    let index = this.active + 1;
    while (index < this.items.length && !stays(this.items[index])) index++;
    if (index === this.items.length) index = this.active - 1;
    while (index >= 0 && !stays(this.items[index])) index--;
    if (index >= 0) this.focus(index);
  }

  /** Scroll as little as needed to make an item visible. */
  reveal(index) {
    const bar = byId("bar").offsetHeight + 12;
    const below = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--action-bar")) || 0;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.rowHeight;
    const bottom = top + this.rowHeight + below;
    if (top < bar) scrollBy(0, top - bar);
    else if (bottom > innerHeight) scrollBy(0, bottom - innerHeight);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !this.items.length || isTyping(event)) return;
    if (event.key === "Enter" && this.bare) {
      event.preventDefault();
      return void this.onOpen(this.items[this.active], this.active, event);
    }
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight) - 1) * this.columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -page, PageDown: page, Home: -this.items.length, End: this.items.length,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const from = this.active;
    const to = from + step;
    if (Math.abs(step) === 1 && (to < 0 || to >= this.items.length)) return;
    if (event.key === "ArrowUp" && to < 0) return;
    if (event.key === "ArrowDown" && to >= this.items.length && from >= (this.rows - 1) * this.columns) return;
    this.focus(to);
    this.onMove?.(from, this.active, event);
  }
}
