// The search box, and the people, dates and photos that it finds.

const TYPING = 150; // milliseconds without a key before the search runs
const MOST_PEOPLE = 12; // shown above the photos
const MOST_SUGGESTIONS = 7;
const MOST_NAMED = 2000; // photos found by their names
const TILE = 320; // pixels of the renditions
const TILES = { most: 240, atOnce: 4 };

/** What a text finds: {query, problem, people, mask, meant, notes, words}; `mask`, as of `Finder`, is null if they must be searched by name. */
function searchAlbum(album, text) {
  const finder = new Finder(album);
  const found = { query: null, problem: null, people: [], mask: null, meant: null, notes: [], words: null };
  const words = oneLine(text);
  let query;
  try {
    query = parseQuery(text);
  } catch (problem) {
    if (!(problem instanceof QueryError)) throw problem;
    found.problem = problem;
    if (!/[&|!]/.test(text)) found.words = words; // such as "IMG (2).jpg"
    return found;
  }
  const leaves = [...leavesOf(query)];
  const isPlain = !query.terms && (query.kind === "name" || query.kind === "date" || query.kind === "cluster");
  if (isPlain) found.words = query.kind === "name" ? query.name : words;
  try {
    finder.resolve(query);
    found.query = query;
    found.mask = finder.mask(query);
    found.meant = finder.meant(query);
  } catch (problem) {
    if (!(problem instanceof QueryError)) throw problem;
    if (query.kind !== "name") found.problem = problem; // plain words may be in the name of a photo
  }
  const keys = new Set();
  for (const [leaf, negated] of leaves) {
    if (leaf.kind === "cluster" && !negated) keys.add(`c${leaf.cluster}`);
    if (!negated) for (const id of leaf.people ?? []) keys.add(`p${id}`); // who must not be on the photos is not found
    if (leaf.guessed && leaf.people.length) found.notes.push(WORDS.search.guessed(leaf.name, leaf.people.map((id) => readable(album.people.get(id).name))));
    if (leaf.kind === "date" && /^\d{4}$/.test(leaf.text) && album.cluster.includes(Number(leaf.text))) found.notes.push(WORDS.search.yearNotCluster(leaf.text));
  }
  if (query.kind === "name") for (const id of finder.beginning(query.name)) keys.add(`p${id}`);
  found.people = [...keys].map((key) => album.group(key)).filter(Boolean);
  return found;
}

/** Positions of the photos of a mask by capture time, those without one last. */
function inTime(album, mask, newestFirst) {
  const { timeOrder, taken } = album;
  const found = timeOrder.filter((at) => mask[at]);
  if (!newestFirst) return found;
  const dated = found.findLastIndex((at) => !Number.isNaN(taken[at])) + 1;
  found.subarray(0, dated).reverse();
  return found;
}

/** For each photo of a mask, the face to show: a face of the query if there is one, else the best one; -1 for none. */
function bestFaces(album, mask, meant) {
  const best = new Int32Array(album.photos).fill(-1);
  const values = new Int16Array(album.photos).fill(-1);
  for (let at = 0; at < album.faces; at++) {
    const photo = album.facePhoto[at];
    if (!mask[photo]) continue;
    const value = (meant?.[at] ? 1000 : 0) + (isNobody(album.label[at]) ? 0 : 400) + album.quality[at];
    if (value > values[photo]) [best[photo], values[photo]] = [at, value];
  }
  return best;
}

