// The views, the routes (the URL after #) and the keyboard shortcuts.
//
// #                 people                    #c=ID           a cluster
// #view=none        unclustered faces         #q=TEXT         people, and faces on photos, with a matching name
// &odd=1            lowest similarity (or cohesion) first
// &by=name          people in the order of their names
// &face=ID          the photo of that face is open

const get = (id) => document.getElementById(id);
const grid = new Grid(get("grid"), makeButton, openItem);
const viewer = new Viewer((face) => history.replaceState(null, "", address({ ...route, face })), onViewerClosed);
let route = null;
let currentView = null;
const scrollPositions = new Map(); // by view

const MOST_FOUND = 24; // people shown by a search
const MOST_IDS = 6; // clusters listed of a person

const PHONE = matchMedia("(max-width: 480px)");
const personSize = () => ({ minWidth: PHONE.matches ? 96 : 136, maxWidth: 180, captionHeight: 46 });
const faceSize = (captions) => ({ minWidth: PHONE.matches ? 74 : 100, maxWidth: 140, captionHeight: captions ? 22 : 0 });

function readRoute() {
  const given = new URLSearchParams(location.hash.slice(1));
  const read = { view: "people", ascending: given.get("odd") === "1", named: given.get("by") === "name", face: null };
  if (given.has("c")) Object.assign(read, { view: "cluster", cluster: shownId(Number(given.get("c"))) });
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
  if (to.ascending) parts.set("odd", "1");
  else if (to.named && to.view === "people") parts.set("by", "name");
  if (to.face !== null && to.face !== undefined) parts.set("face", faces.id[to.face]);
  return `#${parts}`;
}

const viewAddress = (shown) => address({ ...shown, face: null });
const navigate = (to) => { location.hash = address(to).slice(1); };

