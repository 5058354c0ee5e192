"use strict";
// The data of the page. Faces are sorted by person or cluster and fill the sprites in that order.

const DATA = JSON.parse(document.getElementById("data").textContent);
const faces = DATA.faces;
const photos = DATA.photos;
const FACES = faces.cluster.length;
const NONE = -1;

// The position of each cluster in DATA.clusters; the clusters of one person have the same.
const clusterOf = new Map(DATA.clusters.id.flatMap((id, order) => (DATA.joined[id] ?? [id]).map((each) => [each, order])));
const byPhoto = photos.path.map(() => []);
const members = DATA.clusters.id.map(() => []);
const unclustered = [];
for (let face = 0; face < FACES; face++) {
  byPhoto[faces.photo[face]].push(face);
  const order = clusterOf.get(faces.cluster[face]);
  (order === undefined ? unclustered : members[order]).push(face);
}
for (const list of byPhoto) list.sort((a, b) => faces.x1[a] - faces.x1[b]);

const cohesion = members.map((list) => list.reduce((sum, face) => sum + faces.similarity[face], 0) / list.length / 10000);

/** The index of the first face of each sprite. */
function firstFaces(sprites) {
  let next = 0;
  return sprites.map(([, count]) => (next += count) - count);
}
const faceStarts = firstFaces(DATA.sprites);
const coverStarts = firstFaces(DATA.covers);

/** Show thumbnail `index` as the background of an element, scaled to it. */
function paint(element, sprites, starts, index) {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= index) low = middle;
    else high = middle - 1;
  }
  const [name, count] = sprites[low];
  const columns = Math.min(count, DATA.columns);
  const rows = Math.ceil(count / columns);
  const slot = index - starts[low];
  const x = columns > 1 ? ((slot % columns) / (columns - 1)) * 100 : 0;
  const y = rows > 1 ? (Math.floor(slot / columns) / (rows - 1)) * 100 : 0;
  element.style.backgroundImage = `url("${DATA.folder}/${name}")`;
  element.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  element.style.backgroundPosition = `${x}% ${y}%`;
}

const paintFace = (element, face) => paint(element, DATA.sprites, faceStarts, face);
const paintCover = (element, order) => paint(element, DATA.covers, coverStarts, order);

/** The id of a cluster in URLs: the lowest cluster of its person. */
const shownId = (id) => DATA.clusters.id[clusterOf.get(id)] ?? id;
const personName = (id) => (DATA.names[shownId(id)] ? readable(DATA.names[shownId(id)]) : null);
const clusterName = (id) => (id === NONE ? "in no cluster" : personName(id) ?? `Cluster ${id}`);
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
/** Positions in DATA.clusters: people by name, then the other clusters. */
function byName(items) {
  const named = items.filter((order) => personName(DATA.clusters.id[order]) !== null);
  const name = (order) => personName(DATA.clusters.id[order]);
  named.sort((a, b) => collator.compare(name(a), name(b)));
  return [...named, ...items.filter((order) => name(order) === null)];
}
const similarity = (face) => (faces.similarity[face] / 10000).toFixed(3);
const number = (value) => value.toLocaleString("en");
const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

// Control characters, invisible ones, marks that change the direction of writing, and undecodable bytes (lone
// surrogates U+DC80 to U+DCFF) are shown as escape sequences. `faceindex/cli/escaping.py` has the same list.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

function readable(text) {
  return text.replace(UNPRINTABLE, (letter) => {
    const code = letter.charCodeAt(0);
    return code >= 0xdc80 && code <= 0xdcff ? `\\x${(code - 0xdc00).toString(16)}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

function photoName(photo) {
  const root = DATA.roots[photos.root[photo]].name;
  return readable(root ? `${root.replace(/[/\\]$/, "")}/${photos.path[photo]}` : photos.path[photo]);
}

const fileName = (photo) => readable(photos.path[photo].slice(photos.path[photo].lastIndexOf("/") + 1));

/** A path as part of a URL; undecodable bytes are percent-encoded. */
function encodePath(path) {
  return path.split("/").map((part) => {
    let encoded = "";
    for (const letter of part) {
      const code = letter.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) encoded += `%${(code - 0xdc00).toString(16)}`;
      else if (code >= 0xd800 && code <= 0xdfff) encoded += "%EF%BF%BD";
      else encoded += encodeURIComponent(letter);
    }
    return encoded;
  }).join("/");
}

/** Possible URLs of a photo, in the order in which to try them. */
function photoUrls(photo) {
  const copy = DATA.copies[photo];
  if (copy) return [copy];
  return DATA.roots[photos.root[photo]].urls.map((base) => base + encodePath(photos.path[photo]));
}

/** Try the root URL that worked for this photo first for other photos of the folder. */
function preferUrl(photo, url) {
  const root = DATA.roots[photos.root[photo]];
  const at = DATA.copies[photo] ? -1 : photoUrls(photo).indexOf(url);
  if (at > 0) root.urls.unshift(...root.urls.splice(at, 1));
}

const imageUrls = (photo) => (DATA.previews[photo] ? [DATA.previews[photo]] : photoUrls(photo));

let searchable = null;

/** Photos whose name contains every word of the query, in order of their names. */
function search(query) {
  searchable ??= photos.path.map((path, photo) => photoName(photo).normalize("NFC").toLowerCase());
  const words = query.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  searchable.forEach((name, photo) => {
    if (words.every((word) => name.includes(word))) found.push(photo);
  });
  return found;
}

/** Text as search compares it: without case and accents. */
const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** Positions in DATA.clusters of the people whose name contains every word of the query, by name. */
function searchPeople(query) {
  const words = folded(query).split(/\s+/).filter(Boolean);
  return byName(members.map((_, order) => order)).filter((order) => {
    const name = DATA.names[DATA.clusters.id[order]];
    return name && words.length && words.every((word) => folded(name).includes(word));
  });
}