class SearchView {
  constructor(app) {
    this.app = app;
    this.photos = []; // positions
    this.heading = make("h2", { className: "heading" });
    this.summary = make("p", { className: "summary", "aria-live": "polite" });
    this.problem = make("p", { className: "problem-text", role: "status", hidden: true });
    this.people = make("ul", { id: "found-people", "aria-label": WORDS.search.people });
    this.empty = make("p", { className: "empty", hidden: true });
    this.turn = button("", () => this.go({ order: this.route.order === "newest" ? null : "newest" }));
    this.byName = button("", () => this.go({ order: this.route.order === "names" ? null : "names" }), { hidden: true });
    const list = make("div", { className: "grid", role: "list" });
    this.root = make("section", { className: "view search-view" },
      make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary), make("div", { className: "buttons" }, this.byName, this.turn)),
      this.problem, this.people, this.empty, list);
    this.grid = new Grid(list, (photo) => this.tile(photo), (photo) => this.open(photo));
    this.tiles = new Tiles(app);
  }

  go(more) { this.app.router.replace({ ...this.route, ...more, photo: null, face: null }); }

  show(route) {
    this.route = route;
    this.run();
  }

  hide() {
    this.searching = null;
    this.tiles.stop();
  }

  changed(changes) { this.run(!changes.reload); } // after that, positions are of other photos

  /** Search, and show what is found. @param {boolean} keep the place in the grid */
  async run(keep = false) {
    const { album, source } = this.app;
    const text = this.route.query ?? "";
    this.heading.textContent = oneLine(text) ? WORDS.search.heading(readable(oneLine(text))) : WORDS.search.nothing;
    const found = searchAlbum(album, text);
    this.found = found;
    const token = (this.searching = {});
    this.showPeople(found.people);
    this.showProblem(found, text);
    let named = null; // positions of photos whose name has the words
    if (found.mask) this.showPhotos(found, null, keep);
    if (found.words) {
      if (!found.mask && !keep) this.summary.textContent = WORDS.search.searching;
      try {
        const ids = await source.searchPhotos(found.words, MOST_NAMED);
        if (this.searching !== token) return;
        named = ids.map((id) => album.findPhoto(id)).filter((at) => at >= 0);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (this.searching !== token) return;
        this.app.say(problem.message, { isProblem: true });
        if (!found.mask) this.summary.textContent = "";
        return;
      }
    }
    if (named || !found.mask) this.showPhotos(found, named, keep || Boolean(found.mask)); // the same photos, unless their names decide
    if (!found.mask && !keep) scrollTo(0, this.app.router.place);
  }

  showProblem(found, text) {
    const { problem, notes } = found;
    this.problem.hidden = !problem && !notes.length;
    this.problem.classList.toggle("is-problem", Boolean(problem));
    const place = problem && problem.at !== null ? [make("code", {}, readable(text.slice(0, problem.at)), make("mark", { textContent: readable(text.slice(problem.at)) || " " }))] : [];
    if (problem) this.problem.replaceChildren(readable(`${problem.problem} ${problem.remedy} `), ...place);
    else this.problem.textContent = notes.join(" ");
    if (problem && !oneLine(text)) this.problem.hidden = true;
  }

  showPeople(groups) {
    const { album, source } = this.app;
    this.people.hidden = !groups.length;
    this.people.replaceChildren(...groups.slice(0, MOST_PEOPLE).map((group) => {
      const thumb = make("span", { className: "thumb" });
      source.paint(thumb, album.face[album.cover(group)]);
      return make("li", {}, make("a", { href: Router.group(group.key) }, thumb, make("span", { className: "name", textContent: album.title(group.key) }),
        make("span", { className: "about", textContent: WORDS.people.faces(group.size) })));
    }), ...(groups.length > MOST_PEOPLE ? [make("li", { className: "more", textContent: WORDS.search.more(groups.length - MOST_PEOPLE) })] : []));
  }

  showPhotos(found, named, keep) {
    const { album } = this.app;
    const { order } = this.route;
    const byName = Boolean(named) && (order === "names" || !found.mask);
    const wanted = byName ? new Uint8Array(album.photos) : found.mask;
    if (byName) for (const at of named) wanted[at] = 1;
    const shown = wanted ? inTime(album, wanted, order === "newest") : new Uint32Array(0);
    this.best = wanted ? bestFaces(album, wanted, found.meant) : null;
    this.photos = shown;
    this.byName.hidden = !named || !found.mask || (!byName && !named.length);
    this.byName.textContent = byName ? WORDS.search.showing(named.length) : WORDS.search.named(named?.length ?? 0);
    this.byName.setAttribute("aria-pressed", String(byName));
    this.turn.hidden = shown.length < 2 || byName;
    this.turn.textContent = order === "newest" ? WORDS.search.oldest : WORDS.search.newest;
    this.summary.textContent = byName ? WORDS.search.photosNamed(shown.length, found.words) : found.problem ? "" : WORDS.search.photos(shown.length, found.people.length);
    this.empty.hidden = shown.length > 0 || found.people.length > 0 || Boolean(found.problem && oneLine(this.route.query ?? ""));
    this.empty.textContent = oneLine(this.route.query ?? "") ? WORDS.search.none : WORDS.search.how;
    const size = { minWidth: PHONE.matches ? 104 : 150, maxWidth: 220, captionHeight: 24 };
    if (keep) this.grid.update(shown, size);
    else this.grid.show(shown, size);
  }

  tile(photo) {
    const { album } = this.app;
    const thumb = make("span", { className: "thumb" });
    const faces = album.onPhoto(photo).length;
    const date = dateText(album.taken[photo]) || WORDS.search.undated;
    this.tiles.paint(thumb, photo, this.best[photo]);
    return make("button", { type: "button", className: "card photo-tile", "aria-label": `${date}, ${WORDS.people.faces(faces)}`, dataset: faces > 1 ? { faces: number(faces) } : {} },
      thumb, make("span", { className: "about", textContent: date }));
  }

  /** Focus the tile of the face whose photo was open. */
  focusFace(at) {
    const index = this.photos.indexOf(this.app.album.facePhoto[at]);
    if (index >= 0) this.grid.focus(index);
  }

  /** The arrow keys of the viewer move through the best face of each photo. */
  open(photo) {
    const face = this.best[photo];
    this.app.openPhoto(face >= 0 ? face : { photo }, this.viewerList());
  }

  viewerList() { return Int32Array.from(this.photos, (at) => this.best[at]).filter((at) => at >= 0); }
}

