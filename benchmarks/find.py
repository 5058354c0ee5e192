"""`FaceIndex.find` on an index of 100,000 made-up faces of 2,000 named people on 50,000 photos.

People are on many or few photos, with a long tail; every photo has two faces on average, and a capture date.
All people but those of the smallest clusters are named, so that unnamed clusters are on photos too. Each
query is timed warm, and right after a decision, which makes caches of the whole index useless. The answers
are compared with those of a plain loop over all faces, by the arrays of `Reader.people`. CPU time is printed
too, because other programs on the machine change the time.

    python benchmarks/find.py            # about a minute
    python benchmarks/find.py --quick    # 10,000 faces, 200 people
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import numpy as np
from common import argument_parser, write_result
from made_up import face_vectors

from faceindex import FaceIndex
from faceindex.people.editor import Editor
from faceindex.store import NewPhoto, Pins, Store
from faceindex.store.decisions import Label
from faceindex.types import I64, Faces

DIMENSION = 128
BATCH = 2_000
TARGET_MS = 100
EPOCH = datetime(1970, 1, 1)


def make_index(
    directory: Path,
    faces: int,
    people: int,
    seed: int,
    *,
    named: bool = True,
    clusters: int | None = None,
    loose: float = 0.0,
    tail: float = 0.7,
    root_folder: str = "/photos",
    photo_of: Callable[[int, Faces], NewPhoto] | None = None,
) -> None:
    """Write an index of clustered faces, some of them of named people.

    There are half as many clusters again as people, or `clusters`. A share `loose` of the faces are in none,
    each of somebody else. Cluster k has k to the power of -`tail` times the faces of the first one.
    `photo_of` makes the photo of a number, on which some faces are; without it, there are no files.
    """
    rng = np.random.default_rng(seed)
    clusters = people * 3 // 2 if clusters is None else clusters
    share = 1 / np.arange(1, clusters + 1) ** tail
    who = rng.choice(clusters, faces, p=share / share.sum())
    who[:clusters] = np.arange(clusters)
    if loose:
        alone = rng.permutation(np.arange(clusters, faces))[: int(loose * faces)]
        who[alone] = clusters + np.arange(len(alone))
    who = rng.permutation(who)
    vectors = face_vectors(who, DIMENSION, rng)
    ends = np.unique(np.append(np.cumsum(1 + rng.poisson(1.0, faces)), faces))
    ends = ends[ends <= faces]
    taken = rng.integers(-(10**9), 15 * 10**8, len(ends))
    quality = np.random.default_rng([seed, 1]).random(faces, np.float32)
    with Store.create(directory, Pins("mtcnn", "dlib", DIMENSION, {"min_face": 30.0})) as store:
        root = store.add_root(root_folder, "photos")
        photos, start = [], 0
        for number, end in enumerate(ends.tolist()):
            n = end - start
            x = np.arange(n, dtype=np.float32)[:, None] * 100
            boxes = np.concatenate([x, np.zeros_like(x), x + 90, np.full_like(x, 90)], axis=1)
            found = Faces(
                boxes=boxes,
                landmarks=np.full((n, 5, 2), 40, np.float32),
                scores=np.ones(n, np.float32),
                vectors=vectors[start:end],
                norms=np.ones(n, np.float32),
                sharpness=np.full(n, 0.3, np.float32),
                quality=quality[start:end],
            )
            if photo_of is None:
                photo = NewPhoto(
                    root.id, f"{number // 1000}/{number}.jpg", 100_000, 5, os.urandom(20), 100 * n, 100,
                    faces=found, picture=os.urandom(20), taken=int(taken[number]),
                )  # fmt: skip
            else:
                photo = replace(photo_of(number, found), root_id=root.id, taken=int(taken[number]))
            photos.append(photo)
            start = end
            if len(photos) == BATCH or end == ends[-1]:
                store.commit(photos)
                photos = []
        ids = np.sort(store.faces().face)
        labels = np.where(who < clusters, who + 1, -1)[: len(ids)]
        store.save_clustering("made up", {}, 0, ids, labels, np.ones(len(ids), np.float32))
        if named:
            name_people(store, people)


def name_people(store: Store, people: int, first: int = 1) -> None:
    """Name clusters `first` to `people` in one decision: `index.people.name` takes a minute one by one."""
    tables = store.decisions
    with store.deciding():
        editor = Editor(tables, "made up", datetime.now(timezone.utc))
        rows = tables.faces_of_clusters(list(range(first, people + 1)))
        marks = tables.mark_faces([face for face, _, _ in rows])
        of_cluster: dict[int, list[int]] = {}
        for face, _, cluster in rows:
            of_cluster.setdefault(cluster, []).append(marks[face])
        for cluster, members in of_cluster.items():
            uid = uuid4().hex
            person = editor.set_person(uid, {"name": f"Person {cluster - 1}"})
            editor.set_person(uid, {"born": f"{1940 + cluster % 60}"})
            editor.label(person, members, Label.NAMED)
        editor.finish()
        tables.update_cluster_people(of_cluster)


def photos_of(index: FaceIndex, name: str) -> set[int]:
    """Return the photos of a person, by the arrays of the whole index."""
    view, table = index._reader.people(), index._reader.table()
    photos: I64 = table.photo[view.person == view.roster.find(name).id]
    return set(photos.tolist())


def check(index: FaceIndex, a: str, b: str, c: str) -> None:
    of = {name: photos_of(index, name) for name in (a, b, c)}
    answers = {
        a: of[a],
        f"{a} & {b}": of[a] & of[b],
        f"({a} | {b}) & !{c}": (of[a] | of[b]) - of[c],
    }
    for query, expected in answers.items():
        if {photo.id for photo in index.find(query)} != expected:
            raise SystemExit(f"The answer to {query} is wrong.")


def timed(index: FaceIndex, arguments: Mapping[str, object]) -> tuple[float, float]:
    """Return the milliseconds and the milliseconds of CPU time that a query takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    index.find(**arguments)  # type: ignore[arg-type]
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


