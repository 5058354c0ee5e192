// Find by picture: who is on a picture that is dropped into the page, pasted, or chosen. Nothing of it is stored.

const MOST_RESULTS = 40; // faces in the list beside the picture
const LARGEST_PICTURE = 100 * 1024 * 1024; // bytes

/** Takes pictures wherever they are dropped or pasted. */
class PictureDrops {
  constructor(app) {
    this.app = app;
    this.picture = null; // the last one: a File
    if (!app.source.can.identify) return;
    this.veil = make("div", { className: "drop-veil", hidden: true }, make("p", { textContent: WORDS.drop.here }));
    document.body.append(this.veil);
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let inside = 0;
    const on = (name, run) => addEventListener(name, (event) => { if (hasFiles(event)) run(event); });
    on("dragenter", () => { inside++; this.veil.hidden = false; });
    on("dragleave", () => { inside = Math.max(0, inside - 1); this.veil.hidden = inside === 0; });
    on("dragover", (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; });
    on("drop", (event) => {
      event.preventDefault(); // the browser would leave the page
      inside = 0;
      this.veil.hidden = true;
      if (Keys.dialog()?.matches(":modal")) return; // the page behind it would go elsewhere
      this.take([...event.dataTransfer.files]);
    });
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length || Keys.dialog()?.matches(":modal")) return;
      event.preventDefault();
      this.take(files);
    });
  }

  /** Identify who is on the first picture of some files. */
  take(files) {
    const file = files.find((one) => one.type.startsWith("image/") || one.type === "");
    if (!file) return void this.app.say(WORDS.drop.noPicture, { isProblem: true });
    if (file.size > LARGEST_PICTURE) return void this.app.say(WORDS.drop.tooLarge, { isProblem: true });
    this.picture = file;
    const { router, made } = this.app;
    if (router.route.view === "drop") made.get(DropView)?.identify();
    else router.go(Router.parse("view=drop"));
  }
}

