"""Compare albums that grow, with `cluster` after each step, with the same album clustered once.

The photos of four small albums are added one at a time, in 3s and in 10s, shuffled and person by person,
and clustered with the defaults after each step. Then `cluster --rebuild` starts over. Both are scored by
B-cubed F on the labelled faces. Photos and faces come from existing indexes and go through the store, as
`index` commits them.

- people: 8 people with 25 photos each
- lfw: the nine people with most photos, 12 photos each
- diverse: nine people of the five sets, drawn by the CRC-32 of their names, 12 photos each
- group_photos: all photos, in the order of the files instead of person by person; labels by boxes

A cluster is settled if it has five or more faces that are still in the index after the next step. Its id has
changed if most of these faces have another id then, or none. Two more modes:

- rounds: starting with all photos but 30, each of 20 rounds removes 15 photos, adds 15 others, and clusters;
- strangers: 12 photos of one person are clustered at once, and six of another one are added one at a time,
  for every ordered pair of people of people/.

    python benchmarks/growth.py --work INDEXES [--embedders mobilefacenet] [--albums people] [--steps 10]
    python benchmarks/growth.py --quick         # people/, in 10s, and strangers; the default with weights
"""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, use_weights_beside, write_result
from stored import PIPELINES, StoredPhotos, add_photos, read_stored

from faceindex import FaceIndex
from faceindex.metrics import Scores, bcubed
from faceindex.store import FaceTable, NewPhoto, Store

ALBUMS = ("people", "lfw", "diverse", "group_photos")
STEPS = (1, 3, 10)
SETTLED = 5
ROUNDS, MOVED = 20, 15
FIRST, MORE = 12, 6


@dataclass(frozen=True)
class Album:
    """Photos in the order of people, and how their faces are labelled."""

    name: str
    stored: StoredPhotos
    face: str | None = None
    labels: Path | None = None

    def shuffled(self, seed: int) -> list[NewPhoto]:
        order = np.random.default_rng(seed).permutation(len(self.stored))
        return [self.stored.photos[i] for i in order]


def person(photo: NewPhoto) -> str:
    return Path(photo.relpath).parent.name


def some_people(stored: StoredPhotos, people: Sequence[str], number: int) -> StoredPhotos:
    """Return the first `number` photos with a face of each of the people."""
    photos = []
    for name in people:
        with_face = [p for p in stored.photos if person(p) == name and p.faces is not None]
        photos += with_face[:number]
    return StoredPhotos(stored.pins, stored.folder, photos)


def read_album(name: str, data: Path, embedder: str, work: Path) -> Album:
    stored = read_stored(data, embedder, work, name)
    photos: dict[str, int] = {}
    for photo in stored.photos:
        photos[person(photo)] = photos.get(person(photo), 0) + (photo.faces is not None)
    if name == "people":
        return Album(name, some_people(stored, sorted(photos), 25))
    if name == "lfw":
        most = sorted(photos, key=lambda who: (-photos[who], who))[:9]
        return Album(name, some_people(stored, most, 12), face="center")
    if name == "diverse":
        drawn = sorted((who for who in photos if photos[who] >= 12), key=lambda who: zlib.crc32(who.encode()))
        return Album(name, some_people(stored, drawn[:9], 12))
    return Album(name, stored, labels=data / name / "boxes.csv")


class Growing:
    """An index that is clustered after each step.

    Attributes
    ----------
    clusterings : int
    changed : int
        How often the id of a settled cluster changed from one step to the next.
    settled : int
        Settled clusters, summed over the steps.
    seconds : float
        Time of clustering.
    """

    def __init__(self, store: Store, stored: StoredPhotos) -> None:
        self.index = FaceIndex(store)
        self._store, self._stored = store, stored
        self.clusterings = self.changed = self.settled = 0
        self.seconds = 0.0

    def step(
        self, add: Iterable[NewPhoto], remove: Iterable[NewPhoto] = (), *, rebuild: bool = False
    ) -> None:
        before = self.index.table()
        gone = {photo.relpath for photo in remove}
        if gone:
            photos = self._store.photos().items()
            self._store.remove_photos([record.id for (_, path), record in photos if path in gone])
        if add := list(add):
            add_photos(self._store, self._stored, add)
        started = time.perf_counter()
        self.index.cluster(rebuild=rebuild)
        self.seconds += time.perf_counter() - started
        self.clusterings += 1
        settled, changed = count_changed(before, self.index.table())
        self.settled += settled
        self.changed += changed

    def scores(self, album: Album) -> Scores:
        """Score the clusters of the labelled faces."""
        labelled = self.index.evaluation.labelled(album.labels, face=album.face)
        return bcubed(self.index.table().cluster[labelled.positions], labelled.people)


@contextmanager
def growing(stored: StoredPhotos) -> Iterator[Growing]:
    with tempfile.TemporaryDirectory() as folder, Store.create(Path(folder, "index"), stored.pins) as store:
        yield Growing(store, stored)


def count_changed(before: FaceTable, after: FaceTable) -> tuple[int, int]:
    """Return the number of settled clusters before, and of those whose id is another one after."""
    still = np.isin(before.face, after.face) & (before.cluster >= 0)
    old = before.cluster[still]
    new = after.cluster[np.searchsorted(after.face, before.face[still])]
    settled = changed = 0
    for cluster, size in zip(*np.unique(old, return_counts=True), strict=True):
        if size >= SETTLED:
            ids, faces = np.unique(new[old == cluster], return_counts=True)
            settled += 1
            # If the faces are divided equally, the id stays with one of the parts.
            changed += cluster not in ids[faces == faces.max()]
    return settled, changed


