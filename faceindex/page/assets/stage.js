// A picture with boxes and names that stay crisp at each zoom. It draws any number of boxes with few elements:
// the boxes of one kind are one path, and names are shown where they fit.

const SVG = "http://www.w3.org/2000/svg";
const MOST_TAGS = 80; // names shown at the same time
const BOX_KINDS = ["ignored", "none", "cluster", "person", "near", "current"]; // the last ones on top
const TAG_HEIGHT = 18;
const measuring = document.createElement("canvas").getContext("2d");
const tagWidths = new Map(); // text -> pixels

function tagWidth(text) {
  if (tagWidths.size > 5000) tagWidths.clear();
  if (!tagWidths.has(text)) {
    if (!tagWidths.size) measuring.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    tagWidths.set(text, measuring.measureText(text).width + 12);
  }
  return tagWidths.get(text);
}

const svg = (tag, attributes, ...children) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

/** Icons, drawn: fonts lack some of these signs. Lines in a square of 20. */
const ICONS = {
  earlier: "M12 5l-5 5 5 5M4 5v10", later: "M8 5l5 5-5 5M16 5v10", boxes: "M5 4h10v12H5z", addFace: "M3 4h9v11H3zM15 12v6M12 15h6",
  original: "M8 4H4v12h12v-4M11 3h6v6M17 3l-8 8", whole: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4", close: "M5 5l10 10M15 5L5 15", picture: "M3 6h3l1.5-2h5L14 6h3v10H3zM10 8a3 3 0 1 0 .01 0",
};

const drawnIcon = (name) => svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

/** A button with an icon. */
function iconButton(name, label, key, run, properties = {}) {
  const made = button("", run, { "aria-label": label, title: key ? `${label} (${key})` : label, ...properties });
  made.append(drawnIcon(name));
  return made;
}

class PhotoStage {
  /**
   * @param {{select(key), swipe(direction), picture(problem), grab(x, y, event)}} to
   *   `select` gets the key of the box that was clicked, or null; `picture` is called when one is shown, or with
   *   the URLs that failed
   */
  constructor(to) {
    this.to = to;
    this.boxes = []; // {key, box: [x1, y1, x2, y2], kind, text}
    this.current = null; // keys
    this.pointed = null;
    this.showsBoxes = true;
    this.pictures = new Map(); // url -> Image, the last ones
    this.paths = BOX_KINDS.map((kind) => [svg("path", { class: `shade ${kind}` }), svg("path", { class: `line ${kind}` })]);
    this.drawing = svg("svg", { class: "boxes", "aria-hidden": "true" }, ...this.paths.flat());
    this.tags = make("div", { className: "tags", "aria-hidden": "true" });
    this.frame = make("div", { className: "picture" });
    this.area = make("div", { className: "stage" }, this.frame, this.drawing, this.tags);
    this.redraw = oncePerFrame(() => this.draw());
    this.zoom = new Zoom(this.area, {
      changed: () => this.redraw(),
      tap: (x, y, event, target) => to.select(target.dataset?.key ? Number(target.dataset.key) : this.at(x, y)),
      hover: (x, y) => this.point(x === null ? null : this.at(x, y)),
      swipe: (direction) => to.swipe?.(direction),
      grab: (x, y, event) => to.grab?.(x, y, event),
    });
  }

  // Picture -----------------------------------------------------------------------------------

  /**
   * Show a picture.
   * @param {string[]} urls to try in their order
   * @param {string[]} full of the picture at its full size, loaded once it is zoomed in
   * @param {string} alt
   */
  show(urls, full, alt) {
    Object.assign(this, { urls, full, alt, loadedFull: false, size: null });
    this.setBoxes([]);
    this.frame.replaceChildren();
    this.zoom.width = 0;
    this.load(urls, (image) => {
      this.place(image);
      if (!this.size) this.setSize(image.naturalWidth, image.naturalHeight);
      this.to.picture?.(null);
    });
  }

