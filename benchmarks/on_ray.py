"""Compare `index --on ray` with `index`: the same result, the CPU time, and what kills change.

Photos of people/, pins/ and lfw/ are copied to a temporary folder and indexed with the default models::

    python benchmarks/on_ray.py [--data ../shared/data] [--photos 5000] [--killed 800] [--kills 20] [--runs 1]

1. Without and with Ray (2 actors), alternating: CPU time of all processes, and whether photos, boxes, vectors
   and clusters are the same.
2. With Ray, while a worker that has a batch is killed (SIGKILL) every five seconds.
3. With Ray, on fewer photos: the command itself is killed at random moments and started again, and runs to
   its end at last. Whether processes or folders of Ray are left is counted too.

Linux only. CPU time is read from /proc five times a second for every process below the command, so the last
fifth of a second of a process may be missing; the accounting of the system counts children of Ray only in
part. Writes ``results/on_ray.json``. It takes about half an hour on two cores; ``--quick`` uses 120 photos
and 3 kills.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import common
import numpy as np
from common import RESULTS, argument_parser, ratios, use_weights_beside, write_result

from faceindex import FaceIndex
from faceindex.types import F32

SEED = 12
ACTORS = 2
KILL_SECONDS = 5.0
TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.2
TEMPORARY = tempfile.TemporaryDirectory(prefix="r", dir="/tmp")  # a short path, for Ray
LATEST_KILL = 30.0  # seconds after its start until which a run is killed


# Processes ---------------------------------------------------------------------------------------


def _stat(pid: str) -> tuple[int, int, float, str]:
    """Return parent, start in ticks, CPU seconds and command of a process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return int(fields[1]), int(fields[19]), (int(fields[11]) + int(fields[12])) / TICK, command


def processes() -> dict[int, tuple[int, int, float, str]]:
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                found[int(entry)] = _stat(entry)
    return found


class Watcher:
    """Sums the CPU time of a process and of all that it starts, in a thread; may kill workers.

    These are killed every so many seconds, or, with `by_cpu`, CPU seconds: on a busy machine, no work would
    be done between two kills.
    """

    def __init__(self, root: int, kill_every: float | None, *, by_cpu: bool = False) -> None:
        self._by_cpu = by_cpu
        self.root = root
        self.workers: list[int] = []  # that have a batch
        self._kill_every = kill_every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._cpu: dict[tuple[int, int], float] = {}
        self._known = {root}
        self.kills = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    @property
    def number(self) -> int:
        return len(self._cpu)

    def alive(self) -> int:
        """Count the processes that were seen and still run."""
        every = processes()
        return sum(
            pid in every and every[pid][1] == started and every[pid][3] != "" for pid, started in self._cpu
        )  # without those that nobody has waited for yet: they have no command line

    def _now(self) -> float:
        return self.cpu if self._by_cpu else time.monotonic()

    def _run(self) -> None:
        chosen = random.Random(SEED)
        killed_at = self._now()
        while not self._over.wait(SAMPLE_SECONDS):
            workers = []
            every = processes()
            grown = True
            while grown:
                below = {pid for pid, (parent, *_) in every.items() if parent in self._known} - self._known
                grown = bool(below)
                self._known |= below
            for pid in self._known & every.keys():
                _, started, cpu, command = every[pid]
                self._cpu[pid, started] = cpu
                if command.startswith("ray::Actor.work"):  # it has a batch
                    workers.append(pid)
            self.workers = sorted(workers)
            if self._kill_every and workers and self._now() - killed_at >= self._kill_every:
                killed_at = self._now()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chosen.choice(sorted(workers)), signal.SIGKILL)
                    self.kills += 1


# Runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    cpu: float
    wall: float
    processes: int
    worker_kills: int


def command(photos: Path, index: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "faceindex", "index", str(photos), "--index", str(index), "--quiet", *more]


def on_ray() -> list[str]:
    return ["--on", "ray", "--actors", str(ACTORS)]


def own_environment() -> dict[str, str]:
    return {**os.environ, "TMPDIR": TEMPORARY.name}


def run_index(photos: Path, index: Path, *more: str, kill_every: float | None = None) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command(photos, index, *more), cwd=index.parent, env=own_environment())
    with Watcher(process.pid, kill_every) as watcher:
        code = process.wait()
    if code not in (0, 1):
        raise SystemExit(f"index ended with {code}.")
    return Run(watcher.cpu, time.perf_counter() - started, watcher.number, watcher.kills)


def kill_often(photos: Path, index: Path, kills: int) -> dict[str, object]:
    """Kill the command at random moments, and let it finish at last."""
    chosen = random.Random(SEED)
    left = restarts = done = 0
    faces = []
    while done < kills:
        process = subprocess.Popen(command(photos, index, *on_ray()), cwd=index.parent, env=own_environment())
        with Watcher(process.pid, None) as watcher:
            try:
                process.wait(chosen.uniform(0.5, LATEST_KILL))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done += 1
        for _ in range(50):
            if not watcher.alive():
                break
            time.sleep(0.2)
        left += watcher.alive()
        if process.returncode == 0:  # it was faster than the kill: begin again
            restarts += 1
            shutil.rmtree(index)
        elif (index / "catalog.sqlite").exists():
            with FaceIndex.open(index) as opened:
                faces.append(len(opened))
    run_index(photos, index, *on_ray())
    return {
        "kills": done,
        "finished_before_a_kill": restarts,
        "faces_after_each_kill": faces,
        "processes_left": left,
        "folders_left_at_last": len(list(Path(TEMPORARY.name).glob("fi-ray-*"))),
    }


