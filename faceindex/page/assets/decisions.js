// The decisions of a gallery: an ordered list, kept in the browser until they are saved as a file.

/**
 * A decision.
 * @typedef {{uid: string, at: string, number: number, action: object, personId: number | undefined, personUid: string, command: string,
 *   line: object | null, inverse: object, saved: boolean, undone: boolean, undoes: string | undefined}} Kept
 *   `line`: what the journal has of it; `undoes`: the uid of a decision of a file that was saved before
 */

class Decisions {
  /** @param config @param {{album: Album, places: Places}} source whose album has all decisions */
  constructor(config, source) {
    Object.assign(this, { config, source });
    this.kept = []; // the oldest first
    this.older = []; // unsaved ones of earlier versions of this gallery, as {key, entry}: they are only saved
    this.number = 0; // of the newest decision of this page
    this.generation = 0;
    this.real = new Map(); // ids of people that the page made -> their ids here
    this.linked = new Set(config.linked); // faces that were said to be the same person
    this.store = new DecisionStore(config);
    this.listeners = new Set();
    this.sorted = []; // {uid of the answer, faces} whose people the user can name
    this.restore();
  }

  get album() { return this.source.album; }
  get places() { return this.source.places; }

  /** Questions that were answered, by their ids. */
  get answered() { return new Set(this.kept.filter(({ undone, action }) => !undone && action.do === "answer").map(({ action }) => action.question)); }
  /** Decisions that a file would have. */
  get listed() { return this.kept; }
  get unsaved() { return this.kept.filter(({ saved }) => !saved).length + this.older.length; }
  /** Decisions that count, without those that were taken back. */
  get count() { return this.kept.filter(({ undone, action }) => !undone && action.do !== "undo").length; }

  /** What undo would take back; null if there is nothing. */
  get last() { return this.kept.findLast(({ undone, action }) => !undone && action.do !== "undo") ?? null; }

  state() { return { generation: this.generation, decision: this.number, undo: this.last?.command ?? null }; }

  /** Carry out an action of the page; as `LiveSource.act`. */
  act(sent, action) {
    if (sent.do === "undo") return this.undo(sent, action);
    const clean = this.resolved({ ...sent, as: action.as });
    for (const name of ["seen", "own", "id"]) delete clean[name];
    const { freeId } = this;
    const uids = peopleIn(clean).map((id) => [id, this.album.people.get(id)?.uid]);
    const entry = { uid: action.id, at: new Date().toISOString().replace("Z", "+00:00"), action: clean, personId: freeId, personUid: action.personUid, uids };
    const before = this.album.people;
    const changes = this.carryOut(entry);
    this.sortOut(entry);
    if (this.album.people.has(freeId) && !before.has(freeId) && action.personId !== undefined) this.real.set(action.personId, freeId);
    if (!entry.line) return { decided: null, changes: { ...changes, ...this.state() } };
    this.store.keep(entry);
    this.tell();
    const people = clean.name ? [clean.name] : [];
    return { decided: { number: entry.number, command: entry.command, faces: changes.faces.face.length, moved: 0, people }, changes: { ...changes, ...this.state() } };
  }

  /** Change the album and the list; returns the changes. Throws what the index would refuse. */
  carryOut(entry) {
    const { album } = this;
    const { action } = entry;
    const actions = new JournalWriter(album, this.places, this.linked, !this.config.private).actions(action, entry);
    const command = actions.length ? commandOf(album, action) : "";
    const changes = effectOf(album, action, { personId: entry.personId, personUid: entry.personUid });
    const inverse = inverseOf(album, changes);
    album.apply(changes);
    this.generation++;
    if (!actions.length) return changes;
    for (const each of [action, ...(action.as ?? [])]) if (each.do === "same" || each.do === "split") for (const face of each.faces) this.linked.add(face);
    entry.number ??= this.number + 1;
    this.number = Math.max(this.number, entry.number);
    Object.assign(entry, { command, inverse, undone: false, saved: entry.saved ?? false });
    entry.line ??= { id: entry.uid, at: entry.at, command, actions };
    this.kept.push(entry);
    return changes;
  }

  /** Take the newest decision back: off the list, or, if a file has it, by a line that undoes it. */
  undo({ number }, action) {
    const { last } = this;
    if (!last || ![undefined, null, last.number, this.number].includes(number)) {
      throw new Problem("conflict", { problem: WORDS.gallery.notNewest, changes: { ...this.state(), faces: { face: [], cluster: [], person: [], label: [] } } });
    }
    const changes = last.inverse;
    this.album.apply(changes);
    this.generation++;
    this.number++;
    last.undone = true;
    if (last.saved) {
      const at = new Date().toISOString().replace("Z", "+00:00");
      const entry = { uid: action.id ?? newUid(), at, number: this.number, action: { do: "undo" }, undoes: last.uid, saved: false, undone: false, inverse: null, command: `people undo  # ${last.command}` };
      entry.line = { id: entry.uid, at, command: entry.command, actions: [{ do: "undo", decision: last.uid }] };
      this.kept.push(entry);
      this.store.keep(last);
      this.store.keep(entry);
    } else {
      this.kept.splice(this.kept.indexOf(last), 1);
      this.store.drop(last);
    }
    this.tell();
    return { decided: { number: null, command: last.command, faces: changes.faces.face.length, moved: 0, people: [] }, changes: { ...changes, ...this.state() } };
  }

  /** An action with the ids of this album in place of those that the page made. */
  resolved(action) {
    return withPeople(action, (id) => this.real.get(id) ?? id);
  }

