"""Measure how the vector file grows over rounds of changed photos, with and without compaction.

An index of made-up faces: each round replaces some photos and deletes others, adds as many, and ends as
`index` does. It counts rows, live faces and bytes after each round, and the time of compactions; and checks
after each round that every face has its vector. The same rounds run without compaction, too.

    python benchmarks/compaction.py [--quick] [--rounds N] [--photos N]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, write_result
from made_up import face_vectors, long_tail, make_store, one_face

from faceindex.store import NewPhoto, Store
from faceindex.types import F32

DIMENSION = 128
SHARE = 0.05  # of the photos that are replaced, and that are deleted, in each round


def commit(store: Store, vectors: dict[int, F32], numbers: list[int]) -> None:
    (root,) = store.roots()
    for start in range(0, len(numbers), 64):
        some = numbers[start : start + 64]
        store.commit(
            [
                NewPhoto(root.id, f"{i}.jpg", 1, 1, b"%d" % i, 100, 100, faces=one_face(vectors[i]))
                for i in some
            ]
        )


def wrong_faces(store: Store, vectors: dict[int, F32]) -> int:
    """Count faces whose vector is not the one that was committed last for their photo."""
    paths = {record.id: record.relpath for record in store.photos().values()}
    table = store.faces()
    found = store.vectors(table.row)
    expected = [vectors[int(paths[photo].split(".")[0])] for photo in table.photo.tolist()]
    return int((found != np.array(expected)).any(axis=1).sum()) + abs(len(table) - len(vectors))


def grow(directory: Path, photos: int, rounds: int, seed: int, *, compact: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    more = round(SHARE * photos)
    every = iter(face_vectors(long_tail(photos + 2 * more * rounds, rng), DIMENSION, rng))
    rows: list[dict[str, Any]] = []
    with make_store(directory, DIMENSION) as store:
        vectors = {i: next(every) for i in range(photos)}
        commit(store, vectors, list(vectors))
        following = photos
        for number in range(1, rounds + 1):
            chosen = rng.choice(list(vectors), 2 * more, replace=False).tolist()
            replaced, deleted = chosen[:more], chosen[more:]
            ids = {record.relpath: record.id for record in store.photos().values()}
            store.remove_photos([ids[f"{i}.jpg"] for i in deleted])
            for i in deleted:
                del vectors[i]
            new = list(range(following, following + more))
            following += more
            vectors.update({i: next(every) for i in [*replaced, *new]})
            commit(store, vectors, [*replaced, *new])
            started = time.perf_counter()
            done = store.compact_if_worthwhile() if compact else None
            counts = store.counts()
            size = max(path.stat().st_size for path in directory.glob("vectors*.f32"))
            rows.append(
                {
                    "round": number,
                    "rows": counts.rows,
                    "faces": counts.faces,
                    "dead": 1 - counts.faces / counts.rows,
                    "bytes": size,
                    "compacted": None if done is None else [done.rows_before, done.rows_after],
                    "seconds": time.perf_counter() - started if done is not None else 0.0,
                    "wrong": wrong_faces(store, vectors),
                }
            )
    return rows


def main() -> int:
    parser = argument_parser(__doc__, quick="8 rounds, 300 photos")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos, rounds = (300, 8) if options.quick else (options.photos, options.rounds)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as work:
        for name, compact in (("with", True), ("without", False)):
            found[name] = grow(Path(work) / name, photos, rounds, options.seed, compact=compact)
            last = found[name][-1]
            print(
                f"{name} compaction, after {rounds} rounds: {last['rows']:,} rows of {last['faces']:,} faces,"
                f" {last['bytes'] / 1e6:.1f} MB; most dead {max(row['dead'] for row in found[name]):.1%};"
                f" {sum(row['compacted'] is not None for row in found[name])} compactions,"
                f" {sum(row['seconds'] for row in found[name]):.2f} s;"
                f" wrong faces {sum(row['wrong'] for row in found[name])}"
            )
    payload = {"photos": photos, "rounds": rounds, "share": SHARE, "seed": options.seed, **found}
    write_result("compaction", payload, quick=options.quick)
    bounded = all(row["dead"] <= 0.25 or row["rows"] - row["faces"] < 16 for row in found["with"])
    return 0 if bounded and not any(row["wrong"] for rows in found.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
