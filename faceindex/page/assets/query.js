// The language of `faceindex find` (faceindex.people.query), evaluated over the album, with dates: `Anna & 1998`.
//
// A date is `1998`, `1998-06` or `1998-06-14`, a range `1995..1999`, `1995..` or `..1999`. Four digits are a year,
// so cluster 1998 is written `c1998`. Everything else is as in the library.

/** What is wrong with a query. `at`: the place in it, in UTF-16 units, or null. */
class QueryError extends Error {
  constructor(problem, remedy, at = null) {
    super(`${problem} ${remedy}`);
    Object.assign(this, { problem, remedy, at });
  }
}

const QUERY_DEPTH = 50;
const QUERY_IS_SPACE = new RegExp(`[${SPACES}]`, "u");
const QUERY_END_OF_WORD = new RegExp(`[${SPACES}&+,|()]`, "gu");
const QUERY_CLUSTER = new RegExp(`^(?:c|cluster)?[${SPACES}:#]*(\\p{Nd}+)$`, "iu");
const QUERY_FACE = new RegExp(`^(?:f|face)[${SPACES}:#]*\\p{Nd}+$`, "iu");
const QUERY_SYMBOLS = { "&": "and", "+": "and", ",": "and", "|": "or", "(": "(", ")": ")" };
const QUERY_WORDS = { and: "and", AND: "and", or: "or", OR: "or", not: "not", NOT: "not" };
const QUERY_DAY = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$/;

/** The value of decimal digits of any script. */
function digitsValue(digits) {
  let value = "";
  for (const digit of digits.normalize("NFKC")) {
    let code = digit.codePointAt(0);
    let count = 0;
    if (code > 57) while (/\p{Nd}/u.test(String.fromCodePoint(code - 1)) && count < 9) { code--; count++; }
    else count = code - 48;
    value += count;
  }
  return Number(value.slice(0, 30));
}

/** The first second of a date and that after its last one, in seconds since 1970; null if it is none. */
function secondsOf(text) {
  const match = QUERY_DAY.exec(text);
  if (!match) return null;
  const [year, month, day] = match.slice(1).map((part) => (part === undefined ? null : Number(part)));
  const at = (y, m, d) => new Date(0).setUTCFullYear(y, m, d) / 1000; // Date.UTC takes the year 50 for 1950
  const first = at(year, (month ?? 1) - 1, day ?? 1);
  const found = momentOf(first);
  if (year < 1 || found.getUTCMonth() !== (month ?? 1) - 1 || found.getUTCDate() !== (day ?? 1)) return null;
  const next = day !== null ? at(year, month - 1, day + 1) : month !== null ? at(year, month, 1) : at(year + 1, 0, 1);
  return [first, next];
}

/** A date or a range as {first, next} in seconds; null if it is none. */
function rangeOf(text) {
  const parts = text.split("..");
  if (parts.length === 1) {
    const found = secondsOf(text);
    return found && { first: found[0], next: found[1] };
  }
  if (parts.length !== 2 || !parts.some(Boolean)) return null;
  const [begin, end] = parts.map((part) => (part ? secondsOf(part) : undefined));
  if (begin === null || end === null) return null;
  return { first: begin ? begin[0] : -Infinity, next: end ? end[1] : Infinity };
}

/** Write a name so that a query takes it for one. */
function quotedName(name) {
  try {
    const parsed = parseQuery(name);
    if (parsed.kind === "name" && parsed.name === name) return name;
  } catch (problem) {
    if (!(problem instanceof QueryError)) throw problem;
  }
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}

/**
 * Parse a query into {kind: "name" | "cluster" | "date" | "anybody" | "unnamed" | "not" | "and" | "or", ...}.
 * Leaves have `start` and `end`, their place in the text.
 * @throws {QueryError}
 */
const parseQuery = (text) => new QueryParser(text).query();

class QueryParser {
  constructor(text) {
    this.text = text;
    this.tokens = [...this.read()];
    this.at = 0;
    this.depth = 0;
  }

  query() {
    const found = this.either();
    const { token } = this;
    if (token.kind === ")") throw this.error(token, WORDS.query.closing, WORDS.query.removeOrOpen);
    if (token.kind !== "end") throw this.error(token, (place) => WORDS.query.noOperator(this.written(token), place), WORDS.query.writeOperator);
    return found;
  }

  // Tokens ------------------------------------------------------------------------------------