/** Tiles of photos: the face at once, the photo itself when there is time. */
class Tiles {
  constructor(app) {
    this.app = app;
    this.images = new Map(); // photo id -> object URL or null
    this.wanted = []; // {element, id}
    this.loading = 0;
  }

  paint(element, photo, face) {
    const { album, source } = this.app;
    const id = album.photo[photo];
    const known = this.images.get(id);
    if (known) return this.put(element, known);
    if (face >= 0) source.paint(element, album.face[face]);
    if (!source.picture || known === null) return;
    this.wanted.push({ element, id });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fill(), 200); // not while the user scrolls past
  }

  put(element, url) {
    delete element.dataset.thumbnail; // the face must not come back
    element.style.backgroundImage = `url("${url}")`;
    element.style.backgroundSize = "cover";
    element.style.backgroundPosition = "center 30%";
  }

  fill() {
    this.wanted = this.wanted.filter(({ element }) => element.isConnected);
    while (this.loading < TILES.atOnce && this.wanted.length) this.load(this.wanted.shift());
  }

  async load({ element, id }) {
    this.loading++;
    try {
      let url = this.images.get(id);
      if (url === undefined) {
        url = URL.createObjectURL(await this.app.source.picture(id, TILE));
        this.images.set(id, url);
      }
      if (url && element.isConnected) this.put(element, url);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.images.set(id, null); // the face stays
    } finally {
      this.loading--;
    }
    for (const [old, url] of this.images) {
      if (this.images.size <= TILES.most) break;
      if (url) URL.revokeObjectURL(url);
      this.images.delete(old);
    }
    this.fill();
  }

  stop() {
    this.wanted = [];
    clearTimeout(this.timer);
  }
}
