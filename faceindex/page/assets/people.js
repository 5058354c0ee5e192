// The view of all people and clusters.

const PHONE = matchMedia("(max-width: 480px)");
const GROUP_ORDERS = ["size", "name", "cohesion"]; // as `order` in addresses; the first one is the default
const GROUP_FILTERS = ["all", "named", "unnamed", "hidden"]; // as `show`; likewise

/** The mean similarity of the faces of a group, or NaN. */
function cohesionOf(album, group) {
  if (group.cohesion === undefined) {
    let sum = 0;
    let count = 0;
    for (const at of group.faces) {
      if (album.similarity[at] === NO_SIMILARITY) continue;
      sum += album.similarity[at];
      count++;
    }
    group.cohesion = count ? sum / count / 10000 : NaN;
  }
  return group.cohesion;
}

/** The groups of a filter, in an order. */
function listGroups(album, show, order) {
  const isHidden = (group) => group.isPerson && album.people.get(group.id)?.hidden === true;
  const wanted = {
    all: (group) => (group.isPerson && !isHidden(group)) || group.isCluster, named: (group) => group.isPerson && !isHidden(group), unnamed: (group) => group.isCluster, hidden: isHidden,
  }[show];
  const groups = [...album.groups.values()].filter((group) => group.size && wanted(group));
  // Among equals by the first face: a cluster keeps its place when it gets a name.
  if (order === "size") return bySize(album, groups);
  if (order === "name") groups.sort((a, b) => b.isPerson - a.isPerson || collator().compare(album.title(a.key), album.title(b.key)));
  const rank = (group) => (Number.isNaN(cohesionOf(album, group)) ? 2 : group.cohesion);
  if (order === "cohesion") groups.sort((a, b) => rank(a) - rank(b) || b.size - a.size || a.first - b.first);
  return groups;
}

/** Groups by size, the largest first; equals stay in their order, that of their first faces. As numbers, they are sorted in an instant. */
function bySize(album, groups) {
  const { faces } = album;
  const count = groups.length;
  const ranks = new Float64Array(count);
  for (let i = 0; i < count; i++) ranks[i] = (faces - groups[i].size) * count + i;
  ranks.sort();
  const sorted = new Array(count);
  for (let i = 0; i < count; i++) sorted[i] = groups[ranks[i] % count];
  return sorted;
}

/**
 * The keys of the groups before and after one, in the order that the people were shown in last; null at the ends.
 * `place`: where it was, if it is gone; `seen(place)` is called with where it is.
 */
function neighbourGroups(app, key, place = 0, seen = () => {}) {
  const view = app.made.get(PeopleView);
  const groups = listGroups(app.album, view?.filter ?? "all", view?.order ?? "size");
  const index = groups.findIndex((group) => group.key === key);
  if (index < 0) return [groups[place - 1]?.key ?? null, groups[place]?.key ?? null];
  seen(index);
  return [groups[index - 1]?.key ?? null, groups[index + 1]?.key ?? null];
}

class PeopleView {
  constructor(app) {
    this.app = app;
    this.filter = "all";
    this.order = "size";
    this.selection = new Selection();
    this.naming = null; // {key, field} while a cluster is being named
    const words = WORDS.people;
    this.heading = make("h2", { className: "heading", textContent: words.heading });
    this.summary = make("p", { className: "summary", "aria-live": "polite" });
    this.filters = Object.fromEntries(GROUP_FILTERS.map((name) => [name, button("", () => this.choose({ show: name }), { "aria-pressed": "false" })]));
    this.orders = make("select", { "aria-label": words.order, title: `${words.order} (o)`, onchange: () => this.choose({ order: this.orders.value }) },
      ...GROUP_ORDERS.map((name) => make("option", { value: name, textContent: words.orders[name] })));
    this.tip = make("p", { className: "tip" });
    this.empty = make("p", { className: "empty", hidden: true });
    this.list = make("div", { className: "grid people", role: "list", "aria-label": words.heading });
    this.root = make("section", { className: "view" },
      make("div", { className: "head" }, make("div", { className: "words" }, this.heading, this.summary, this.tip),
        make("div", { className: "actions" }, make("div", { className: "filters", role: "group", "aria-label": words.filter }, ...Object.values(this.filters)), this.orders)),
      this.empty, this.list);
    this.grid = new Grid(this.list, (group) => this.card(group), (group, index, event) => this.open(group, event), {
      mark: (node, group) => this.mark(node, group),
      keyOf: (group) => app.album.face[group.first], // stays when a cluster gets a name, and when the index has numbered a person
      stamp: (group) => `${group.size} ${app.album.face[app.album.cover(group)]} ${app.album.title(group.key)} ${this.order === "cohesion" ? cohesionOf(app.album, group).toFixed(2) : ""}`,
      prefetch: (groups) => app.source.prefetch?.(groups.map((group) => app.album.face[app.album.cover(group)])),
      each: 5,
    });
    this.dragging = new CardDragging(this.grid, {
      title: (group) => app.album.title(group.key),
      drop: (from, onto) => this.join(from, onto),
      press: (group) => this.selection.toggle(this.grid.keyOf(group)),
    });
    this.commands = new GroupCommands(this);
    this.root.append(this.commands.bar);
    PHONE.addEventListener("change", () => { if (this.root.isConnected) this.draw(); });
  }

