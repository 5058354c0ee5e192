"""`faceindex identify` on an index of 100,000 faces: from a cold shell, and in a program that runs on.

The index holds most photos of people/, as `index` finds them with default settings (mtcnn and dlib), and
made-up faces up to the number, turned so that their mean and their spread lie where those of the real faces
do; then `cluster` and the search graph, as `index` leaves them. The photos of people/ that are not in it ask.

- cold: whole processes, in turns: `python -c "import torch"`, and the console script `faceindex identify
  PHOTO`, each time with another photo; files in the page cache. Wall seconds and CPU seconds.
- warm: one `FaceIndex`, its networks loaded. For each photo `identify` (read, decode, detect, embed, search,
  answer), and read, decode and detection alone with the same detector; which goes first changes with every
  photo. Also detection of the decoded photo alone, and the answer for faces that are found and embedded.
  One round before those that count.

Beside it: the share of the photos whose largest face is answered with the cluster that holds most of its
person's indexed photos.

    python benchmarks/identify.py [--quick] [--data ../shared/data] [--faces N] [--runs N] [--seed S]
                                  [--index DIR] [--part cold warm]

The full run takes about four minutes, half of them to make the index; `--index DIR` keeps it for the next.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import Spent, spend, target, write_result
from labelled import add_data_argument
from made_up import commit_faces, face_vectors, long_tail

from faceindex import FaceIndex, images
from faceindex.api import Query
from faceindex.types import F32

ASKING = 13  # photos of each of the eight people that are not indexed
PAIRS = 15  # of processes
QUICK_FACES, QUICK_PHOTOS = 2_000, 8


def photos(data: Path, seed: int, limit: int | None) -> tuple[list[Path], list[Path]]:
    """Photos to index and photos that ask, the latter mixed."""
    rng = random.Random(seed)
    indexed: list[Path] = []
    asking: list[Path] = []
    for person in sorted((data / "people").iterdir()):
        some = sorted(person.iterdir())
        rng.shuffle(some)
        some = some[:limit]
        few = ASKING if limit is None else limit // 4
        asking += some[:few]
        indexed += some[few:]
    rng.shuffle(asking)
    return indexed, asking


def like(vectors: F32, real: F32) -> F32:
    """Made-up vectors turned so that mean and main directions of spread are those of real ones."""
    mean = real.mean(axis=0, dtype=np.float64)
    mean /= np.linalg.norm(mean)
    rest = real - np.outer(real @ mean, mean)
    _, directions = np.linalg.eigh(rest.T @ rest)  # ascending: the first is the mean itself, without spread
    basis = np.concatenate([directions[:, :0:-1].T, mean[None]])
    return (vectors @ basis).astype(np.float32)


def make_index(directory: Path, indexed: list[Path], faces: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with FaceIndex.create(directory) as index:
        index._store.add_root(indexed[0].parents[1].resolve(), "people")  # of the made-up photos too
        index.add(indexed)
        real = index.vectors()
        missing = faces - len(real)
        vectors = like(face_vectors(long_tail(missing, rng), real.shape[1], rng), real)
        # Rounded once more by the turn.
        commit_faces(index._store, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), len(real), rng)
        index._store.update_hnsw()
        index.cluster()


def own_clusters(index: FaceIndex) -> dict[str, int]:
    """The cluster that holds most faces of each folder."""
    votes: dict[str, Counter[int]] = {}
    for row in index.faces():
        if row.cluster is not None:
            votes.setdefault(Path(row.path).parent.name, Counter())[row.cluster] += 1
    return {person: clusters.most_common(1)[0][0] for person, clusters in votes.items()}


def measure_cold(directory: Path, asking: list[Path], pairs: int) -> list[dict[str, object]]:
    script = Path(sysconfig.get_path("scripts")) / "faceindex"
    peer = [sys.executable, "-c", "import torch"]

    environment = {**os.environ, "FACEINDEX_INDEX": str(directory.resolve())}

    def identify(photo: Path) -> Spent:
        return spend([script, "identify", photo.resolve()], env=environment, codes=(0, 1))

    spend(peer)
    identify(asking[-1])
    rows = []
    for number in range(pairs):
        a, b = spend(peer), identify(asking[number % len(asking)])
        rows.append((a, b))
    for name in ("wall", "cpu"):
        theirs, our = ([getattr(row[side], name) for row in rows] for side in (0, 1))
        print(f"cold, {name}: import torch {np.median(theirs):.3f} s, identify {np.median(our):.3f} s")
    table: list[dict[str, object]] = [
        {
            "import_torch": {"wall": a.wall, "cpu": a.cpu},
            "identify": {"wall": b.wall, "cpu": b.cpu, "peak_mib": b.peak_mib},
        }
        for a, b in rows
    ]
    cpu = float(np.median([b.cpu / a.cpu for a, b in rows]))
    return [
        target(
            10,
            "identify from a cold shell / import torch",
            [b.wall / a.wall for a, b in rows],
            reach=1.6,
            beyond=1.2,
            cpu_ratio=cpu,
            wall_seconds={
                "import_torch": float(np.median([a.wall for a, _ in rows])),
                "identify": float(np.median([b.wall for _, b in rows])),
            },
            pairs=table,
        )
    ]


class Stopwatch:
    """Seconds of calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, run: Callable[[], object]) -> object:
        started = time.perf_counter()
        try:
            return run()
        finally:
            self.seconds[name] = time.perf_counter() - started