/** Show the view and the photo of the current URL. */
function showRoute() {
  const before = route;
  if (before) scrollPositions.set(viewAddress(before), scrollY);
  route = readRoute();
  if (currentView !== viewAddress(route)) {
    drawView(before);
    currentView = viewAddress(route);
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
  get("order-faces").hidden = cluster === undefined;
  get("order-clusters").hidden = route.view !== "people" || members.length < 2;
  get("order-names").hidden = get("order-clusters").hidden || !Object.keys(DATA.names).length;
  get("order-names").setAttribute("aria-pressed", String(route.named && !route.ascending));
  get("order-faces").setAttribute("aria-pressed", String(route.ascending));
  get("order-clusters").setAttribute("aria-pressed", String(route.ascending));
  drawNeighbours(cluster);
  drawFoundPeople(view.people ?? []);

  let active = 0;
  if (route.view === "people" && before?.view === "cluster") {
    active = Math.max(0, view.items.indexOf(clusterOf.get(before.cluster)));
  }
  grid.show(view.items, view.size, active);
  scrollTo(0, scrollPositions.get(viewAddress(route)) ?? 0);
  grid.draw();
  if (before && document.activeElement === document.body) {
    if (active) grid.focus(active);
    else get("main").focus({ preventScroll: true });
  }
}

function drawNeighbours(order) {
  for (const [id, step] of [["previous-cluster", -1], ["next-cluster", 1]]) {
    const link = get(id);
    link.hidden = order === undefined;
    const other = order === undefined ? undefined : DATA.clusters.id[order + step];
    link.setAttribute("aria-disabled", String(other === undefined));
    if (other === undefined) link.removeAttribute("href");
    else link.href = `#c=${other}${route.ascending ? "&odd=1" : ""}`;
  }
}

function drawFoundPeople(found) {
  get("found-people").hidden = !found.length;
  get("found-people").replaceChildren(...found.slice(0, MOST_FOUND).map((order) => {
    const link = document.createElement("a");
    link.href = `#c=${DATA.clusters.id[order]}`;
    const thumb = span("thumb", "");
    paintCover(thumb, order);
    link.append(thumb, span("name", clusterName(DATA.clusters.id[order])), span("about", counted(members[order].length, "face")));
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
}

function newerFaces() {
  const newer = DATA.newer_faces;
  return newer ? `. ${counted(newer, "face")} ${newer === 1 ? "is" : "are"} newer than the clusters; run: faceindex cluster` : "";
}

const VIEWS = {
  people() {
    const items = members.map((_, order) => order);
    if (route.ascending) items.sort((a, b) => cohesion[a] - cohesion[b]);
    else if (route.named) items.splice(0, items.length, ...byName(items));
    const parts = [counted(FACES, "face"), `on ${counted(photos.path.length, "photo")}`];
    let empty = null;
    if (!FACES) empty = "There are no faces in this index. Add photos with: faceindex index FOLDER";
    else if (!items.length) {
      empty = DATA.clustered ? `No clusters were found. All ${counted(FACES, "face")} are under Unclustered.`
        : "The faces are not clustered yet. Run: faceindex cluster, then make the gallery again. Until then, all faces are under Unclustered.";
    }
    return { heading: "People", summary: FACES ? parts.join(" ") : "", items, size: personSize(), empty };
  },

  cluster() {
    const order = clusterOf.get(route.cluster);
    if (order === undefined) {
      return { heading: "Cluster not found", summary: "", items: [], size: faceSize(false), empty: "This gallery does not contain the cluster of this link. Clustering again may have removed it." };
    }
    const items = [...members[order]].sort((a, b) => faces.similarity[b] - faces.similarity[a]);
    if (route.ascending) items.reverse();
    const photoCount = new Set(items.map((face) => faces.photo[face])).size;
    return {
      heading: clusterName(route.cluster),
      summary: `${counted(items.length, "face")} on ${counted(photoCount, "photo")}, cohesion ${cohesion[order].toFixed(3)}${clustersOf(route.cluster)}`,
      items,
      size: faceSize(route.ascending),
    };
  },

  none() {
    return {
      heading: "Unclustered faces",
      summary: unclustered.length ? counted(unclustered.length, "face") + newerFaces() : "",
      items: unclustered,
      size: faceSize(false),
      empty: unclustered.length ? null : FACES ? "Every face is in a cluster." : "There are no faces in this index.",
    };
  },

  search() {
    const found = search(route.query);
    const items = found.flatMap((photo) => byPhoto[photo]);
    const people = searchPeople(route.query);
    const parts = people.length && !found.length ? [] : [counted(found.length, "photo"), counted(items.length, "face")];
    if (people.length) parts.unshift(people.length === 1 ? "1 person" : `${number(people.length)} people`);
    return {
      heading: people.length ? `Named “${readable(route.query)}”` : `Photos named “${readable(route.query)}”`,
      summary: parts.join(", "),
      items,
      people,
      size: faceSize(true),
      empty: found.length || people.length ? null : Object.keys(DATA.names).length
        ? "No person and no photo with faces has a name that contains this text."
        : "No photo with faces has a name that contains this text.",
    };
  },
};

/** The ids of the clusters of a named person, for use in commands; the heading does not show them. */
function clustersOf(id) {
  if (personName(id) === null) return "";
  const ids = DATA.joined[id] ?? [id];
  return `, ${ids.length > 1 ? "clusters" : "cluster"} ${ids.slice(0, MOST_IDS).join(", ")}${ids.length > MOST_IDS ? ", …" : ""}`;
}

function makeButton(item) {
  const button = document.createElement("button");
  button.type = "button";
  const thumb = span("thumb", "");
  button.append(thumb);
  if (route.view === "people") {
    const size = members[item].length;
    button.className = "card person";
    paintCover(thumb, item);
    const about = route.ascending ? `${number(size)} · cohesion ${cohesion[item].toFixed(3)}` : counted(size, "face");
    button.append(span("name", clusterName(DATA.clusters.id[item])), span("about", about));
    return button;
  }
  const photo = faces.photo[item];
  const cluster = faces.cluster[item];
  button.className = "card face";
  paintFace(thumb, item);
  const suffix = cluster === NONE ? "" : `, similarity ${similarity(item)}`;
  const label = `${photoName(photo)}${route.view === "search" ? `, ${clusterName(cluster)}` : ""}${suffix}`;
  button.title = label;
  button.setAttribute("aria-label", label);
  if (route.view === "search") button.append(span("about", fileName(photo)));
  else if (route.ascending && cluster !== NONE) button.append(span("about", similarity(item)));
  return button;
}

function openItem(item) {
  if (route.view === "people") navigate({ view: "cluster", cluster: DATA.clusters.id[item] });
  else navigate({ ...route, face: item });
}

function onViewerClosed(face) {
  const closing = route;
  if (closing.face === null) return;
  history.replaceState(null, "", viewAddress(closing));
  route = readRoute();
  const index = grid.items.indexOf(face);
  if (route.view !== "people" && index >= 0) grid.focus(index);
}

// Search: typing replaces the URL, so that Back leaves the search in one step.

let typing = 0;
get("search").addEventListener("submit", (event) => {
  event.preventDefault();
  applyQuery();
  const person = get("found-people").querySelector("a");
  if (person) person.focus();
  else if (grid.items.length) grid.focus(0);
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
  showRoute();
}

get("order-names").addEventListener("click", toggleNames);
get("order-faces").addEventListener("click", toggleOrder);
get("order-clusters").addEventListener("click", toggleOrder);

function toggleOrder() {
  if (route.view !== "cluster" && route.view !== "people") return;
  history.replaceState(null, "", address({ ...route, ascending: !route.ascending, face: null }));
  scrollPositions.delete(viewAddress(readRoute()));
  showRoute();
  scrollTo(0, 0);
}

function toggleNames() {
  if (route.view !== "people" || get("order-names").hidden) return;
  history.replaceState(null, "", address({ ...route, named: !route.named || route.ascending, ascending: false, face: null }));
  scrollPositions.delete(viewAddress(readRoute()));
  showRoute();
  scrollTo(0, 0);
}

// Theme: the system theme, until the user chooses another one.

const THEMES = { auto: ["◐", "system"], light: ["☀", "light"], dark: ["☾", "dark"] };
let theme = "auto";
try {
  theme = localStorage.getItem("faceindex-theme") ?? "auto";
} catch {
  // Some browsers have no storage for pages from disk.
}

function setTheme(to) {
  theme = to in THEMES ? to : "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const [symbol, name] = THEMES[theme];
  get("theme").textContent = symbol;
  get("theme").title = `Theme: ${name} (t)`;
  get("theme").setAttribute("aria-label", `Theme: ${name}`);
  try {
    localStorage.setItem("faceindex-theme", theme);
  } catch {
    // The theme is then lost when the page is closed.
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
  else if (event.key === "p") navigate({ view: "people" });
  else if (event.key === "u") navigate({ view: "none" });
  else if (event.key === "o") toggleOrder();
  else if (event.key === "n") toggleNames();
  else if (event.key === "[") get("previous-cluster").click();
  else if (event.key === "]") get("next-cluster").click();
  else if (event.key === "Escape" && route.view !== "people") navigate({ view: "people" });
  else if (event.key.startsWith("Arrow") && document.activeElement?.closest("#grid") === null) grid.focus(grid.active);
  else return;
  event.preventDefault();
});

history.scrollRestoration = "manual";
setTheme(theme);
get("tab-people").querySelector(".number").textContent = number(members.length);
get("tab-none").querySelector(".number").textContent = number(unclustered.length);
addEventListener("hashchange", showRoute);
addEventListener("popstate", showRoute);
PHONE.addEventListener("change", () => {
  currentView = null;
  showRoute();
});
showRoute();
