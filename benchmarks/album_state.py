"""All faces as arrays for the page: reading them, sending them, and following decisions.

The indexes are made up. An album is read (`index.album.load`), and its bytes are made. Then another
connection makes decisions of each kind, and the album follows each of them. At the end it must be equal to
one that is read anew. Photos are searched by name, for words of no name, of every name and of one. All
times are CPU times.

    python benchmarks/album_state.py                   # 100,000 and 1,000,000 faces, about 10 minutes
    python benchmarks/album_state.py --quick           # 2,000 faces
    python benchmarks/album_state.py --index DIR       # a copy of an index with 300 named people or more
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import argument_parser, write_result
from find import make_index, name_people

from faceindex import FaceIndex
from faceindex.api.album_state import AlbumState
from faceindex.store import Store
from faceindex.store.decisions import Label

NAMED = 100
TARGETS = {  # by measure: the limit at 100,000 and at 1,000,000 faces
    "load_s": (0.3, 3.0),
    "to_bytes_s": (0.1, 0.1),
    "arrays_mb": (6.0, 60.0),
    "follow_ms": (20.0, None),
}


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of a call, and its result: other programs disturb it less than the wall time.

    All that is measured runs on one thread, and files are in memory.
    """
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def arrays_mb(state: AlbumState) -> float:
    """Return the size of all arrays of an album."""
    values = [getattr(state, name) for name in AlbumState.__slots__]
    values += [state.history.shown, state.history.decided]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray)) / 1e6


def differences(state: AlbumState, other: AlbumState) -> list[str]:
    """Return the names of the attributes in which two albums differ."""
    found = []
    for name in AlbumState.__slots__:
        one, two = getattr(state, name), getattr(other, name)
        if isinstance(one, np.ndarray):
            same = np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
        else:
            same = name == "history" or one == two
        if not same:
            found.append(name)
    return found


def follow_decisions(directory: Path, state: AlbumState, reader: FaceIndex, rounds: int) -> dict[str, Any]:
    """Return, for each kind of decision, how long following takes and how many bytes are sent."""
    rng = np.random.default_rng(0)
    free = rng.permutation(state.face[(state.person >= 0) & (state.label < Label.CONFIRMED)]).tolist()
    unnamed = sorted({*state.cluster.tolist()} - state.cluster_person.keys() - {-1})
    names = [str(person.name) for person in state.people]
    with FaceIndex.open(directory, write=True) as writer:
        people = writer.people
        verbs: dict[str, Callable[[], object]] = {
            "confirm a face": lambda: people.confirm([free.pop()]),
            "reject a face": lambda: people.reject([free.pop()]),
            "ignore a face": lambda: people.ignore(faces=[free.pop()]),
            "name a cluster": lambda: people.name(f"New {len(unnamed)}x", clusters=[unnamed.pop()]),
            "merge two people": lambda: people.merge(names.pop(), names.pop()),
            "undo": people.undo,
        }
        verbs["rename"] = lambda: people.rename(name := names.pop(), f"{name} again")
        found: dict[str, Any] = {}
        for verb, decide in verbs.items():
            spent, sent = [], []
            for _ in range(rounds):
                decide()
                took, changes = seconds(lambda: reader.album.follow(state))
                assert not changes.reload
                spent.append(1000 * took)
                sent.append(len(json.dumps(changes.as_dict(state))))
            found[verb] = {"median_ms": median(spent), "most_ms": max(spent), "bytes": int(median(sent))}
        writer._store.commit([])  # as `index` does; everything is read again
    took, _ = seconds(lambda: reader.album.follow(state))
    found["index"] = {"median_ms": 1000 * took, "most_ms": 1000 * took, "bytes": 0}
    return found


def measure(directory: Path, rounds: int) -> dict[str, Any]:
    """Measure one index, which changes."""
    with FaceIndex.open(directory) as reader:
        reader.album.load()  # imports
        loads = [seconds(reader.album.load) for _ in range(3)]
        state = loads[-1][1]
        sent = [seconds(state.to_bytes) for _ in range(3)]
        name = reader.album.photo(int(state.photos[len(state.photos) // 2])).name
        searches = {}
        for what, words in (("no photo", "qqq"), ("every photo", "jpg"), ("one name", name)):
            find = partial(reader.album.search_photos, words, 10**9)
            searches[what] = median(seconds(find)[0] for _ in range(3))
        followed = follow_decisions(directory, state, reader, rounds)
        fresh = reader.album.load()
    return {
        "faces": len(state),
        "photos": len(state.photos),
        "load_s": median(took for took, _ in loads),
        "to_bytes_s": median(took for took, _ in sent),
        "bytes": len(sent[0][1]),
        "arrays_mb": arrays_mb(state),
        "search_s": searches,
        "follow": followed,
        "differences": differences(state, fresh),
    }


def report(row: dict[str, Any]) -> bool:
    """Print the measures of an index; return whether the followed album is equal to one read anew."""
    print(f"{row['faces']:,} faces on {row['photos']:,} photos, {row['bytes'] / 1e6:.1f} MB are sent")
    values = {
        **{name: row[name] for name in ("load_s", "to_bytes_s", "arrays_mb")},
        "follow_ms": max(v["median_ms"] for verb, v in row["follow"].items() if verb != "index"),
    }
    for name, value in values.items():
        limit = TARGETS[name][int(row["faces"] > 500_000)]
        met = "" if limit is None else f"; target {limit:g}: {'met' if value <= limit else 'missed'}"
        print(f"  {name}: {value:.3f}{met}")
    for verb, found in row["follow"].items():
        print(
            f"  follow {verb}: median {found['median_ms']:.1f} ms, most {found['most_ms']:.1f} ms,"
            f" {found['bytes']:,} bytes"
        )
    for what, took in row["search_s"].items():
        print(f"  search that finds {what}: {took:.2f} s")
    print(f"  differences from an album that is read anew: {len(row['differences'])}")
    return not row["differences"]


def main() -> int:
    parser = argument_parser(__doc__, quick="2,000 faces")
    parser.add_argument("--index", type=Path, help="measure a copy of this index")
    options = parser.parse_args()
    sizes = [2_000] if options.quick else [100_000, 1_000_000]
    rounds = 3 if options.quick else 10
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "index"
        for size in [0] if options.index else sizes:
            if options.index:
                shutil.copytree(options.index, directory)
            else:
                make_index(directory, size, size // 40, seed=0, named=False)
                with Store.open(directory, write=True) as store:
                    name_people(store, NAMED // 4 if options.quick else NAMED)
            rows.append(measure(directory, rounds))
            shutil.rmtree(directory)
    equal = [report(row) for row in rows]
    if not options.index:
        write_result("album_state", {"rows": rows, "targets": TARGETS}, quick=options.quick)
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
