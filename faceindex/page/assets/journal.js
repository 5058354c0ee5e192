// Decisions as lines of a journal that `faceindex people apply` reads (faceindex.people.exchange): faces by their
// pictures and boxes, people by their uids.

const JOURNAL_SCHEMA = "faceindex/people-journal/1";
const LABEL_WORDS = { [LABEL.NAMED]: "named", [LABEL.CONFIRMED]: "confirmed", [LABEL.STRANGER]: "stranger", [LABEL.NOT_A_FACE]: "not_a_face" };
const DETAILS = ["born", "died", "note"]; // a gallery that is given away does not have them: nobody could know what is replaced
const MIDDLE = 3; // faces that stand for a cluster
const MOST_SHOWN = 12; // faces in the words of a command
const LONGEST = { name: 200, note: 10000 }; // characters
const LEAST_SIDE = 1e-4; // of a box, as a share of the picture
const ONE_PLACE = 0.5; // intersection over union of the boxes of one face on two copies of a picture
const TURNED = [[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 0]]; // swapped, x backwards, y backwards

/** A decision that the index would refuse. */
const refusal = (problem, remedy = "") => new Problem("refused", { problem, remedy });

/** Where faces are on the stored pictures. */
class Places {
  /** @param album @param columns of the bundle @param photos `{width, height}`, lists by position */
  constructor(album, columns, photos) {
    Object.assign(this, { album, columns, photos });
    this.hashes = new Map(); // photo position -> hash
    this.first = null; // hash -> photo position
  }

  /** The hash of the picture of a photo; null if the gallery does not have it. */
  picture(photo) {
    if (!this.hashes.has(photo)) {
      const bytes = this.columns.picture.subarray(photo * 16, photo * 16 + 16);
      this.hashes.set(photo, bytes.some(Boolean) ? [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") : null);
    }
    return this.hashes.get(photo);
  }

  /** {picture, box} of a face; null if the gallery does not have the picture. */
  of(at) {
    const photo = this.album.facePhoto[at];
    const picture = this.picture(photo);
    if (picture === null) return null;
    const shown = this.original(at, photo, picture);
    const box = this.stored(shown);
    return Math.min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE * 1.1 || box.some((side) => !(Math.abs(side) < 9.9)) ? null : { picture, box };
  }

  /** The same face on the first of the photos that are copies of a picture, so that it has one place. */
  original(at, photo, picture) {
    if (!this.first) {
      this.first = new Map();
      for (let other = 0; other < this.album.photos; other++) {
        const hash = this.picture(other);
        if (hash !== null && !this.first.has(hash)) this.first.set(hash, other);
      }
    }
    const first = this.first.get(picture);
    if (first === photo) return at;
    const own = this.stored(at);
    const overlaps = [...this.album.onPhoto(first)].map((other) => [overlapOf(own, this.stored(other)), other]).sort(([a], [b]) => b - a);
    return overlaps.length && overlaps[0][0] >= ONE_PLACE ? overlaps[0][1] : at;
  }

  /** The box of a face in fractions of the stored picture, as faceindex.orientation.to_stored makes it. */
  stored(at) {
    const photo = this.album.facePhoto[at];
    const [x1, y1, x2, y2] = this.columns.box.subarray(at * 4, at * 4 + 4);
    const [width, height] = [Math.max(this.photos.width[photo], 1), Math.max(this.photos.height[photo], 1)];
    const [swapped, backX, backY] = TURNED[this.columns.orientation[photo] - 1] ?? TURNED[0];
    const turn = (x, y) => {
      const u = backX ? 1 - x : x;
      const v = backY ? 1 - y : y;
      return swapped ? [v, u] : [u, v];
    };
    const [one, other] = [turn(x1 / width, y1 / height), turn(x2 / width, y2 / height)];
    return [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[0], other[0]), Math.max(one[1], other[1])].map((side) => Number(side.toFixed(6)));
  }

  /** The places of faces, each once; throws if there is none. */
  list(positions) {
    const found = new Map();
    for (const at of positions) {
      const place = this.of(at);
      if (place) found.set(`${place.picture} ${place.box}`, place);
    }
    if (!found.size) throw refusal(WORDS.gallery.noPicture, WORDS.gallery.noPictureRemedy);
    return [...found.values()];
  }
}

function overlapOf(a, b) {
  const area = ([x1, y1, x2, y2]) => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
  const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  return both / Math.max(area(a) + area(b) - both, 1e-12);
}

/** Writes what actions mean, in an album that does not show them yet. */
class JournalWriter {
  /** @param {Set<number>} linked faces (ids) that were said to be the same person as others @param {boolean} hasDetails of people */
  constructor(album, places, linked, hasDetails) { Object.assign(this, { album, places, linked, hasDetails }); }

  /** The actions of a decision; `memory` has the uid of a person that it adds. Throws what the index would refuse. */
  actions(action, memory) {
    if (!WRITES[action.do]) throw refusal(WORDS.gallery.notHere);
    if (!this.hasDetails && DETAILS.includes(action.do)) throw refusal(WORDS.gallery.noDetails);
    return WRITES[action.do].call(this, action, memory);
  }