  show(route, before) {
    this.filter = GROUP_FILTERS.includes(route.show) ? route.show : "all";
    this.order = GROUP_ORDERS.includes(route.order) ? route.order : "size";
    this.draw();
    this.app.keys?.add("people", this.bindings(), { title: WORDS.people.keys });
    if (!before || before.view === "people" || before.id === null) return;
    // Back at the card that was opened.
    const key = `${before.view === "person" ? "p" : "c"}${before.id}`;
    const index = this.grid.items.findIndex((group) => group.key === key);
    if (index >= 0) requestAnimationFrame(() => this.grid.focus(index));
  }

  open(group, event) {
    if (!this.commands.click(group, event)) this.app.router.go(Router.parse(Router.group(group.key)));
  }

  hide() {
    this.stopNaming();
    this.selection.clear();
    this.app.keys?.remove("people");
  }

  changed(changes) { this.draw(!changes.reload); }

  choose(change) {
    const { router } = this.app;
    const show = change.show ?? this.filter;
    const order = change.order ?? this.order;
    router.replace({ ...router.route, show: show === "all" ? null : show, order: order === "size" ? null : order });
    scrollTo(0, 0);
  }

  bindings() {
    const words = WORDS.people;
    const onGroup = (work) => () => {
      const node = this.grid.focusedNode();
      return node ? work(this.grid.items[this.grid.active]) : false;
    };
    return [
      { keys: ["n"], label: words.nameKey, run: () => this.commands.run("nameAll") || this.nameNext(this.grid.focusedNode() ? this.grid.active : 0) },
      { keys: ["m"], label: words.mergeKey, run: onGroup((group) => { pickAndJoin(this.app, group.key); }) },
      { keys: ["h"], label: words.hideKey, run: () => this.commands.run("hideAll") || onGroup((group) => this.toggleHidden(group))() },
      { keys: ["i"], label: words.ignoreKey, run: () => this.commands.run("ignoreAll") || onGroup((group) => this.ignore(group))() },
      { keys: [" "], label: words.selectKey, run: onGroup((group) => { if (document.activeElement.matches(".card")) this.selection.toggle(this.grid.keyOf(group)); else return false; }) },
      { keys: ["Mod+a"], label: WORDS.selection.all, run: () => this.selection.set(this.grid.items.map((group) => this.grid.keyOf(group))) },
      { keys: ["Escape"], run: () => (this.selection.size ? this.selection.clear() : false) },
      { keys: ["o"], label: words.orderKey, run: () => this.choose({ order: GROUP_ORDERS[(GROUP_ORDERS.indexOf(this.order) + 1) % GROUP_ORDERS.length] }) },
      { keys: ["f"], label: words.filterKey, run: () => this.nextFilter() },
      { keys: ["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"], run: () => this.grid.enter() },
    ];
  }

  nextFilter() {
    const there = GROUP_FILTERS.filter((name) => !this.filters[name].hidden);
    this.choose({ show: there[(there.indexOf(this.filter) + 1) % there.length] });
  }

  // Drawing -----------------------------------------------------------------------------------

  draw(isUpdate = false) {
    const { album } = this.app;
    const words = WORDS.people;
    const counts = { all: 0, named: 0, unnamed: 0, hidden: 0 };
    for (const group of album.groups.values()) {
      if (group.isCluster) counts.unnamed++;
      else if (group.isPerson) counts[album.people.get(group.id)?.hidden ? "hidden" : "named"]++;
    }
    counts.all = counts.named + counts.unnamed;
    for (const [name, node] of Object.entries(this.filters)) {
      node.textContent = words.filters[name](counts[name]);
      node.setAttribute("aria-pressed", String(name === this.filter));
      node.hidden = name === "hidden" && !counts.hidden && this.filter !== "hidden";
    }
    this.orders.value = this.order;
    const strangers = album.facesOf("ignored").length;
    const summary = album.faces ? words.summary(album.faces, album.photos) : "";
    this.summary.replaceChildren(summary, ...(strangers ? [" · ", make("a", { href: "#view=ignored", textContent: words.strangers(strangers) })] : []));
    this.tip.textContent = album.newerFaces ? WORDS.faces.newer(album.newerFaces) : "";
    const groups = listGroups(album, this.filter, this.order);
    this.empty.hidden = groups.length > 0;
    this.list.hidden = !groups.length;
    this.empty.textContent = !album.faces ? words.empty : !album.clustered ? words.noClusters : words.none[this.filter];
    const size = { minWidth: PHONE.matches ? 104 : 136, maxWidth: 180, captionHeight: PHONE.matches ? 74 : 66 };
    if (isUpdate) this.grid.update(groups, size);
    else this.grid.show(groups, size, this.grid.active);
    if (this.selection.size) this.selection.keep(groups.map((group) => this.grid.keyOf(group)));
    if (this.naming && !this.grid.items.some((group) => group.key === this.naming.key)) this.naming = null;
  }