def grow(album: Album, order: str, step: int, seed: int) -> dict[str, Any]:
    """Add the photos of an album step by step; compare with one rebuild."""
    photos = album.shuffled(seed) if order == "shuffled" else album.stored.photos
    with growing(album.stored) as grown:
        for start in range(0, len(photos), step):
            grown.step(photos[start : start + step])
        found = grown.scores(album)
        result = {"clusterings": grown.clusterings, "changed": grown.changed, "settled": grown.settled}
        spent = grown.seconds
        grown.step([], rebuild=True)
        rebuilt = grown.scores(album)
    return {
        "album": album.name,
        "order": order,
        "step": step,
        "photos": len(photos),
        "grown": as_json(found),
        "rebuilt": as_json(rebuilt),
        "below": rebuilt.f - found.f,
        **result,
        "changed_by_rebuild": grown.changed - result["changed"],
        "seconds": spent,
    }


def rounds(album: Album, seed: int) -> dict[str, Any]:
    """Remove and add photos in rounds."""
    rng = np.random.default_rng(seed)
    photos = album.shuffled(seed)
    inside, outside = photos[2 * MOVED :], photos[: 2 * MOVED]
    with growing(album.stored) as grown:
        grown.step(inside)
        for _ in range(ROUNDS):
            leave = set(rng.choice(len(inside), MOVED, replace=False).tolist())
            come = set(rng.choice(len(outside), MOVED, replace=False).tolist())
            gone = [inside[i] for i in sorted(leave)]
            new = [outside[i] for i in sorted(come)]
            grown.step(new, gone)
            inside = [photo for i, photo in enumerate(inside) if i not in leave] + new
            outside = [photo for i, photo in enumerate(outside) if i not in come] + gone
        found = grown.scores(album)
        result = {"changed": grown.changed, "settled": grown.settled, "seconds": grown.seconds}
        grown.step([], rebuild=True)
        rebuilt = grown.scores(album)
    return {
        "album": album.name,
        "rounds": ROUNDS,
        "moved": MOVED,
        "grown": as_json(found),
        "rebuilt": as_json(rebuilt),
        "below": rebuilt.f - found.f,
        **result,
    }


def strangers(stored: StoredPhotos) -> dict[str, Any]:
    """Add photos of another person to a settled one, for each pair of people."""
    people = sorted({person(photo) for photo in stored.photos})
    pairs: list[dict[str, Any]] = []
    for one, other in permutations(people, 2):
        album = Album("strangers", some_people(stored, [one, other], FIRST))
        with growing(album.stored) as grown:
            grown.step(album.stored.photos[:FIRST])
            for photo in album.stored.photos[FIRST : FIRST + MORE]:
                grown.step([photo])
            found = grown.scores(album)
            pairs.append({"people": [one, other], "precision": found.precision, "recall": found.recall})
    joined = [pair for pair in pairs if pair["precision"] < 1]
    return {"first": FIRST, "more": MORE, "pairs": len(pairs), "joined": joined}


def as_json(scores: Scores) -> dict[str, float]:
    return {"f": scores.f, "precision": scores.precision, "recall": scores.recall}


def show(row: dict[str, Any], how: str) -> None:
    grown, rebuilt = row["grown"], row["rebuilt"]
    print(
        f"{row['embedder']:15}{row['album']:14}{how:24}"
        f"F {grown['f']:.4f} (precision {grown['precision']:.3f}, recall {grown['recall']:.3f}),"
        f" rebuilt {rebuilt['f']:.4f}: {row['below']:+.4f} below;"
        f" ids changed {row['changed']} of {row['settled']:,}; {row['seconds']:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argument_parser(__doc__, quick="people/, in 10s, and strangers; one embedder", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes, such as people-yu; kept")
    parser.add_argument("--embedders", default="dlib,mobilefacenet", help=f"some of {', '.join(PIPELINES)}")
    parser.add_argument("--albums", default=",".join(ALBUMS), help=f"some of {', '.join(ALBUMS)}")
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="photos added at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", type=Path, help="an earlier result to compare the largest loss with")
    options = parser.parse_args()
    use_weights_beside(options.data)
    embedders, albums = options.embedders.split(","), options.albums.split(",")
    steps = [int(step) for step in options.steps.split(",")]
    if options.quick:
        embedders, albums, steps = ["mobilefacenet"], ["people"], [10]
    part = bool(options.quick or len(albums) < len(ALBUMS) or len(steps) < len(STEPS) or len(embedders) < 2)
    grown: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        for embedder in embedders:
            read = partial(read_stored, options.data, embedder, work)
            pairs.append({"embedder": embedder, **strangers(read("people"))})
            print(
                f"{embedder:15}{FIRST} photos of one person and {MORE} of another, one at a time: joined in"
                f" {len(pairs[-1]['joined'])} of {pairs[-1]['pairs']} pairs",
                flush=True,
            )
            for name in albums:
                album = read_album(name, options.data, embedder, work)
                for order in ("shuffled", "in order"):
                    for step in steps:
                        grown.append({"embedder": embedder, **grow(album, order, step, options.seed)})
                        show(grown[-1], f"{order}, {step} at a time")
                moved.append({"embedder": embedder, **rounds(album, options.seed)})
                show(moved[-1], f"{ROUNDS} rounds")
    worst = {
        embedder: max(row["below"] for row in [*grown, *moved] if row["embedder"] == embedder)
        for embedder in embedders
    }
    print("F below one rebuild by at most:", {name: round(value, 4) for name, value in worst.items()})
    if options.before:
        earlier = json.loads(options.before.read_text(encoding="utf-8"))["worst"]
        print("before:", {name: round(value, 4) for name, value in earlier.items()})
    payload = {"seed": options.seed, "worst": worst, "growth": grown, "rounds": moved, "strangers": pairs}
    write_result("growth", payload, quick=part)


if __name__ == "__main__":
    main()
