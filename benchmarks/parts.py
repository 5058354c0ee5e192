"""Cluster in parts: what it costs in accuracy, and the memory that it needs.

Two kinds of albums are clustered by `cluster_faces`, all faces together and with `part_size` = n/4, n/10 and
n/30: made-up faces whose people have a long tail of photos (made_up.py), and the photos of lfw/, pins/,
people/ and diverse/ together, indexed with the default models. Reported for each:

- B-cubed against the truth, and against the clusters of all faces together;
- decisions that the clusters violate. They are made up of the truth: names for one face in 200, pairs of one
  person and of two, faces that are no one, and one person on faces that do not resemble each other;
- CPU seconds of all processes, the search for neighbours included;
- peak memory of the driver and of a worker: the arrays are files, and two processes do the shards. The pages
  of files that a process has read count, although the system may drop them.

With all faces together, one process with two threads does all, in memory.

Then the design is taken apart on the photos: fewer rounds of Chinese Whispers, one pass instead of
two, and parts that are ranges of faces in the order of their cells instead of linked communities.

    python benchmarks/parts.py [--quick] [--data ../shared/data] [--faces N,N,...] [--work INDEX]
                               [--only made-up|photos]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import argument_parser, peak_mib, run_child, use_weights_beside, write_result
from made_up import face_vectors, long_tail

from faceindex import FaceIndex, models
from faceindex.clustering import ClusterOptions, parts, spreading
from faceindex.clustering.constraints import Constraints, violations
from faceindex.clustering.incremental import cluster_faces
from faceindex.clustering.shards import FileArrays, Runner, Stage, ThreadRunner
from faceindex.clustering.workers import one_thread
from faceindex.metrics import bcubed
from faceindex.models import recommended
from faceindex.store import Assignments
from faceindex.types import F32, I64

DIMENSION = 128
FRACTIONS = (4, 10, 30)
WORKERS = 2
SETS = ("lfw", "pins", "people", "diverse")
NAMED = 200  # one face in so many has a name

Result = dict[str, Any]


# Workers -----------------------------------------------------------------------------------------


def _do(folder: Path, state: Any, stage: Stage, shard: int) -> tuple[Any, int, float, float]:
    """Do a shard in a worker; return also who did it, its CPU seconds and its peak memory."""
    with one_thread():
        result = stage(FileArrays(folder, state), shard)
    return result, multiprocessing.current_process().pid or 0, time.process_time(), peak_mib()


class ProcessRunner:
    """Runs stages in processes of this machine, through files.

    Attributes
    ----------
    cpu, peak : dict
        CPU seconds and peak memory in MiB of each worker.
    """

    def __init__(self, folder: Path, pool: ProcessPoolExecutor) -> None:
        self.arrays = FileArrays(folder)
        self.cpu: dict[int, float] = {}
        self.peak: dict[int, float] = {}
        self._folder = folder
        self._pool = pool

    def run(self, stage: Stage, shards: Iterable[int], *, updates: Collection[str] = ()) -> list[Any]:
        self.arrays.begin(updates)
        work = partial(_do, self._folder, self.arrays.state, stage)
        results = []
        for result, worker, cpu, peak in self._pool.map(work, shards):
            results.append(result)
            self.cpu[worker], self.peak[worker] = cpu, peak
        self.arrays.end()
        return results


@contextlib.contextmanager
def process_runner(made: list[ProcessRunner]) -> Iterator[Runner]:
    """Make a runner with workers, and append it to `made`."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(WORKERS, spawn) as pool, one_thread():
        made.append(ProcessRunner(Path(folder), pool))
        yield made[-1]


# Data --------------------------------------------------------------------------------------------


