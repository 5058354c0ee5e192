// The views, what the address after # says, and the keys.
//
// #                 people                    #c=ID           a cluster
// #view=none        unclustered faces         #q=TEXT         faces on photos of that name
// &odd=1            odd ones (loosest clusters) first
// &face=NUMBER      with the photo of that face open

const get = (id) => document.getElementById(id);
const grid = new Grid(get("grid"), makeButton, choose);
const viewer = new Viewer((face) => history.replaceState(null, "", address({ ...route, face })), onViewerClosed);
let route = null;
let drawnFor = null;
const scrolled = new Map(); // where each view was left

const PHONE = matchMedia("(max-width: 480px)");
const personSize = () => (PHONE.matches ? { least: 96, most: 180, below: 46 } : { least: 136, most: 180, below: 46 });
const faceSize = (captions) => ({ least: PHONE.matches ? 74 : 100, most: 140, below: captions ? 22 : 0 });

function readRoute() {
  const given = new URLSearchParams(location.hash.slice(1));
  const read = { view: "people", odd: given.get("odd") === "1", face: null };
  if (given.has("c")) Object.assign(read, { view: "cluster", cluster: Number(given.get("c")) });
  else if (given.has("q")) Object.assign(read, { view: "search", query: given.get("q") });
  else if (given.get("view") === "none") read.view = "none";
  const face = faces.id.indexOf(given.has("face") ? Number(given.get("face")) : NaN);
  if (face >= 0) read.face = face;
  return read;
}

function address(to) {
  const parts = new URLSearchParams();
  if (to.view === "cluster") parts.set("c", to.cluster);
  if (to.view === "search") parts.set("q", to.query);
  if (to.view === "none") parts.set("view", "none");
  if (to.odd) parts.set("odd", "1");
  if (to.face !== null && to.face !== undefined) parts.set("face", faces.id[to.face]);
  return `#${parts}`;
}

const viewOf = (some) => address({ ...some, face: null });
const go = (to) => { location.hash = address(to).slice(1); };

/** Bring the page in line with its address. */
function follow() {
  const before = route;
  if (before) scrolled.set(viewOf(before), scrollY);
  route = readRoute();
  if (drawnFor !== viewOf(route)) {
    drawView(before);
    drawnFor = viewOf(route);
  }
  if (route.face !== null) viewer.show(route.face, faceItems());
  else if (viewer.open) viewer.hide();
}

const faceItems = () => (route.view === "people" ? [] : grid.items);

function drawView(before) {
  if (route.face === null) viewer.hide();
  const view = VIEWS[route.view]();
  get("heading").textContent = view.heading;
  get("summary").textContent = view.summary;
  get("empty").hidden = !view.empty;
  get("empty").textContent = view.empty ?? "";
  document.title = `${view.heading} - faceindex gallery`;
  for (const [id, name] of [["tab-people", "people"], ["tab-none", "none"]]) {
    if (route.view === name) get(id).setAttribute("aria-current", "page");
    else get(id).removeAttribute("aria-current");
  }
  if (document.activeElement !== get("query")) get("query").value = route.view === "search" ? route.query : "";
  const cluster = route.view === "cluster" ? clusterOf.get(route.cluster) : undefined;
  get("odd").hidden = cluster === undefined;
  get("loose").hidden = route.view !== "people" || members.length < 2;
  get("odd").setAttribute("aria-pressed", String(route.odd));
  get("loose").setAttribute("aria-pressed", String(route.odd));
  drawNeighbours(cluster);

  let active = 0;
  if (route.view === "people" && before?.view === "cluster") {
    active = Math.max(0, view.items.indexOf(clusterOf.get(before.cluster)));
  }
  grid.show(view.items, view.size, active);
  scrollTo(0, scrolled.get(viewOf(route)) ?? 0);
  grid.draw();
  if (before && document.activeElement === document.body) {
    if (active) grid.focus(active);
    else get("main").focus({ preventScroll: true });
  }
}

function drawNeighbours(order) {
  for (const [id, step] of [["before", -1], ["after", 1]]) {
    const link = get(id);
    link.hidden = order === undefined;
    const other = order === undefined ? undefined : DATA.clusters.id[order + step];
    link.setAttribute("aria-disabled", String(other === undefined));
    if (other === undefined) link.removeAttribute("href");
    else link.href = `#c=${other}${route.odd ? "&odd=1" : ""}`;
  }
}

const VIEWS = {
  people() {
    const items = members.map((_, order) => order);
    if (route.odd) items.sort((a, b) => cohesion[a] - cohesion[b]);
    const parts = [counted(FACES, "face"), `on ${counted(photos.path.length, "photo")}`];
    let empty = null;
    if (!FACES) empty = "There are no faces in this index. Add photos with: faceindex index PHOTOS";
    else if (!items.length) {
      empty = DATA.clustered ? `No cluster was found. All ${counted(FACES, "face")} are under Unclustered.`
        : "The faces have not been grouped into people yet. Run: faceindex cluster, then make the gallery again. Until then, all faces are under Unclustered.";
    }
    return { heading: "People", summary: FACES ? parts.join(" ") : "", items, size: personSize(), empty };
  },

  cluster() {
    const order = clusterOf.get(route.cluster);
    if (order === undefined) {
      return { heading: "No such cluster", summary: "", items: [], size: faceSize(false), empty: "It was there when this address was made, and is no more." };
    }
    const items = [...members[order]].sort((a, b) => faces.similarity[b] - faces.similarity[a]);
    if (route.odd) items.reverse();
    const there = new Set(items.map((face) => faces.photo[face])).size;
    return {
      heading: clusterName(route.cluster),
      summary: `${counted(items.length, "face")} on ${counted(there, "photo")}, cohesion ${cohesion[order].toFixed(3)}`,
      items,
      size: faceSize(route.odd),
    };
  },

  none() {
    return {
      heading: "Unclustered faces",
      summary: unclustered.length ? counted(unclustered.length, "face") : "",
      items: unclustered,
      size: faceSize(false),
      empty: unclustered.length ? null : FACES ? "Every face is in a cluster." : "There are no faces in this index.",
    };
  },

  search() {
    const found = search(route.query);
    const items = found.flatMap((photo) => byPhoto[photo]);
    return {
      heading: `Photos named “${readable(route.query)}”`,
      summary: `${counted(found.length, "photo")}, ${counted(items.length, "face")}`,
      items,
      size: faceSize(true),
      empty: found.length ? null : "No photo with a face on it has this in its name.",
    };
  },
};

