"""Measure every detector with every embedder: faces found, accuracy, time and memory.

Each pair is a row:

- photos of people/ with a face, faces on people/ and groups/;
- LFW: share of correctly classified pairs in ten folds (`lfw_pairs.py`), by the face nearest the centre; a
  pair without a face on one of its photos counts as wrong;
- B-cubed F of `cluster` with its defaults: the mean of the sets of diverse/ (the largest face of a photo has
  the name of its folder), and of group_photos/ (a face has the name of the box around its centre);
- faces on the photos of nobody/, where there is none;
- milliseconds per photo (detection, people/) and per face (cutting the chip and embedding it): time of one
  core, networks on one thread;
- peak memory of `faceindex index` on a tenth of people/, in MiB.

If the trained weights of dsfd are missing, its row contains only time and memory, measured with random
weights that find no face, on a few photos of people/.

Every detector runs in a new process. Prints a Markdown table and writes
``results/models.json``; with ``--detector`` it keeps the rows of the other detectors there.

    FACEINDEX_WEIGHTS=../shared/weights python benchmarks/models.py [--detector NAME...] [--quick]
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from common import DATA, RESULTS, argument_parser, group_photos, people_photos, run_child, spend, write_result
from lfw_pairs import read_pairs, score

from faceindex import models
from faceindex.clustering import ClusterOptions
from faceindex.clustering.incremental import cluster_faces
from faceindex.detect import Detector
from faceindex.errors import ImageError, WeightsNotFound
from faceindex.images import decode
from faceindex.metrics import bcubed
from faceindex.metrics.scores import singletons_apart
from faceindex.models import EmbedderSpec
from faceindex.models.install import add_weights
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.store import Assignments
from faceindex.types import F32, I64, Detections, Faces, Image

BATCH = 16
QUICK = 40  # photos
FEW = 4
SEED = 7


class CachedDetector:
    """A detector that detects on each photo once, so that each embedder gets the same faces.

    Attributes
    ----------
    seconds : float
        CPU seconds of this thread for detection.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._found: dict[tuple[int, float], Detections] = {}
        self.spec = detector.spec
        self.seconds = 0.0

    @property
    def min_face(self) -> float:
        return self._detector.min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        sides = [self.min_face] * len(images) if min_faces is None else min_faces
        keys = [(hash(image.tobytes()), side) for image, side in zip(images, sides, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self._found]
        started = time.thread_time()
        found = self._detector.detect([images[i] for i in new], min_faces=[sides[i] for i in new])
        self.seconds += time.thread_time() - started
        self._found.update(zip((keys[i] for i in new), found, strict=True))
        return [self._found[key] for key in keys]


def recognise(recogniser: Recogniser, paths: Sequence[Path]) -> tuple[list[Faces], float]:
    """Return the faces on photos, and the CPU seconds without decoding."""
    faces: list[Faces] = []
    seconds = 0.0
    for start in range(0, len(paths), BATCH):
        loaded = [recogniser.load_photo(path) for path in paths[start : start + BATCH]]
        started = time.thread_time()
        faces += recogniser.recognise(loaded)
        seconds += time.thread_time() - started
    return faces, seconds


def lfw_accuracy(recogniser: Recogniser, quick: bool) -> dict[str, float]:
    pairs = read_pairs(quick)
    names = sorted({name for a, b, _ in pairs for name in (a, b)})
    found, _ = recognise(recogniser, [DATA / name for name in names])
    vectors: dict[str, F32] = {}
    for name, faces in zip(names, found, strict=True):
        if len(faces):
            centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
            vectors[name] = faces.vectors[((centres - 125) ** 2).sum(1).argmin()]  # photos of 250 x 250
    result = score(pairs, vectors, vectors)
    return {
        "lfw_accuracy": result.accuracy,
        "lfw_standard_error": result.standard_error,
        "lfw_photos_without_face": len(names) - len(vectors),
    }


def people_of_diverse(paths: Sequence[Path], found: Sequence[Faces]) -> list[np.ndarray]:
    """Return the person of each face on each photo; empty for all but the largest."""
    people = []
    for path, faces in zip(paths, found, strict=True):
        names = np.full(len(faces), "", object)
        if len(faces):
            names[(faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1).argmax()] = path.parent.name
        people.append(names)
    return people


def people_of_groups(paths: Sequence[Path], found: Sequence[Faces]) -> list[np.ndarray]:
    """Return the person of each face on each photo; empty outside of all boxes."""
    boxes: dict[str, list[tuple[np.ndarray, str]]] = {}
    with (DATA / "group_photos" / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            box = np.array([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
            boxes.setdefault(row["file"], []).append((box, row["name"]))
    people = []
    for path, faces in zip(paths, found, strict=True):
        names = np.full(len(faces), "", object)
        for i, centre in enumerate((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2):
            near = [
                (float(np.abs((box[:2] + box[2:]) / 2 - centre).sum()), name)
                for box, name in boxes.get(path.name, [])
                if (box[:2] <= centre).all() and (centre <= box[2:]).all()
            ]
            names[i] = min(near)[1] if near else ""
        people.append(names)
    return people


def clusters_f(found: Sequence[Faces], people: Sequence[np.ndarray], spec: EmbedderSpec) -> float:
    """Return B-cubed F of `cluster` with its defaults, over the faces with a name."""
    labels = cluster_whole(
        np.concatenate([faces.vectors for faces in found]),
        np.repeat(np.arange(len(found)), [len(faces) for faces in found]),
        np.concatenate([faces.sharpness for faces in found]),
        np.concatenate([faces.quality for faces in found]),
        spec,
    )
    names = np.concatenate(people)
    named = names != ""
    return bcubed(singletons_apart(labels[named]), names[named].astype(str)).f


def cluster_whole(vectors: F32, photos: I64, sharpness: F32, quality: F32, spec: EmbedderSpec) -> np.ndarray:
    n = len(vectors)
    table = Assignments(
        face=np.arange(n),
        row=np.arange(n),
        photo=photos,
        cluster=np.full(n, -1),
        similarity=np.full(n, np.nan, np.float32),
        sharpness=sharpness,
        quality=quality,
    )
    options = ClusterOptions(calibration=spec.calibration)
    clusterer = models.load(models.get("clusterer", "album"), options=options)
    clustered = cluster_faces(
        table, vectors, clusterer, options, min_size=2, previous=None, started_over=True
    )
    return clustered.labels


def clusters_and_false_faces(recogniser: Recogniser, quick: bool) -> dict[str, object]:
    step = 5 if quick else 1
    spec = recogniser.embedder.spec
    diverse = []
    for folder in sorted(path for path in (DATA / "diverse").iterdir() if path.is_dir()):
        paths = sorted(folder.glob("*/*"))[::step]
        found = readable(recogniser, paths)
        kept = [path for path, faces in found if faces is not None]
        faces = [faces for _, faces in found if faces is not None]
        diverse.append(clusters_f(faces, people_of_diverse(kept, faces), spec))
    paths = sorted((DATA / "group_photos").glob("*.jp*g"))[::step]
    groups, _ = recognise(recogniser, paths)
    nobody = sorted(path for path in (DATA / "nobody").rglob("*") if path.is_file())[::step]
    return {
        "diverse_f": float(np.mean(diverse)),
        "group_photos_f": clusters_f(groups, people_of_groups(paths, groups), spec),
        "faces_on_nobody": sum(len(faces) for _, faces in readable(recogniser, nobody) if faces is not None),
    }


def readable(recogniser: Recogniser, paths: Sequence[Path]) -> list[tuple[Path, Faces | None]]:
    """Return the faces of each photo; None if it cannot be read."""
    found: list[tuple[Path, Faces | None]] = []
    for path in paths:
        try:
            found.append((path, recogniser.embed(path)))
        except ImageError:  # noqa: PERF203 - some files of nobody/ are damaged
            found.append((path, None))
    return found


def measure(name: str, quick: bool) -> list[dict[str, object]]:
    """Return the rows of one detector."""
    use_one_thread()
    people, groups = people_photos(DATA), group_photos(DATA)
    people = people[:: len(people) // QUICK] if quick else people
    spec = models.get("detector", name)
    detector = CachedDetector(models.load(spec, min_face=spec.min_face))
    rows: list[dict[str, object]] = []
    for embedder in models.names("embedder"):
        if not has_weights("embedder", embedder):
            continue
        recogniser = Recogniser(detector, models.load(models.get("embedder", embedder)))
        recognise(recogniser, groups)  # also warms up
        before = detector.seconds
        found, seconds = recognise(recogniser, people)
        detection = detector.seconds - before
        faces = sum(map(len, found))
        if not rows:
            ms_per_photo = 1e3 * detection / len(people)
        rows.append(
            {
                "detector": name,
                "embedder": embedder,
                "min_face": spec.min_face,
                "photos": len(people),
                "photos_with_face": sum(len(one) > 0 for one in found),
                "faces": faces,
                "faces_on_groups": sum(len(one) for one in recognise(recogniser, groups)[0]),
                "ms_per_photo": ms_per_photo,
                "ms_per_face": 1e3 * (seconds - detection) / max(faces, 1),
                **lfw_accuracy(recogniser, quick),
                **clusters_and_false_faces(recogniser, quick),
            }
        )
    return rows


def peak_memory(detector: str, embedder: str, limit: int) -> float:
    """Return the peak memory of `faceindex index` on a tenth of people/, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "faceindex", "index", "--quiet", "--index", Path(folder) / "index")
        chosen = ("--detector", detector, "--embedder", embedder)
        return spend((*command, *chosen, *people_photos(DATA)[::10][:limit])).peak_mib


@contextmanager
def random_weights() -> Iterator[None]:
    """Install weights of dsfd that find no face; its time hardly depends on the weights."""
    from faceindex.detect.dsfd_nets import DSFDNet

    torch.manual_seed(SEED)
    state = DSFDNet().state_dict()
    for key, values in state.items():
        if key.startswith("conf.") and len(values) <= 8:  # the last layers
            background = [5.0, 5.0, 5.0, -5.0] if key.startswith("conf.0.") else [-5.0, -5.0, -5.0, 5.0]
            logits = torch.tensor(background).repeat(2)[: len(values)]
            values.copy_(logits if key.endswith("bias") else torch.zeros_like(values))
    spec = models.get("detector", "dsfd")
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        file = Path(folder) / "random.pth"
        torch.save(state, file)
        add_weights(spec.weights, file, unverified=True)
        try:
            yield
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def measure_cost(name: str) -> dict[str, object]:
    """Return the row of a detector without trained weights: milliseconds on a few photos of people/."""
    use_one_thread()
    spec = models.get("detector", name)
    photos = people_photos(DATA)[:: 800 // FEW]
    detector = CachedDetector(models.load(spec, min_face=spec.min_face))
    detector.detect([np.zeros((64, 64, 3), np.uint8)])
    detector.seconds = 0.0
    for path in photos:
        detector.detect([decode(path.read_bytes(), path).image])
    return {"detector": name, "embedder": "", "ms_per_photo": 1e3 * detector.seconds / len(photos)}


def markdown(rows: Sequence[dict[str, object]]) -> str:
    lines = [
        "| detector | embedder | photos with a face | faces: people, groups, nobody | LFW pairs | "
        "clusters: diverse, group_photos | ms a photo | ms a face | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if "lfw_accuracy" in row:
            found = (
                f"{row['photos_with_face']} of {row['photos']} | {row['faces']}, {row['faces_on_groups']}, "
                f"{row.get('faces_on_nobody', '-')} | "
                f"{row['lfw_accuracy']:.2f} ± {row['lfw_standard_error']:.2f} % | "
                + (f"{row['diverse_f']:.3f}, {row['group_photos_f']:.3f}" if "diverse_f" in row else "")
            )
        else:
            found = "random weights | | | "
        face = f"{row['ms_per_face']:.1f}" if "ms_per_face" in row else ""
        lines.append(
            f"| {row['detector']} | {row['embedder']} | {found} | {row['ms_per_photo']:.0f} | {face} | "
            f"{row['peak_mib']:.0f} MiB |"
        )
    return "\n".join(lines)


def has_weights(kind: Literal["detector", "embedder"], name: str) -> bool:
    spec = models.get(kind, name)
    try:
        for weight in spec.weights:
            models.find_weights(weight)
    except WeightsNotFound:
        return False
    return True


def measured(name: str, quick: bool, *, trained: bool) -> list[dict[str, object]]:
    """Measure one detector in a new process; return its rows."""
    flags = [*(["--quick"] if quick else []), *([] if trained else ["--cost"])]
    rows: list[dict[str, object]] = run_child(__file__, "--worker", name, *flags)
    for row in rows:
        photos = (QUICK if quick else 80) if trained else FEW
        row["peak_mib"] = peak_memory(name, str(row["embedder"]) or models.recommended()[1].name, photos)
    return rows


def main() -> None:
    parser = argument_parser(__doc__, quick=f"{QUICK} photos, 300 pairs of LFW; prints the table only")
    parser.add_argument("--detector", nargs="+", choices=models.names("detector"))
    parser.add_argument("--worker", help=SUPPRESS)
    parser.add_argument("--cost", action="store_true", help=SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker = options.worker
        print(json.dumps([measure_cost(worker)] if options.cost else measure(worker, options.quick)))
        return
    rows: list[dict[str, object]] = []
    for name in options.detector or models.names("detector"):
        print(f"{name} ...", file=sys.stderr)
        if has_weights("detector", name):
            rows += measured(name, options.quick, trained=True)
        else:
            with random_weights():
                rows += measured(name, options.quick, trained=False)
    print(markdown(rows))
    if not options.quick:
        write_result("models", {"rows": merged(rows) if options.detector else rows})


def merged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Add the stored rows of other detectors."""
    new = {row["detector"] for row in rows}
    path = RESULTS / "models.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return sorted(
        [*(row for row in earlier if row["detector"] not in new), *rows],
        key=lambda row: models.names("detector").index(row["detector"]),
    )


if __name__ == "__main__":
    main()
