// Decisions: shown at once, then stored one after the other. The page never waits for the index.

const RETRY = { first: 250, most: 2000 }; // milliseconds between attempts while another program writes
const MOST_INVERSES = 20;
const PAGE_ONLY = ["personUid", "personId", "newCluster", "as", "part"]; // fields of an action that are not sent

/**
 * A decision that is not stored yet.
 * @typedef {{action: object, text: string, inverse: object, seen: number, own: number[], late: boolean, sent: boolean, after: Entry | null,
 *   undoes: object | null, failed: boolean, result: object | null, resolve: function}} Entry
 *   `seen`: the generation that the page showed; `late`: whether others decided since; `own`: numbers of the page's own decisions since
 *   then; `sent`: whether the index may have it; `after`: what an undo takes back; `undoes`: the changes that this makes
 */

class Actions {
  /**
   * @param {Album} album
   * @param source
   * @param {{saving(count), busy(problem|null), problem(problem, again), shown(action, faces), stored(result, action), undone(text, result),
   *   reload(): Promise}} report what the page shows of it; `again` makes the decision in spite of a conflict
   */
  constructor(album, source, report) {
    Object.assign(this, { album, source, report });
    this.pending = []; // entries, the oldest first
    this.sending = false;
    this.nextPerson = -2; // ids of people that the index has not numbered yet
    this.made = new Map(); // those ids -> names
    this.numbered = new Map(); // those ids -> ids of the index
    this.clusters = new Map(); // ids of clusters that the page made -> those of the index
    this.inverses = new Map(); // numbers of own decisions -> the changes that take them back
    this.gaps = 0; // numbers of the journal that own decisions used up since the last one, because they said nothing new
    this.texts = new Map(); // command of a decision of this page -> what the page calls it
    addEventListener("beforeunload", (event) => { if (this.pending.length) event.preventDefault(); });
  }

  /** Number of decisions that are not stored yet. */
  get unsaved() { return this.pending.filter(isDecision).length; }

  /** Whether there is anything to take back. */
  get canUndo() { return this.unsaved > 0 || Boolean(this.album.undoText); }

  /**
   * Make a decision: `{do: verb, ...}` as in api/act; people by id, faces by id.
   * Resolves to {decided, changes} once it is stored, and to null if it could not be, or was taken back before.
   */
  do(action) {
    const full = { id: newUid(), personUid: newUid(), personId: this.nextPerson--, ...action };
    return new Promise((resolve) => {
      const isUndo = full.do === "undo";
      const after = isUndo ? this.pending.findLast(isDecision) ?? null : null;
      if (isUndo && !after) full.number ??= this.album.undoNumber ?? this.album.decision;
      const entry = {
        action: full, text: isUndo ? this.undoText : "", inverse: null, seen: this.album.generation, own: [], late: false, sent: false, after,
        undoes: !after ? this.inverses.get(full.number) ?? null : after.action.do === "undo" ? NO_CHANGES : after.inverse, failed: false, result: null, resolve,
      };
      this.pending.push(entry);
      const faces = this.show(entry);
      if (isDecision(entry) && !isUndo) {
        entry.text = WORDS.actions.did(this.resolved(full), faces, this.album);
        this.report.shown(full, entry.text);
      }
      this.report.saving(this.unsaved);
      this.send();
    });
  }

  /** What undo would take back, in words; null if there is nothing. */
  get undoText() {
    const waiting = this.pending.findLast(isDecision);
    if (waiting) return waiting.text;
    return this.wordsOf(this.album.undoText);
  }

  /** A command of the journal in words. */
  wordsOf(command) { return command ? this.texts.get(command) ?? shortened(command.replace(/^people /, ""), 80) : null; }

  /** Take back the newest decision of the index, or the one that is not stored yet. Resolves as `do`. */
  undo(number = null) {
    const last = this.pending.findLast(isDecision);
    if (last && !last.sent && last.action.do !== "undo" && number === null) {
      this.withdraw(last);
      return Promise.resolve({ decided: null, withdrawn: true });
    }
    return this.canUndo || number !== null ? this.do({ do: "undo", ...(number === null ? {} : { number }) }) : Promise.resolve(null);
  }

