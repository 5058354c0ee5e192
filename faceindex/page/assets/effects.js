// What an action changes, as far as the page can tell by itself. The page shows that at once; what the index
// makes of it replaces it. In a gallery, which has no index, it is all there is.

const isNobody = (label) => label === LABEL.STRANGER || label === LABEL.NOT_A_FACE;

/** Collects changes of faces and people, in the form of `api/changes`. */
class Effect {
  constructor(album) {
    this.album = album;
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
  person(name, uid) {
    const known = this.album.byName.get(folded(name));
    if (known) return known.id;
    const id = Math.min(-1, ...this.album.people.keys()) - 1;
    this.editPeople().set(id, { id, uid, name, born: null, died: null, hidden: false, note: null });
    return id;
  }

  link(cluster, person) { (this.clusterPerson ??= new Map(this.album.clusterPerson)).set(cluster, person); }

  newCluster() {
    let most = -1;
    for (const cluster of this.album.cluster) if (cluster > most) most = cluster;
    return most + 1;
  }

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
  name(effect, { name, faces = [], clusters = [], personUid }) {
    const { album } = effect;
    const person = effect.person(name, personUid);
    for (const cluster of clusters) {
      effect.link(cluster, person);
      album.cluster.forEach((of, at) => {
        if (of === cluster && !album.isConfirmed(at) && !isNobody(album.label[at])) effect.set(at, { person, label: LABEL.NAMED });
      });
    }
    for (const at of positions(album, faces)) effect.set(at, { person, label: LABEL.CONFIRMED });
  },
  confirm(effect, { faces, person }) {
    for (const at of positions(effect.album, faces)) effect.set(at, { person: person ?? effect.album.person[at], label: LABEL.CONFIRMED });
  },
  reject(effect, { faces }) {
    for (const at of positions(effect.album, faces)) effect.set(at, { person: -1, cluster: -1, label: LABEL.NOTHING });
  },
  ignore: (effect, action) => nobody(effect, action, LABEL.STRANGER),
  not_a_face: (effect, action) => nobody(effect, action, LABEL.NOT_A_FACE),
  same(effect, { faces }) {
    const keys = [...new Set(positions(effect.album, faces).map((at) => effect.album.keyOf(at)))];
    const groups = keys.map((key) => effect.album.group(key)).filter((group) => group?.isPerson || group?.isCluster)
      .sort((a, b) => b.isPerson - a.isPerson || b.size - a.size);
    for (const group of groups.slice(1)) if (group.isCluster) move(effect, group.faces, groups[0]);
  },
  different() {},
  split(effect, { faces, name, personUid }) {
    const cluster = effect.newCluster();
    const person = name ? effect.person(name, personUid) : -1;
    for (const at of positions(effect.album, faces)) effect.set(at, { cluster, person, label: name ? LABEL.CONFIRMED : LABEL.NOTHING });
  },
  merge(effect, { into, others }) {
    for (const other of others) {
      for (const at of effect.album.facesOf(`p${other}`)) effect.set(at, { person: into });
      effect.editPeople().delete(other);
    }
    for (const [cluster, person] of effect.album.clusterPerson) if (others.includes(person)) effect.link(cluster, into);
  },
  rename: (effect, { person, name }) => edit(effect, person, { name }),
  born: (effect, { person, date }) => edit(effect, person, { born: date }),
  died: (effect, { person, date }) => edit(effect, person, { died: date }),
  hide: (effect, { person, hidden }) => edit(effect, person, { hidden }),
  note: (effect, { person, note }) => edit(effect, person, { note }),
  /** An answer is the action that it means; `as` has it. */
  answer(effect, { as }) { if (as) EFFECTS[as.do](effect, as); },
};

function positions(album, faces) {
  return [...faces].map((face) => album.find(face)).filter((at) => at >= 0);
}

function nobody(effect, { faces = [], clusters = [] }, label) {
  const { album } = effect;
  const chosen = new Set(positions(album, faces));
  if (clusters.length) album.cluster.forEach((of, at) => { if (clusters.includes(of)) chosen.add(at); });
  for (const at of chosen) effect.set(at, { person: -1, cluster: -1, label });
}

function move(effect, faces, group) {
  const cluster = group.isCluster ? group.id : effect.album.clustersOf(group.id)[0]?.[0] ?? -1;
  for (const at of faces) effect.set(at, { cluster, person: group.isPerson ? group.id : -1 });
}

function edit(effect, id, values) {
  const people = effect.editPeople();
  if (people.has(id)) people.set(id, { ...people.get(id), ...values });
}

/** Return the changes of an action, and those that take it back. */
function effectOf(album, action) {
  const effect = new Effect(album);
  EFFECTS[action.do]?.(effect, action);
  const changes = effect.changes();
  const faces = { face: [], cluster: [], person: [], label: [] };
  for (const at of effect.rows.keys()) {
    faces.face.push(album.face[at]);
    faces.cluster.push(album.cluster[at]);
    faces.person.push(album.person[at]);
    faces.label.push(album.label[at]);
  }
  const inverse = { faces };
  if (effect.people) inverse.people = [...album.people.values()];
  if (effect.clusterPerson) inverse.cluster_person = [...album.clusterPerson];
  return { changes, inverse };
}