def prepare_made_up(n: int, seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    who = long_tail(n, rng)
    np.save(folder / "vectors.npy", face_vectors(who, DIMENSION, rng))
    save(folder, "dlib", who, np.arange(n), np.ones(n, np.float32))


def prepare_photos(data: Path, index_folder: Path, folder: Path) -> None:
    """Index the photos. A face has a truth if the label of its photo, the folder, applies to it."""
    use_weights_beside(data)
    with FaceIndex.open_or_create(index_folder) as index:
        index.add([data / name for name in SETS])
        table, vectors, faces = index.table(), np.array(index.vectors()), list(index.faces())
        central, largest = (index.evaluation.labelled(face=face).positions for face in ("center", "largest"))
    embedder = recommended()[1].name
    labelled = {False: set(largest.tolist()), True: set(central.tolist())}
    who = np.full(len(table), -1)
    numbers: dict[str, int] = {}
    for i, face in enumerate(faces):
        path = Path(face.path)
        if i in labelled[(data / "lfw") in path.parents]:
            name = path.parent.name.lower().replace(" ", "_").replace("-", "_").removeprefix("pins_")
            who[i] = numbers.setdefault(name, len(numbers))  # several sets have photos of the same people
    np.save(folder / "vectors.npy", vectors)
    save(folder, embedder, who, table.photo, table.quality)


def save(folder: Path, embedder: str, who: I64, photos: I64, quality: F32) -> None:
    np.savez(folder / "faces.npz", who=who, photos=photos, quality=quality, embedder=embedder)


def made_up_decisions(who: I64, seed: int) -> Constraints:
    """Make decisions that suit the truth, but for one person who is on unlike faces."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(who >= 0)
    some = rng.choice(known, len(known) // NAMED, replace=False)
    said = Constraints.empty(len(who))
    said.person[some] = who[some]
    said.person[some[:5]] = who.max() + 1
    said.nobody[rng.choice(known, 20, replace=False)] = True
    one, other = rng.choice(known, (2, 400))
    by_person = known[np.argsort(who[known], kind="stable")]
    at = rng.choice(len(by_person) - 1, 200, replace=False)
    pairs = np.column_stack([by_person[at], by_person[at + 1]])
    pairs = pairs[who[pairs[:, 0]] == who[pairs[:, 1]]]
    apart = who[one] != who[other]
    different = np.column_stack([one, other])[apart]
    rejected = np.column_stack([one, who[other]])[apart]
    return Constraints(said.person, said.nobody, rejected, pairs, different, said.taken)


# Measuring ---------------------------------------------------------------------------------------


def ranges(runner: Runner, shards: Any, communities: I64, together: I64, part_size: int) -> I64:
    """Divide faces in the order of their cells; used in place of `divide`."""
    return np.arange(shards.n) // part_size


def measure(folder: Path, fraction: int, variant: str, decisions: bool, seed: int) -> Result:
    """Cluster in this process; save the labels, and return the figures."""
    vectors: F32 = np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray)
    with np.load(folder / "faces.npz") as stored:
        who, photos, quality, embedder = (stored[name] for name in ("who", "photos", "quality", "embedder"))
    n = len(who)
    options = ClusterOptions(
        calibration=models.calibration_of(models.get("embedder", str(embedder))), seed=seed
    )
    clusterer = models.load(models.get("clusterer", "album"), options=options)
    table = table_of(photos, quality)
    said = made_up_decisions(who, seed) if decisions else None
    made: list[ProcessRunner] = []
    changes: dict[str, contextlib.AbstractContextManager[Any]] = {
        "one pass": patch.object(parts, "_PASSES", 1),
        "ranges": patch.object(parts, "divide", ranges),
        **{f"{rounds} rounds": patch.object(spreading, "_ROUNDS", rounds) for rounds in (1, 2, 4)},
    }
    warm_up(vectors)
    before, cpu = peak_mib(), time.process_time()
    with changes.get(variant, contextlib.nullcontext()):
        labels = cluster_faces(
            table,
            vectors,
            clusterer,
            options,
            min_size=2,
            previous=None,
            started_over=True,
            constraints=said,
            part_size=-(-n // fraction) if fraction else None,
            make_runner=partial(process_runner, made) if fraction else ThreadRunner,
        ).labels
    cpu = time.process_time() - cpu + sum(made[0].cpu.values() if made else ())
    if not fraction:
        np.save(folder / "labels.npy", labels)
    known = np.flatnonzero(who >= 0)
    alone = singles(labels)
    figures: Result = {
        "part_size": -(-n // fraction) if fraction else n,
        "cpu_seconds": cpu,
        "peak_mib": {"before": before, "driver": peak_mib()},
        "truth": scores(alone[known], who[known]),
    }
    if made:
        figures["peak_mib"]["worker"] = max(made[0].peak.values())
        figures["whole"] = scores(alone, singles(np.load(folder / "labels.npy")))
    if said is not None:
        figures["violations"] = len(violations(labels, said))
    return figures


def table_of(photos: I64, quality: F32) -> Assignments:
    """Return sharp faces in no cluster."""
    n = len(photos)
    number, ones = np.arange(n), np.ones(n, np.float32)
    return Assignments(number, number, photos, np.full(n, -1), np.full(n, np.nan, np.float32), ones, quality)


def warm_up(vectors: F32) -> None:
    """Load numpy's and numba's code, so that memory before the run contains it."""
    some = np.array(vectors[:500])
    options = ClusterOptions(threshold=0.99)
    clusterer = models.load(models.get("clusterer", "album"), options=options)
    n = len(some)
    table = table_of(np.arange(n), np.ones(n, np.float32))
    cluster_faces(
        table, some, clusterer, options, min_size=2, previous=None, started_over=True, part_size=n // 2
    )


def singles(labels: I64) -> I64:
    """Give each face in no cluster a cluster of its own."""
    return np.where(labels < 0, labels.max(initial=-1) + 1 + np.arange(len(labels)), labels)


def scores(labels: I64, truth: I64) -> Result:
    found = bcubed(labels, truth)
    return {"f": found.f, "precision": found.precision, "recall": found.recall}


def run(what: str, folder: Path, seed: int, *, fractions: tuple[int, ...], variants: bool) -> Result:
    """Measure one album: all together, in parts, and variants."""
    cases: list[tuple[str, int, str, bool]] = [("whole", 0, "", False)]
    cases += [(f"n/{fraction}", fraction, "", False) for fraction in fractions]
    middle = fractions[len(fractions) // 2]
    cases.append((f"n/{middle}, decisions", middle, "", True))
    if variants:
        for variant in ("1 rounds", "2 rounds", "4 rounds", "one pass", "ranges"):
            cases.append((f"n/{fractions[-1]}, {variant}", fractions[-1], variant, False))
    results: Result = {}
    for name, fraction, variant, decisions in cases:
        options = ("--fraction", fraction, "--variant", variant, "--decisions", int(decisions))
        found = run_child(__file__, "--folder", folder, "--seed", seed, *options)
        together = results.get("whole")
        if together is not None and not decisions:
            found["f_lost"] = together["truth"]["f"] - found["truth"]["f"]
            found["cpu_ratio"] = found["cpu_seconds"] / together["cpu_seconds"]
        results[name] = found
        shown = {key: round(found[key], 4) for key in ("cpu_seconds", "f_lost", "cpu_ratio") if key in found}
        print(f"{what}, {name}: {found['truth']} {shown} {found['peak_mib']}", flush=True)
    return results


def main() -> None:
    parser = argument_parser(__doc__, quick="30,000 made-up faces, n/4", data=True)
    parser.add_argument(
        "--faces", type=lambda text: [int(n) for n in text.split(",")], default=[100_000, 300_000]
    )
    parser.add_argument("--work", type=Path, help="keep the index of the photos there")
    parser.add_argument("--only", choices=["made-up", "photos"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prepare", type=int, help=argparse.SUPPRESS)  # these three in a child process
    parser.add_argument("--fraction", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--variant", default="", help=argparse.SUPPRESS)
    parser.add_argument("--decisions", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare is not None:
        prepare_made_up(options.prepare, options.seed, options.folder)
        return
    if options.fraction is not None:
        print(
            json.dumps(
                measure(
                    options.folder, options.fraction, options.variant, bool(options.decisions), options.seed
                )
            )
        )
        return
    if options.quick:
        options.faces, options.only = [30_000], "made-up"
    albums: list[int | None] = [] if options.only == "made-up" else [None]
    albums += [] if options.only == "photos" else options.faces
    results: Result = {}
    for n in albums:
        with tempfile.TemporaryDirectory() as folder:
            if n is None:
                prepare_photos(options.data.resolve(), options.work or Path(folder) / "index", Path(folder))
            else:
                run_child(__file__, "--prepare", n, "--seed", options.seed, "--folder", folder)
            name = "photos" if n is None else f"{n:,} made-up faces"
            results[name] = run(
                name,
                Path(folder),
                options.seed,
                fractions=FRACTIONS[:1] if options.quick else FRACTIONS,
                variants=n is None,
            )
        payload = {"seed": options.seed, "workers": WORKERS, "albums": results}
        write_result("parts", payload, quick=options.quick)  # after each: the last ones take long


if __name__ == "__main__":
    main()