  /** Forget a decision that was not sent. */
  withdraw(entry) {
    this.change(() => { this.pending.splice(this.pending.indexOf(entry), 1); }, entry);
    this.report.undone(entry.text, null);
    this.report.saving(this.unsaved);
    entry.resolve(null);
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    let wait = RETRY.first;
    try {
      while (this.pending.length) {
        const [entry] = this.pending;
        if (await this.sendFirst(entry)) wait = RETRY.first;
        else {
          await Promise.race([new Promise((done) => setTimeout(done, wait)), new Promise((done) => { this.wake = done; })]);
          wait = Math.min(wait * 2, RETRY.most);
        }
      }
    } finally {
      this.sending = false;
      if (this.pending.length) queueMicrotask(() => this.send()); // an unexpected error: the others are sent all the same
    }
  }

  /** Try again at once: the index is free. */
  retry() { this.wake?.(); }

  /** Send a decision; returns whether that is done with. */
  async sendFirst(entry) {
    const { action } = entry;
    if (action.do === "undo" && entry.after) {
      const number = entry.after.result?.decided?.number;
      if (entry.after.failed || number === null || number === undefined) return this.finish(entry, null); // there is nothing to take back
      action.number = number;
    }
    if (action.do === "undo") entry.text = this.wordsOf(this.album.undoText) ?? entry.text;
    const sent = { ...this.resolved(action), seen: entry.seen };
    for (const name of PAGE_ONLY) delete sent[name];
    if (entry.own.length) sent.own = entry.own;
    const wasSent = entry.sent;
    entry.sent = true;
    try {
      this.flight = this.source.act(sent, action);
      const result = await this.flight;
      this.report.busy(null);
      return await this.settle(entry, result);
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        entry.failed = true;
        this.finish(entry, null);
        throw problem;
      }
      if (problem.kind === "busy" || problem.kind === "gone") {
        if (problem.kind === "busy") entry.sent = wasSent; // the index does not have it
        this.report.busy(problem);
        return false;
      }
      this.report.busy(null);
      entry.failed = true;
      await this.settle(entry, null, problem.changes);
      if (action.do === "skip" || action.do === "unskip") return true; // the question is moot
      this.report.problem(problem, problem.kind === "conflict" && action.do !== "undo" ? () => this.again(entry) : null);
      return true;
    }
  }

  /** Make a decision in spite of a conflict. */
  again({ action }) {
    const { id, number, ...same } = action;
    return this.do(same);
  }

  /** Show what the index made of the first decision, and again those that wait behind it. */
  async settle(entry, result, changes = result?.changes) {
    entry.result = result;
    const { album } = this;
    const before = album.decision;
    const number = result?.decided?.number ?? null;
    if (changes?.reload) {
      this.pending.shift();
      await this.report.reload().catch((problem) => { if (!(problem instanceof Problem)) throw problem; }); // `follow` reads it later
      if (result) this.learn(entry);
    } else {
      this.change(() => {
        this.pending.shift();
        if (!changes || changes.generation < album.generation) return;
        if (number !== null) this.remember(number, inverseOf(album, changes));
        album.apply(changes);
        if (result) this.learn(entry); // before what waits is shown again: it may rename the person
      }, entry);
    }
    // Where nobody else decided in between, the page showed what the index has.
    if (result?.decided && number === null) this.gaps++;
    const alone = result && [undefined, before, number !== null && number <= before + 1 + this.gaps ? number : before].includes(changes.decision);
    if (number !== null) this.gaps = 0;
    for (const waiting of this.pending) {
      waiting.late ||= !alone;
      if (!waiting.late) waiting.seen = album.generation;
      else if (number !== null) waiting.own.push(number);
    }
    if (result) {
      if (number !== null) this.texts.set(result.decided.command, entry.text);
      if (entry.action.do === "undo") this.report.undone(entry.text, result);
      this.report.stored(result, entry.action);
    }
    return this.finish(entry, result);
  }

  finish(entry, result) {
    // What it shows is taken back: of an undo, that may be older than what the index has.
    if (this.pending.includes(entry)) this.change(() => { this.pending.splice(this.pending.indexOf(entry), 1); }, entry);
    if (!result) entry.failed = true;
    this.report.saving(this.unsaved);
    entry.resolve(result);
    return true;
  }

  /** Take over what others changed, unless the answer to a decision brings it. */
  async follow(changes) {
    await this.flight?.catch(() => null);
    await null; // `settle` comes first
    if (changes.generation <= this.album.generation) return;
    for (const waiting of this.pending) waiting.late = true;
    if (changes.reload) await this.report.reload();
    else this.change(() => this.album.apply(changes));
  }

  /**
   * Change the album below what waits: take that back, change, and show it again.
   * @param {function} work
   * @param {Entry | null} entry one that is not shown again
   */
  change(work, entry = null) {
    this.album.batch(() => {
      for (const waiting of [...this.pending].reverse()) if (waiting.inverse) this.album.apply(waiting.inverse);
      work();
      if (entry) entry.inverse = null;
      this.redo();
    });
  }

  /** Keep what takes back a decision, so that undo shows it at once. */
  remember(number, inverse) {
    this.inverses.set(number, inverse);
    if (this.inverses.size > MOST_INVERSES) this.inverses.delete(this.inverses.keys().next().value);
  }

  /** Show again all that is not stored, in an album that does not show it. */
  redo() {
    for (const entry of this.pending) this.show(entry);
  }

  /** Show a decision; returns the number of its faces. */
  show(entry) {
    const { action } = entry;
    entry.inverse = null;
    if (!isDecision(entry)) return 0;
    if (entry.after?.inverse) entry.undoes = entry.after.inverse; // the newest
    const changes = entry.undoes ?? effectOf(this.album, this.resolved(action), action);
    const made = changes.people?.find((person) => person.id === action.personId);
    if (made) this.made.set(made.id, made.name);
    entry.inverse = inverseOf(this.album, changes);
    this.album.apply(changes);
    return changes.faces.face.length;
  }

  /** An action with the ids of the index, as far as they are known. */
  resolved(action) {
    const found = { ...action };
    for (const name of ["person", "into"]) if (found[name] !== undefined) found[name] = this.realPerson(found[name]);
    if (found.others) found.others = found.others.map((id) => this.realPerson(id));
    if (found.clusters) found.clusters = found.clusters.map((id) => this.clusters.get(id) ?? id);
    if (found.cluster !== undefined) found.cluster = this.clusters.get(found.cluster) ?? found.cluster;
    if (found.as) found.as = Array.isArray(found.as) ? found.as.map((each) => this.resolved(each)) : this.resolved(found.as);
    return found;
  }

  /** A person that the page made has an id of the index once it is stored. */
  realPerson(id) {
    if (this.numbered.has(id)) return this.numbered.get(id);
    return this.made.has(id) ? this.album.byName.get(nameKey(this.made.get(id)))?.id ?? id : id;
  }

  /** The key of a group, with the id of the index. */
  realKey(key) {
    if (key[0] === "p") return `p${this.realPerson(Number(key.slice(1)))}`;
    return key[0] === "c" ? `c${this.clusters.get(Number(key.slice(1))) ?? key.slice(1)}` : key;
  }

  /** Learn which person and which cluster of the index are those that the page made. */
  learn({ action }) {
    const { newCluster: made, faces = [], personId } = action;
    const person = this.made.has(personId) ? this.album.byName.get(nameKey(this.made.get(personId))) : undefined;
    if (person && person.id >= 0) this.numbered.set(personId, person.id);
    if (made === undefined || !faces.length) return;
    const at = this.album.find(faces[0]);
    if (at >= 0 && this.album.cluster[at] >= 0) this.clusters.set(made, this.album.cluster[at]);
  }
}

const NO_CHANGES = { faces: { face: [], cluster: [], person: [], label: [] } }; // the index finds out what comes before an undo
const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const isDecision = ({ action }) => action.do !== "skip" && action.do !== "unskip";
