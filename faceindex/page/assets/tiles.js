// A face, large: the thumbnail at once, and a sharp picture cut out of the photo when that has arrived.

const TILE_MARGIN = 0.3; // around the box, as a share of its longer side: as faceindex.export.thumbnails.MARGIN
const THUMBNAIL_SIDE = 112; // pixels
const SHARP_SIDE = 1600; // pixels of the photo that a sharp picture is cut out of
const MOST_DETAILS = 500; // photos whose names and boxes are kept

/** Names, dates and boxes of photos, by request. */
class PhotoDetails {
  constructor(source) {
    this.source = source;
    this.known = new Map(); // id -> promise
  }

  get(id) {
    if (!this.known.has(id)) {
      const found = this.source.photo(id);
      found.catch(() => { if (this.known.get(id) === found) this.known.delete(id); }); // asked for again
      this.known.set(id, found);
      if (this.known.size > MOST_DETAILS) this.known.delete(this.known.keys().next().value);
    }
    return this.known.get(id);
  }

  /** Load the details of a photo again when they are needed; without an id, of all photos. */
  forget(id = null) {
    if (id === null) this.known.clear();
    else this.known.delete(id);
  }
}

/** The square of a photo that shows a face: [x, y, side] in pixels of a photo of a width and height. */
function squareOf([x1, y1, x2, y2], width, height) {
  const side = Math.min(Math.max(x2 - x1, y2 - y1) * (1 + 2 * TILE_MARGIN), width, height);
  const place = (middle, most) => Math.min(Math.max(middle - side / 2, 0), most - side);
  return [place((x1 + x2) / 2, width), place((y1 + y2) / 2, height), side];
}

class FaceTile {
  /**
   * @param app
   * @param {number} face its id
   * @param {{label: string, number?: number | null, onToggle?: function | null, onOpen: function}} options `label` for screen readers;
   *   with `onToggle`, a click marks the face, and only the name of the photo opens the photo
   */
  constructor(app, face, { label, number = null, onToggle = null, onOpen }) {
    Object.assign(this, { app, face });
    this.thumb = make("span", { className: "thumb" });
    app.source.paint(this.thumb, face);
    this.picture = make("button", { type: "button", className: "tile-face", "aria-label": label, onclick: onToggle ?? onOpen }, this.thumb,
      number === null ? null : make("kbd", { textContent: String(number), "aria-hidden": true }));
    if (onToggle) this.picture.setAttribute("aria-pressed", "false");
    this.name = make("span", { className: "photo-name" });
    this.date = make("span", { className: "photo-date", textContent: dateText(app.album.takenOf(app.album.find(face))) });
    this.root = make("div", { className: "tile" }, this.picture,
      make("button", { type: "button", className: "tile-photo", "aria-label": WORDS.questions.openPhoto, title: WORDS.questions.openPhoto, onclick: onOpen }, this.name, this.date));
    this.load();
  }

  set marked(marked) { this.picture.setAttribute("aria-pressed", String(marked)); }

  async load() {
    const { album, source } = this.app;
    const at = album.find(this.face);
    if (at < 0) return;
    const id = album.photo[album.facePhoto[at]];
    const photo = await this.app.details.get(id).catch(() => null);
    if (!photo) return;
    const lastPart = (name) => readable(name.split(/[\\/]/).at(-1));
    this.name.textContent = lastPart(photo.name);
    this.date.textContent = [this.date.textContent, lastPart(photo.folder)].filter(Boolean).join(" · ");
    this.root.title = readable(photo.name);
    const { box = null, turn = 0 } = photo.faces.find(({ face }) => face === this.face) ?? {};
    const scale = Math.min(1, SHARP_SIDE / Math.max(photo.width, photo.height));
    if (!box || turn) return; // the thumbnail is upright
    if (squareOf(box, photo.width, photo.height)[2] * scale < THUMBNAIL_SIDE * 1.1) return; // the thumbnail is as sharp
    const [url] = source.photoUrls(id, SHARP_SIDE);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      return; // the thumbnail remains
    }
    if (this.root.isConnected) this.sharpen(image, box, photo);
  }

  sharpen(image, box, photo) {
    const scale = image.naturalWidth / photo.width;
    const [x, y, side] = squareOf(box, photo.width, photo.height).map((value) => value * scale);
    const pixels = Math.round(Math.min(side, this.thumb.clientWidth * devicePixelRatio));
    const canvas = make("canvas", { width: pixels, height: pixels });
    canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, pixels, pixels);
    this.thumb.replaceChildren(canvas);
  }
}
