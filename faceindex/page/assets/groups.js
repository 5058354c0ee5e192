// What can be done with several people and clusters at once.

class GroupCommands {
  /** @param {PeopleView} view with `grid` and `selection`, which holds what identifies a group in the grid */
  constructor(view) {
    Object.assign(this, { view, app: view.app });
    const words = WORDS.groupBar;
    this.count = make("strong", { className: "count" });
    this.name = button(words.name, () => this.run("nameAll"), { title: `${words.name} (n)` });
    this.ignore = button(words.ignore, () => this.run("ignoreAll"), { title: `${words.ignore} (i)` });
    this.hide = button(words.hide, () => this.run("hideAll"), { title: `${words.hide} (h)` });
    this.bar = make("div", { className: "action-bar", role: "toolbar", "aria-label": words.bar, hidden: true },
      this.count, this.name, this.ignore, this.hide, button(words.clear, () => view.selection.clear(), { title: `${words.clear} (Esc)` }));
    view.selection.onChange(() => this.draw());
    new ResizeObserver(() => reserveBar(this.bar)).observe(this.bar);
  }

  /** The selected groups, in their order. */
  get groups() {
    const { grid, selection } = this.view;
    return grid.items.filter((group) => selection.has(grid.keyOf(group)));
  }

  draw() {
    const { selection, grid, list } = this.view;
    const { groups } = this;
    this.bar.hidden = !selection.size;
    this.count.textContent = WORDS.selection.count(selection.size);
    this.ignore.hidden = !groups.some((group) => group.isCluster);
    this.hide.hidden = !groups.some((group) => group.isPerson);
    list.classList.toggle("selecting", selection.size > 0);
    grid.remark();
    reserveBar(this.bar);
  }

  /** Returns false if nothing is selected. */
  run(command) {
    if (!this.view.selection.size) return false;
    this[command](this.groups);
    return true;
  }

  /** All of them are one person. */
  async nameAll(groups) {
    const picked = await this.app.names.pick({ title: WORDS.groupBar.title(groups.length), exclude: [], text: "" });
    if (!picked) return;
    const { actions, album } = this.app;
    const keys = groups.map((group) => actions.realKey(group.key)).filter((key) => album.group(key)); // as the index has numbered them by now
    const ids = (kind) => keys.filter((key) => key[0] === kind).map((key) => Number(key.slice(1)));
    const [people, clusters] = [ids("p"), ids("c")];
    this.view.selection.clear();
    const into = picked.person ?? people[0];
    const others = people.filter((id) => id !== into);
    if (picked.person === null && people.length) actions.do({ do: "rename", person: into, name: picked.name });
    if (others.length) actions.do({ do: "merge", into, others });
    if (clusters.length) actions.do({ do: "name", name: picked.name, clusters });
  }

  ignoreAll(groups) {
    const clusters = groups.filter((group) => group.isCluster).map((group) => group.id);
    this.view.selection.clear();
    if (clusters.length) this.app.actions.do({ do: "ignore", clusters });
  }

  hideAll(groups) {
    const { actions, album } = this.app;
    this.view.selection.clear();
    for (const group of groups) if (group.isPerson) actions.do({ do: "hide", person: group.id, hidden: !album.people.get(group.id).hidden });
  }

  /** A click or a key on a group. Returns false if it is to be opened. */
  click(group, event) {
    const { selection, grid } = this.view;
    const key = grid.keyOf(group);
    const from = grid.items.findIndex((item) => grid.keyOf(item) === selection.from);
    if (event.shiftKey && from >= 0) {
      const [first, last] = [from, grid.items.indexOf(group)].sort((a, b) => a - b);
      selection.add(grid.items.slice(first, last + 1).map((item) => grid.keyOf(item)));
    } else if (event.ctrlKey || event.metaKey || event.shiftKey || selection.size) selection.toggle(key);
    else return false;
    return true;
  }
}

/** Leave room for a bar at the bottom, below the last items. */
function reserveBar(bar) {
  reserveHeight(bar.isConnected && !bar.hidden ? bar.offsetHeight : 0);
}

let reserved = 0; // pixels

function reserveHeight(height) {
  if (height === reserved) return; // the style of all elements would be computed again
  reserved = height;
  document.documentElement.style.setProperty("--action-bar", `${height}px`);
}
