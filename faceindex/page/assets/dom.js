// Elements, texts and numbers.

const byId = (id) => document.getElementById(id);

/** What a function returns, made when it is needed first. What needs the browser's data on languages takes milliseconds. */
function lazily(make) {
  let made;
  return () => (made ??= make());
}

/**
 * Make an element. `properties` are assigned to it; those with a hyphen, `role` and `for` become attributes.
 * Children are elements, strings or null.
 */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, String(value));
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button with a text; `properties` as for `make`. */
const button = (text, onClick, properties = {}) => make("button", { type: "button", onclick: onClick, textContent: text, ...properties });

/** An integer with commas between its thousands. `toLocaleString` would load the browser's data on languages. */
const number = (value) => String(value).replace(/\B(?=(?:\d{3})+$)/g, ",");
const counted = (value, noun, plural = `${noun}s`) => `${number(value)} ${value === 1 ? noun : plural}`;
const collator = lazily(() => new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }));

/** Text as search compares it: without case and accents. */
const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // what Python takes for spaces
const BETWEEN_WORDS = new RegExp(`[${SPACES}]+`, "u");

/** A text with single spaces between its words. */
const oneLine = (text) => text.split(BETWEEN_WORDS).filter(Boolean).join(" ");

/** A name as the index compares names (`faceindex.people.roster.name_key`): accents count, case does not. */
const nameKey = (name) => oneLine(name.normalize("NFKC").toUpperCase().toLowerCase());

// Control characters, invisible ones, marks that change the direction of writing, and undecodable bytes (lone
// surrogates U+DC80 to U+DCFF) are shown as escape sequences. `faceindex/cli/escaping.py` has the same list.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

function readable(text) {
  return text.replace(UNPRINTABLE, (letter) => {
    const code = letter.charCodeAt(0);
    return code >= 0xdc80 && code <= 0xdcff ? `\\x${(code - 0xdc00).toString(16)}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Seconds since 1970 in the camera's local time, as a Date whose UTC parts are that time. */
const momentOf = (seconds) => new Date(seconds * 1000);
const shortDate = lazily(() => new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" }));
const dateText = (seconds) => (Number.isFinite(seconds) ? shortDate().format(momentOf(seconds)) : "");
const shortMoment = lazily(() => new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }));
const momentText = (seconds) => (Number.isFinite(seconds) ? shortMoment().format(momentOf(seconds)) : "");

/** Whether a key press is for a control that takes text. */
const isTyping = (event) => event.target.closest?.("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]") !== null
  && event.target.closest !== undefined;

/** Let a screen reader say something. */
function announce(text) {
  byId("live").textContent = "";
  requestAnimationFrame(() => { byId("live").textContent = text; });
}

/** Call a function once after what runs now. */
function oncePerTask(work) {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    queueMicrotask(() => {
      pending = false;
      work();
    });
  };
}

/** Call a function at most once per frame. */
function oncePerFrame(work) {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      work();
    });
  };
}

/** 32 hexadecimal digits, for decisions and people that the page makes. */
const newUid = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What the browser keeps by a key: a text, or null. Browsers that keep nothing may throw. */
function keptText(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function keepText(storage, key, text) {
  try {
    window[storage].setItem(key, text);
  } catch {
    // It is forgotten when the page is closed.
  }
}