  positions(faces = []) { return positions(this.album, faces); }

  members(clusters = []) {
    const wanted = new Set(clusters);
    const found = [];
    if (wanted.size) this.album.cluster.forEach((cluster, at) => { if (wanted.has(cluster)) found.push(at); });
    return found;
  }

  person(id) {
    const person = this.album.people.get(id);
    if (!person) throw refusal(WORDS.gallery.noPerson);
    return person;
  }

  /** [uid, actions that add the person]: the one with a name, or a new one. */
  named(name, memory) {
    const known = this.album.byName.get(nameKey(name));
    if (known) return [known.uid, []];
    return [memory.personUid, [{ do: "person", person: memory.personUid, set: { name: checkedName(name) } }]];
  }

  label(uid, name, label, positions) { return { do: "label", person: uid, name, as: LABEL_WORDS[label], faces: this.places.list(positions) }; }

  nobody({ faces, clusters }, label) {
    return [{ do: "nobody", as: LABEL_WORDS[label], faces: this.places.list([...this.members(clusters), ...this.positions(faces)]) }];
  }

  set(id, values) { return [{ do: "person", person: this.person(id).uid, set: values }]; }

  /** The faces in the middle of some faces, without others. */
  middle(among, without = new Set()) {
    const rest = [...this.album.bySimilarity(among)].filter((at) => !without.has(at) && this.places.of(at));
    if (!rest.length) throw refusal(WORDS.gallery.noOthers, WORDS.gallery.noOthersRemedy);
    return rest.slice(0, MIDDLE);
  }

