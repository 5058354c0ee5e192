"""Rows 1 and 2: whole programs, from a folder of photos to stored vectors, start-up included.

1. ``faceindex index --detector mtcnn --embedder facenet --min-face 20``, with and without ``--half``,
   compared with facenet-pytorch's own pipeline and the same weights (``peer_scripts/facenet_pipeline.py``).
2. ``faceindex index`` --detector mtcnn --embedder dlib (smallest face 30 px), also with ``--half`` and with
   ``--min-face 20``, compared with the pipeline of face_recognition
   (``peer_scripts/face_recognition_pipeline.py``), with dlib from source and OpenBLAS, and with wheels. The
   target compares with one process, as in its documentation; the results contain one process per core too.

Every program is a new process on the photos of people/. The programs alternate, and the order reverses with
every round. The page cache is warm. Each program chooses its number of threads; with one process per core
OpenBLAS gets one thread, which is faster. The time of the stand-in for torchvision's `nms`
(``peer_scripts/torchvision_nms.py``) is subtracted. The results contain wall and CPU seconds, but no CPU
seconds of several processes, which the system does not report.

The accuracy (`pipelines_accuracy.py`) comes from the faces that each program stored in the first round:

- Row 1: the share of faces that the other side finds at IoU >= 0.9. Of facenet-pytorch's faces those count
  that an index would keep: score 0.9 or more, and 60 % of the box on the photo. A second figure compares all
  faces of both MTCNNs.
- B-cubed F of the largest face of each photo, with folders as labels. Row 1: KMeans with as many clusters as
  folders on our faces, and on those of facenet-pytorch: all of them, those that an index would keep, and only
  the largest of each photo, which leaves out most strangers; and `faceindex cluster`. Row 2: `faceindex
  cluster`, and ``dlib.chinese_whispers_clustering`` at 0.5. A second B-cubed F counts each photo without a
  face as a separate person, so that leaving out photos does not improve it.

    python benchmarks/peers.py facenet-pytorch face_recognition face_recognition-wheels
    python benchmarks/pipelines.py [--rows 1 2] [--pairs N] [--limit PHOTOS] [--one-process] [--quick]
                                   [--data ../shared/data] [--peers DIR]

Writes the results after every round. Five rounds take about ten minutes for row 1 and 40 for row 2 on two
cores (25 with ``--one-process``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from common import (
    Spent,
    argument_parser,
    console_script,
    people_photos,
    spend,
    target,
    use_weights_beside,
    write_result,
)
from peers import about, add_peers_argument, interpreter, left_out
from pipelines_accuracy import MIN_FACE, PEER_SCRIPTS, SEED, accuracy_of_row_1, accuracy_of_row_2

from faceindex import models

NEEDED = {1: ("facenet-pytorch",), 2: ("face_recognition", "face_recognition-wheels")}  # peers of each row


@dataclass(frozen=True)
class Program:
    """A program: its command, its output, and whether the system reports all of its CPU seconds."""

    name: str
    command: tuple[str | Path, ...]
    out: Path
    threads: int | None = None  # of OpenBLAS
    whole_cpu: bool = True

    @property
    def ours(self) -> bool:
        return self.name.startswith("faceindex")


@dataclass
class Runs:
    """Cost of a program by round, and what it reported about itself in the first round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    report: dict[str, object] = field(default_factory=dict)