  /** An id for the next person. */
  get freeId() { return Math.max(0, ...this.album.people.keys()) + 1; }

  /** Give a kept decision the ids of this album: another tab may have made decisions with the same ones. */
  renumber(entry) {
    const ids = new Map([...this.album.people.values()].map(({ id, uid }) => [uid, id]));
    const uids = new Map(entry.uids ?? []);
    entry.action = withPeople(entry.action, (id) => ids.get(uids.get(id)) ?? id);
    entry.personId = this.freeId;
  }

  /** Of "can you name any of these?", the faces that are not of strangers are asked about one by one. */
  sortOut({ uid, line, action }) {
    if (action.do !== "answer" || action.reply === "no" || action.reply === "ignore") return;
    const question = this.config.questions.find(({ id, kind }) => kind === "anyone" && id === action.question);
    if (question) this.sorted.push({ uid: line ? uid : null, faces: question.faces.filter((face) => !action.wrong?.includes(face)) });
  }

  sortedOut() {
    const there = new Set(this.kept.filter(({ undone }) => !undone).map(({ uid }) => uid));
    return this.sorted.filter(({ uid }) => uid === null || there.has(uid)).flatMap(({ faces }) => faces)
      .map((face) => ({ id: `who-${face}`, kind: "who", person: null, cluster: null, other: null, faces: [face], others: [], settles: 1, expected: 1, probability: null }));
  }

  // Keeping and saving ------------------------------------------------------------------------

  /** Make again what this browser has kept. */
  restore() {
    const { own, older } = this.store.read();
    this.older = older;
    for (const entry of own) {
      try {
        const { saved, undone } = entry;
        if (entry.action.do === "undo") {
          this.kept.push({ ...entry, inverse: null });
          this.number = Math.max(this.number, entry.number);
          continue;
        }
        this.renumber(entry);
        this.carryOut(entry);
        this.sortOut(entry);
        Object.assign(entry, { saved });
        if (undone) {
          this.album.apply(entry.inverse);
          entry.undone = true;
        }
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (!entry.saved && entry.line) this.older.push({ entry }); // it is still saved
      }
    }
  }

  /** The file of all decisions. */
  text() {
    const { index, seen } = this.config;
    const older = this.older.map(({ entry }) => entry);
    // The oldest state that a decision was made on sight of counts for the whole file.
    const header = { schema: JOURNAL_SCHEMA, written: new Date().toISOString().replace("Z", "+00:00"), index, seen: older.length ? older[0].seen ?? null : seen };
    return [header, ...older.map(({ line }) => line), ...this.kept.map(({ line }) => line)].map((line) => `${JSON.stringify(line)}\n`).join("");
  }

  /** All of them are in a file. */
  markSaved() {
    for (const entry of this.kept) {
      entry.saved = true;
      this.store.keep(entry);
    }
    for (const { entry, key } of this.older) this.store.drop(entry, key);
    this.older = [];
    this.tell();
  }

  onChange(listener) { this.listeners.add(listener); }
  tell() { for (const listener of this.listeners) listener(); }
}

/** The ids of the people that an action names. */
function peopleIn({ person, into, others = [], as = [] }) {
  return [person, into, ...others, ...as.flatMap(peopleIn)].filter((id) => id !== undefined && id !== null);
}

/** An action with other ids of people, and without fields that are undefined. */
function withPeople(action, idOf) {
  const found = { ...action };
  for (const name of ["person", "into"]) if (found[name] !== undefined && found[name] !== null) found[name] = idOf(found[name]);
  if (found.others) found.others = found.others.map(idOf);
  if (found.as) found.as = found.as.map((each) => withPeople(each, idOf));
  for (const [name, value] of Object.entries(found)) if (value === undefined) delete found[name];
  return found;
}

/** Decisions in the storage of the browser, if it has one: one entry each, by the index and the version of the gallery. */
class DecisionStore {
  constructor({ index, write, seen }) {
    this.prefix = `faceindex/${index}/`;
    this.own = `${this.prefix}${write}/`;
    this.seen = seen;
    this.works = true; // whether the newest decision is kept
  }

  keep(entry) {
    const { inverse, ...kept } = entry;
    const key = this.own + entry.uid;
    kept.seen = this.seen;
    try {
      localStorage.setItem(key, JSON.stringify(kept));
      this.works = true;
    } catch {
      this.works = false; // there is no storage, or it is full
    }
  }

  drop(entry, key = this.own + entry.uid) {
    try {
      localStorage.removeItem(key);
    } catch {
      this.works = false;
    }
  }

  /** {own: entries of this version, older: [{key, entry}] unsaved ones of other versions}, the oldest first. */
  read() {
    const found = { own: [], older: [] };
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const key = localStorage.key(i);
        if (!key.startsWith(this.prefix)) continue;
        const entry = keptEntry(localStorage.getItem(key));
        if (!entry) continue;
        if (key.startsWith(this.own)) found.own.push(entry);
        else if (!entry.saved && entry.line) found.older.push({ key, entry });
      }
    } catch {
      this.works = false;
    }
    found.own.sort((a, b) => a.number - b.number);
    found.older.sort((a, b) => (a.entry.at < b.entry.at ? -1 : 1));
    return found;
  }
}

/** An entry of the storage; null if it is not one. */
function keptEntry(text) {
  try {
    const entry = JSON.parse(text);
    const isAction = entry.action.do === "undo" || Object.hasOwn(WRITES, entry.action.do);
    return isAction && /^[0-9a-f]{32}$/.test(entry.uid) && Number.isInteger(entry.number) && typeof entry.line?.id === "string" ? entry : null;
  } catch {
    return null;
  }
}