  *read() {
    const { text } = this;
    let at = 0;
    while (at < text.length) {
      const letter = text[at];
      const start = at;
      if (QUERY_IS_SPACE.test(letter)) at++;
      else if (Object.hasOwn(QUERY_SYMBOLS, letter)) {
        at += (letter === "&" || letter === "|") && text[at + 1] === letter ? 2 : 1; // && and || are usual
        yield { kind: QUERY_SYMBOLS[letter], value: "", start, end: at };
      } else if (letter === "!") yield { kind: "not", value: "", start, end: ++at };
      else if (letter === '"' || letter === "'") {
        const [value, end] = this.quoted(start);
        at = end;
        yield { kind: "quoted", value, start, end };
      } else {
        QUERY_END_OF_WORD.lastIndex = at;
        at = QUERY_END_OF_WORD.exec(text)?.index ?? text.length;
        const word = text.slice(start, at);
        yield { kind: Object.hasOwn(QUERY_WORDS, word) ? QUERY_WORDS[word] : "word", value: word, start, end: at };
      }
    }
    yield { kind: "end", value: "", start: at, end: at };
  }

  quoted(start) {
    const { text } = this;
    let value = "";
    for (let at = start + 1; at < text.length; at++) {
      if (text[at] === text[start]) return [value, at + 1];
      if (text[at] === "\\") at++;
      value += text[at] ?? "";
    }
    throw this.error({ start }, (place) => WORDS.query.openQuote(text[start], place), WORDS.query.closeQuote);
  }

  get token() { return this.tokens[this.at]; }

  accepts(kind) {
    const found = this.token.kind === kind;
    if (found) this.at++;
    return found;
  }

  // Grammar -----------------------------------------------------------------------------------

  either() { return this.joined("or", () => this.all()); }
  all() { return this.joined("and", () => this.term()); }

  joined(kind, next) {
    const terms = [next()];
    while (this.accepts(kind)) terms.push(next());
    return terms.length === 1 ? terms[0] : { kind, terms };
  }

  term() {
    let negations = 0;
    while (this.accepts("not")) negations++;
    if (negations > QUERY_DEPTH) throw this.tooDeep();
    let found = this.token.kind === "(" ? this.group() : this.name();
    for (; negations; negations--) found = { kind: "not", term: found };
    return found;
  }

  group() {
    const opening = this.token;
    this.at++;
    if (++this.depth > QUERY_DEPTH) throw this.tooDeep();
    const found = this.either();
    this.depth--;
    if (this.token.kind === "end") throw this.error(opening, WORDS.query.opening, WORDS.query.addClosing);
    this.accepts(")"); // anything else: `query` reports it
    return found;
  }

  name() {
    const first = this.token;
    const { start } = first;
    if (this.accepts("quoted")) {
      if (!oneLine(first.value)) throw this.error(first, WORDS.query.emptyQuotes, WORDS.query.writeName);
      return { kind: "name", name: first.value, start, end: first.end };
    }
    while (this.token.kind === "word") this.at++;
    if (this.token === first) throw this.withoutName();
    const { end } = this.tokens[this.at - 1];
    if (first.value.startsWith("-")) throw this.error(first, (place) => WORDS.query.minus(first.value, place), WORDS.query.writeNot);
    return { ...this.leaf(oneLine(this.text.slice(start, end)), first), start, end };
  }

  leaf(name, at) {
    const key = name.toLowerCase();
    if (key === "*" || key === "anybody") return { kind: "anybody" };
    if (key === "?" || key === "unnamed") return { kind: "unnamed" };
    if (key === "nobody") return { kind: "not", term: { kind: "anybody" } };
    const range = rangeOf(name);
    if (range) {
      if (range.first >= range.next) throw this.error(at, (place) => WORDS.query.turned(name, place), WORDS.query.swap);
      return { kind: "date", text: name, ...range };
    }
    const cluster = QUERY_CLUSTER.exec(name);
    if (cluster) return { kind: "cluster", cluster: digitsValue(cluster[1]) };
    if (QUERY_FACE.test(name)) throw this.error(at, (place) => WORDS.query.oneFace(name, place), WORDS.query.nameOrCluster);
    return { kind: "name", name };
  }

  // Errors ------------------------------------------------------------------------------------

  withoutName() {
    if (!oneLine(this.text)) return new QueryError(WORDS.query.empty, WORDS.query.example);
    const before = this.tokens[this.at - 1];
    if (before) return this.error(before, (place) => WORDS.query.nameAfter(this.written(before), place), WORDS.query.nameOrCluster);
    return this.error(this.token, (place) => WORDS.query.nameBefore(this.written(this.token), place), WORDS.query.nameOrCluster);
  }