  /** People of the labels of faces. */
  labelled(positions) {
    const { album } = this;
    return new Set(positions.filter((at) => album.label[at] === LABEL.NAMED || album.label[at] === LABEL.CONFIRMED).map((at) => album.person[at]));
  }
}

const WRITES = {
  name({ name, faces, clusters }, memory) {
    const [uid, added] = this.named(name, memory);
    const said = this.album.byName.get(nameKey(name))?.name ?? cleanName(name);
    const members = this.members(clusters);
    const chosen = this.positions(faces);
    if (!members.length && !chosen.length) throw refusal(WORDS.gallery.nothing);
    return [...added, ...(members.length ? [this.label(uid, said, LABEL.NAMED, members)] : []),
      ...(chosen.length ? [this.label(uid, said, LABEL.CONFIRMED, chosen)] : [])];
  },
  confirm({ faces, person }) {
    return byPerson(this.album, this.positions(faces), person).map(([id, chosen]) => {
      if (id === -1) throw refusal(WORDS.gallery.noPerson);
      return this.label(this.person(id).uid, this.person(id).name, LABEL.CONFIRMED, chosen);
    });
  },
  reject({ faces, person }) {
    const all = new Set(this.positions(faces));
    return byPerson(this.album, [...all], person).flatMap(([id, chosen]) => {
      if (id !== -1) return [{ do: "reject", person: this.person(id).uid, faces: this.places.list(chosen) }];
      const clusters = new Map();
      for (const at of chosen) clusters.set(this.album.cluster[at], [...(clusters.get(this.album.cluster[at]) ?? []), at]);
      return [...clusters].map(([cluster, those]) => {
        if (cluster < 0) throw refusal(WORDS.gallery.loose);
        return { do: "different", faces: [this.places.list(those), this.places.list(this.middle(this.members([cluster]), all))] };
      });
    });
  },
  ignore(action) { return this.nobody(action, LABEL.STRANGER); },
  not_a_face(action) { return this.nobody(action, LABEL.NOT_A_FACE); },
  same({ faces }) {
    const chosen = this.positions(faces);
    const people = this.labelled(chosen);
    if (people.size > 1) throw refusal(WORDS.gallery.two([...people].map((id) => this.album.title(`p${id}`))), WORDS.gallery.twoRemedy);
    return [{ do: "same", faces: this.places.list(chosen) }];
  },
  different({ one, other }) {
    const sides = [this.positions(one), this.positions(other)];
    const others = this.labelled(sides[1]);
    const both = [...this.labelled(sides[0])].find((id) => others.has(id));
    if (both !== undefined) throw refusal(WORDS.gallery.both(this.album.title(`p${both}`)), WORDS.gallery.bothRemedy);
    return [{ do: "different", faces: sides.map((side) => this.places.list(side)) }];
  },
  /** The part is rejected from the person, or kept apart from the rest of the cluster, and stays together. */
  split({ person, cluster, faces, name }, memory) {
    const { album, places } = this;
    const part = this.positions(faces);
    const inside = new Set(part);
    const actions = [];
    if (person !== undefined && person !== null) actions.push({ do: "reject", person: this.person(person).uid, faces: places.list(part) });
    if (name) {
      const [uid, added] = this.named(name, memory);
      if (uid === album.people.get(person)?.uid) throw refusal(WORDS.gallery.again(readable(name)));
      actions.push(...added, this.label(uid, cleanName(name), LABEL.NAMED, part));
    }
    if (person === undefined || person === null) {
      const rest = this.members([cluster]).filter((at) => !inside.has(at));
      const linked = [part, rest].map((side) => side.filter((at) => this.linked.has(album.face[at]) && places.of(at)));
      if (linked.every((side) => side.length)) actions.push({ do: "unlink", faces: linked.map((side) => places.list(side)) });
      actions.push({ do: "different", faces: [places.list(this.middle(part)), places.list(this.middle(rest))] });
    }
    if (!name && part.length > 1) actions.push({ do: "same", faces: places.list(part) });
    return actions;
  },
  merge({ into, others }) {
    if (!others.length || others.includes(into)) throw refusal(WORDS.gallery.itself);
    return [{ do: "merge", person: this.person(into).uid, merged: others.map((id) => this.person(id).uid) }];
  },
  rename({ person, name }) {
    const other = this.album.byName.get(nameKey(name));
    if (other && other.id !== person) throw refusal(WORDS.gallery.taken(readable(other.name)), WORDS.gallery.takenRemedy);
    return this.set(person, { name: checkedName(name) });
  },
  born({ person, date }) { return this.set(person, { born: checkedDate(date) }); },
  died({ person, date }) { return this.set(person, { died: checkedDate(date) }); },
  hide({ person, hidden }) { return this.set(person, { hidden: Boolean(hidden) }); },
  note({ person, note }) {
    if (note && ([...note].length > LONGEST.note || /\p{Surrogate}/u.test(note))) throw refusal(WORDS.gallery.badNote(LONGEST.note));
    return this.set(person, { note: note || null });
  },
  answer({ as = [] }, memory) { return as.flatMap((each) => this.actions(each, memory)); },
};

/** Positions by the person that they show, or by a given one, as [person, positions]. */
function byPerson(album, positions, person) {
  const found = new Map();
  for (const at of positions) {
    const id = person ?? album.person[at];
    found.set(id, [...(found.get(id) ?? []), at]);
  }
  return [...found];
}

/** A name as the index stores it; throws if it would not (faceindex.people.roster.clean_name). */
function checkedName(name) {
  const clean = cleanName(name);
  const looksLikeReference = /^(?:c|cluster|f|face)?[\s:#]*\p{Nd}+$/iu.test(clean);
  if (!clean || [...clean].length > LONGEST.name || /[\p{Cc}\p{Surrogate}\p{Co}\p{Cn}]/u.test(clean) || looksLikeReference || clean.startsWith("-")) {
    throw refusal(WORDS.gallery.badName(readable(clean)));
  }
  return clean;
}

/** A date of faceindex.people.dates.clean_date, or null; throws if it is neither. */
function checkedDate(date) {
  if (!date) return null;
  const parts = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$/.exec(date.trim())?.slice(1).filter((part) => part !== undefined);
  const [year, month = 1, day = 1] = parts?.map(Number) ?? [0];
  const days = month === 2 ? 28 + (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days) throw refusal(WORDS.gallery.badDate(readable(date)));
  return parts.map((part, i) => part.padStart(i ? 2 : 4, "0")).join("-");
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`); // as Python's shlex.quote
const faceWords = (faces = []) => [...faces.slice(0, MOST_SHOWN).map((face) => `f${face}`), ...(faces.length > MOST_SHOWN ? [`... (${faces.length} faces)`] : [])];

/** The command that would make a decision, as the journal of the index has it (faceindex.api.deciding.command_text). */
function commandOf(album, action) {
  const { do: verb, name, faces, clusters = [], person, as = [] } = action;
  const title = (id) => album.people.get(id)?.name ?? "?";
  const given = person === undefined || person === null ? null : title(person);
  const words = {
    name: () => ["name", ...clusters, ...faceWords(faces), name],
    confirm: () => ["confirm", ...faceWords(faces), ...(given === null ? [] : ["--as", given])],
    reject: () => ["reject", ...faceWords(faces), ...(given === null ? [] : ["--from", given])],
    ignore: () => ["ignore", ...clusters, ...faceWords(faces)],
    not_a_face: () => ["not-a-face", ...clusters, ...faceWords(faces)],
    same: () => ["same", ...faceWords(faces)],
    different: () => ["different", ...faceWords(action.one), "from", ...faceWords(action.other)],
    split: () => ["split", given ?? action.cluster, ...faceWords(faces), ...(name ? ["--name", name] : [])],
    merge: () => ["merge", title(action.into), ...action.others.map(title)],
    rename: () => ["rename", given, name],
    born: () => ["born", given, action.date || "-"],
    died: () => ["died", given, action.date || "-"],
    hide: () => [action.hidden ? "hide" : "unhide", given],
    note: () => ["note", given, action.note || "-"],
    undo: () => ["undo"],
  };
  if (verb === "answer") return as.map((each) => commandOf(album, each)).join(" and ").replaceAll(" and people ", " and ");
  return ["people", ...words[verb]().map((word) => quoted(String(word)))].join(" ");
}
