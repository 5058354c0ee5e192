// Questions, those that settle most first: one key each, and the next one is there.

class QuestionsView {
  constructor(app) {
    this.app = app;
    this.queue = new QuestionQueue(app, () => this.refresh());
    this.question = null; // the one that is shown
    this.kept = false; // an undone one, which is shown in any case
    this.marked = new Set(); // faces of it
    this.tiles = new Map(); // face -> FaceTile
    this.history = []; // {question, action, number: of the decision, isSkip}
    this.skipped = [];
    this.field = null;
    this.visible = false;
    this.heading = make("h2", { className: "heading", tabIndex: -1 });
    this.summary = make("p", { className: "summary" });
    this.bar = make("div", { className: "progress", role: "progressbar", "aria-label": WORDS.questions.progress, "aria-valuemin": 0 }, make("span"));
    this.named = make("p", { className: "summary progress-words" });
    this.sides = make("div", { className: "sides" });
    this.answers = make("div", { className: "answers" });
    this.root = make("section", { className: "view questions" },
      make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary), make("div", { className: "reached" }, this.bar, this.named)),
      this.sides, this.answers);
    this.root.addEventListener("focusin", () => this.showKeys());
    this.root.addEventListener("focusout", () => this.showKeys());
  }

  show() {
    this.visible = true;
    this.history = [];
    this.app.keys.add(this, this.bindings(), { title: WORDS.questions.keys });
    this.draw();
    if (this.app.source.can.questions) this.queue.load();
  }

  hide() {
    this.visible = false;
    this.app.keys.remove(this);
  }

  changed() {
    if (!this.visible) return;
    this.queue.prune();
    this.showProgress();
    this.refresh();
  }

  /** A decision was made elsewhere, such as in a photo: undo is no longer about the answers before it. */
  decided(action) { if (action.do !== "answer") this.history = []; }

  // Asking ------------------------------------------------------------------------------------

  /** Whether the user has begun to answer. */
  get begun() { return this.kept || this.marked.size > 0 || Boolean(this.field?.text); }

  /** Show the next question if there is none, or if the one that is shown is moot. */
  refresh() {
    if (!this.visible) return;
    const isMoot = this.question && !this.begun && !isOpen(this.app.album, this.question);
    if (!this.question || isMoot) this.next();
    this.app.source.prefetch(this.queue.ahead);
    this.showProgress();
  }

  next() {
    const before = this.question;
    this.ask(this.queue.take());
    if (before && !this.question) this.queue.load();
    if (this.queue.questions.length < 3 && this.question) this.queue.load();
  }

  ask(question, { kept = false } = {}) {
    if (!question && !this.question && this.shownState === this.queue.state) return;
    this.question = question;
    this.kept = kept;
    this.marked.clear();
    this.draw();
  }

  /** Answer the question: {reply}, {name} or {wrong}. */
  async answer(given) {
    const { question } = this;
    if (!question) return;
    const { album, actions } = this.app;
    const as = meaningOf(album, question, given);
    const entry = { question, isSkip: false, number: null, isEmpty: !as.length };
    this.history.push(entry);
    this.queue.done(question);
    this.question = null; // before the album changes: the answered one is not moot, but over
    const stored = actions.do({ do: "answer", question: question.id, ...given, as });
    if (!this.question) this.next(); // the change of the album has shown it already, as a rule
    const result = await stored;
    if (result) entry.number = result.decided?.number ?? null;
    else if (this.history.includes(entry)) { // refused: it is asked again if it is still open
      this.history.splice(this.history.indexOf(entry), 1);
      this.queue.reopen(question);
    }
    if (this.visible) this.queue.load();
  }

  skip() {
    const { question } = this;
    if (!question) return;
    this.history.push({ question, isSkip: true });
    this.skipped.push(question);
    this.queue.done(question);
    this.question = null;
    this.app.actions.do({ do: "skip", question: question.id });
    if (!this.question) this.next();
  }

  /** Take back the last answer or skip and show its question; false if there is none here. */
  undo() {
    if (!this.visible || Keys.dialog()) return false;
    const last = this.history.pop();
    if (!last) return false;
    const { actions } = this.app;
    this.queue.reopen(last.question);
    if (this.question) this.queue.questions.unshift(this.question);
    if (last.isSkip) {
      this.skipped = this.skipped.filter((question) => question !== last.question);
      actions.do({ do: "unskip", question: last.question.id });
      this.app.say(WORDS.questions.unskipped);
    } else if (last.question.kind === "anyone" && last.isEmpty) actions.do({ do: "unskip", question: last.question.id });
    else if (last.number !== null) actions.undo(last.number).then((result) => { if (result) this.queue.load(); });
    else if (actions.unsaved) actions.undo();
    this.ask(last.question, { kept: true });
    return true;
  }

  /** Ask all skipped questions again. */
  unskip() {
    for (const question of this.skipped.splice(0)) {
      this.queue.reopen(question);
      this.app.actions.do({ do: "unskip", question: question.id });
    }
    this.history = this.history.filter(({ isSkip }) => !isSkip);
    this.queue.load();
  }

  // Answers -----------------------------------------------------------------------------------

  get isMarking() { return this.question !== null && (this.question.kind === "anyone" || (this.question.kind === "is" && this.question.faces.length > 1)); }

  mark(face) {
    if (!this.isMarking || !this.tiles.has(face)) return;
    if (!this.marked.delete(face)) this.marked.add(face);
    this.tiles.get(face).marked = this.marked.has(face);
    this.drawAnswers();
    this.heading.focus({ preventScroll: true });
  }

  /** The answer that Enter gives. */
  accept() {
    const { question, marked } = this;
    if (!question || question.kind === "who") return;
    if (this.isMarking && marked.size) {
      const { faces } = question;
      if (question.kind === "is") return void this.answer(marked.size === faces.length ? { reply: "no" } : { wrong: [...marked] });
      return void this.answer(marked.size === faces.length ? { reply: "yes" } : { wrong: faces.filter((face) => !marked.has(face)) });
    }
    this.answer({ reply: this.guess });
  }

  get guess() {
    if (this.question.kind === "anyone") return "no";
    return (this.question.probability ?? 1) >= 0.5 ? "yes" : "no";
  }

  async somebodyElse() {
    const { question } = this;
    const { person } = question;
    const picked = await this.app.names.pick({ title: WORDS.questions.who(question.faces.length), exclude: person === null ? [] : [person] });
    if (picked && this.question === question) this.answer({ name: picked.name });
  }

  open(face) {
    const { album } = this.app;
    const { faces, others } = this.question;
    this.app.openPhoto(album.find(face), [...faces, ...others].map((id) => album.find(id)).filter((at) => at >= 0));
  }

  bindings() {
    const words = WORDS.questions;
    const when = (test, run) => (event) => {
      if (!this.question || !test()) return false;
      if (!event.repeat) run();
      return true;
    };
    const isYesNo = () => this.question.kind !== "who";
    const canName = () => ["is", "same"].includes(this.question.kind) && this.question.person !== null;
    const inField = (run) => (event) => { // names do not begin with these
      if (event.target !== this.field?.input || this.field.text || !this.question) return false;
      if (!event.repeat) run();
      return true;
    };
    return [
      { keys: ["y"], label: words.yesKey, run: when(isYesNo, () => this.answer({ reply: "yes" })) },
      { keys: ["n"], label: words.noKey, run: when(isYesNo, () => this.answer({ reply: "no" })) },
      ...[1, 2, 3, 4].map((number) => ({
        keys: [String(number)], label: number === 1 ? words.markKey : undefined,
        run: when(() => this.isMarking && number <= this.question.faces.length, () => this.mark(this.question.faces[number - 1])),
      })),
      { keys: ["Enter"], label: words.enterKey, run: (event) => {
        if (!this.question || this.question.kind === "who" || event.target.closest("a, button:not(.tile-face)")) return false;
        if (!event.repeat) this.accept();
        return true;
      } },
      { keys: ["w"], label: words.elseKey, run: when(canName, () => this.somebodyElse()) },
      { keys: ["w"], run: when(() => this.question.kind === "who", () => this.field.focus()) },
      { keys: ["i"], label: words.ignoreKey, run: when(() => true, () => this.answer({ reply: "ignore" })) },
      { keys: ["s"], label: words.skipKey, run: when(() => true, () => this.skip()) },
      { keys: ["o"], label: words.openKey, run: when(() => true, () => this.open(this.question.faces[0])) },
      { keys: ["Delete", "-"], typing: true, label: words.fieldIgnoreKey, run: inField(() => this.answer({ reply: "ignore" })) },
      { keys: [" "], typing: true, label: words.fieldSkipKey, run: inField(() => this.skip()) },
      { keys: ["Backspace"], typing: true, label: words.fieldUndoKey, run: inField(() => this.app.undo()) },
      { keys: ["Escape"], typing: true, label: words.fieldLeaveKey, run: (event) => {
        if (event.target !== this.field?.input) return false;
        this.heading.focus({ preventScroll: true });
        return true;
      } },
    ];
  }

  // Drawing -----------------------------------------------------------------------------------

  draw() {
    const { question } = this;
    const { album, source } = this.app;
    this.shownState = this.queue.state;
    this.tiles.clear();
    this.field = null;
    this.showProgress();
    if (!question) return void this.drawEnd();
    const words = WORDS.questions;
    const name = question.person === null ? null : album.title(`p${question.person}`);
    this.heading.textContent = words.text(question, name);
    this.summary.textContent = words.settles(question.settles);
    const count = question.faces.length;
    const faces = question.faces.map((face, i) => this.tile(face, this.isMarking ? i + 1 : null, words.face(i + 1, count)));
    const title = question.cluster === null ? words.these(count) : this.groupTitle(`c${question.cluster}`);
    const sides = [this.side(title, faces, question.kind === "anyone" ? "asked naming-some" : "asked")];
    if (question.others.length) {
      const key = question.person !== null ? `p${question.person}` : `c${question.other}`;
      sides.push(this.side(this.groupTitle(key), question.others.map((face) => this.tile(face, null, album.title(key))), "others"));
    }
    this.sides.replaceChildren(...sides);
    this.sides.className = `sides ${sides.length === 1 ? "alone" : this.isMarking ? "marking" : "compared"}`;
    source.prefetch(this.queue.ahead);
    this.drawAnswers();
    announce(`${this.heading.textContent} ${this.summary.textContent}`);
    if (question.kind === "who" && matchMedia("(pointer: fine)").matches) this.field.focus();
    else if (!this.root.contains(document.activeElement) || document.activeElement === document.body) this.heading.focus({ preventScroll: true });
  }

  /** A heading that leads to a group. */
  groupTitle(key) {
    const { album } = this.app;
    return make("a", { href: Router.group(key) }, make("span", { className: "name", textContent: album.title(key) }),
      make("span", { className: "about", textContent: WORDS.people.faces(album.group(key)?.size ?? 0) }));
  }

  side(title, tiles, kind) {
    return make("div", { className: `asked-side ${kind}`, dataset: { count: tiles.length } }, make("h3", {}, title), make("div", { className: "tiles" }, ...tiles));
  }

  tile(face, number, label) {
    const toggles = number !== null;
    const tile = new FaceTile(this.app, face, {
      label: toggles ? WORDS.questions.toggle(label, this.question.kind) : WORDS.questions.opens(label), number,
      onToggle: toggles ? () => this.mark(face) : null, onOpen: () => this.open(face),
    });
    this.tiles.set(face, tile);
    return tile.root;
  }

  drawAnswers() {
    const { question } = this;
    const words = WORDS.questions;
    const name = question.person === null ? null : this.app.album.title(`p${question.person}`);
    const main = [];
    if (question.kind === "who") {
      this.field ??= new NameField({ app: this.app, label: words.text(question), placeholder: words.placeholder, onPick: (picked) => this.answer({ name: picked.name }) });
      this.answers.classList.add("for-name");
      if (!this.field.root.isConnected || !this.answers.contains(this.field.root)) main.push(this.field.root, this.chips());
      else return;
    } else {
      this.answers.classList.remove("for-name");
      const count = question.faces.length;
      const marked = this.marked.size;
      const guess = marked ? "marked" : this.guess;
      const choice = (text, key, run, kind) => this.choice(text, kind === guess ? ["↵", key] : [key], run, kind === guess ? "best" : "");
      if (marked) main.push(choice(words.marked(question.kind, marked, count, name), "↵", () => this.accept(), "marked"));
      else main.push(choice(words.yes(question, name), "y", () => this.answer({ reply: "yes" }), "yes"), choice(words.no(question), "n", () => this.answer({ reply: "no" }), "no"));
    }
    const more = [
      question.person !== null && question.kind !== "who" ? this.choice(words.somebodyElse, ["w"], () => this.somebodyElse()) : null,
      question.kind === "anyone" ? null : this.choice(words.ignore, ["i", "Del"], () => this.answer({ reply: "ignore" })),
      this.choice(words.skip, ["s", "Space"], () => this.skip()),
      this.choice(words.open, ["o"], () => this.open(question.faces[0])),
      this.choice(words.undo, ["u", "⌫"], () => this.app.undo()),
    ];
    this.answers.replaceChildren(make("div", { className: "main-answers" }, ...main.filter(Boolean)), make("div", { className: "more-answers" }, ...more.filter(Boolean)));
    this.showKeys();
  }

  /** A button of an answer; the second key is that in an empty name field. */
  choice(text, keys, run, className = "") {
    const isBest = className === "best";
    const signs = isBest ? [...new Set(keys)] : keys.slice(0, 1);
    const element = button("", run, { className: `choice ${className}` });
    element.append(make("span", { textContent: text }), ...signs.map((key) => make("kbd", { textContent: key, "aria-hidden": true })));
    if (!isBest && keys.length > 1) element.lastChild.dataset.field = keys[1];
    if (!isBest) element.lastChild.dataset.key = keys[0];
    return element;
  }

  /** Show the keys that work where the focus is. */
  showKeys() {
    const inField = this.field !== null && document.activeElement === this.field.input;
    for (const sign of this.answers.querySelectorAll("kbd[data-key]")) {
      sign.textContent = inField ? sign.dataset.field ?? "" : sign.dataset.key;
      sign.hidden = inField && !sign.dataset.field;
    }
  }

  /** The names that were used last, to tap. */
  chips() {
    const { album, names } = this.app;
    const people = names.recent.map((id) => album.people.get(id)).filter(Boolean);
    return make("div", { className: "chips" }, ...people.map((person) => button(readable(person.name), () => this.answer({ name: person.name }))));
  }

  showProgress() {
    const { album } = this.app;
    let named = 0;
    let all = 0;
    for (let at = 0; at < album.faces; at++) {
      if (isNobody(album.label[at])) continue;
      all++;
      if (album.person[at] !== -1) named++;
    }
    const left = this.queue.state === "ready" ? this.queue.left + (this.question ? 1 : 0) : 0;
    this.bar.firstChild.style.width = `${all ? (100 * named) / all : 0}%`;
    this.bar.setAttribute("aria-valuemax", all);
    this.bar.setAttribute("aria-valuenow", named);
    this.named.textContent = WORDS.questions.reached(named, all, left);
  }

  /** There is no question: say why, and what is next. */
  drawEnd() {
    const { album, source } = this.app;
    const words = WORDS.questions;
    const state = source.can.questions ? this.queue.state : "nowhere";
    const waiting = state === "preparing" || state === "ready"; // "ready": the next ones are on their way
    this.heading.textContent = words.states[waiting ? "preparing" : state];
    this.summary.textContent = "";
    const loose = album.facesOf("none").length;
    const left = album.list().filter((group) => group.isCluster).length;
    const link = (text, href) => make("a", { className: "button", href, textContent: text });
    this.sides.className = "sides alone";
    this.sides.replaceChildren(make("div", { className: "empty" },
      make("p", { textContent: waiting ? words.wait : state === "none" ? words.done(left, loose) : this.queue.problem || words.states.nowhere }),
      waiting ? null : make("p", { className: "next-steps" }, link(words.look, "#"), loose ? link(words.loose(loose), "#view=none") : "",
        this.skipped.length ? button(words.unskip(this.skipped.length), () => this.unskip()) : "")));
    this.answers.replaceChildren(...(this.history.length ? [make("div", { className: "more-answers" }, this.choice(words.undo, ["u"], () => this.app.undo()))] : []));
    this.answers.classList.remove("for-name");
    if (!waiting && !this.root.contains(document.activeElement)) this.heading.focus({ preventScroll: true });
  }
}
