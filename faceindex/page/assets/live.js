// The index behind `faceindex review`, by requests to its server. `StaticSource` has the same methods.

/** What could not be done. `kind`: "conflict", "busy", "refused" or "gone" (the server has ended). */
class Problem extends Error {
  constructor(kind, { problem, remedy = "", changes = null, holder = null }) {
    super(remedy ? `${problem} ${remedy}` : problem);
    Object.assign(this, { kind, problem, remedy, changes, holder });
  }
}

const KINDS = { 401: "gone", 403: "gone", 404: "gone", 409: "conflict", 421: "gone", 423: "busy" }; // "gone": another server answers at this address
const MOST_THUMBNAILS = 4000; // kept in memory, 3 kB each
const AT_ONCE = 64; // thumbnails in a request
const MOST_WANTED = 768; // thumbnails that wait; those that were scrolled past are dropped
const REQUESTS = 3; // of thumbnails, at the same time
// With the URL of a Blob, the page waits for the browser's main process, some milliseconds for each picture; with the picture in
// the URL, the browser keeps it for long.
const AT_FIRST = 128; // pictures of the first screen
const PICTURES_AGAIN = 2000; // milliseconds until thumbnails that did not come are asked for again

class LiveSource {
  /**
   * @param {{secret: string}} config
   * @param {{album: Promise<ArrayBuffer | null>, covers?: Promise<Response | null>}} early what was asked for before, see early.js
   */
  constructor(config, early) {
    this.secret = config.secret;
    this.early = early;
    /** What this source can do beside naming. */
    this.can = { identify: true, addFace: true, split: true, why: true, questions: true, save: false };
    this.thumbnails = new Map(); // face id -> {url, waiting: [elements], none: whether it has no picture}; the least recently used first
    this.wanted = [];
    this.requests = 0;
    this.pictures = 0; // that came
    this.fill = oncePerTask(() => this.requestThumbnails());
    this.coversNamed = !early.covers; // until then, a request could ask for the same pictures again
    early.covers?.then((answer) => {
      this.coversNamed = true;
      if (answer) this.takeCovers(answer);
      this.fill();
    });
  }

  // Requests ----------------------------------------------------------------------------------