class DropView {
  constructor(app) {
    this.app = app;
    const words = WORDS.drop;
    this.heading = make("h2", { className: "heading", textContent: words.heading });
    this.summary = make("p", { className: "summary", "aria-live": "polite" });
    const chooser = (more) => {
      const input = make("input", { type: "file", accept: "image/*", className: "only-read", tabIndex: -1, "aria-hidden": "true", ...more });
      input.addEventListener("change", () => {
        if (input.files.length) app.drops.take([...input.files]);
        input.value = "";
      });
      return input;
    };
    const [file, camera] = [chooser({}), chooser({ capture: "environment" })];
    const can = app.source.can.identify;
    this.pad = make("div", { className: "empty drop-pad" }, make("p", { textContent: can ? words.how : WORDS.gallery.notHere }),
      can ? make("div", { className: "buttons" }, button(words.choose, () => file.click(), { className: "main-button" }),
        matchMedia("(pointer: coarse)").matches ? button(words.camera, () => camera.click()) : null, file, camera) : null,
      can ? make("p", { className: "about", textContent: words.privacy }) : null);
    this.stage = new PhotoStage({ select: (key) => this.choose(key), picture: (failed) => this.onPicture(failed) });
    this.missing = make("p", { className: "missing", hidden: true });
    this.stage.area.append(this.missing);
    this.results = make("ol", { className: "drop-results" });
    this.problem = make("p", { className: "problem-text is-problem", role: "alert", hidden: true });
    this.body = make("div", { className: "drop-body", hidden: true }, this.stage.area, this.results);
    this.root = make("section", { className: "view" }, make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary)), this.problem, this.body, this.pad);
    this.faces = [];
  }

  show() {
    if (this.app.drops.picture && this.app.drops.picture !== this.shown) this.identify();
    else if (!this.shown) this.pad.hidden = false;
  }

  hide() {}
  changed() { if (this.answer) this.draw(); }

  /** Identify the people on the picture that was dropped last. */
  async identify() {
    const picture = this.app.drops.picture;
    this.shown = picture;
    this.answer = null;
    this.faces = [];
    this.results.replaceChildren();
    this.problem.hidden = this.missing.hidden = true;
    this.body.hidden = false;
    this.pad.classList.add("again");
    this.summary.textContent = WORDS.drop.working;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(picture);
    this.stage.show([this.url], [], WORDS.drop.alt(readable(picture.name || WORDS.drop.pasted)));
    const slow = setTimeout(() => { if (this.shown === picture && !this.answer) this.summary.textContent = WORDS.drop.loading; }, 1500);
    try {
      const answer = await this.app.source.identify(picture);
      if (this.shown !== picture) return;
      this.answer = answer;
      this.draw();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (this.shown !== picture) return;
      this.summary.textContent = "";
      this.problem.textContent = readable(problem.message.replace(/^<bytes>/, picture.name || WORDS.drop.pasted));
      this.body.hidden = true;
      this.problem.hidden = false;
    } finally {
      clearTimeout(slow);
    }
  }

  onPicture(failed) {
    this.missing.hidden = !failed;
    if (!failed) return;
    this.missing.textContent = WORDS.drop.cannotShow;
    if (!this.stage.size) this.stage.setSize(this.answer?.width || 800, this.answer?.height || 600);
  }

  /** Whom a face resembles most: the key of a person or of a cluster, or null. */
  nearest({ person, cluster }) {
    const { album } = this.app;
    const of = person ?? album.clusterPerson.get(cluster);
    if (of !== undefined && album.people.has(of)) return `p${of}`;
    return cluster !== null && cluster !== undefined && cluster >= 0 ? `c${cluster}` : null;
  }

  draw() {
    const { answer } = this;
    this.stage.setSize(answer.width, answer.height);
    this.faces = readingOrder(answer.faces.map((face, key) => {
      const nearest = this.nearest(face);
      const group = face.named ? nearest : null; // of the others, nobody is probable enough
      return { ...face, key, nearest, group, title: group ? this.app.album.title(group) : WORDS.drop.unknown };
    }));
    this.stage.setBoxes(this.faces.map(({ key, box, group, title }) => ({ key, box, kind: group ? (group[0] === "p" ? "person" : "cluster") : "none", text: title })));
    const named = this.faces.filter(({ group }) => group).length;
    this.summary.textContent = this.faces.length ? WORDS.drop.found(this.faces.length, named) : WORDS.drop.nobody;
    this.results.replaceChildren(...this.faces.slice(0, MOST_RESULTS).map((face) => this.result(face)));
  }

  result(face) {
    const { source, album } = this.app;
    const near = (face.near ?? []).filter((id) => album.find(id) >= 0).slice(0, 5).map((id) => {
      const title = album.title(album.keyOf(album.find(id)));
      const thumb = make("button", { type: "button", className: "thumb", title, "aria-label": WORDS.drop.nearFace(title), onclick: () => this.app.openPhoto(album.find(id), face.near.map((one) => album.find(one)).filter((at) => at >= 0)) });
      source.paint(thumb, id);
      return thumb;
    });
    const about = [!face.group && face.nearest ? WORDS.drop.mostLike(album.title(face.nearest)) : "", Number.isFinite(face.probability) && face.probability !== null ? WORDS.drop.probability(face.probability) : "",
      Number.isFinite(face.similarity) && face.similarity !== null ? WORDS.photo.similarity(face.similarity) : ""].filter(Boolean).join(", ");
    const title = face.group ? make("a", { className: "name", href: Router.group(face.group), textContent: face.title }) : make("span", { className: "name", textContent: face.title });
    const item = make("li", { dataset: { key: face.key } }, title, make("span", { className: "about", textContent: about }), make("div", { className: "near-faces" }, ...near));
    item.addEventListener("pointerenter", () => this.stage.point(face.key));
    item.addEventListener("pointerleave", () => this.stage.point(null));
    item.addEventListener("focusin", () => this.choose(face.key, false));
    return item;
  }

  choose(key, scroll = true) {
    this.stage.setCurrent(key, true);
    for (const item of this.results.children) {
      const isCurrent = Number(item.dataset.key) === key && key !== null;
      item.classList.toggle("current", isCurrent);
      if (isCurrent && scroll) item.scrollIntoView({ block: "nearest" });
    }
  }
}
