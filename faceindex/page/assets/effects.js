// What an action changes, as far as the page can tell by itself. The page shows that at once; what the index
// makes of it replaces it. In a gallery, which has no index, it is all there is.

const isNobody = (label) => label === LABEL.STRANGER || label === LABEL.NOT_A_FACE;

let nextCluster = NEW_CLUSTER;

/** Collects changes of faces and people, in the form of `api/changes`. */
class Effect {
  /** @param {object} memory keeps the ids that it makes, so that the same action makes the same ones again */
  constructor(album, memory) {
    this.album = album;
    this.memory = memory;
    this.rows = new Map(); // position -> {cluster, person, label}
    this.people = null;
    this.clusterPerson = null;
  }

  row(at) {
    if (!this.rows.has(at)) {
      const { album } = this;
      this.rows.set(at, { cluster: album.cluster[at], person: album.person[at], label: album.label[at] });
    }
    return this.rows.get(at);
  }

  set(at, values) { Object.assign(this.row(at), values); }

  editPeople() { return (this.people ??= new Map(this.album.people)); }

  /** The id of the person with a name; one that the page makes is negative. */
  person(name) {
    const known = this.album.byName.get(nameKey(name));
    if (known) return known.id;
    const { personId: id = Math.min(-1, ...this.album.people.keys()) - 1, personUid: uid = "" } = this.memory;
    this.memory.personId = id;
    this.editPeople().set(id, { id, uid, name: cleanName(name), born: null, died: null, hidden: false, note: null });
    return id;
  }

  /** Say whose a cluster is; -1 for nobody's. */
  link(cluster, person) {
    this.clusterPerson ??= new Map(this.album.clusterPerson);
    if (person === -1) this.clusterPerson.delete(cluster);
    else this.clusterPerson.set(cluster, person);
  }

  ownerOf(cluster) { return (this.clusterPerson ?? this.album.clusterPerson).get(cluster) ?? -1; }

  /** The id of a cluster that the index has not numbered yet. */
  newCluster() { return (this.memory.newCluster ??= nextCluster++); }

  /** The cluster in which a person has most faces; -1 for none. */
  clusterOf(person) { return this.album.clustersOf(person)[0]?.[0] ?? -1; }

  changes() {
    const faces = { face: [], cluster: [], person: [], label: [] };
    for (const [at, { cluster, person, label }] of this.rows) {
      faces.face.push(this.album.face[at]);
      faces.cluster.push(cluster);
      faces.person.push(person);
      faces.label.push(label);
    }
    const changes = { faces };
    if (this.people) changes.people = [...this.people.values()];
    if (this.clusterPerson) changes.cluster_person = [...this.clusterPerson];
    return changes;
  }
}

const EFFECTS = {
  name(effect, { name, faces = [], clusters = [] }) {
    const { album } = effect;
    const person = effect.person(name);
    for (const cluster of clusters) {
      effect.link(cluster, person);
      album.cluster.forEach((of, at) => {
        if (of === cluster && !isNobody(album.label[at]) && !(album.isConfirmed(at) && album.person[at] === person)) {
          effect.set(at, { person, label: LABEL.NAMED });
        }
      });
    }
    for (const at of positions(album, faces)) confirmed(effect, at, person);
  },
  confirm(effect, { faces, person }) {
    for (const at of positions(effect.album, faces)) {
      const shown = person ?? effect.album.person[at];
      if (shown !== -1) confirmed(effect, at, shown);
    }
  },
  /** Faces leave the person, for a cluster of their own; those that show somebody else stay where they are. */
  reject(effect, { faces, person }) {
    const { album } = effect;
    const leaving = positions(album, faces).filter((at) => person === undefined || person === null || album.person[at] === person);
    const from = new Map(leaving.map((at) => [at, { cluster: album.cluster[at], person: album.person[at] }]));
    for (const at of leaving) effect.set(at, { person: -1, cluster: leaving.length > 1 ? effect.newCluster() : -1, label: LABEL.NOTHING });
    for (const { cluster, person: owner } of new Set(from.values())) {
      if (cluster >= 0 && owner !== -1 && effect.ownerOf(cluster) === owner && !isHeld(effect, cluster, owner, -1)) own(effect, cluster, -1);
    }
  },
  ignore: (effect, action) => nobody(effect, action, LABEL.STRANGER),
  not_a_face: (effect, action) => nobody(effect, action, LABEL.NOT_A_FACE),
  /** The groups of the faces become one: that of the person, or the largest. */
  same(effect, { faces }) {
    const { album } = effect;
    const at = positions(album, faces);
    const groups = [...new Set(at.map((each) => album.keyOf(each)))].map((key) => album.group(key)).filter((group) => group?.isPerson || group?.isCluster)
      .sort((a, b) => b.isPerson - a.isPerson || b.size - a.size);
    if (groups.filter((group) => group.isPerson).length > 1) return; // the index refuses that
    const [first] = groups;
    const cluster = !first ? effect.newCluster() : first.isCluster ? first.id : effect.clusterOf(first.id);
    const person = first?.isPerson ? first.id : -1;
    const joins = [...groups.slice(1).flatMap((group) => [...group.faces]), ...at.filter((each) => album.keyOf(each) === "none")];
    for (const each of joins) effect.set(each, { cluster, person });
  },
  different() {},
  /** `part`: all faces that come along, if the page has the proposal; the index moves those that resemble the given ones. */
  split(effect, { faces, part = faces, name }) {
    const cluster = effect.newCluster();
    const person = name ? effect.person(name) : -1;
    for (const at of positions(effect.album, part)) effect.set(at, { cluster, person, label: name ? LABEL.NAMED : LABEL.NOTHING });
    if (name) effect.link(cluster, person);
  },
  merge(effect, { into, others }) {
    for (const other of others) {
      for (const at of effect.album.facesOf(`p${other}`)) effect.set(at, { person: into });
      effect.editPeople().delete(other);
    }
    for (const [cluster, person] of effect.album.clusterPerson) if (others.includes(person)) effect.link(cluster, into);
  },
  rename: (effect, { person, name }) => edit(effect, person, { name: cleanName(name) }),
  born: (effect, { person, date }) => edit(effect, person, { born: date || null }),
  died: (effect, { person, date }) => edit(effect, person, { died: date || null }),
  hide: (effect, { person, hidden }) => edit(effect, person, { hidden }),
  note: (effect, { person, note }) => edit(effect, person, { note: note || null }),
  /** An answer is the actions that it means. */
  answer(effect, { as = [] }) { for (const action of as) EFFECTS[action.do](effect, action); },
};