  /** The size of the picture that the boxes refer to. */
  setSize(width, height) {
    if (!(width > 0 && height > 0)) return;
    this.size = { width, height };
    this.zoom.setSize(width, height, this.zoom.width === width && this.zoom.height === height);
  }

  /** Load a picture before it is shown. */
  prefetch(urls) { if (urls.length) this.image(urls[0]); }

  image(url) {
    let image = this.pictures.get(url);
    if (!image) {
      image = new Image();
      image.decoding = "async";
      image.draggable = false;
      image.src = url;
    }
    this.pictures.delete(url);
    this.pictures.set(url, image);
    for (const [old, kept] of this.pictures) {
      if (this.pictures.size <= 6) break;
      if (kept.isConnected || old === url) continue;
      kept.removeAttribute("src"); // frees the memory
      this.pictures.delete(old);
    }
    return image;
  }

  async load(urls, onLoaded) {
    for (const url of urls) {
      const image = this.image(url);
      try {
        await image.decode();
      } catch {
        this.pictures.delete(url);
        if (this.urls !== urls && this.full !== urls) return;
        continue;
      }
      if (this.urls === urls || this.full === urls) onLoaded(image);
      return;
    }
    if (this.urls === urls) this.to.picture?.(urls);
  }

  place(image) {
    image.alt = this.alt;
    this.frame.replaceChildren(image);
    this.redraw();
  }

  clear() {
    this.urls = this.full = null;
    this.frame.replaceChildren();
    this.pictures.clear();
    this.setBoxes([]);
  }

  loadFull() {
    const image = this.frame.firstChild;
    if (this.loadedFull || !this.full || !image || !this.size || this.zoom.fits) return;
    if (image.naturalWidth >= this.size.width || image.naturalWidth >= this.size.width * this.zoom.scale * devicePixelRatio * 0.95) return;
    this.loadedFull = true;
    this.load(this.full, (full) => this.place(full));
  }

  // Boxes -------------------------------------------------------------------------------------

  setBoxes(boxes) {
    // The largest first, so that small ones are drawn, and found, on top of them.
    const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    this.boxes = [...boxes].sort((a, b) => area(b) - area(a));
    this.redraw();
  }

  setCurrent(key, reveal = false) {
    this.current = key;
    const box = this.boxes.find((one) => one.key === key);
    if (box && reveal) this.zoom.reveal(box.box);
    this.redraw();
  }

  /** Mark a box that the pointer, or the focus in a list, is on. */
  point(key) {
    if (this.pointed === key) return;
    this.pointed = key;
    this.area.classList.toggle("pointing", key !== null);
    this.redraw();
  }

  toggleBoxes(shown = !this.showsBoxes) {
    this.showsBoxes = shown;
    this.redraw();
  }

  /** The key of the smallest box at a place of the picture; small boxes count with a margin. */
  at(x, y) {
    if (!this.showsBoxes) return null;
    let best = null;
    let least = Infinity;
    for (const { key, box: [x1, y1, x2, y2] } of this.boxes) {
      const margin = Math.max(0, (28 / this.zoom.scale - Math.min(x2 - x1, y2 - y1)) / 2);
      if (x < x1 - margin || x > x2 + margin || y < y1 - margin || y > y2 + margin) continue;
      // Of small ones, whose margins overlap, the one whose middle is nearest.
      const value = margin > 0 ? Math.hypot(x - (x1 + x2) / 2, y - (y1 + y2) / 2) : (x2 - x1 + y2 - y1) / 2;
      if (value < least) [best, least] = [key, value];
    }
    return best;
  }

  /** A box in pixels of the area: left, top, right, bottom; at least 6 pixels wide. */
  onScreen([x1, y1, x2, y2]) {
    const { x, y, scale } = this.zoom;
    const grow = Math.max(0, 3 - (x2 - x1) * scale / 2);
    const round = (value) => Math.round(value) + 0.5;
    return [round(x1 * scale + x - grow), round(y1 * scale + y - grow), round(x2 * scale + x + grow), round(y2 * scale + y + grow)];
  }