def programs(row: int, folder: Path, work: Path, options: argparse.Namespace) -> list[Program]:
    """Return the programs of a row."""
    script = console_script()

    def ours(name: str, *more: str) -> Program:
        index = work / f"{name}.index"
        return Program(name, (script, "index", folder, "--index", index, "--quiet", *more), index)

    if row == 1:
        out = work / "facenet-pytorch.npz"
        python = interpreter(options.peers, "facenet-pytorch")
        spec = models.get("embedder", "facenet")
        weights = models.find_weights(spec.weights[0])
        chosen = ("--detector", "mtcnn", "--embedder", "facenet", "--min-face", str(MIN_FACE))
        theirs = (python, PEER_SCRIPTS / "facenet_pipeline.py", folder, out, weights, str(MIN_FACE))
        return [
            ours("faceindex", *chosen),
            Program("facenet-pytorch", theirs, out),
            ours("faceindex, half", *chosen, "--half"),
        ]

    def face_recognition(peer: str, processes: int) -> Program:
        name = f"{peer}, {processes} process{'es' if processes > 1 else ''}"
        out = work / f"{name}.npz"
        script = PEER_SCRIPTS / "face_recognition_pipeline.py"
        command = (interpreter(options.peers, peer), script, folder, out)
        if processes == 1:
            return Program(name, command, out)
        return Program(name, (*command, "--processes", str(processes)), out, threads=1, whole_cpu=False)

    several = [] if options.one_process else [os.cpu_count() or 1]
    return [
        ours("faceindex"),
        *(face_recognition(peer, 1) for peer in ("face_recognition", "face_recognition-wheels")),
        ours("faceindex, min face 20", "--min-face", "20"),
        ours("faceindex, half", "--half"),
        *(
            face_recognition(peer, processes)
            for processes in several
            if processes > 1
            for peer in ("face_recognition", "face_recognition-wheels")
        ),
    ]


def run(program: Program) -> tuple[Spent, dict[str, object]]:
    """Run a program without earlier output; return its cost and its report."""
    shutil.rmtree(program.out, ignore_errors=True)
    env = dict(os.environ)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs do not compile at every start
    if program.threads:
        env["OPENBLAS_NUM_THREADS"] = str(program.threads)
    spent = spend(program.command, env=env)
    report = {} if program.ours else json.loads(spent.output.splitlines()[-1])
    return spent, report


def uncounted(report: Mapping[str, object], key: str) -> float:
    """Return the seconds of the stand-in for torchvision's `nms`."""
    return float(str(report.get(key, 0.0)))


def ratios(runs: Mapping[str, Runs], peer: str, ours: str, clock: str = "wall") -> list[float]:
    """Return peer / ours by round, without rounds that lack a time."""
    pairs = zip(getattr(runs[peer], clock), getattr(runs[ours], clock), strict=True)
    return [their / our for their, our in pairs if their and our]


def targets(row: int, runs: Mapping[str, Runs], accuracy: dict[str, object]) -> list[dict[str, object]]:
    medians = {
        name: {clock: median(values) for clock in ("wall", "cpu") if (values := getattr(one, clock))}
        for name, one in runs.items()
    }
    lines = []
    if row == 1:
        for ours, what in (("faceindex", ""), ("faceindex, half", " in bfloat16")):
            lines.append(
                target(
                    1,
                    f"facenet-pytorch / index with mtcnn and facenet{what}, min face 20",
                    ratios(runs, "facenet-pytorch", ours),
                    reach=4.0,
                    beyond=6.0,
                    accuracy=of_one(accuracy, ours),
                    cpu_ratios=ratios(runs, "facenet-pytorch", ours, "cpu"),
                    median_seconds=medians,
                )
            )
        return lines
    single = [name for name in runs if name.endswith("1 process")]
    others = [name for name in runs if name.endswith("processes")]
    for name in single:
        more: dict[str, object] = {
            "cpu_ratios": ratios(runs, name, "faceindex", "cpu"),
            "ratios_at_min_face_20": ratios(runs, name, "faceindex, min face 20"),
        }
        for other in others:
            if other.partition(",")[0] == name.partition(",")[0]:
                more["ratios_with_a_process_per_core"] = ratios(runs, other, "faceindex")
                more["ratios_with_a_process_per_core_at_min_face_20"] = ratios(
                    runs, other, "faceindex, min face 20"
                )
        for ours, what in (("faceindex", ""), ("faceindex, half", " in bfloat16")):
            lines.append(
                target(
                    2,
                    f"{name} / index with mtcnn and dlib{what}",
                    ratios(runs, name, ours),
                    reach=8.0,
                    beyond=12.0,
                    accuracy=of_one(accuracy, ours),
                    median_seconds=medians,
                    **more,
                )
            )
    return lines