  mark(node, group) {
    const selected = this.selection.has(this.grid.keyOf(group));
    node.classList.toggle("selected", selected);
    node.querySelector(".card").setAttribute("aria-label", `${this.app.album.title(group.key)}, ${WORDS.people.faces(group.size)}${selected ? WORDS.groupBar.selected : ""}`);
  }

  about(group) {
    const { album } = this.app;
    const parts = [PHONE.matches && group.isCluster ? number(group.size) : WORDS.people.faces(group.size)];
    if (group.isCluster) parts.unshift(album.title(group.key));
    if (this.order === "cohesion" && !Number.isNaN(cohesionOf(album, group))) parts.splice(group.isCluster ? 1 : 0, 1, WORDS.people.cohesion(group.cohesion));
    return parts.join(" · ");
  }

  card(group) {
    const { album, source } = this.app;
    const thumb = make("span", { className: "thumb" });
    source.paint(thumb, album.face[album.cover(group)]);
    const title = album.title(group.key);
    const about = make("span", { className: "about", textContent: this.about(group) });
    if (group.isPerson) {
      return make("button", { type: "button", className: "card person" }, thumb, make("span", { className: "name", textContent: title }), about);
    }
    return [
      make("button", { type: "button", className: "card person" }, thumb),
      button(WORDS.people.name, () => this.startNaming(group.key), { className: "naming", "aria-label": WORDS.people.nameOf(title), title: `${WORDS.people.nameOf(title)} (n)` }),
      about,
    ];
  }

  // Naming ------------------------------------------------------------------------------------

  /** Start to name the cluster at an index, or the first one after it. Returns false if all have names. */
  nameNext(index) {
    const { items } = this.grid;
    for (let i = 0; i < items.length; i++) {
      const group = items[(index + i) % items.length];
      if (group.isCluster) return void this.startNaming(group.key);
    }
    this.app.say(WORDS.people.allNamed);
    return false;
  }

  startNaming(key) {
    const index = this.grid.items.findIndex((group) => group.key === key);
    if (index < 0) return;
    this.stopNaming();
    this.grid.focus(index);
    const node = this.grid.shown.get(index);
    const opener = node.querySelector(".naming");
    const title = this.app.album.title(key);
    const field = new NameField({
      app: this.app, label: WORDS.people.nameOf(title), placeholder: WORDS.people.placeholder, onPick: ({ name }) => this.named(key, name),
    });
    this.naming = { key, field, node, opener };
    node.classList.add("is-naming");
    // The list of names is wider than a card.
    node.classList.toggle("at-end", this.grid.rectOf(index).x + 240 > this.list.clientWidth);
    opener.replaceWith(field.root);
    field.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      event.stopPropagation();
      this.stopNaming(true);
    });
    field.root.addEventListener("focusout", (event) => {
      if (this.naming?.field === field && !field.text.trim() && !field.root.contains(event.relatedTarget)) this.stopNaming();
    });
    field.focus();
    scrollBy(0, Math.max(0, field.root.getBoundingClientRect().bottom + 150 - (visualViewport?.height ?? innerHeight)));
  }

  /** Remove the field. `refocus`: the focus goes back to the card. */
  stopNaming(refocus = false) {
    if (!this.naming) return;
    const { field, node, opener } = this.naming;
    this.naming = null;
    field.root.replaceWith(opener);
    node.classList.remove("is-naming", "at-end");
    if (refocus) node.querySelector(".card").focus({ preventScroll: true });
  }

  /** Store a name, and go on with the next cluster without one. */
  named(key, name) {
    const { items } = this.grid;
    const index = items.findIndex((group) => group.key === key);
    // The following clusters without a name, then those before: the first that is still there afterwards comes next.
    const next = [...items.slice(index + 1), ...items.slice(0, Math.max(0, index))].filter((group) => group.isCluster).map((group) => group.key);
    this.stopNaming(true);
    this.app.actions.do({ do: "name", name, clusters: [Number(key.slice(1))] });
    const there = next.find((each) => this.app.album.group(each));
    if (there) this.startNaming(there);
    else this.app.say(WORDS.people.allNamed);
  }

  // Other decisions ---------------------------------------------------------------------------

  join(from, onto) { joinGroups(this.app, from.key, onto.key); }

  toggleHidden(group) {
    if (!group.isPerson) return void this.app.say(WORDS.people.onlyPeopleHide);
    this.app.actions.do({ do: "hide", person: group.id, hidden: !this.app.album.people.get(group.id).hidden });
  }

  ignore(group) {
    if (!group.isCluster) return void this.app.say(WORDS.people.onlyClustersIgnore);
    this.app.actions.do({ do: "ignore", clusters: [group.id] });
  }

  /** What is printed. */
  printed() {
    const { album } = this.app;
    return {
      title: this.heading.textContent, about: this.summary.textContent, items: this.grid.items,
      face: (group) => album.face[album.cover(group)], caption: (group) => `${album.title(group.key)} (${number(group.size)})`,
    };
  }
}