  async request(path, options = {}) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: { "faceindex-page": this.secret, ...options.headers } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("gone", WORDS.problems.gone);
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({ problem: WORDS.problems.unexpected(response.status) }));
    throw new Problem(KINDS[response.status] ?? "refused", answer);
  }

  json(path, options) { return this.body(path, "json", options); }

  /** The body of an answer, read by one of the methods of `Response`. */
  async body(path, kind, options) {
    const response = await this.request(path, options);
    try {
      return await response[kind]();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("gone", WORDS.problems.gone); // in the middle of an answer
    }
  }

  /** The bundle of all arrays. */
  async load() {
    for (const [face, { none }] of this.thumbnails) if (none) this.thumbnails.delete(face); // photos may be there again
    const { album } = this.early;
    this.early.album = null; // the arrays are large: they end with the album that has them
    return readBundle((await album) ?? (await this.body("api/album", "arrayBuffer")));
  }

  /** Wait for changes by others since a generation, for at most some seconds, half a minute or less. */
  changes(since, signal, wait = 25) { return this.json(`api/changes?since=${since}&wait=${wait}`, { signal }); }

  /** Store an action; resolves to {decided, changes}. */
  act(action) {
    return this.json("api/act", { method: "POST", body: JSON.stringify(action), headers: { "content-type": "application/json" } });
  }

  questions(limit, seen) { return this.json(`api/questions?limit=${limit}&seen=${seen}`); }
  split(query) { return this.json(`api/split?${new URLSearchParams(query)}`); }
  why(face) { return this.json(`api/why?face=${face}`); }

  /** The details of a photo, by its id. */
  photo(id) { return this.json(`api/photo?id=${id}`); }
  /** URLs of a photo to try in their order; `side` in pixels, or null for its full size. */
  photoUrls(id, side) { return [`photo?id=${id}${side ? `&side=${side}` : ""}`]; }
  /** A small rendition of a photo as a Blob. Only this source has it: from disk, the whole file would be loaded. */
  picture(id, side) { return this.body(`photo?id=${id}&side=${side}`, "blob"); }
  /** Why a URL of a photo cannot be shown: a text, or null. */
  async photoProblem(url) {
    try {
      await this.request(url);
      return null;
    } catch (problem) {
      return problem.message;
    }
  }
  /** Ids of photos whose name contains all words. */
  async searchPhotos(words, limit = 500) {
    return (await this.json(`api/search?${new URLSearchParams({ words, limit })}`)).photos;
  }
  /** Who is on a picture: a Blob. */
  identify(picture) { return this.json("api/identify", { method: "POST", body: picture, headers: { "content-type": "application/octet-stream" } }); }

  // Thumbnails --------------------------------------------------------------------------------

  /** Show the thumbnail of a face (an id) as the background of an element. */
  paint(element, face) {
    element.dataset.thumbnail = face;
    const known = this.thumbnails.get(face);
    if (known?.url) {
      this.thumbnails.delete(face); // the most recently used is the last one
      this.thumbnails.set(face, known);
      element.style.backgroundImage = `url("${known.url}")`;
      element.style.backgroundSize = "cover";
      element.classList.remove("no-picture");
      return;
    }
    element.style.backgroundImage = "";
    element.classList.toggle("no-picture", Boolean(known?.none));
    if (known?.none) return;
    if (known) {
      known.waiting.push(element);
      const waits = this.wanted.lastIndexOf(face); // it was to come later, but is on the screen now
      if (waits >= 0) this.wanted.splice(waits, 1);
      if (waits >= 0) this.wanted.push(face);
    } else {
      this.thumbnails.set(face, { waiting: [element] });
      this.wanted.push(face);
    }
    this.fill();
  }

  /** Load thumbnails that will be needed soon, after those that are needed now. */
  prefetch(faces) {
    const later = [...faces].filter((face) => !this.thumbnails.has(face));
    for (const face of later) this.thumbnails.set(face, { waiting: [] });
    this.wanted.unshift(...later.reverse());
    this.fill();
  }

  async requestThumbnails() {
    if (!this.coversNamed || this.requests >= REQUESTS || !this.wanted.length) return;
    if (this.wanted.length > MOST_WANTED) {
      const shown = (face) => this.thumbnails.get(face)?.waiting.some((element) => element.isConnected);
      const [kept, past] = [[], []];
      for (const face of this.wanted.slice(0, -MOST_WANTED)) (shown(face) ? kept : past).push(face);
      for (const face of past) this.thumbnails.delete(face);
      this.wanted = [...kept, ...this.wanted.slice(-MOST_WANTED)];
    }
    // The newest are on the screen now; what was scrolled past comes last.
    const faces = this.wanted.splice(-AT_ONCE);
    if (this.wanted.length) this.fill();
    await this.receive(faces, this.request(`thumbnails?faces=${faces.join(",")}`));
  }

  /** Take the pictures that the server chose: of the people who are shown first. */
  takeCovers(answer) {
    const faces = (answer.headers.get("faceindex-faces") ?? "").split(",").filter(Boolean).map(Number);
    for (const face of faces) if (!this.thumbnails.has(face)) this.thumbnails.set(face, { waiting: [] });
    this.wanted = this.wanted.filter((face) => !faces.includes(face));
    return this.receive(faces, answer);
  }

  /** Take the pictures of faces from an answer, as they come. */
  async receive(faces, answer) {
    this.requests++;
    try {
      await readPictures((await answer).body, (face, bytes) => this.arrived(face, bytes));
    } catch {
      // Those that did not come are asked for again.
    } finally {
      this.requests--;
      const missed = faces.map((face) => [face, this.thumbnails.get(face)]).filter(([, entry]) => entry && !entry.url && !entry.none);
      for (const [face] of missed) this.thumbnails.delete(face);
      const shown = missed.flatMap(([face, { waiting }]) => waiting.map((element) => [element, face]));
      if (shown.length) setTimeout(() => this.paintAgain(shown), PICTURES_AGAIN);
      if (this.wanted.length) this.fill();
    }
  }

  /** Paint elements that are still there, and are still to show the same faces. */
  paintAgain(shown) {
    for (const [element, face] of shown) if (element.isConnected && element.dataset.thumbnail === String(face)) this.paint(element, face);
  }

  arrived(face, bytes) {
    const entry = this.thumbnails.get(face);
    if (!entry) return;
    if (!bytes.length) {
      entry.none = true;
      for (const element of entry.waiting.splice(0)) if (element.dataset.thumbnail === String(face)) element.classList.add("no-picture");
      return;
    }
    this.pictures++;
    entry.url = this.pictures <= AT_FIRST ? dataUrl(bytes) : URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    for (const element of entry.waiting.splice(0)) if (element.dataset.thumbnail === String(face)) this.paint(element, face);
    if (this.thumbnails.size > MOST_THUMBNAILS) {
      for (const [old, { url, none }] of this.thumbnails) {
        if (this.thumbnails.size <= MOST_THUMBNAILS) break;
        if (!url && !none) continue;
        if (url?.startsWith("blob:")) URL.revokeObjectURL(url);
        this.thumbnails.delete(old);
      }
    }
  }
}

/** A small JPEG as a URL that has the picture in it. */
function dataUrl(bytes) { return `data:image/jpeg;base64,${bytes.toBase64?.() ?? btoa(String.fromCharCode(...bytes))}`; }

/** Read pictures from a stream: u32 face, u32 length and the bytes of each. */
async function readPictures(stream, onPicture) {
  const reader = stream.getReader();
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const data = new Uint8Array(rest.length + value.length);
    data.set(rest);
    data.set(value, rest.length);
    const view = new DataView(data.buffer);
    let at = 0;
    while (at + 8 <= data.length) {
      const length = view.getUint32(at + 4, true);
      if (at + 8 + length > data.length) break;
      onPicture(view.getUint32(at, true), data.slice(at + 8, at + 8 + length));
      at += 8 + length;
    }
    rest = data.slice(at);
  }
}
