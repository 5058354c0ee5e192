// The faces on a photo as a list: who they are, in the order in which they stand. It scrolls and can be filtered,
// and has elements only for the rows that are seen.

const ROW = 44; // pixels
const FILTER_FROM = 8; // faces

/** Order boxes as one reads: by rows, and from the left. */
function readingOrder(boxes) {
  const heights = boxes.map(({ box }) => box[3] - box[1]).sort((a, b) => a - b);
  const band = boxes.length <= FILTER_FROM ? Infinity : Math.max(1, heights[heights.length >> 1] * 1.5);
  const row = ({ box }) => (band === Infinity ? 0 : Math.floor((box[1] + box[3]) / 2 / band));
  return [...boxes].sort((a, b) => row(a) - row(b) || a.box[0] + a.box[2] - b.box[0] - b.box[2]);
}

class FaceList {
  /**
   * @param {{choose(key), point(key | null), paint(element, row), noun(count): string}} to
   *   `paint` draws the thumbnail of a row
   */
  constructor(to) {
    this.to = to;
    this.rows = []; // {key, title, note}
    this.shown = [];
    this.current = null;
    this.filter = make("input", { type: "search", className: "filter", placeholder: WORDS.photo.filter, "aria-label": WORDS.photo.filter, autocomplete: "off" });
    this.filter.addEventListener("input", () => this.update());
    this.filter.addEventListener("keydown", (event) => this.onFilterKey(event));
    this.heading = make("h3");
    this.list = make("div", { className: "rows", role: "list", "aria-label": WORDS.photo.list });
    this.scroller = make("div", { className: "scroller" }, this.list);
    this.root = make("div", { className: "face-list" }, this.heading, this.filter, this.scroller);
    this.scroller.addEventListener("scroll", oncePerFrame(() => this.draw()), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.scroller);
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-key]");
      if (row) to.choose(Number(row.dataset.key));
    });
    const point = (event) => {
      const row = event.target.closest("[data-key]");
      to.point(row && (event.pointerType === "mouse" || row.matches(":focus-visible")) ? Number(row.dataset.key) : null);
    };
    this.list.addEventListener("pointerover", point);
    this.list.addEventListener("focusin", point);
    this.list.addEventListener("pointerleave", () => to.point(null));
    this.list.addEventListener("focusout", () => to.point(null));
  }

  /** @param {{key: number, title: string, note: string}[]} rows */
  show(rows, heading) {
    this.rows = rows;
    this.heading.textContent = heading;
    this.filter.hidden = rows.length < FILTER_FROM;
    if (this.filter.hidden) this.filter.value = "";
    this.update();
  }

  onFilterKey(event) {
    const first = this.shown[0]?.key;
    if (event.key === "Enter" && first !== undefined) this.to.choose(first);
    else if (event.key === "ArrowDown" && first !== undefined) this.list.querySelector("button")?.focus();
    else if (event.key === "Escape" && this.filter.value) {
      this.clearFilter();
      this.update();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  clearFilter() { this.filter.value = ""; }

  update() {
    const wanted = folded(this.filter.value).split(/\s+/).filter(Boolean);
    this.shown = this.rows.filter(({ title, note }) => wanted.every((word) => folded(`${title} ${note}`).includes(word)));
    this.list.style.height = `${this.shown.length * ROW}px`;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.list.replaceChildren();
    this.draw();
    if (focused !== null) this.list.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  setCurrent(key) {
    this.current = key;
    const at = this.shown.findIndex((row) => row.key === key);
    const hadFocus = this.list.contains(document.activeElement);
    if (at >= 0) {
      const { scrollTop, clientHeight } = this.scroller;
      if (at * ROW < scrollTop) this.scroller.scrollTop = at * ROW;
      else if ((at + 1) * ROW > scrollTop + clientHeight) this.scroller.scrollTop = (at + 1) * ROW - clientHeight;
    }
    this.draw();
    if (hadFocus) this.list.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - 2);
    const last = Math.min(this.shown.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW) + 2);
    const kept = new Map([...this.list.children].map((element) => [Number(element.dataset.at), element]));
    for (const [at, element] of kept) if ((at < first || at >= last) && !element.contains(document.activeElement)) element.remove();
    for (let at = first; at < last; at++) {
      let element = kept.get(at);
      if (!element) {
        element = this.makeRow(this.shown[at], at);
        const next = [...this.list.children].find((other) => Number(other.dataset.at) > at);
        this.list.insertBefore(element, next ?? null);
      }
      if (this.shown[at].key === this.current) element.firstChild.setAttribute("aria-current", "true");
      else element.firstChild.removeAttribute("aria-current");
    }
  }

  makeRow(row, at) {
    const thumb = make("span", { className: "thumb" });
    this.to.paint(thumb, row);
    const element = make("div", { className: "row", role: "listitem", dataset: { at }, "aria-setsize": this.shown.length, "aria-posinset": at + 1 },
      make("button", { type: "button", dataset: { key: row.key }, "aria-label": `${row.title}, ${row.note}` }, thumb,
        make("span", { className: "name", textContent: row.title }), make("span", { className: "about", textContent: row.note })));
    element.style.transform = `translateY(${at * ROW}px)`;
    return element;
  }
}