function makeButton(item) {
  const button = document.createElement("button");
  button.type = "button";
  const thumb = span("thumb", "");
  button.append(thumb);
  if (route.view === "people") {
    const size = members[item].length;
    button.className = "card person";
    paintCover(thumb, item);
    const about = route.odd ? `${number(size)} · cohesion ${cohesion[item].toFixed(3)}` : counted(size, "face");
    button.append(span("name", clusterName(DATA.clusters.id[item])), span("about", about));
    return button;
  }
  const photo = faces.photo[item];
  const cluster = faces.cluster[item];
  button.className = "card face";
  paintFace(thumb, item);
  const alike = cluster === NONE ? "" : `, similarity ${similarity(item)}`;
  const label = `${photoName(photo)}${route.view === "search" ? `, ${clusterName(cluster)}` : ""}${alike}`;
  button.title = label;
  button.setAttribute("aria-label", label);
  if (route.view === "search") button.append(span("about", fileName(photo)));
  else if (route.odd && cluster !== NONE) button.append(span("about", similarity(item)));
  return button;
}

function choose(item) {
  if (route.view === "people") go({ view: "cluster", cluster: DATA.clusters.id[item] });
  else go({ ...route, face: item });
}

function onViewerClosed(face) {
  const closing = route;
  if (closing.face === null) return;
  history.replaceState(null, "", viewOf(closing));
  route = readRoute();
  const index = grid.items.indexOf(face);
  if (route.view !== "people" && index >= 0) grid.focus(index);
}

// Search: typing replaces the address, so that Back leaves the search at once.

let typing = 0;
get("search").addEventListener("submit", (event) => {
  event.preventDefault();
  applyQuery();
  if (grid.items.length) grid.focus(0);
});
get("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyQuery, 120);
});

function applyQuery() {
  clearTimeout(typing);
  const query = get("query").value.trim();
  if (query === (route.view === "search" ? route.query : "")) return;
  const to = query ? { view: "search", query } : { view: "people" };
  if (route.view === "search") history.replaceState(null, "", address(to));
  else history.pushState(null, "", address(to));
  follow();
}

get("odd").addEventListener("click", turnOver);
get("loose").addEventListener("click", turnOver);

function turnOver() {
  if (route.view !== "cluster" && route.view !== "people") return;
  history.replaceState(null, "", address({ ...route, odd: !route.odd, face: null }));
  scrolled.delete(viewOf(readRoute()));
  follow();
  scrollTo(0, 0);
}

// Theme: as the system says, until the user says otherwise.

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };
let theme = "auto";
try {
  theme = localStorage.getItem("faceindex-theme") ?? "auto";
} catch {
  // Some browsers give pages from disk no storage.
}

function setTheme(to) {
  theme = to in THEMES ? to : "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const [sign, words] = THEMES[theme];
  get("theme").textContent = sign;
  get("theme").title = `Theme: ${words} (t)`;
  get("theme").setAttribute("aria-label", `Theme: ${words}`);
  try {
    localStorage.setItem("faceindex-theme", theme);
  } catch {
    // Then it lasts as long as the page.
  }
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(theme) + 1) % names.length]);
}
get("theme").addEventListener("click", nextTheme);

get("help-button").addEventListener("click", () => get("help").showModal());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const inField = event.target instanceof HTMLInputElement;
  if (event.key === "Escape" && inField) {
    get("query").value = "";
    get("query").blur();
    applyQuery();
    return;
  }
  if (inField) {
    if (event.key === "ArrowDown" && grid.items.length) {
      event.preventDefault();
      grid.focus(grid.active);
    }
    return;
  }
  if (event.key === "?") {
    if (get("help").open) get("help").close();
    else get("help").showModal();
  } else if (event.key === "t") nextTheme();
  else if (document.querySelector("dialog[open]")) return;
  else if (event.key === "/") get("query").select();
  else if (event.key === "p") go({ view: "people" });
  else if (event.key === "u") go({ view: "none" });
  else if (event.key === "o") turnOver();
  else if (event.key === "[") get("before").click();
  else if (event.key === "]") get("after").click();
  else if (event.key === "Escape" && route.view !== "people") go({ view: "people" });
  else if (event.key.startsWith("Arrow") && document.activeElement?.closest("#grid") === null) grid.focus(grid.active);
  else return;
  event.preventDefault();
});

history.scrollRestoration = "manual";
setTheme(theme);
get("tab-people").querySelector(".number").textContent = number(members.length);
get("tab-none").querySelector(".number").textContent = number(unclustered.length);
addEventListener("hashchange", follow);
addEventListener("popstate", follow);
PHONE.addEventListener("change", () => {
  drawnFor = null;
  follow();
});
follow();