def of_one(accuracy: Mapping[str, object], ours: str) -> dict[str, object]:
    """Return the accuracy without that of our other programs."""
    return {key: value for key, value in accuracy.items() if "faceindex" not in key or key.endswith(ours)}


def photographs(data: Path, limit: int | None, work: Path) -> tuple[Path, int]:
    """Return the folder to index, people/ or a copy of some photos, and the number of photos."""
    paths = people_photos(data)
    if limit is None or limit >= len(paths):
        folder = (data / "people").resolve()
    else:
        folder = work / "photos"
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, limit).round().astype(int)]
        for path in paths:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    for path in paths:
        path.read_bytes()  # into the page cache
    return folder, len(paths)


def measure(row: int, folder: Path, photos: int, work: Path, options: argparse.Namespace) -> None:
    every = programs(row, folder, work, options)
    runs = {one.name: Runs() for one in every}
    accuracy: dict[str, object] = {}
    name = {1: "pipelines_facenet", 2: "pipelines_dlib"}[row]
    peers = NEEDED[row]
    for number in range(options.pairs):
        for one in every if number % 2 == 0 else reversed(every):
            spent, report = run(one)
            mine = runs[one.name]
            mine.wall.append(spent.wall - uncounted(report, "nms_wall_s"))
            if one.whole_cpu:
                mine.cpu.append(spent.cpu - uncounted(report, "nms_cpu_s"))
            mine.peak_mib.append(spent.peak_mib)
            mine.report = mine.report or report
            print(f"{one.name}: {mine.wall[-1]:.1f} s", flush=True)
        if not number:
            ours = {one.name: one.out for one in every if one.ours}
            theirs = {one.name: one.out for one in every if not one.ours and one.whole_cpu}
            if row == 1:
                accuracy = accuracy_of_row_1(ours, theirs["facenet-pytorch"])
            else:
                python = interpreter(options.peers, "face_recognition-wheels")
                accuracy = accuracy_of_row_2(ours, theirs, python)
            print(json.dumps(accuracy, indent=1))
        payload = {
            "seed": SEED,
            "photos": photos,
            "rounds": number + 1,
            "complete": number + 1 == options.pairs,
            "peers": {peer: about(options.peers, peer) for peer in peers},
            "left_out": left_out(),
            "runs": {
                one: {
                    "wall_s": taken.wall,
                    "cpu_s": taken.cpu,
                    "peak_mib": taken.peak_mib,
                    "first_said": taken.report,
                }
                for one, taken in runs.items()
            },
            "targets": targets(row, runs, accuracy),
        }
        write_result(name, payload, quick=options.quick)


def main() -> None:
    parser = argument_parser(__doc__, quick="a tenth of the photos, one round", data=True)
    add_peers_argument(parser)
    parser.add_argument("--rows", type=int, nargs="+", choices=(1, 2), default=(1, 2))
    parser.add_argument("--pairs", type=int, default=5, help="number of rounds")
    parser.add_argument("--limit", type=int, help="number of photos; all by default")
    parser.add_argument(
        "--one-process", action="store_true", help="row 2: no runs of the peers with one process per core"
    )
    options = parser.parse_args()
    if options.pairs < 1 or (options.limit is not None and options.limit < 1):
        parser.error("--pairs and --limit must be 1 or more")
    if options.quick:
        options.pairs, options.limit = 1, options.limit or 80
    options.data, options.peers = options.data.resolve(), options.peers.resolve()
    for row in options.rows:
        for peer in NEEDED[row]:
            interpreter(options.peers, peer)  # fail before the first row takes its minutes
    use_weights_beside(options.data)
    for row in options.rows:
        with tempfile.TemporaryDirectory() as work:
            folder, photos = photographs(options.data, options.limit, Path(work))
            measure(row, folder, photos, Path(work), options)


if __name__ == "__main__":
    main()
