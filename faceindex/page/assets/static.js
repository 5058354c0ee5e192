// The source of a gallery: everything is in the page. Decisions are kept in the page and in the browser, until they
// are saved as a file that `faceindex people apply` takes.

const KEPT_SPRITES = 24; // pictures of thumbnails that are loaded ahead

class StaticSource {
  constructor(config) {
    this.config = config;
    this.can = { identify: false, addFace: false, split: false, why: false, questions: config.questions.length > 0, save: true };
    this.bundle = { header: config.header, columns: readColumns(config.header, bytesOf(config.album).buffer, 0) };
    this.base = this.bundle.columns;
    this.decisions = new Decisions(config, this);
    this.skipped = new Set();
    this.covers = new Map(config.cover_faces.map((face, at) => [face, at]));
    this.coverStarts = firstFaces(config.covers);
    this.ahead = new Map(); // URL of a sprite -> Image
    this.searchable = null;
  }

  /** The album with all decisions, made when it is needed; that of the page shows what waits, too. */
  get album() { return (this.madeAlbum ??= new Album(this.bundle)); }
  /** Where faces are on the stored pictures. */
  get places() { return (this.madePlaces ??= new Places(this.album, this.base, this.config.photos)); }

  /** The bundle of all arrays, with what was decided. */
  async load() {
    if (!this.madeAlbum) return this.bundle; // nothing was
    const { album, bundle } = this;
    const { cluster, person, label, similarity } = album;
    const header = { ...bundle.header, ...this.decisions.state(), people: [...album.people.values()], cluster_person: [...album.clusterPerson] };
    return { header, columns: { ...bundle.columns, cluster, person, label, similarity } };
  }

  /** Show how many decisions there are, and the way to save them. */
  attach(app) { this.saving = new Saving(app, this.decisions); }

  // Decisions ---------------------------------------------------------------------------------

  /** Keep a decision; resolves to {decided, changes}, as the server's answer. */
  async act(sent, action) {
    if (sent.do === "skip" || sent.do === "unskip") {
      if (sent.do === "skip") this.skipped.add(sent.question);
      else this.skipped.delete(sent.question);
      return { decided: null, changes: { ...this.decisions.state(), faces: { face: [], cluster: [], person: [], label: [] } } };
    }
    return this.decisions.act(sent, action);
  }

  /** The next questions: those that are not answered, and about faces that have not changed. */
  async questions(limit) {
    const { album, decisions, skipped } = this;
    const questions = [...decisions.sortedOut(), ...this.config.questions]
      .filter((question) => !skipped.has(question.id) && !decisions.answered.has(question.id) && isOpen(album, question));
    let named = 0;
    let faces = 0;
    for (let at = 0; at < album.faces; at++) {
      if (isNobody(album.label[at])) continue;
      faces++;
      if (album.person[at] !== -1) named++;
    }
    return { state: questions.length ? "ready" : "none", questions: questions.slice(0, limit), progress: { faces, named, questions: questions.length } };
  }

  split() { return this.refuse(); }
  why() { return this.refuse(); }
  identify() { return this.refuse(); }
  async refuse() { throw refusal(WORDS.gallery.notHere); }

  // Photos ------------------------------------------------------------------------------------

  name(photo) {
    const { roots, photos } = this.config;
    const root = roots[photos.root[photo]].name.replace(/[/\\]$/, "");
    return atMoment(root ? `${root}/${photos.path[photo]}` : photos.path[photo]);
  }

  async photo(id) {
    const { album, config, base } = this;
    const photo = album.findPhoto(id);
    if (photo < 0) throw refusal(WORDS.gallery.noPhoto);
    const name = this.name(photo);
    const faces = [...album.onPhoto(photo)].map((at) => ({
      face: album.face[at], box: [...album.box.subarray(at * 4, at * 4 + 4)], quality: album.quality[at] / 255, by_hand: base.by_hand[at] === 1, turn: base.turn[at],
    }));
    return {
      id, name, folder: name.slice(0, Math.max(0, name.lastIndexOf("/"))), width: config.photos.width[photo], height: config.photos.height[photo],
      taken: Number.isFinite(album.taken[photo]) ? album.taken[photo] : null, faces, problem: null,
    };
  }

  /** URLs of a photo to try in their order: a preview where browsers cannot show the photo, the copy, or where it was indexed. */
  photoUrls(id) {
    const photo = findSorted(this.base.photo, id);
    if (photo < 0) return [];
    const { previews } = this.config;
    return previews[photo] ? [previews[photo]] : this.originals(photo);
  }

