// Keys: one listener for the whole page, and the dialog that lists what the keys do.

const SEQUENCE = 1500; // milliseconds in which the second key of "g p" must come
const ONCE = /^(Mod\+)?[a-ilm-zA-Z]$/; // keys that count once while they are held: a decision, not a move (j and k)
const KEY_SIGNS = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", " ": "Space", Delete: "Del", Backspace: "⌫", Enter: "↵",
  PageUp: "Page ↑", PageDown: "Page ↓",
};

/**
 * The name of the key of an event: as in `KeyboardEvent.key`, letters in lower case unless Shift is held, "Mod+z" with Ctrl or Command.
 * On keyboards with other letters, such as Cyrillic ones, a key counts as the Latin letter in its place.
 */
function keyOf(event) {
  let key = event.key;
  if (key.length === 1 && !event.shiftKey) key = key.toLowerCase();
  if (/^\p{L}$/u.test(key) && key > "\u024f" && /^Key[A-Z]$/.test(event.code)) {
    key = event.shiftKey ? event.code[3] : event.code[3].toLowerCase();
  }
  return `${event.ctrlKey || event.metaKey ? "Mod+" : ""}${event.altKey ? "Alt+" : ""}${key}`;
}

class Keys {
  constructor() {
    this.scopes = new Map(); // scope -> {bindings, title}; the last one comes first
    this.prefix = ""; // the first key of a sequence
    addEventListener("keydown", (event) => this.onKey(event));
  }

  /**
   * Give keys a meaning. What is added last comes first.
   * @param scope a name, or a <dialog>; while a dialog is open, only its keys work
   * @param {{keys: string[], label?: string, run: function(KeyboardEvent), typing?: boolean}[]} bindings `keys` as in
   *   `keyOf`; "g p" is g and then p. Without `label` the help does not list them. `run` returns false if the key is
   *   not for it. With `typing`, the keys work in text fields too.
   * @param {{title?: string}} options the heading in the help
   */
  add(scope, bindings, { title = WORDS.keys.here } = {}) {
    this.scopes.delete(scope);
    this.scopes.set(scope, { bindings, title });
  }

  remove(scope) { this.scopes.delete(scope); }

  /** The dialog on top, or null. */
  static dialog() { return [...document.querySelectorAll("dialog[open]")].at(-1) ?? null; }

  /** The scopes whose keys work now, the one that comes first first. */
  active() {
    const dialog = Keys.dialog();
    return [...this.scopes].reverse()
      .filter(([scope]) => (scope instanceof HTMLDialogElement ? scope === dialog : !dialog))
      .map(([, entry]) => entry);
  }

  onKey(event) {
    if (event.defaultPrevented || event.isComposing || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    const typing = isTyping(event);
    const key = this.prefix ? `${this.prefix} ${keyOf(event)}` : keyOf(event);
    this.prefix = "";
    let starts = false;
    for (const { bindings } of this.active()) {
      for (const binding of bindings) {
        if (typing && !binding.typing) continue;
        if (binding.keys.includes(key)) {
          const isHeld = event.repeat && !typing && ONCE.test(key);
          if (!isHeld && binding.run(event) === false) continue;
          event.preventDefault();
          return;
        }
        starts ||= binding.keys.some((keys) => keys.startsWith(`${key} `));
      }
    }
    if (!starts) return;
    event.preventDefault();
    this.prefix = key;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => { this.prefix = ""; }, SEQUENCE);
  }
}

/** One or two keys as elements, such as [g] [p]. */
function keySigns(keys) {
  return keys.split(/ (?=.)/).flatMap((key) => key.split("+")).map((key) => make("kbd", { textContent: KEY_SIGNS[key] ?? (key === "Mod" ? WORDS.keys.control : key) }));
}

/** The keys that the help lists: those with Ctrl only where there are no others. */
function listedKeys(keys) {
  const plain = keys.filter((key) => !key.startsWith("Mod+"));
  return plain.length ? plain : keys;
}

/** Lists the keys that work where the user is. */
class HelpDialog {
  constructor(keys) {
    this.keys = keys;
    this.body = make("div");
    this.root = make("dialog", { id: "help", "aria-label": WORDS.keys.heading, tabIndex: -1 }, this.body,
      make("form", { method: "dialog" }, make("button", { textContent: WORDS.keys.close })));
    this.root.addEventListener("click", (event) => { if (event.target === this.root) this.root.close(); });
    document.body.append(this.root);
    keys.add(this.root, [{ keys: ["?", "q"], run: () => this.root.close() }]);
  }

  open() {
    if (this.root.open) return;
    const parts = [];
    for (const { bindings, title } of this.keys.active()) {
      const listed = bindings.filter((binding) => binding.label);
      if (!listed.length) continue;
      parts.push(make("h2", { textContent: title }), make("dl", {}, ...listed.map((binding) => make("div", {},
        make("dt", {}, ...listedKeys(binding.keys).flatMap((keys, i) => [i ? " " : null, ...keySigns(keys)])),
        make("dd", { textContent: binding.label })))));
    }
    this.body.replaceChildren(...parts);
    this.root.showModal();
    this.root.focus(); // not the button at the end
    this.root.scrollTop = 0;
  }
}
