"""Answer questions as a page does: a process keeps them, and opens the index to store each answer.

The index is made up: clusters with a long tail, of which the five largest are named, and a fifth of the
faces in none. The time of an answer contains opening the index for writing and closing it. "next" is
`suggest(5)` after it. The memory of the process is what it has beside the memory map of the vectors.

    python benchmarks/answering.py                     # 100,000 faces: a minute
    python benchmarks/answering.py --faces 1000000     # some minutes
    python benchmarks/answering.py --quick             # 2,000 faces
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from common import argument_parser, run_child, write_result
from find import make_index

from faceindex import FaceIndex
from faceindex.api.people_questions import AskingPeople

DECISIONS = 8
NAMED = 5  # people before the first question


def anonymous_mib() -> float:
    """Return the memory of this process without files that are mapped, in MiB."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall seconds, CPU seconds and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def name(somebody: str, cluster: int, people: AskingPeople) -> None:
    people.name(somebody, clusters=[cluster])


def measure(directory: Path) -> dict[str, Any]:
    """Name the largest clusters, one by one, and undo it."""
    rows: dict[str, Any] = {"decisions": []}

    def decide(work: Callable[[AskingPeople], Any]) -> Any:
        with FaceIndex.open(directory, write=True) as writer:
            return work(writer.people)

    with FaceIndex.open(directory) as index:
        *first, _ = timed(lambda: index.people.suggest(5))
        rows |= {"first": first, "mib": anonymous_mib()}
        people = index.people
        named = len(people.names())  # the first clusters
        sizes = [
            (faces, cluster)
            for cluster, faces in index._store.cluster_sizes(named + 2 * DECISIONS)
            if cluster > named
        ]
        for number, (faces, cluster) in enumerate(sizes[:DECISIONS]):
            *spent, _ = timed(partial(decide, partial(name, f"Somebody {number}", cluster)))
            *following, _ = timed(lambda: people.suggest(5))
            rows["decisions"].append({"faces": faces, "answer": spent, "next": following})
        undone: list[list[float]] = []
        for _ in range(DECISIONS):
            *spent, _ = timed(lambda: decide(lambda p: p.undo()))
            people.suggest(5)
            undone.append(spent)
        rows["undo"] = undone
        rows["mib_after"] = anonymous_mib()
    return rows


def main() -> None:
    parser = argument_parser(__doc__, quick="2,000 faces")
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)  # of the measuring process
    args = parser.parse_args()
    if args.index is not None:
        print(json.dumps(measure(args.index)))
        return
    faces = 2_000 if args.quick else args.faces
    clusters = faces // 25
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "index"
        make_index(directory, faces, NAMED, seed=0, clusters=clusters, loose=0.18, tail=1.1)
        rows = run_child(__file__, "--index", directory)
    print(f"{faces:,} faces, {clusters:,} clusters, the largest {NAMED} named")
    print(f"first suggest: {rows['first'][0]:.2f} s, {rows['first'][1]:.2f} s of CPU; {rows['mib']:.0f} MiB")
    for row in rows["decisions"]:
        answer, following = (f"{row[key][0]:.3f} s ({row[key][1]:.3f} of CPU)" for key in ("answer", "next"))
        print(f"a cluster of {row['faces']:,} faces: answer {answer}, next {following}")
    undo = median(wall for wall, _ in rows["undo"])
    print(f"undo: median {undo:.3f} s; {rows['mib_after']:.0f} MiB at the end")
    name = "answering" if faces == 100_000 else f"answering_{faces}"
    if not args.quick:
        write_result(name, {"faces": faces, "clusters": clusters, **rows})


if __name__ == "__main__":
    main()
