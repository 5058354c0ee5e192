// All faces and photos of the index as typed arrays, and the groups that they form.
//
// A *position* is an index into the arrays of faces (sorted by face id) or of photos. A *key* names a group:
// "p12" a person, "c7" a cluster without a person, "none" the faces in no cluster, "ignored" strangers and what
// is not a face. `Album` knows nothing of elements and requests.

const LABEL = { NOTHING: 0, NAMED: 1, CONFIRMED: 2, STRANGER: 3, NOT_A_FACE: 4 }; // as faceindex.store.decisions.Label
const NO_SIMILARITY = -32768;
const NEW_CLUSTER = 1_000_000_000; // ids from here on are of clusters that the index has not numbered yet
const POOR = 0.3; // as faceindex.quality.POOR_QUALITY

class Group {
  /**
   * @param {string} key
   * @param {Uint32Array} order positions of the faces of all groups
   * @param {number} start where those of this group begin, ascending
   * @param {number} size
   */
  constructor(key, order, start, size) {
    this.key = key;
    this.order = order;
    this.start = start;
    this.size = size;
    this.coverFace = undefined;
  }
  /** Positions of its faces, ascending. */
  get faces() { return this.order.subarray(this.start, this.start + this.size); }
  /** The position of its first face. */
  get first() { return this.order[this.start]; }
  /** The id of the person or cluster. */
  get id() { return Number(this.key.slice(1)); }
  get isPerson() { return this.key[0] === "p"; }
  get isCluster() { return this.key[0] === "c"; }
}

class Album {
  /** @param bundle from `readBundle` */
  constructor(bundle) {
    this.listeners = new Set();
    this.batched = null;
    this.load(bundle);
  }

  /** Replace everything. */
  load({ header, columns }) {
    this.header = header;
    this.generation = header.generation;
    this.decision = header.decision;
    this.undoText = header.undo;
    this.undoNumber = header.undo_number ?? null;
    this.clustered = header.clustered;
    this.newerFaces = header.newer_faces;
    this.face = columns.face;
    this.facePhoto = columns.face_photo;
    this.cluster = columns.cluster.slice();
    this.person = columns.person.slice();
    this.label = columns.label.slice();
    this.similarity = columns.similarity.slice();
    this.quality = columns.quality;
    this.photo = columns.photo;
    this.taken = columns.taken;
    this.box = columns.box ?? null; // x1 y1 x2 y2 of each face; only in a gallery
    this.setPeople(header.people);
    this.clusterPerson = new Map(header.cluster_person);
    this.photoOrder = this.photoRank = this.photoStarts = this.photoFaces = null;
    this.grouped = null;
  }

  get faces() { return this.face.length; }
  get photos() { return this.photo.length; }

  setPeople(people) {
    this.people = new Map(people.map((person) => [person.id, person]));
    this.byName = new Map(people.filter(({ name }) => name).map((person) => [nameKey(person.name), person]));
  }

