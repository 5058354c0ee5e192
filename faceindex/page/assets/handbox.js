// A box drawn by hand around a face that was not found.

const LEAST_BOX = 6; // pixels of the photo
const CORNERS = [["left", "top"], ["right", "top"], ["right", "bottom"], ["left", "bottom"]];

class HandBox {
  /** @param {PhotoStage} stage @param {{save(box, named), cancel()}} to */
  constructor(stage, to) {
    Object.assign(this, { stage, to, box: null });
    this.frame = make("div", { className: "hand-box", role: "group", tabIndex: 0, "aria-label": WORDS.photo.handBox, hidden: true },
      ...CORNERS.map(([x, y]) => make("span", { className: `corner ${x} ${y}`, dataset: { x, y } })));
    this.named = button(WORDS.photo.saveNamed, () => this.save(true), { className: "main-button" });
    this.bar = make("div", { className: "hand-bar", role: "group", "aria-label": WORDS.photo.addFace, hidden: true },
      make("p", { textContent: WORDS.photo.drawHint }), this.named,
      button(WORDS.photo.saveUnnamed, () => this.save(false)), button(WORDS.photo.cancel, () => to.cancel()));
    this.frame.addEventListener("keydown", (event) => this.onKey(event));
  }

  get active() { return this.box !== null; }

  /** Begin with a box in the middle of what is shown, as large as the faces on the photo. */
  start(size) {
    const { zoom, area } = this.stage;
    const [x, y] = zoom.toPicture({ x: area.clientWidth / 2, y: area.clientHeight / 2 });
    const side = Math.max(LEAST_BOX, 64 / zoom.scale, Math.min(size ?? Math.min(area.clientWidth, area.clientHeight) / zoom.scale / 6, area.clientWidth / zoom.scale / 2));
    this.frame.hidden = this.bar.hidden = false;
    this.set([x - side / 2, y - side * 0.6, x + side / 2, y + side * 0.6]);
    this.frame.focus({ preventScroll: true });
  }

  stop() {
    this.box = null;
    this.frame.hidden = this.bar.hidden = true;
  }

  save(named) {
    if (this.box) this.to.save(this.box.map((value) => Math.round(value * 10) / 10), named);
  }

  /** Keep a box inside the photo, and draw it. */
  set([x1, y1, x2, y2]) {
    const { width, height } = this.stage.size;
    const [w, h] = [Math.min(width, Math.max(LEAST_BOX, x2 - x1)), Math.min(height, Math.max(LEAST_BOX, y2 - y1))];
    const left = Math.min(Math.max(0, x1), width - w);
    const top = Math.min(Math.max(0, y1), height - h);
    this.box = [left, top, left + w, top + h];
    this.draw();
  }

  draw() {
    if (!this.box) return;
    const { x, y, scale } = this.stage.zoom;
    const [x1, y1, x2, y2] = this.box;
    Object.assign(this.frame.style, {
      transform: `translate(${x1 * scale + x}px, ${y1 * scale + y}px)`, width: `${(x2 - x1) * scale}px`, height: `${(y2 - y1) * scale}px`,
    });
  }

  /** Take a drag: at a corner it resizes, in the box it moves, elsewhere it draws a new box. */
  grab(x, y, event) {
    if (!this.active) return null;
    const before = this.box;
    const [x1, y1, x2, y2] = before;
    const corner = event.target.dataset?.x ? [event.target.dataset.x, event.target.dataset.y] : null;
    const inside = event.target === this.frame;
    const { width, height } = this.stage.size;
    const clamp = (value, most) => Math.min(Math.max(0, value), most);
    const between = (a, b, c, d) => this.set([Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)]);
    return {
      move: (toX, toY) => {
        if (corner) {
          const [dx, dy] = [toX - x, toY - y];
          between(corner[0] === "left" ? x2 : x1, corner[1] === "top" ? y2 : y1,
            clamp((corner[0] === "left" ? x1 : x2) + dx, width), clamp((corner[1] === "top" ? y1 : y2) + dy, height));
        } else if (inside) this.set([x1 + toX - x, y1 + toY - y, x2 + toX - x, y2 + toY - y]);
        else between(clamp(x, width), clamp(y, height), clamp(toX, width), clamp(toY, height));
      },
      end: () => this.frame.focus({ preventScroll: true }),
      cancel: () => this.set(before), // a second finger: it was a pinch
    };
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.frame) return;
    const step = Math.max(1, 6 / this.stage.zoom.scale);
    const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const [x1, y1, x2, y2] = this.box;
    if (arrows[event.key]) {
      const [dx, dy] = arrows[event.key];
      if (event.shiftKey) this.set([x1, y1, x2 + dx, y2 + dy]);
      else this.set([x1 + dx, y1 + dy, x2 + dx, y2 + dy]);
      this.stage.zoom.reveal(this.box);
    } else if (event.key === "Enter") this.save(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