def warm_round(index: FaceIndex, asking: list[Path]) -> tuple[list[dict[str, float]], list[Query]]:
    """Seconds of each part for each photo, and the answers."""
    recogniser = index._load_recogniser()
    rows, answers = [], []
    for number, photo in enumerate(asking):
        watch = Stopwatch()

        def decode_and_detect(photo: Path = photo) -> None:
            recogniser.find([recogniser.take(images.read(photo), photo)])

        def identify(photo: Path = photo) -> None:
            answers.append(index.identify(photo))

        sides = [("decode_and_detect", decode_and_detect), ("identify", identify)]
        for name, run in sides if number % 2 else reversed(sides):
            watch.time(name, run)
        shot = recogniser.take(images.read(photo), photo)
        watch.time("detect", lambda shot=shot: recogniser.find([shot]))  # type: ignore[misc]
        (faces,) = recogniser.faces([shot])
        watch.time("answer", lambda faces=faces: index.identify_faces("a photo", faces))  # type: ignore[misc]
        rows.append(watch.seconds)
    return rows, answers


def measure_warm(directory: Path, asking: list[Path], runs: int) -> list[dict[str, object]]:
    with FaceIndex.open(directory) as index:
        own = own_clusters(index)
        _, answers = warm_round(index, asking)
        rounds = [warm_round(index, asking)[0] for _ in range(runs)]
    right = 0
    for photo, answer in zip(asking, answers, strict=True):
        largest = max(
            answer.faces,
            key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]),
            default=None,
        )
        right += largest is not None and largest.answer.cluster == own[photo.parent.name]

    def percentile(rows: list[dict[str, float]], part: str, q: float) -> float:
        return 1e3 * float(np.percentile([row[part] for row in rows], q))

    parts = list(rounds[0][0])
    summary = {
        part: {
            name: float(np.median([percentile(rows, part, q) for rows in rounds]))
            for name, q in (("median_ms", 50), ("p95_ms", 95))
        }
        for part in sorted(parts)
    }
    for part, figures in summary.items():
        print(f"warm, {part}: median {figures['median_ms']:.1f} ms, p95 {figures['p95_ms']:.1f} ms a photo")

    def ratios(peer: str, q: float) -> list[float]:
        return [percentile(rows, "identify", q) / percentile(rows, peer, q) for rows in rounds]

    faces = [len(answer.faces) for answer in answers]
    accuracy = {"right_person": right / len(asking), "photos": len(asking), "faces": sum(faces)}
    print(f"warm: {right} of {len(asking)} photos answered with the right person; {sum(faces)} faces on them")
    return [
        target(
            10,
            "p95 of warm identify / of reading, decoding and detection alone",
            ratios("decode_and_detect", 95),
            reach=1.15,
            beyond=1.05,
            accuracy=accuracy,
            of_medians=ratios("decode_and_detect", 50),
            of_p95_without_decoding=ratios("detect", 95),
            of_medians_without_decoding=ratios("detect", 50),
            milliseconds=summary,
            faces_on_photos=faces,
            threads=torch.get_num_threads(),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_data_argument(parser)
    parser.add_argument("--quick", action="store_true", help="few photos, 2,000 faces, three runs")
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5, help="rounds of the warm part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=Path, help="where to keep the index, or where it was kept")
    parser.add_argument("--part", nargs="+", choices=("cold", "warm"), default=("cold", "warm"))
    options = parser.parse_args()
    faces = QUICK_FACES if options.quick else options.faces
    runs, pairs = (3, 3) if options.quick else (options.runs, PAIRS)
    indexed, asking = photos(options.data, options.seed, QUICK_PHOTOS if options.quick else None)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.index or Path(folder) / "index"
        if not directory.exists():
            started = time.perf_counter()
            make_index(directory, indexed, faces, options.seed)
            print(f"index of {faces:,} faces made in {time.perf_counter() - started:.0f} s")
        targets = []
        if "cold" in options.part:
            targets += measure_cold(directory, asking, pairs)
        if "warm" in options.part:
            targets += measure_warm(directory, asking, runs)
    path = write_result(
        "identify_quick" if options.quick else "identify",
        {"seed": options.seed, "faces": faces, "indexed_photos": len(indexed), "targets": targets},
    )
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