  tooDeep() { return new QueryError(WORDS.query.tooDeep(QUERY_DEPTH), WORDS.query.shorter); }
  written(token) { return this.text.slice(token.start, token.end); }
  error(token, problem, remedy) {
    return new QueryError(problem([...this.text.slice(0, token.start)].length + 1), remedy, token.start);
  }
}

// Evaluation ----------------------------------------------------------------------------------

/** The leaves of a query, with whether each is inside an odd number of `!`. */
function* leavesOf(query, negated = false) {
  if (query.kind === "not") yield* leavesOf(query.term, !negated);
  else if (query.terms) for (const term of query.terms) yield* leavesOf(term, negated);
  else yield [query, negated];
}

/** Finds photos of an album. Somebody is on a photo if a face shows a person or is in a cluster, and is no stranger. */
class Finder {
  constructor(album) {
    this.album = album;
    this.byKey = new Map();
    for (const person of album.people.values()) {
      const key = nameKey(person.name);
      if (!this.byKey.has(key)) this.byKey.set(key, []);
      this.byKey.get(key).push(person.id);
    }
  }

  /** The ids of the people with a name. */
  exactly(name) { return this.byKey.get(nameKey(name)) ?? []; }

  /** People with a word of their name that begins with some text, the largest first. */
  beginning(text) {
    const wanted = folded(oneLine(text));
    if (!wanted) return [];
    const size = (id) => this.album.group(`p${id}`)?.size ?? 0;
    return [...this.album.people.values()].filter(({ name }) => ` ${folded(oneLine(name))}`.includes(` ${wanted}`))
      .map(({ id }) => id).sort((a, b) => size(b) - size(a) || a - b);
  }

  /**
   * The people of each name of a query: those with the name, else those with a name that begins like it.
   * Sets `people` and `guessed` of the leaves.
   * @throws {QueryError} for a name or a cluster that is not there
   */
  resolve(query, { guess = true } = {}) {
    for (const [leaf] of leavesOf(query)) {
      if (leaf.kind === "name") {
        leaf.people = this.exactly(leaf.name);
        leaf.guessed = !leaf.people.length;
        if (leaf.guessed && guess) leaf.people = this.beginning(leaf.name);
        if (!leaf.people.length) throw new QueryError(WORDS.query.nobody(leaf.name), WORDS.query.checkName, leaf.start);
      } else if (leaf.kind === "cluster" && !this.album.cluster.includes(leaf.cluster)) {
        throw new QueryError(WORDS.query.noCluster(leaf.cluster), WORDS.query.checkCluster, leaf.start);
      }
    }
    return query;
  }

  /** For each photo, 1 if a query that was resolved finds it. */
  mask(query) {
    const { album } = this;
    switch (query.kind) {
      case "not": return this.mask(query.term).map((found) => 1 - found);
      case "and": return this.joined(query.terms, (one, other) => one & other);
      case "or": return this.joined(query.terms, (one, other) => one | other);
      case "date": return Uint8Array.from(album.taken, (taken) => Number(taken >= query.first && taken < query.next));
      default: {
        const found = new Uint8Array(album.photos);
        const shows = this.shows(query);
        for (let at = 0; at < album.faces; at++) if (shows(at)) found[album.facePhoto[at]] = 1;
        return found;
      }
    }
  }

  joined(terms, join) {
    const found = this.mask(terms[0]);
    for (const term of terms.slice(1)) {
      const other = this.mask(term);
      for (let i = 0; i < found.length; i++) found[i] = join(found[i], other[i]);
    }
    return found;
  }

  /** A function that says whether a leaf is about a face. */
  shows(leaf) {
    const { person, cluster, label } = this.album;
    if (leaf.kind === "name") {
      const people = new Set(leaf.people);
      const [only] = people;
      if (people.size === 1) return (at) => person[at] === only && !isNobody(label[at]);
      return (at) => people.has(person[at]) && !isNobody(label[at]);
    }
    if (leaf.kind === "cluster") return (at) => cluster[at] === leaf.cluster && !isNobody(label[at]);
    if (leaf.kind === "unnamed") return (at) => cluster[at] >= 0 && person[at] === -1 && !isNobody(label[at]);
    return (at) => (cluster[at] >= 0 || person[at] !== -1) && !isNobody(label[at]); // anybody
  }

  /** For each face, 1 if a query is about it: if a leaf outside of `!` is. */
  meant(query) {
    const meant = new Uint8Array(this.album.faces);
    for (const [leaf, negated] of leavesOf(query)) {
      if (negated || leaf.kind === "date") continue;
      const shows = this.shows(leaf);
      for (let at = 0; at < meant.length; at++) if (!meant[at] && shows(at)) meant[at] = 1;
    }
    return meant;
  }
}
