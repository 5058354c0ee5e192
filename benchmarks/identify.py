"""Measure `faceindex identify` on an index of 100,000 faces: as a new process, and in a running program.

The index contains most photos of people/, indexed with default settings (mtcnn and dlib), and made-up faces
up to the total, rotated so that their mean and main directions of spread equal those of the real faces. It is
clustered and has an HNSW index. The queries are the photos of people/ that it does not contain.

- cold: whole processes, alternating: `python -c "import torch"`, and the console script `faceindex identify
  PHOTO`, each time with a different photo; files in the page cache. Wall seconds and CPU seconds.
- many: whole processes, alternating: `faceindex identify` and `faceindex index` on the same N photos (a new
  index each time), and both on two photos, whose cost is the start. CPU seconds a photo, with the start and
  without it.
- warm: one open index with its networks loaded. For each photo `identify` (read, decode, detect, embed,
  search, answer), and reading, decoding and detection alone with the same detector; the order changes with
  every photo. Also detection on the decoded photo alone, and the answer for faces that are embedded already.
  One round to warm up.

The accuracy is the share of the photos whose largest face is identified as the cluster that contains most of
its person's indexed photos.

    python benchmarks/identify.py [--quick] [--data ../shared/data] [--faces N] [--runs N] [--seed S]
                                  [--index DIR] [--part cold many warm]
                                  [--photos N]

The full run takes about four minutes, half of them to make the index; `--index DIR` keeps the index.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import (
    Spent,
    argument_parser,
    console_script,
    people_photos,
    ratios,
    spend,
    target,
    write_result,
)
from made_up import commit_faces, face_vectors, long_tail

from faceindex import FaceIndex
from faceindex.api import Identification
from faceindex.api.queries import IdentifyOptions, Queries
from faceindex.api.reader import Reader
from faceindex.store import Store
from faceindex.types import F32

QUERIES = 13  # photos of each of the eight people that are not indexed
PAIRS = 15  # of processes
NEIGHBOURS = 5  # for each face; the default of `FaceIndex.identify`
MANY_PAIRS = 3
FEW = 2  # photos of a run that measures the start; a single photo would not go through the batches
QUICK_FACES, QUICK_PHOTOS, QUICK_MANY = 2_000, 8, 60


def photos(data: Path, seed: int, limit: int | None) -> tuple[list[Path], list[Path]]:
    """Return photos to index, and query photos in random order."""
    rng = random.Random(seed)
    indexed: list[Path] = []
    queries: list[Path] = []
    for person in sorted((data / "people").iterdir()):
        some = sorted(person.iterdir())
        rng.shuffle(some)
        some = some[:limit]
        few = QUERIES if limit is None else limit // 4
        queries += some[:few]
        indexed += some[few:]
    rng.shuffle(queries)
    return indexed, queries


def rotate_to(vectors: F32, real: F32) -> F32:
    """Rotate made-up vectors so that their mean and main directions of spread are those of real ones."""
    mean = real.mean(axis=0, dtype=np.float64)
    mean /= np.linalg.norm(mean)
    rest = real - np.outer(real @ mean, mean)
    _, directions = np.linalg.eigh(rest.T @ rest)  # ascending: the first is the mean, which has no spread
    basis = np.concatenate([directions[:, :0:-1].T, mean[None]])
    rotated: F32 = (vectors @ basis).astype(np.float32)
    return rotated


def make_index(directory: Path, indexed: list[Path], faces: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    FaceIndex.create(directory).close()
    with Store.open(directory, write=True) as store:
        store.add_root(indexed[0].parents[1].resolve(), "people")  # the made-up photos use it too
    with FaceIndex.open(directory, write=True) as index:
        index.add(indexed)
        real = index.vectors()
    with Store.open(directory, write=True) as store:
        missing = faces - len(real)
        vectors = rotate_to(face_vectors(long_tail(missing, rng), real.shape[1], rng), real)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # the rotation rounds
        commit_faces(store, vectors, len(real), rng)
        store.update_hnsw()
    with FaceIndex.open(directory, write=True) as index:
        index.cluster()


def own_clusters(directory: Path) -> dict[str, int]:
    """Return the cluster that contains most faces of each folder."""
    votes: dict[str, Counter[int]] = {}
    with FaceIndex.open(directory) as index:
        for row in index.faces(clustered=True):
            if row.cluster is not None:
                votes.setdefault(Path(row.path).parent.name, Counter())[row.cluster] += 1
    return {person: clusters.most_common(1)[0][0] for person, clusters in votes.items()}


def measure_cold(directory: Path, queries: list[Path], pairs: int) -> list[dict[str, object]]:
    script = console_script()
    peer = [sys.executable, "-c", "import torch"]

    environment = {**os.environ, "FACEINDEX_INDEX": str(directory.resolve())}

    def identify(photo: Path) -> Spent:
        return spend([script, "identify", photo.resolve()], env=environment, codes=(0, 1))

    spend(peer)
    identify(queries[-1])
    rows = []
    for number in range(pairs):
        a, b = spend(peer), identify(queries[number % len(queries)])
        rows.append((a, b))
    for name in ("wall", "cpu"):
        peer_s, our_s = ([getattr(row[side], name) for row in rows] for side in (0, 1))
        print(f"cold, {name}: import torch {np.median(peer_s):.3f} s, identify {np.median(our_s):.3f} s")
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
            ratios([b.wall for _, b in rows], [a.wall for a, _ in rows]),
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


def measure_many(directory: Path, photos: list[Path], pairs: int) -> list[dict[str, object]]:
    """Compare the CPU time of `identify` and `index` on the same photos."""
    script = console_script()
    with FaceIndex.open(directory) as opened:
        models = ["--detector", opened.pins.detector, "--embedder", opened.pins.embedder]

    def identify(photos: list[Path]) -> Spent:
        return spend([script, "identify", "--index", directory, *photos], codes=(0, 1))

    def index(photos: list[Path]) -> Spent:
        with tempfile.TemporaryDirectory() as folder:
            return spend([script, "index", "--index", Path(folder) / "index", *models, *photos], codes=(0, 1))

    identify(photos[:FEW])
    index(photos[:FEW])
    rows: list[dict[str, Spent]] = []
    for number in range(pairs):
        runs = [
            ("identify", partial(identify, photos)),
            ("index", partial(index, photos)),
            ("identify_few", partial(identify, photos[:FEW])),
            ("index_few", partial(index, photos[:FEW])),
        ]
        rows.append({name: run() for name, run in (runs if number % 2 else reversed(runs))})
    n = len(photos)

    def whole(row: dict[str, Spent], name: str) -> float:
        return 1e3 * row[name].cpu / n

    def without_start(row: dict[str, Spent], name: str) -> float:
        return 1e3 * (row[name].cpu - row[f"{name}_few"].cpu) / (n - FEW)

    milliseconds = {
        f"{name}_{what}": float(np.median([cost(row, name) for row in rows]))
        for name in ("identify", "index")
        for what, cost in (("whole", whole), ("without_start", without_start))
    }
    for name in ("identify", "index"):
        print(
            f"many, {name} on {n} photos: {milliseconds[f'{name}_whole']:.1f} ms of CPU a photo, "
            f"{milliseconds[f'{name}_without_start']:.1f} ms without the start; wall "
            f"{np.median([row[name].wall for row in rows]):.1f} s, peak "
            f"{np.median([row[name].peak_mib for row in rows]):.0f} MiB"
        )
    return [
        target(
            10,
            f"CPU time of identify / index on {n} photos, {what}",
            ratios([cost(row, "identify") for row in rows], [cost(row, "index") for row in rows]),
            reach=1.2,
            beyond=1.0,
            cpu_milliseconds_a_photo=milliseconds,
            wall_seconds={
                name: float(np.median([row[name].wall for row in rows])) for name in ("identify", "index")
            },
            peak_mib={
                name: float(np.median([row[name].peak_mib for row in rows])) for name in ("identify", "index")
            },
        )
        for what, cost in (("whole processes", whole), ("without the start", without_start))
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


def warm_round(queries: Queries, photos: list[Path]) -> tuple[list[dict[str, float]], list[Identification]]:
    """Return the seconds of each part for each photo, and the answers."""
    recogniser = queries.recogniser()
    rows: list[dict[str, float]] = []
    answers: list[Identification] = []
    for number, photo in enumerate(photos):
        watch = Stopwatch()

        def decode_and_detect(photo: Path = photo) -> None:
            recogniser.detect([recogniser.load_photo(photo)])

        def identify(photo: Path = photo) -> None:
            found = queries.identify(photo, IdentifyOptions(NEIGHBOURS))
            assert isinstance(found, Identification)
            answers.append(found)

        sides = [("decode_and_detect", decode_and_detect), ("identify", identify)]
        for name, run in sides if number % 2 else reversed(sides):
            watch.time(name, run)
        loaded = recogniser.load_photo(photo)
        watch.time("detect", partial(recogniser.detect, [loaded]))
        (faces,) = recogniser.recognise([loaded])
        watch.time("answer", partial(queries.identify_faces, "a photo", faces))
        rows.append(watch.seconds)
    return rows, answers


def measure_warm(directory: Path, photos: list[Path], runs: int) -> list[dict[str, object]]:
    own = own_clusters(directory)
    with Store.open(directory) as store:
        queries = Queries(Reader(store), "auto")
        _, answers = warm_round(queries, photos)
        rounds = [warm_round(queries, photos)[0] for _ in range(runs)]
    right = 0
    for photo, answer in zip(photos, answers, strict=True):
        largest = max(
            answer.faces,
            key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]),
            default=None,
        )
        right += largest is not None and largest.cluster == own[photo.parent.name]

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

    def relative_to(peer: str, q: float) -> list[float]:
        return [percentile(rows, "identify", q) / percentile(rows, peer, q) for rows in rounds]

    faces = [len(answer.faces) for answer in answers]
    accuracy = {"right_person": right / len(photos), "photos": len(photos), "faces": sum(faces)}
    print(f"warm: {right} of {len(photos)} photos identified correctly; {sum(faces)} faces on them")
    return [
        target(
            10,
            "p95 of warm identify / p95 of reading, decoding and detection alone",
            relative_to("decode_and_detect", 95),
            reach=1.15,
            beyond=1.05,
            accuracy=accuracy,
            of_medians=relative_to("decode_and_detect", 50),
            of_p95_without_decoding=relative_to("detect", 95),
            of_medians_without_decoding=relative_to("detect", 50),
            milliseconds=summary,
            faces_on_photos=faces,
            threads=torch.get_num_threads(),
        )
    ]


def main() -> None:
    parser = argument_parser(__doc__, quick="few photos, 2,000 faces, three runs", data=True)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5, help="rounds of the warm part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=Path, help="folder in which to keep the index")
    parser.add_argument("--photos", type=int, default=415, help="photos of the part many")
    parts = ("cold", "many", "warm")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    faces = QUICK_FACES if options.quick else options.faces
    runs, pairs = (3, 3) if options.quick else (options.runs, PAIRS)
    indexed, queries = photos(options.data, options.seed, QUICK_PHOTOS if options.quick else None)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.index or Path(folder) / "index"
        if not directory.exists():
            started = time.perf_counter()
            make_index(directory, indexed, faces, options.seed)
            print(f"index of {faces:,} faces made in {time.perf_counter() - started:.0f} s")
        targets = []
        if "cold" in options.part:
            targets += measure_cold(directory, queries, pairs)
        if "warm" in options.part:
            targets += measure_warm(directory, queries, runs)
        if "many" in options.part:
            asked = random.Random(options.seed).sample(people_photos(options.data), options.photos)
            many = measure_many(
                directory, sorted(asked)[: QUICK_MANY if options.quick else None], min(pairs, MANY_PAIRS)
            )
            with FaceIndex.open(directory) as index:
                payload = {"seed": options.seed, "faces": len(index), "targets": many}
            write_result("identify_many", payload, quick=options.quick)
    if targets:
        payload = {"seed": options.seed, "faces": faces, "indexed_photos": len(indexed), "targets": targets}
        write_result("identify", payload, quick=options.quick)


if __name__ == "__main__":
    main()
