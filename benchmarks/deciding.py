"""Decisions on an index of 100,000 made-up faces of 2,000 named people: `index.people`, then `index.cluster`.

Naming a cluster, rejecting and confirming a face, merging two people and undoing are timed one by one,
each on other people; each is one durable transaction. Then two copies of the index are clustered in turn,
as a whole: one without decisions, one with decisions about 10,000 faces.

    python benchmarks/deciding.py            # some minutes
    python benchmarks/deciding.py --quick    # 10,000 faces, 200 people, 1,000 decisions
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from uuid import uuid4

import numpy as np
from common import argument_parser, ratios, target, write_result
from find import make_index

from faceindex import FaceIndex
from faceindex.people.editor import Editor
from faceindex.store.decisions import Label
from faceindex.types import I64

TARGET_MS = 50
REPEATS = 30
PAIRS = 5


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of all threads: other programs disturb it less than the wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def time_verbs(index: FaceIndex, rng: np.random.Generator) -> dict[str, list[float]]:
    """Return the times of each verb in milliseconds."""
    table, view = index.table(), index._reader.people()
    people = index.people.list()
    unnamed = sorted(set(table.cluster.tolist()) - view.of_cluster.keys() - {-1})
    free = rng.permutation(np.flatnonzero((view.person >= 0) & (view.label < Label.CONFIRMED)))
    faces = iter(table.face[free].tolist())
    names = iter([person.name for person in people[10:]])
    clusters = iter(unnamed[:REPEATS])
    verbs: dict[str, Callable[[], object]] = {
        "name a cluster": lambda: index.people.name(f"New {uuid4().hex[:8]}x", clusters=[next(clusters)]),
        "reject a face": lambda: index.people.reject([next(faces)]),
        "confirm a face": lambda: index.people.confirm([next(faces)]),
        "ignore a face": lambda: index.people.ignore(faces=[next(faces)]),
        "rename": lambda: index.people.rename(next(names), f"Other {uuid4().hex[:8]}x"),
        "merge two people": lambda: index.people.merge(next(names), next(names)),
        "undo": lambda: index.people.undo(),
    }
    return {verb: [milliseconds(work) for _ in range(REPEATS)] for verb, work in verbs.items()}


def decide(index: FaceIndex, who: I64, number: int, rng: np.random.Generator) -> None:
    """Label some faces with the people that they show, each face on its own."""
    table, store = index.table(), index._store
    chosen = np.sort(rng.permutation(len(table))[:number])
    with store.deciding():
        editor = Editor(store.decisions, "made up", datetime.now(timezone.utc))
        marks = store.decisions.mark_faces(table.face[chosen].tolist())
        for person in np.unique(who[chosen]).tolist():
            mine = [marks[face] for face in table.face[chosen[who[chosen] == person]].tolist()]
            editor.label(editor.person(f"Person {person} x"), mine, Label.CONFIRMED)
        editor.finish()


def main() -> None:
    parser = argument_parser(__doc__, quick="10,000 faces")
    args = parser.parse_args()
    faces, people, decisions = (10_000, 200, 1_000) if args.quick else (100_000, 2_000, 10_000)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "index"
        make_index(directory, faces, people, seed=0)
        with FaceIndex.open(directory, write=True) as index:
            times = time_verbs(index, rng)
        for verb, values in times.items():
            met = "met" if median(values) < TARGET_MS else "missed"
            print(
                f"{verb}: median {median(values):.1f} ms, most {max(values):.1f} ms;"
                f" target {TARGET_MS} ms: {met}"
            )
        without, with_decisions = Path(folder) / "without", Path(folder) / "with"
        make_index(without, faces, people, seed=1, named=False)
        shutil.copytree(without, with_decisions)
        seconds: dict[str, list[float]] = {"without": [], "with": []}
        with (
            FaceIndex.open(without, write=True) as plain,
            FaceIndex.open(with_decisions, write=True) as decided,
        ):
            decide(decided, plain.table().cluster.copy(), decisions, rng)
            plain.cluster(rebuild=True)  # compiles
            for _ in range(PAIRS):
                seconds["without"].append(cpu_seconds(lambda: plain.cluster(rebuild=True)))
                seconds["with"].append(cpu_seconds(lambda: decided.cluster(rebuild=True)))
    outcome = target(
        0,
        f"cluster {faces:,} faces with {decisions:,} decisions, to without, CPU time",
        ratios(seconds["with"], seconds["without"]),
        reach=1.1,
        beyond=1.02,
        seconds=seconds,
    )
    write_result(
        "deciding",
        {"faces": faces, "people": people, "milliseconds": times, "target_ms": TARGET_MS, "cluster": outcome},
        quick=args.quick,
    )


if __name__ == "__main__":
    main()
