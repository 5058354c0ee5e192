// The questions ahead: what an answer means, and which questions are still open.

const AHEAD = 12; // questions in a request
const PREPARING = 1000; // milliseconds until questions that are being prepared are asked for again
const MOST_EMPTY = 5;

/** What an answer changes, as actions that the page can show at once. `reply` as in api/act: {reply}, {name} or {wrong}. */
function meaningOf(album, question, { reply, name, wrong = [] }) {
  const { kind, person, cluster, faces, others } = question;
  const about = cluster === null ? { faces } : { clusters: [cluster] };
  if (kind === "anyone") {
    const strangers = reply === "yes" ? [] : reply ? faces : wrong;
    return strangers.length ? [{ do: "ignore", faces: strangers }] : [];
  }
  if (reply === "ignore") return [{ do: "ignore", ...about }];
  if (name) return [{ do: "name", name, ...about }];
  if (kind === "is") {
    const not = new Set(reply === "no" ? faces : wrong);
    const right = faces.filter((face) => !not.has(face));
    return [...(right.length ? [{ do: "confirm", faces: right, person }] : []), ...(not.size ? [{ do: "reject", faces: [...not], person }] : [])];
  }
  if (person !== null) return [reply === "yes" ? { do: "name", name: album.people.get(person)?.name ?? "", ...about } : { do: "reject", faces, person }];
  return [reply === "yes" ? { do: "same", faces: [...faces, ...others] } : { do: "different", one: faces, other: others }];
}

/** Whether a question is still open in an album: whether the faces are where it says that they are. */
function isOpen(album, { kind, person, cluster, other, faces, others }) {
  const keys = (ids) => ids.map((id) => album.find(id)).filter((at) => at >= 0).map((at) => album.keyOf(at));
  const all = (ids, ...wanted) => ids.every((id) => album.find(id) >= 0) && keys(ids).every((key) => wanted.includes(key));
  if (kind === "anyone") return all(faces, "none");
  if (kind === "is") return album.people.has(person) && all(faces, "none", `p${person}`) && faces.every((id) => !album.isConfirmed(album.find(id)));
  if (!all(faces, cluster === null ? "none" : `c${cluster}`)) return false;
  if (kind === "who") return true;
  return person === null ? all(others, `c${other}`) : album.people.has(person) && all(others, `p${person}`);
}

/** Keeps the next questions ready. */
class QuestionQueue {
  /** @param onChange called when `next`, `state` or `progress` may be others */
  constructor(app, onChange) {
    this.app = app;
    this.onChange = onChange;
    this.questions = [];
    this.answered = new Set(); // ids
    this.state = "preparing";
    this.problem = "";
    this.progress = { faces: 0, named: 0, questions: 0 };
    this.since = 0; // answers since `progress`
    this.loading = false;
    this.again = false;
    this.empty = 0; // answers in a row without an open question
  }

  /** Take the next question away; null if there is none at the moment. */
  take() {
    this.prune();
    return this.questions.shift() ?? null;
  }

  /** The question was answered or skipped: it is not asked again. */
  done(question) {
    this.answered.add(question.id);
    this.since++;
  }

  /** It is asked again. */
  reopen(question) {
    this.answered.delete(question.id);
    this.since--;
  }

  prune() {
    const { album } = this.app;
    this.questions = this.questions.filter((question) => !this.answered.has(question.id) && isOpen(album, question));
  }

  /** Load what is asked now. While one request runs, another one waits for its end. */
  async load() {
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    clearTimeout(this.waiting);
    try {
      do {
        this.again = false;
        const found = await this.app.source.questions(AHEAD + this.app.actions.unsaved, this.app.album.generation);
        this.problem = [found.problem, found.remedy].filter(Boolean).join(" ");
        this.state = found.state;
        if (found.progress) {
          this.progress = found.progress;
          this.since = this.app.actions.unsaved;
        }
        this.questions = found.questions;
        this.prune();
      } while (this.again);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.state = problem.kind === "gone" ? "gone" : "unavailable";
      this.problem = problem.message;
    } finally {
      this.loading = false;
    }
    // If all that came was answered here meanwhile, those after them are on their way.
    this.empty = this.state === "ready" && !this.questions.length ? this.empty + 1 : 0;
    if (this.empty > MOST_EMPTY) this.state = "none";
    else if (this.empty || this.state === "preparing" || this.state === "gone") this.waiting = setTimeout(() => this.load(), PREPARING);
    this.onChange();
  }

  /** Faces whose pictures will be needed soon. */
  get ahead() { return this.questions.slice(0, 5).flatMap(({ faces, others }) => [...faces, ...others]); }

  /** Questions that are left, nearly. */
  get left() { return Math.max(this.questions.length, this.progress.questions - this.since); }
}