# Results -----------------------------------------------------------------------------------------


def content(index: Path) -> tuple[list[tuple[object, ...]], F32, list[int | None]]:
    """Return the faces of an index by photo and place, their vectors, and their clusters."""
    with FaceIndex.open(index, write=True) as opened:
        opened.cluster()
        faces = sorted(enumerate(opened), key=lambda pair: (pair[1].path, pair[1].box))
        order = [number for number, _ in faces]
        keys: list[tuple[object, ...]] = [(face.path, face.box, face.score) for _, face in faces]
        return keys, opened.vectors()[order], [face.cluster for _, face in faces]


def compare(reference: Path, other: Path) -> dict[str, object]:
    keys, vectors, clusters = content(reference)
    other_keys, other_vectors, other_clusters = content(other)
    same = [key[0] for key in keys] == [key[0] for key in other_keys]
    boxes = (
        max(
            (abs(a - b) for one, two in zip(keys, other_keys, strict=True) for a, b in _numbers(one, two)),
            default=0.0,
        )
        if same
        else None
    )
    return {
        "faces": len(keys),
        "same_faces": same,
        "greatest_difference_of_boxes": boxes,
        "greatest_difference_of_vectors": float(np.abs(vectors - other_vectors).max()) if same else None,
        "bit_for_bit": same and keys == other_keys and vectors.tobytes() == other_vectors.tobytes(),
        "same_clusters": clusters == other_clusters,
        "clusters": len({cluster for cluster in clusters if cluster is not None}),
    }


def _numbers(one: tuple[object, ...], two: tuple[object, ...]) -> Iterator[tuple[float, float]]:
    boxes: tuple[tuple[float, ...], tuple[float, ...]] = (one[1], two[1])  # type: ignore[assignment]
    yield from zip(*boxes, strict=True)


def copy_photos(data: Path, number: int, into: Path) -> Path:
    """Copy photos, taken from all sources in turn, into folders of a hundred."""
    sources = [sorted((data / name).rglob("*.jpg")) for name in ("people", "pins", "lfw")]
    mixed = sources[0] + sources[1] + sources[2]
    random.Random(SEED).shuffle(mixed)
    if len(mixed) < number:
        print(f"There are {len(mixed)} photos.", file=sys.stderr)
    for position, source in enumerate(mixed[:number]):
        folder = into / f"{position // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / f"{position:05}.jpg")
    return into


def measure_cost(photos: Path, base: Path, runs: int) -> dict[str, object]:
    """Part 1: run without and with Ray, alternating."""
    here, there = [], []
    for number in range(runs):
        here.append(run_index(photos, base / f"here{number}"))
        there.append(run_index(photos, base / f"ray{number}", *on_ray()))
        print(here[-1], there[-1], flush=True)
    return {
        "without_ray": [vars(run) for run in here],
        "with_ray": [vars(run) for run in there],
        "cpu_ratio": ratios([run.cpu for run in there], [run.cpu for run in here]),
        **compare(base / "here0", base / "ray0"),
    }


def kill_workers(photos: Path, base: Path) -> dict[str, object]:
    """Part 2: kill a worker every five seconds."""
    if not (base / "here0").exists():
        run_index(photos, base / "here0")
    killed = run_index(photos, base / "killed", *on_ray(), kill_every=KILL_SECONDS)
    return {**vars(killed), **compare(base / "here0", base / "killed")}


def kill_command(photos: Path, base: Path, kills: int) -> dict[str, object]:
    """Part 3: kill the command."""
    run_index(photos, base / "few-here")
    counts = kill_often(photos, base / "few-killed", kills)
    return {**counts, **compare(base / "few-here", base / "few-killed")}


def main() -> None:
    parser = argument_parser(__doc__, quick="120 photos, 80 of them killed 3 times", data=True)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--killed", type=int, default=1000, help="photos of the runs that are killed")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1, help="pairs of runs for the CPU time")
    parser.add_argument("--part", type=int, choices=[1, 2, 3], help="only this; the other results are kept")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.killed, options.kills = 120, 80, 3
    use_weights_beside(options.data)
    name = "on_ray_quick" if options.quick else "on_ray"
    before = RESULTS / f"{name}.json"
    parts: dict[str, object] = {}
    if options.part and before.exists():
        parts = json.loads(before.read_text(encoding="utf-8"))["parts"]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        photos = copy_photos(options.data, options.photos, base / "photos")
        few = copy_photos(options.data, options.killed, base / "few")
        works: dict[str, tuple[int, Callable[[], dict[str, object]]]] = {
            "cost": (options.photos, lambda: measure_cost(photos, base, options.runs)),
            "workers_killed": (options.photos, lambda: kill_workers(photos, base)),
            "command_killed": (options.killed, lambda: kill_command(few, base, options.kills)),
        }
        for number, (part, (size, work)) in enumerate(works.items(), 1):
            if options.part in (None, number):
                load = os.getloadavg()[1]
                parts[part] = {"photos": size, **work(), "load": load, "environment": common.environment()}
                print(part, parts[part], flush=True)
        write_result("on_ray", {"seed": SEED, "actors": ACTORS, "parts": parts}, quick=options.quick)


if __name__ == "__main__":
    main()