function positions(album, faces) {
  return [...faces].map((face) => album.find(face)).filter((at) => at >= 0);
}

/** A face that the user named is in a cluster of its person; a cluster that is nobody else's comes with it. */
function confirmed(effect, at, person) {
  const { album } = effect;
  const cluster = album.cluster[at];
  const owner = cluster < 0 ? -1 : effect.ownerOf(cluster);
  const comes = cluster >= 0 && owner !== person && (owner === -1 || !isHeld(effect, cluster, owner, at));
  if (comes) own(effect, cluster, person);
  effect.set(at, { person, label: LABEL.CONFIRMED, cluster: comes || (cluster >= 0 && owner === person) ? cluster : effect.clusterOf(person) });
}

/** Whether another face of a cluster, which the user named, keeps it with its person. */
function isHeld(effect, cluster, owner, but) {
  return [...effect.album.facesOf(`p${owner}`)].some((at) => {
    const { cluster: of, person, label } = effect.rows.get(at) ?? { cluster: effect.album.cluster[at], person: effect.album.person[at], label: effect.album.label[at] };
    return at !== but && of === cluster && person === owner && (label === LABEL.NAMED || label === LABEL.CONFIRMED);
  });
}

/** All faces of a cluster of which nothing else was said are of a person, or with -1 of nobody any more. */
function own(effect, cluster, person) {
  effect.link(cluster, person);
  effect.album.cluster.forEach((of, at) => {
    if (of === cluster && effect.row(at).cluster === cluster && effect.row(at).label === LABEL.NOTHING) effect.set(at, { person });
  });
}

function nobody(effect, { faces = [], clusters = [] }, label) {
  const { album } = effect;
  const chosen = new Set(positions(album, faces));
  if (clusters.length) album.cluster.forEach((of, at) => { if (clusters.includes(of)) chosen.add(at); });
  for (const at of chosen) effect.set(at, { person: -1, cluster: -1, label });
}

function edit(effect, id, values) {
  const people = effect.editPeople();
  if (people.has(id)) people.set(id, { ...people.get(id), ...values });
}

/** Return the changes of an action; `memory` keeps the ids that it makes. */
function effectOf(album, action, memory = action) {
  const effect = new Effect(album, memory);
  EFFECTS[action.do]?.(effect, action);
  return effect.changes();
}

/** Return the changes that take changes back. */
function inverseOf(album, changes) {
  const inverse = { faces: rowsOf(album, changes.faces.face) };
  if (changes.people) inverse.people = [...album.people.values()];
  if (changes.cluster_person) inverse.cluster_person = [...album.clusterPerson];
  return inverse;
}

/** Faces (ids) as they are in an album, in the form of `api/changes`. */
function rowsOf(album, ids) {
  const faces = { face: [], cluster: [], person: [], label: [] };
  for (const id of ids) {
    const at = album.find(id);
    if (at < 0) continue;
    faces.face.push(id);
    faces.cluster.push(album.cluster[at]);
    faces.person.push(album.person[at]);
    faces.label.push(album.label[at]);
  }
  return faces;
}