  /** Call `listener(changes)` after each change; returns a function that ends this. */
  onChange(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Take over changes (`api/changes`), without those of the whole arrays (`reload`). */
  apply(changes) {
    const { faces } = changes;
    for (let i = 0; i < (faces?.face.length ?? 0); i++) {
      const at = this.find(faces.face[i]);
      if (at < 0) continue;
      this.cluster[at] = faces.cluster[i];
      this.person[at] = faces.person[i];
      this.label[at] = faces.label[i];
      if (faces.similarity) this.similarity[at] = faces.similarity[i];
    }
    if (changes.people) this.setPeople(changes.people);
    if (changes.cluster_person) this.clusterPerson = new Map(changes.cluster_person);
    for (const [from, to] of [["generation", "generation"], ["decision", "decision"], ["undo", "undoText"], ["undo_number", "undoNumber"], ["newer_faces", "newerFaces"]]) {
      if (changes[from] !== undefined) this[to] = changes[from];
    }
    this.grouped = null;
    if (this.batched) this.batched.push(changes);
    else for (const listener of this.listeners) listener(changes);
  }

  /** Call the listeners once for all that a function applies. */
  batch(work) {
    if (this.batched) return void work();
    const all = this.batched = [];
    try {
      work();
    } finally {
      this.batched = null;
    }
    if (!all.length) return;
    const faces = rowsOf(this, new Set(all.flatMap((changes) => changes.faces?.face ?? [])));
    const changes = { generation: this.generation, decision: this.decision, undo: this.undoText, undo_number: this.undoNumber, newer_faces: this.newerFaces, faces };
    if (all.some(({ people }) => people)) changes.people = [...this.people.values()];
    if (all.some(({ cluster_person: links }) => links)) changes.cluster_person = [...this.clusterPerson];
    for (const listener of this.listeners) listener(changes);
  }

  /** The position of a face by its id; -1 if it is not there. */
  find(id) { return findSorted(this.face, id); }
  /** The position of a photo by its id; -1 if it is not there. */
  findPhoto(id) { return findSorted(this.photo, id); }

  // Groups ------------------------------------------------------------------------------------

  /** The key of the group of a face. */
  keyOf(at) {
    const label = this.label[at];
    if (label === LABEL.STRANGER || label === LABEL.NOT_A_FACE) return "ignored";
    if (this.person[at] !== -1) return `p${this.person[at]}`;
    return this.cluster[at] >= 0 ? `c${this.cluster[at]}` : "none";
  }

  /** Groups by their keys, in the order of their first faces; made when they are needed. */
  get groups() { return (this.grouped ??= this.regroup()); }

  regroup() {
    const { faces: n, label: labels, person: people, cluster: clusters } = this;
    const few = 4 * n + 1024; // ids below are looked up in an array, others (which the page gave) in a map
    const known = new Int32Array(few); // code -> slot + 1
    const others = new Map(); // likewise
    const slot = new Uint32Array(n);
    const sizes = [];
    const codes = []; // 0 no group, 1 nobody; then even codes are people, odd ones clusters
    for (let at = 0; at < n; at++) {
      const label = labels[at];
      const code = label === LABEL.STRANGER || label === LABEL.NOT_A_FACE ? 1
        : people[at] !== -1 ? people[at] * 2 + 2 : clusters[at] >= 0 ? clusters[at] * 2 + 3 : 0;
      const isKnown = code >= 0 && code < few;
      let found = isKnown ? known[code] : others.get(code) ?? 0;
      if (!found) {
        codes.push(code);
        sizes.push(0);
        found = codes.length;
        if (isKnown) known[code] = found;
        else others.set(code, found);
      }
      slot[at] = found - 1;
      sizes[found - 1]++;
    }
    const order = new Uint32Array(n);
    const next = new Uint32Array(sizes.length);
    for (let i = 1; i < sizes.length; i++) next[i] = next[i - 1] + sizes[i - 1];
    const starts = next.slice();
    for (let at = 0; at < n; at++) order[next[slot[at]]++] = at;
    const groups = new Map();
    codes.forEach((code, i) => {
      const key = code === 0 ? "none" : code === 1 ? "ignored" : code % 2 === 0 ? `p${code / 2 - 1}` : `c${(code - 3) / 2}`;
      groups.set(key, new Group(key, order, starts[i], sizes[i]));
    });
    return groups;
  }

  group(key) { return this.groups.get(key) ?? null; }

  /** Positions of the faces of a group. */
  facesOf(key) { return this.groups.get(key)?.faces ?? new Uint32Array(0); }

  /** People and clusters, largest first. @param {{hidden?: boolean}} options with hidden people too */
  list({ hidden = false } = {}) {
    return [...this.groups.values()]
      .filter((group) => (group.isPerson ? hidden || !this.people.get(group.id)?.hidden : group.isCluster))
      .sort((a, b) => b.size - a.size || collator().compare(a.key, b.key));
  }

  /** The name of a person, or "Cluster 7". */
  title(key) {
    if (key === "none") return WORDS.groups.none;
    if (key === "ignored") return WORDS.groups.ignored;
    if (key[0] === "p") return readable(this.people.get(Number(key.slice(1)))?.name ?? WORDS.groups.unknown);
    return Number(key.slice(1)) >= NEW_CLUSTER ? WORDS.groups.newCluster : WORDS.groups.cluster(key.slice(1));
  }

  /** The clusters of a person, largest first, as [id, faces]. */
  clustersOf(person) {
    const sizes = new Map();
    for (const at of this.facesOf(`p${person}`)) sizes.set(this.cluster[at], (sizes.get(this.cluster[at]) ?? 0) + 1);
    sizes.delete(-1);
    return [...sizes].sort((a, b) => b[1] - a[1]);
  }

  /** The face that shows a group: of its typical half the best one (faceindex.clustering.overview.cover_faces). */
  cover(group) {
    group.coverFace ??= this.bestTypical(group.faces);
    return group.coverFace;
  }

  /** Of the more similar half of faces the one of the best quality; of equals the most similar one, then the first one. */
  bestTypical(faces) {
    const { similarity, quality } = this;
    const size = faces.length;
    const sorted = new Int16Array(size);
    for (let i = 0; i < size; i++) sorted[i] = similarity[faces[i]];
    const least = sorted.sort()[size - 1 - (size >> 1)];
    let equals = (size >> 1) + 1; // how many of those with just this similarity belong to the half
    for (let i = size - 1; i >= 0 && sorted[i] > least; i--) equals--;
    let best = -1;
    for (let i = 0; i < size; i++) {
      const at = faces[i];
      if (similarity[at] < least || (similarity[at] === least && equals-- <= 0)) continue;
      if (best < 0 || quality[at] > quality[best] || (quality[at] === quality[best] && similarity[at] > similarity[best])) best = at;
    }
    return best;
  }

  /** Positions by similarity to their cluster, the most similar first; a new array. */
  bySimilarity(positions) {
    return Uint32Array.from(positions).sort((a, b) => this.similarity[b] - this.similarity[a] || a - b);
  }

  /** The similarity of a face to its cluster, or null. */
  similarityOf(at) { return this.similarity[at] === NO_SIMILARITY ? null : this.similarity[at] / 10000; }
  /** Whether a face is blurred, dark, small or seen from the side. */
  isPoor(at) { return this.quality[at] > 0 && this.quality[at] / 255 < POOR; }
  isConfirmed(at) { return this.label[at] === LABEL.CONFIRMED; }
  takenOf(at) { return this.taken[this.facePhoto[at]]; }

  // Photos ------------------------------------------------------------------------------------

  /** Positions of the faces on a photo. */
  onPhoto(photo) {
    if (!this.photoStarts) {
      const starts = new Uint32Array(this.photos + 1);
      for (const on of this.facePhoto) starts[on + 1]++;
      for (let i = 0; i < this.photos; i++) starts[i + 1] += starts[i];
      const next = starts.slice();
      this.photoFaces = new Uint32Array(this.faces);
      for (let at = 0; at < this.faces; at++) this.photoFaces[next[this.facePhoto[at]]++] = at;
      this.photoStarts = starts;
    }
    return this.photoFaces.subarray(this.photoStarts[photo], this.photoStarts[photo + 1]);
  }

  /** All photos by capture time, those without one last. */
  get timeOrder() {
    this.photoOrder ??= Uint32Array.from(this.photo.keys()).sort((a, b) => {
      const [one, other] = [this.taken[a], this.taken[b]];
      if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other) || a - b;
      return one - other || a - b;
    });
    return this.photoOrder;
  }

  /** The photo `step` places later in time; -1 at the ends. */
  neighbour(photo, step) {
    if (!this.photoRank) {
      this.photoRank = new Uint32Array(this.photos);
      this.timeOrder.forEach((at, rank) => { this.photoRank[at] = rank; });
    }
    return this.timeOrder[this.photoRank[photo] + step] ?? -1;
  }
}

function findSorted(array, value) {
  let low = 0;
  let high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle] < value) low = middle + 1;
    else high = middle;
  }
  return array[low] === value ? low : -1;
}