  draw() {
    const { x, y, scale, width, height } = this.zoom;
    const image = this.frame.firstChild;
    if (image) {
      Object.assign(image.style, { width: `${width * scale}px`, height: `${height * scale}px`, transform: `translate(${x}px, ${y}px)` });
      image.style.imageRendering = scale * devicePixelRatio > 4 && image.naturalWidth >= width ? "pixelated" : "";
    }
    this.area.classList.toggle("zoomed", this.zoom.zoomed);
    const room = { width: this.area.clientWidth, height: this.area.clientHeight };
    const seen = [];
    const paths = BOX_KINDS.map(() => "");
    if (this.showsBoxes && this.size) {
      for (const one of this.boxes) {
        const at = this.onScreen(one.box);
        if (at[2] < 0 || at[3] < 0 || at[0] > room.width || at[1] > room.height) continue;
        seen.push([one, at]);
        const kind = one.key === this.current ? "current" : one.key === this.pointed ? "near" : one.kind;
        paths[BOX_KINDS.indexOf(kind)] += `M${at[0]} ${at[1]}H${at[2]}V${at[3]}H${at[0]}Z`;
      }
    }
    this.paths.forEach(([shade, line], i) => {
      shade.setAttribute("d", paths[i]);
      line.setAttribute("d", paths[i]);
    });
    this.drawTags(seen, room);
    this.loadFull();
    this.onDrawn?.();
  }

  /** Names beside the boxes, where they cover neither another name nor another face. */
  drawTags(seen, room) {
    const first = (one) => (one.key === this.pointed ? 2 : one.key === this.current ? 1 : 0);
    const wanted = seen.filter(([one]) => one.text || first(one)).sort(([a], [b]) => first(b) - first(a));
    const taken = [];
    const tags = [];
    const hits = ([left, top, right, bottom], other) => left < other[2] && right > other[0] && top < other[3] && bottom > other[1];
    for (const [one, at] of wanted) {
      if (tags.length >= MOST_TAGS) break;
      const needed = first(one) > 0;
      const size = Math.min(tagWidth(one.text || "?"), room.width - 4);
      if (!needed && (one.quiet || at[2] - at[0] < 12)) continue;
      const left = Math.max(2, Math.min((at[0] + at[2] - size) / 2, room.width - size - 2));
      const places = [at[1] - TAG_HEIGHT - 1, at[3] + 1, at[1] + 1]
        .map((top) => [left, top, left + size, top + TAG_HEIGHT]).filter(([, top, , bottom]) => top >= 0 && bottom <= room.height);
      const free = (place) => !taken.some((other) => hits(place, other));
      const covers = (place) => seen.some(([other, box]) => other !== one && hits(place, box));
      const inside = size <= at[2] - at[0] + 24 ? places.at(-1) : undefined;
      let place = places.slice(0, 2).find((there) => free(there) && !covers(there));
      if (!place && inside && free(inside) && at[3] - at[1] > 3 * TAG_HEIGHT) place = inside;
      if (!place && needed) place = places.find(free) ?? places[0] ?? [left, Math.max(0, at[1]), left + size, 0];
      if (!place) continue;
      taken.push(place);
      tags.push([one, place]);
    }
    while (this.tags.childElementCount > tags.length) this.tags.lastChild.remove();
    while (this.tags.childElementCount < tags.length) this.tags.append(make("span"));
    tags.forEach(([one, [left, top]], i) => {
      const tag = this.tags.children[i];
      tag.textContent = one.text || "?";
      tag.dataset.key = one.key;
      tag.className = `tag ${one.key === this.current ? "current" : one.kind}`;
      tag.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    });
  }
}
