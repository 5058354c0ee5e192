// The photo viewer: a photo with a box for each face.

class Viewer {
  /**
   * @param onSelect (face) called when the user selects another face
   * @param onClose (face) called when the user has closed the viewer
   */
  constructor(onSelect, onClose) {
    const get = (id) => document.getElementById(id);
    this.dialog = get("viewer");
    this.stage = get("stage");
    this.photoArea = get("photo-area");
    this.image = get("photo");
    this.missing = get("missing");
    this.faceList = get("on-photo");
    this.onSelect = onSelect;
    this.onClose = onClose;
    this.face = null;
    this.list = [];
    this.photo = null;

    get("previous").addEventListener("click", () => this.step(-1));
    get("next").addEventListener("click", () => this.step(1));
    get("close").addEventListener("click", () => this.dialog.close());
    get("boxes").addEventListener("click", () => this.toggleBoxes());
    this.image.addEventListener("load", () => this.onLoad());
    this.image.addEventListener("error", () => this.loadNext());
    this.dialog.addEventListener("close", () => {
      if (this.dialog.open) return; // the event is late: the viewer is open again
      this.image.removeAttribute("src"); // free the memory
      this.photo = null;
      const face = this.face;
      this.face = null;
      if (face !== null) this.onClose(face);
    });
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.fit()).observe(this.photoArea);
    this.addSwipes();
  }

  get open() {
    return this.dialog.open;
  }

  /** Show the photo of a face. The arrow keys move through `list`, which contains the face. */
  show(face, list) {
    this.list = list;
    this.face = face;
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus(); // not its first button, which the space bar would press
    }
    const photo = faces.photo[face];
    if (photo !== this.photo) this.showPhoto(photo);
    for (const node of this.dialog.querySelectorAll("[data-face]")) {
      node.setAttribute("aria-current", String(Number(node.dataset.face) === face));
    }
    this.faceList.querySelector("[aria-current='true']")?.scrollIntoView({ block: "nearest" });
    const position = list.indexOf(face);
    document.getElementById("position").textContent =
      position < 0 ? "" : `${number(position + 1)} of ${number(list.length)}`;
    document.getElementById("previous").disabled = position <= 0;
    document.getElementById("next").disabled = position < 0 || position >= list.length - 1;
  }

  /** Close without calling `onClose`. */
  hide() {
    this.face = null;
    if (this.dialog.open) this.dialog.close();
  }

  showPhoto(photo) {
    this.photo = photo;
    const name = photoName(photo);
    const heading = document.getElementById("photo-name");
    heading.textContent = fileName(photo);
    heading.title = name;
    document.getElementById("photo-folder").textContent = name.slice(0, -heading.textContent.length - 1);
    this.image.alt = `${name}, ${counted(byPhoto[photo].length, "face")}`;
    this.image.classList.add("loading");
    this.missing.hidden = true;
    this.urls = imageUrls(photo);
    this.url = null;
    document.getElementById("original").href = photoUrls(photo)[0] ?? "";
    this.loadNext();
    this.drawBoxes(photo);
    this.fit();
  }

  loadNext() {
    if (this.photo === null) return;
    this.url = this.urls.shift();
    if (this.url !== undefined) {
      this.image.src = this.url;
      return;
    }
    this.missing.hidden = false;
    this.missing.textContent =
      `The photo cannot be shown. It was moved or deleted, or the browser does not support its format. ${photoName(this.photo)}`;
  }

  onLoad() {
    this.image.classList.remove("loading");
    if (this.photo === null || !photoUrls(this.photo).includes(this.url)) return;
    document.getElementById("original").href = this.url;
    preferUrl(this.photo, this.url);
  }

  fit() {
    if (this.photo === null) return;
    const style = getComputedStyle(this.photoArea);
    const width = this.photoArea.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = this.photoArea.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const [w, h] = [photos.width[this.photo], photos.height[this.photo]];
    const scale = Math.min(width / w, height / h, 4);
    this.stage.style.width = `${Math.max(1, w * scale)}px`;
    this.stage.style.height = `${Math.max(1, h * scale)}px`;
    // On small boxes the numbers would hide the faces.
    for (const box of this.stage.querySelectorAll(".box")) {
      const face = Number(box.dataset.face);
      box.classList.toggle("small", (faces.x2[face] - faces.x1[face]) * scale < 30);
    }
  }

  drawBoxes(photo) {
    for (const box of this.stage.querySelectorAll(".box")) box.remove();
    this.faceList.replaceChildren();
    const [w, h] = [photos.width[photo], photos.height[photo]];
    byPhoto[photo].forEach((face, order) => {
      const [x1, y1] = [Math.max(0, faces.x1[face]), Math.max(0, faces.y1[face])];
      const [x2, y2] = [Math.min(w, faces.x2[face]), Math.min(h, faces.y2[face])];
      const cluster = faces.cluster[face];
      const label = cluster === NONE ? `Face ${order + 1}, in no cluster`
        : `Face ${order + 1}, ${clusterName(cluster)}, similarity ${similarity(face)}`;

      const box = document.createElement("button");
      box.type = "button";
      box.className = y1 < h * 0.06 ? "box high" : "box";
      box.dataset.face = face;
      box.setAttribute("aria-label", label);
      box.title = label;
      box.style.left = `${(x1 / w) * 100}%`;
      box.style.top = `${(y1 / h) * 100}%`;
      box.style.width = `${(Math.max(0, x2 - x1) / w) * 100}%`;
      box.style.height = `${(Math.max(0, y2 - y1) / h) * 100}%`;
      box.addEventListener("click", () => this.select(face));
      const tag = document.createElement("span");
      tag.className = "tag";
      tag.textContent = order + 1;
      box.append(tag);
      this.stage.append(box);

      const item = document.createElement("li");
      item.dataset.face = face;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = order + 1;
      button.setAttribute("aria-label", `Select face ${order + 1}`);
      button.addEventListener("click", () => this.select(face));
      item.append(button);
      if (cluster === NONE) {
        item.append(span("about", "in no cluster"));
      } else {
        const link = document.createElement("a");
        link.href = `#c=${shownId(cluster)}`;
        link.textContent = clusterName(cluster);
        item.append(link, span("about", similarity(face)));
      }
      this.faceList.append(item);
    });
  }

  select(face) {
    this.show(face, this.list);
    this.onSelect(face);
  }

  step(by) {
    const face = this.list[this.list.indexOf(this.face) + by];
    if (face !== undefined && this.list.includes(this.face)) this.select(face);
  }

  toggleBoxes() {
    const hidden = this.stage.classList.toggle("boxes-hidden");
    document.getElementById("boxes").setAttribute("aria-pressed", String(!hidden));
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "b") this.toggleBoxes();
    else if (event.key === "c" && faces.cluster[this.face] !== NONE) location.hash = `c=${shownId(faces.cluster[this.face])}`;
    else return;
    event.preventDefault();
  }

  addSwipes() {
    let from = null;
    this.photoArea.addEventListener("touchstart", (event) => {
      from = event.touches.length === 1 ? event.touches[0].clientX : null;
    }, { passive: true });
    this.photoArea.addEventListener("touchend", (event) => {
      const across = from === null ? 0 : event.changedTouches[0].clientX - from;
      from = null;
      if (Math.abs(across) > 60 && (visualViewport?.scale ?? 1) === 1) this.step(across < 0 ? 1 : -1);
    }, { passive: true });
  }
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
