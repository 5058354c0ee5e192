// A grid of thousands of items. Only items near the visible part of the page have elements.

class Grid {
  /**
   * @param element the list
   * @param makeButton (item, index) => the button of an item
   * @param onOpen (item, index) called on a click or Enter
   */
  constructor(element, makeButton, onOpen) {
    this.element = element;
    this.makeButton = makeButton;
    this.onOpen = onOpen;
    this.items = [];
    this.shown = new Map(); // index -> element
    this.active = 0;
    this.pending = false;
    const redraw = () => this.schedule();
    addEventListener("scroll", redraw, { passive: true });
    new ResizeObserver(() => this.layout()).observe(element);
    addEventListener("resize", redraw);
    element.addEventListener("click", (event) => {
      const index = this.indexOf(event.target);
      if (index !== null) {
        this.setActive(index);
        this.onOpen(this.items[index], index);
      }
    });
    element.addEventListener("focusin", (event) => {
      const index = this.indexOf(event.target);
      if (index !== null) this.setActive(index);
    });
    element.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Replace the items. `size`: {minWidth, maxWidth, captionHeight} of a cell in pixels. */
  show(items, size, active = 0) {
    this.items = items;
    this.size = size;
    this.active = Math.max(0, Math.min(active, items.length - 1));
    this.clear();
    this.layout();
  }

  clear() {
    for (const node of this.shown.values()) node.remove();
    this.shown.clear();
  }

  layout() {
    const width = this.element.clientWidth;
    if (!width || !this.size) return;
    const { minWidth, maxWidth, captionHeight } = this.size;
    this.gap = width < 480 ? 8 : 14;
    this.columns = Math.max(1, Math.floor((width + this.gap) / (minWidth + this.gap)));
    this.cell = Math.floor((width - this.gap * (this.columns - 1)) / this.columns);
    this.cell = Math.min(this.cell, maxWidth);
    this.rowHeight = this.cell + captionHeight + this.gap;
    this.rows = Math.ceil(this.items.length / this.columns);
    this.element.style.height = `${Math.max(0, this.rows * this.rowHeight - this.gap)}px`;
    for (const [index, node] of this.shown) this.place(index, node);
    this.draw();
  }

  place(index, node) {
    node.style.width = `${this.cell}px`;
    node.style.height = `${this.cell + this.size.captionHeight}px`;
    const x = (index % this.columns) * (this.cell + this.gap);
    node.style.transform = `translate(${x}px, ${Math.floor(index / this.columns) * this.rowHeight}px)`;
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    if (!this.columns) return;
    const top = this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / this.rowHeight) - 2) * this.columns;
    const last = Math.min(this.items.length, (Math.ceil((innerHeight - top) / this.rowHeight) + 2) * this.columns);
    for (const [index, node] of this.shown) {
      // Keep the focused element: without it, the arrow keys would start at the top again.
      if ((index < first || index >= last) && !node.contains(document.activeElement)) {
        node.remove();
        this.shown.delete(index);
      }
    }
    for (let index = first; index < last; index++) if (!this.shown.has(index)) this.add(index);
  }

  add(index) {
    const node = document.createElement("div");
    node.className = "item";
    node.setAttribute("role", "listitem");
    node.setAttribute("aria-setsize", this.items.length);
    node.setAttribute("aria-posinset", index + 1);
    node.dataset.index = index;
    const button = this.makeButton(this.items[index], index);
    button.tabIndex = index === this.active ? 0 : -1;
    node.append(button);
    this.place(index, node);
    // Keep the elements in the order of the items, for screen readers.
    let after = index + 1;
    while (after <= index + this.columns && !this.shown.has(after)) after++;
    let next = this.shown.get(after) ?? null;
    if (!next) {
      for (const [other, element] of this.shown) {
        if (other > index && (!next || other < Number(next.dataset.index))) next = element;
      }
    }
    this.element.insertBefore(node, next);
    this.shown.set(index, node);
    return node;
  }

  indexOf(target) {
    const node = target.closest(".item");
    return node && target.closest("button") ? Number(node.dataset.index) : null;
  }

  button(index) {
    return this.shown.get(index)?.querySelector("button") ?? null;
  }

  setActive(index) {
    const before = this.button(this.active);
    if (before) before.tabIndex = -1;
    this.active = index;
    const now = this.button(index);
    if (now) now.tabIndex = 0;
  }

  /** Scroll to an item and focus it. */
  focus(index, scroll = true) {
    if (!this.items.length) return;
    index = Math.max(0, Math.min(index, this.items.length - 1));
    if (scroll) this.reveal(index);
    this.setActive(index);
    if (!this.shown.has(index)) this.add(index);
    this.button(index).focus({ preventScroll: true });
    this.draw();
  }

  reveal(index) {
    const bar = document.getElementById("bar").offsetHeight + 12;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.rowHeight;
    const bottom = top + this.rowHeight;
    if (top < bar) scrollBy(0, top - bar);
    else if (bottom > innerHeight) scrollBy(0, bottom - innerHeight);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.items.length) return;
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight) - 1) * this.columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -page, PageDown: page, Home: -this.items.length, End: this.items.length,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const to = this.active + step;
    const sideways = Math.abs(step) === 1;
    if (sideways && (to < 0 || to >= this.items.length)) return;
    if (event.key === "ArrowUp" && to < 0) return;
    if (event.key === "ArrowDown" && to >= this.items.length && this.active >= (this.rows - 1) * this.columns) return;
    this.focus(to);
  }
}
