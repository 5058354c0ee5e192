"use strict";
// What the page shows, unpacked. Faces come sorted by cluster, and fill the sprites in that order.

const DATA = JSON.parse(document.getElementById("data").textContent);
const faces = DATA.faces;
const photos = DATA.photos;
const FACES = faces.cluster.length;
const NONE = -1;

const clusterOf = new Map(DATA.clusters.id.map((id, order) => [id, order]));
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

/** Where each sprite begins, as a search table. */
function starts(sprites) {
  let next = 0;
  return sprites.map(([, count]) => (next += count) - count);
}
const faceStarts = starts(DATA.sprites);
const coverStarts = starts(DATA.covers);

/** Show one thumbnail in an element; scales with it. */
function paint(element, sprites, begins, number) {
  let low = 0;
  let high = begins.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (begins[middle] <= number) low = middle;
    else high = middle - 1;
  }
  const [name, count] = sprites[low];
  const columns = Math.min(count, DATA.columns);
  const rows = Math.ceil(count / columns);
  const slot = number - begins[low];
  const x = columns > 1 ? ((slot % columns) / (columns - 1)) * 100 : 0;
  const y = rows > 1 ? (Math.floor(slot / columns) / (rows - 1)) * 100 : 0;
  element.style.backgroundImage = `url("${DATA.folder}/${name}")`;
  element.style.backgroundSize = `${columns * 100}% ${rows * 100}%`;
  element.style.backgroundPosition = `${x}% ${y}%`;
}

const paintFace = (element, face) => paint(element, DATA.sprites, faceStarts, face);
const paintCover = (element, order) => paint(element, DATA.covers, coverStarts, order);

const clusterName = (id) => (id === NONE ? "in no cluster" : DATA.names[id] || `Cluster ${id}`);
const similarity = (face) => (faces.similarity[face] / 10000).toFixed(3);
const number = (value) => value.toLocaleString("en");
const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

// Control characters, marks that turn the direction of writing, and bytes that are no text (which
// come as lone surrogates U+DC80 to U+DCFF) are spelled out.
const ODD = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

function readable(text) {
  return text.replace(ODD, (letter) => {
    const code = letter.charCodeAt(0);
    return code >= 0xdc80 && code <= 0xdcff ? `\\x${(code - 0xdc00).toString(16)}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

function photoName(photo) {
  const root = DATA.roots[photos.root[photo]].name;
  return readable(root ? `${root.replace(/[/\\]$/, "")}/${photos.path[photo]}` : photos.path[photo]);
}

const fileName = (photo) => readable(photos.path[photo].slice(photos.path[photo].lastIndexOf("/") + 1));

/** A path as part of an address, byte by byte where it is no text. */
function encodePath(path) {
  return path.split("/").map((part) => {
    let address = "";
    for (const letter of part) {
      const code = letter.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) address += `%${(code - 0xdc00).toString(16)}`;
      else if (code >= 0xd800 && code <= 0xdfff) address += "%EF%BF%BD";
      else address += encodeURIComponent(letter);
    }
    return address;
  }).join("/");
}

/** Where the photo itself may be, in the order in which to try. */
function originals(photo) {
  const copy = DATA.copies[photo];
  if (copy) return [copy];
  return DATA.roots[photos.root[photo]].urls.map((base) => base + encodePath(photos.path[photo]));
}

/** Of a moved gallery or moved photos, try first what has worked for another photo of that folder. */
function foundAt(photo, address) {
  const root = DATA.roots[photos.root[photo]];
  const at = DATA.copies[photo] ? -1 : originals(photo).indexOf(address);
  if (at > 0) root.urls.unshift(...root.urls.splice(at, 1));
}

const sources = (photo) => (DATA.previews[photo] ? [DATA.previews[photo]] : originals(photo));

let searchable = null;

/** Photos that have every word of the query in their name, in order of their names. */
function search(query) {
  searchable ??= photos.path.map((path, photo) => photoName(photo).normalize("NFC").toLowerCase());
  const words = query.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  searchable.forEach((name, photo) => {
    if (words.every((word) => name.includes(word))) found.push(photo);
  });
  return found;
}