def main() -> None:
    parser = argument_parser(__doc__, quick="10,000 faces, 200 people")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faces, people = (10_000, 200) if options.quick else (100_000, 2_000)
    a, b, c = "Person 0", "Person 1", "Person 2"
    day = (EPOCH + timedelta(days=3_000)).date().isoformat()
    queries: dict[str, dict[str, object]] = {
        "the person on most photos": {"query": a},
        "a person on a usual number of photos": {"query": f"Person {people // 10}"},
        "two people": {"query": f"{a} & {b}"},
        "one of two, without a third": {"query": f"({a} | {b}) & !{c}"},
        "a person and nobody else": {"query": a, "only": True},
        "a person since a day": {"query": a, "since": day},
        "a person at an age": {"age_of": (a, 20, 30)},
        "a person with somebody unnamed": {"query": f"{a} & unnamed"},
        "a cluster": {"query": "c7"},
        "a year": {"since": "1980", "until": "1980"},
        "all photos without a person": {"query": f"!{a}"},
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make_index(Path(folder, "index"), faces, people, options.seed)
        print(f"the index took {time.perf_counter() - start:.0f} s")
        with FaceIndex.open(Path(folder, "index"), write=True) as index:
            check(index, a, b, c)
            for what, arguments in queries.items():
                warm = [timed(index, arguments) for _ in range(9)]
                after = []
                for _ in range(5):
                    face = index.find(b)[0].faces[0]
                    index.people.confirm([face], b)
                    after.append(timed(index, arguments))
                row: dict[str, Any] = {"query": what, "photos": len(index.find(**arguments))}  # type: ignore[arg-type]
                for name, times in (("warm", warm), ("after_a_decision", after)):
                    row[name] = {
                        "ms": median(wall for wall, _ in times),
                        "cpu_ms": median(cpu for _, cpu in times),
                        "least_ms": min(wall for wall, _ in times),
                    }
                rows.append(row)
                usual, later = (row[k]["ms"] for k in ("warm", "after_a_decision"))
                print(
                    f"{what:42} {row['photos']:7,} photos, {usual:7.1f} ms, after a decision {later:7.1f} ms"
                )
    payload = {
        "seed": options.seed,
        "faces": faces,
        "people": people,
        "target_ms": TARGET_MS,
        "queries": rows,
    }
    write_result("find", payload, quick=options.quick)


if __name__ == "__main__":
    main()