  /** URLs of the file of a photo, even if browsers cannot show it. */
  originals(photo) {
    const { copies, roots, photos } = this.config;
    if (copies[photo]) return [copies[photo]];
    const at = photos.root[photo];
    const moment = MOMENT.exec(photos.path[photo]);
    if (moment === null) return roots[at].urls.map((base) => base + encodedPath(photos.path[photo]));
    const [hours, minutes, seconds] = moment[1].split(":").map(Number);
    const place = `#t=${hours * 3600 + minutes * 60 + seconds}`; // where the player begins (Media Fragments URI 1.0)
    return roots[at].urls.map((base) => base + encodedPath(photos.path[photo].slice(0, moment.index)) + place);
  }

  /** The URL of the file of a photo; `shown` is one that could be shown, which leads to the folder that is there. */
  originalUrl(id, shown = null) {
    const photo = findSorted(this.base.photo, id);
    if (photo < 0) return null;
    const urls = this.originals(photo);
    const works = shown === null ? -1 : urls.findIndex((url) => new URL(url, document.baseURI).href === shown);
    if (works > 0) { // the other photos of the folder are there, too
      const root = this.config.roots[this.config.photos.root[photo]];
      root.urls.unshift(...root.urls.splice(works, 1));
    }
    return urls[Math.max(works, 0)];
  }

  /** Why a photo cannot be shown. */
  async photoProblem() { return WORDS.gallery.missing; }

  /** Ids of photos whose name contains all words. */
  async searchPhotos(words, limit = 500) {
    this.searchable ??= this.config.photos.path.map((_, photo) => folded(readable(this.name(photo))));
    const wanted = folded(words).split(/\s+/).filter(Boolean);
    const found = [];
    if (wanted.length) this.searchable.forEach((name, photo) => { if (wanted.every((word) => name.includes(word))) found.push(photo); });
    return found.slice(0, limit).map((photo) => this.album.photo[photo]);
  }

  // Thumbnails --------------------------------------------------------------------------------

  /** Show the thumbnail of a face (an id) as the background of an element. */
  paint(element, face) {
    element.dataset.thumbnail = face;
    const { url, columns, rows, slot } = this.spriteOf(face) ?? {};
    if (!url) return;
    const x = columns > 1 ? ((slot % columns) / (columns - 1)) * 100 : 0;
    const y = rows > 1 ? (Math.floor(slot / columns) / (rows - 1)) * 100 : 0;
    element.style.backgroundImage = `url("${url}")`;
    element.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
    element.style.backgroundPosition = `${x}% ${y}%`;
  }

  /** Where a face is drawn; covers are together, so that the people need few files. */
  spriteOf(face) {
    const { config } = this;
    const cover = this.covers.get(face);
    let sprite;
    let slot;
    if (cover !== undefined) {
      const number = this.coverStarts.findLastIndex((start) => start <= cover);
      sprite = config.covers[number];
      slot = cover - this.coverStarts[number];
    } else {
      const at = findSorted(this.base.face, face);
      if (at < 0) return null;
      sprite = config.sprites[Math.floor(this.base.place[at] / SPRITE_FACES)];
      slot = this.base.place[at] % SPRITE_FACES;
    }
    const [name, count] = sprite;
    const columns = Math.min(count, config.columns);
    return { url: `${config.folder}/${name}`, columns, rows: Math.ceil(count / columns), slot };
  }

  /** Resolves once the thumbnails of faces are loaded, or cannot be. */
  async loaded(faces) {
    const urls = new Set(faces.map((face) => this.spriteOf(face)?.url).filter(Boolean));
    await Promise.allSettled([...urls].map((url) => Object.assign(new Image(), { src: url }).decode()));
  }

  /** Load thumbnails that will be needed soon. */
  prefetch(faces) {
    for (const face of faces) {
      const url = this.spriteOf(face)?.url;
      if (!url) continue;
      const image = this.ahead.get(url) ?? Object.assign(new Image(), { src: url });
      this.ahead.delete(url);
      this.ahead.set(url, image);
      if (this.ahead.size > KEPT_SPRITES) this.ahead.delete(this.ahead.keys().next().value);
    }
  }
}

const SPRITE_FACES = 128; // as faceindex.export.gallery_layout.MAX_FACES

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** The index of the first face of each sprite. */
function firstFaces(sprites) {
  let next = 0;
  return sprites.map(([, count]) => (next += count) - count);
}

/** The end of the path of a moment of a video, such as film.mp4/0:01:23.480.jpg. */
const MOMENT = /[/](\d{1,2}:[0-5]\d:[0-5]\d)[.]\d{3}[.]jpg$/;
const atMoment = (name) => name.replace(MOMENT, " at $1");

/** A path as part of a URL; undecodable bytes are percent-encoded. */
function encodedPath(path) {
  return path.split("/").map((part) => [...part].map((letter) => {
    const code = letter.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `%${(code - 0xdc00).toString(16)}`;
    return code >= 0xd800 && code <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(letter);
  }).join("")).join("/");
}
