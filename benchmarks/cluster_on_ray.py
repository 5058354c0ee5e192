"""Compare `cluster --on ray` with `cluster`: the same labels, CPU time, memory, and what kills change.

Indexes of made-up faces (see made_up.py), one on each photo, are clustered by the command::

    python benchmarks/cluster_on_ray.py [--faces 100000,300000] [--runs 1]

1. Without and with Ray (2 actors), alternating: whether all labels are the same, CPU time of all processes,
   peak memory of the command and of a worker, and the most bytes in the folder of the run.
2. With Ray, while a worker that has a shard is killed (SIGKILL) each time the run has used ten seconds of CPU
   time, which is five seconds of two cores.

The peak memory of a process (VmHWM) contains pages of files that it has mapped, which the system takes back
if it needs them. What it does not, anonymous memory (RssAnon), is read five times a second, as are the bytes
in the folder.

Linux only. See on_ray.py for how CPU time is measured. Writes ``results/cluster_on_ray.json``. ``--quick``
uses 25,000 faces.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import common
import numpy as np
from common import argument_parser, ratios, write_result
from made_up import commit_faces, face_vectors, long_tail, make_store
from on_ray import ACTORS, KILL_SECONDS, SAMPLE_SECONDS, Watcher, own_environment

from faceindex import FaceIndex
from faceindex.store.directory import PARTS
from faceindex.types import I64

SEED = 21
DIMENSION = 128


@dataclass
class Peaks:
    """The most memory and disk space of a command and its workers, sampled in a thread."""

    watcher: Watcher
    index: Path
    command_mib: float = 0.0
    command_anonymous_mib: float = 0.0
    worker_mib: float = 0.0
    worker_anonymous_mib: float = 0.0
    folder_mib: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Peaks:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            peak, anonymous = memory(self.watcher.root)
            self.command_mib = max(self.command_mib, peak)
            self.command_anonymous_mib = max(self.command_anonymous_mib, anonymous)
            for pid in self.watcher.workers:
                peak, anonymous = memory(pid)
                self.worker_mib = max(self.worker_mib, peak)
                self.worker_anonymous_mib = max(self.worker_anonymous_mib, anonymous)
            self.folder_mib = max(self.folder_mib, used(self.index))

    def figures(self) -> dict[str, float]:
        return {name: value for name, value in vars(self).items() if name.endswith("_mib")}


def memory(pid: int) -> tuple[float, float]:
    """Return the peak resident set, and the anonymous memory now, in MiB; 0 for a process that is gone."""
    found = {"VmHWM": 0.0, "RssAnon": 0.0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) / 1024
    return found["VmHWM"], found["RssAnon"]


def used(index: Path) -> float:
    """Return the disk space of the folders of runs in an index directory, in MiB."""
    blocks = 0
    for path in index.glob(f"{PARTS}*/*"):
        with contextlib.suppress(OSError):
            blocks += path.stat().st_blocks
    return blocks * 512 / 2**20


def cluster(index: Path, *more: str, kill_every: float | None = None) -> dict[str, float]:
    """Cluster all faces by the command; return what it cost."""
    words = ["cluster", "--rebuild", "--index", str(index), "--quiet", *more]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "faceindex", *words], env=own_environment(), stdout=subprocess.DEVNULL
    )
    with Watcher(process.pid, kill_every, by_cpu=True) as watcher, Peaks(watcher, index) as peaks:
        code = process.wait()
    if code != 0:
        raise SystemExit(f"cluster ended with {code}.")
    if left := list(index.glob(f"{PARTS}*")):
        raise SystemExit(f"{left} is left.")
    seconds = time.perf_counter() - started
    return {"cpu": watcher.cpu, "wall": seconds, "worker_kills": watcher.kills, **peaks.figures()}


def labels(index: Path) -> I64:
    with FaceIndex.open(index) as opened:
        return np.array([-1 if face.cluster is None else face.cluster for face in opened])


def join_all(index: Path) -> None:
    """Put all faces into one cluster, so that the next run starts from nothing of this one."""
    with FaceIndex.open(index, write=True) as opened:
        opened.cluster("kmeans", k=1, seed=SEED)


def measure(n: int, runs: int, base: Path) -> dict[str, object]:
    index = base / str(n)
    rng = np.random.default_rng(SEED)
    with make_store(index, DIMENSION) as store:
        commit_faces(store, face_vectors(long_tail(n, rng), DIMENSION, rng), 0, rng, batch=2000)
    on_ray = ("--on", "ray", "--actors", str(ACTORS))
    here, there, same = [], [], []
    for _ in range(runs):
        here.append(cluster(index))
        expected = labels(index)
        join_all(index)
        there.append(cluster(index, *on_ray))
        same.append(partition_is_same(expected, labels(index)))
        print(here[-1], there[-1], same[-1], flush=True)
    join_all(index)
    killed = cluster(index, *on_ray, kill_every=ACTORS * KILL_SECONDS)
    killed["same_labels"] = partition_is_same(expected, labels(index))
    return {
        "faces": n,
        "clusters": len(np.unique(expected[expected >= 0])),
        "without_ray": here,
        "with_ray": there,
        "cpu_ratio": ratios([run["cpu"] for run in there], [run["cpu"] for run in here]),
        "same_labels": all(same),
        "workers_killed": killed,
        "load": os.getloadavg()[1],
        "environment": common.environment(),
    }


def partition_is_same(one: I64, other: I64) -> bool:
    """Return whether two clusterings are the same but for the numbers of the clusters."""
    firsts = [np.unique(found, return_index=True, return_inverse=True)[1:] for found in (one, other)]
    (a, a_codes), (b, b_codes) = firsts
    return bool(((one < 0) == (other < 0)).all() and (a[a_codes] == b[b_codes]).all())


def main() -> None:
    parser = argument_parser(__doc__, quick="25,000 faces")
    parser.add_argument(
        "--faces", type=lambda text: [int(n) for n in text.split(",")], default=[100_000, 300_000]
    )
    parser.add_argument("--runs", type=int, default=1, help="pairs of runs")
    options = parser.parse_args()
    if options.quick:
        options.faces = [25_000]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(n, options.runs, Path(folder)) for n in options.faces]
    for row in rows:
        print(row, flush=True)
    write_result("cluster_on_ray", {"seed": SEED, "actors": ACTORS, "sizes": rows}, quick=options.quick)


if __name__ == "__main__":
    main()
