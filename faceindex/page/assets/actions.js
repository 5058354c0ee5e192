// Decisions: shown at once, then stored one after the other. The page never waits for the index.

const RETRY = 1000; // milliseconds between attempts while another program writes

class Actions {
  /**
   * @param {Album} album
   * @param source
   * @param {{saving(count), busy(holder|null), problem(problem, action), stored(result, action)}} report what the page shows of it
   */
  constructor(album, source, report) {
    Object.assign(this, { album, source, report });
    this.pending = []; // {action, inverse, resolve, reject}
    this.sending = false;
    addEventListener("beforeunload", (event) => { if (this.pending.length) event.preventDefault(); });
  }

  /** Number of decisions that are not stored yet. */
  get unsaved() { return this.pending.length; }

  /**
   * Make a decision: `{do: verb, ...}` as in api/act; people by id, faces by id.
   * Resolves to {decided, changes} once it is stored, and to null if it could not be.
   */
  do(action) {
    const full = { id: newUid(), personUid: newUid(), ...action };
    const { changes, inverse } = effectOf(this.album, full);
    return new Promise((resolve) => {
      this.pending.push({ action: full, inverse, resolve });
      if (full.do !== "undo" && full.do !== "skip") this.album.apply(changes);
      this.report.saving(this.pending.length);
      this.send();
    });
  }

  /** Take back the newest decision, or the one that is not stored yet. */
  undo() { return this.do({ do: "undo", number: null }); }

  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.pending.length) await this.sendFirst();
    } finally {
      this.sending = false;
    }
  }

  async sendFirst() {
    const entry = this.pending[0];
    const { personUid, as, ...sent } = entry.action;
    sent.seen = this.album.generation;
    if (sent.do === "undo") sent.number ??= this.album.decision;
    if (sent.person < -1) sent.person = this.realPerson(sent.person);
    let result = null;
    try {
      result = await this.source.act(sent, entry.action);
      this.report.busy(null);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.kind === "busy" || problem.kind === "gone") {
        this.report.busy(problem);
        await new Promise((done) => setTimeout(done, RETRY));
        return; // and try again
      }
      this.pending.shift();
      this.takeBack(entry, problem.changes);
      this.report.problem(problem, entry.action);
    }
    if (result) {
      this.pending.shift();
      this.settle(result.changes);
      this.report.stored(result, entry.action);
    }
    this.report.saving(this.pending.length);
    entry.resolve(result);
  }

  /** A person that the page made has an id of the index once it is stored. */
  realPerson(id) {
    const made = this.album.people.get(id);
    return made ? this.album.byName.get(folded(made.name))?.id ?? id : id;
  }

  /** Show what the index made of the first decision, and again those that wait behind it. */
  settle(changes) {
    if (changes.reload) return void this.report.reload();
    this.album.apply(changes);
    this.redo();
  }

  takeBack(entry, changes) {
    for (const waiting of [...this.pending].reverse()) this.album.apply(waiting.inverse);
    this.album.apply(entry.inverse);
    if (changes?.reload) this.report.reload();
    else if (changes) this.album.apply(changes);
    this.redo();
  }

  redo() {
    for (const entry of this.pending) {
      if (entry.action.do === "undo" || entry.action.do === "skip") continue;
      const { changes, inverse } = effectOf(this.album, entry.action);
      entry.inverse = inverse;
      this.album.apply(changes);
    }
  }
}
