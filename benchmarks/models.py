"""Every detector with every embedder: what is found, how accurate it is, what it costs.

Each pair is a row:

- photos of people/ with a face, faces on people/ and groups/;
- LFW: pairs told right, in ten folds (`lfw_pairs.py`), by the face nearest the centre; a pair
  of which a face was not found counts as wrong;
- milliseconds a photo (detection, people/) and a face (cutting the chip and embedding it): time of one core,
  networks on one thread;
- peak memory of `faceindex index` on a tenth of people/, in MiB.

Of dsfd, where its trained weights are not there, only the cost is told, with random weights that see no
face, on a few photos of people/.

Every detector runs in a process of its own. Prints the table that README shows, and writes
``results/models.json``; with ``--detector`` the rows of the others stay there.

    FACEINDEX_WEIGHTS=../shared/weights python benchmarks/models.py [--detector NAME...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, write_result
from lfw_pairs import DATA, read_pairs, score

from faceindex import models
from faceindex.detect import Detector
from faceindex.errors import WeightsNotFound
from faceindex.images import decode
from faceindex.models import DetectorSpec
from faceindex.models.install import add_weights
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.types import F32, Detections, Faces, Image

BATCH = 16
QUICK = 40  # photos
FEW = 4
SEED = 7


class Remembered:
    """A detector that looks at each photo once, so that each embedder sees the same faces.

    Takes the time of looking, in seconds of this thread.
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
    """The faces on photos, and the seconds that it took without decoding."""
    faces: list[Faces] = []
    seconds = 0.0
    for start in range(0, len(paths), BATCH):
        shots = [recogniser.take(path.read_bytes(), path) for path in paths[start : start + BATCH]]
        started = time.thread_time()
        faces += recogniser.faces(shots)
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


def measure(name: str, quick: bool) -> list[dict[str, object]]:
    """The rows of one detector."""
    use_one_thread()
    people = sorted((DATA / "people").glob("*/*.jpg"))
    people = people[:: len(people) // QUICK] if quick else people
    groups = sorted(path for path in (DATA / "groups").iterdir() if path.suffix in (".jpg", ".png"))
    spec = models.get("detector", name)
    assert isinstance(spec, DetectorSpec)
    detector = Remembered(models.load(spec, min_face=spec.min_face))
    rows: list[dict[str, object]] = []
    for embedder in models.names("embedder"):
        embedder_spec = models.get("embedder", embedder)
        recogniser = Recogniser(detector, models.load(embedder_spec))
        recognise(recogniser, groups)  # also warms up
        looked = detector.seconds
        found, seconds = recognise(recogniser, people)
        looked = detector.seconds - looked
        faces = sum(map(len, found))
        if not rows:
            a_photo = 1e3 * looked / len(people)
        rows.append(
            {
                "detector": name,
                "embedder": embedder,
                "min_face": spec.min_face,
                "photos": len(people),
                "photos_with_face": sum(len(one) > 0 for one in found),
                "faces": faces,
                "faces_on_groups": sum(len(one) for one in recognise(recogniser, groups)[0]),
                "ms_per_photo": a_photo,
                "ms_per_face": 1e3 * (seconds - looked) / max(faces, 1),
                **lfw_accuracy(recogniser, quick),
            }
        )
    return rows


def peak_memory(detector: str, embedder: str, limit: int) -> float:
    """Of `faceindex index` on a tenth of people/, in MiB."""
    code = (
        "import resource, runpy, sys\n"
        "sys.argv[0] = 'faceindex'\n"
        "try: runpy.run_module('faceindex', run_name='__main__')\n"
        "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    photos = sorted((DATA / "people").glob("*/*.jpg"))[::10][:limit]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-c", code, "index", *map(str, photos), "--index", folder + "/index"),
                *("--detector", detector, "--embedder", embedder),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stderr.split("peak ")[-1]) * unit / 2**20


@contextmanager
def random_weights() -> Iterator[None]:
    """Weights of dsfd that see no face; what it costs hardly depends on them."""
    from faceindex.detect.dsfd_nets import DSFDNet

    torch.manual_seed(SEED)
    state = DSFDNet().state_dict()
    for key, values in state.items():
        if key.startswith("conf.") and len(values) <= 8:  # the last layers
            background = [5.0, 5.0, 5.0, -5.0] if key.startswith("conf.0.") else [-5.0, -5.0, -5.0, 5.0]
            logits = torch.tensor(background).repeat(2)[: len(values)]
            values.copy_(logits if key.endswith("bias") else torch.zeros_like(values))
    spec = models.get("detector", "dsfd")
    assert isinstance(spec, DetectorSpec)
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
    """The row of a detector without trained weights: milliseconds, on a few photos of people/."""
    use_one_thread()
    spec = models.get("detector", name)
    assert isinstance(spec, DetectorSpec)
    photos = sorted((DATA / "people").glob("*/*.jpg"))[:: 800 // FEW]
    detector = Remembered(models.load(spec, min_face=spec.min_face))
    detector.detect([np.zeros((64, 64, 3), np.uint8)])
    detector.seconds = 0.0
    for path in photos:
        detector.detect([decode(path.read_bytes(), path).image])
    return {"detector": name, "embedder": "", "ms_per_photo": 1e3 * detector.seconds / len(photos)}


def markdown(rows: Sequence[dict[str, object]]) -> str:
    lines = [
        "| detector | embedder | photos with a face | faces: people, groups | LFW pairs | ms a photo | "
        "ms a face | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if "lfw_accuracy" in row:
            found = (
                f"{row['photos_with_face']} of {row['photos']} | {row['faces']}, {row['faces_on_groups']} | "
                f"{row['lfw_accuracy']:.2f} ± {row['lfw_standard_error']:.2f} %"
            )
        else:
            found = "random weights | | "
        face = f"{row['ms_per_face']:.1f}" if "ms_per_face" in row else ""
        lines.append(
            f"| {row['detector']} | {row['embedder']} | {found} | {row['ms_per_photo']:.0f} | {face} | "
            f"{row['peak_mib']:.0f} MiB |"
        )
    return "\n".join(lines)


def has_weights(name: str) -> bool:
    spec = models.get("detector", name)
    assert isinstance(spec, DetectorSpec)
    try:
        for weight in spec.weights:
            models.find_weights(weight)
    except WeightsNotFound:
        return False
    return True


def measured(name: str, quick: bool, *, trained: bool) -> list[dict[str, object]]:
    """The rows of one detector, from a process of its own."""
    flags = [*(["--quick"] if quick else []), *([] if trained else ["--cost"])]
    done = subprocess.run(
        [sys.executable, __file__, "--worker", name, *flags], stdout=subprocess.PIPE, text=True, check=True
    )
    rows: list[dict[str, object]] = json.loads(done.stdout)
    for row in rows:
        photos = (QUICK if quick else 80) if trained else FEW
        row["peak_mib"] = peak_memory(name, str(row["embedder"]) or models.DEFAULT_EMBEDDER, photos)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", nargs="+", choices=models.names("detector"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--cost", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker = arguments.worker
        print(json.dumps([measure_cost(worker)] if arguments.cost else measure(worker, arguments.quick)))
        return
    rows: list[dict[str, object]] = []
    for name in arguments.detector or models.names("detector"):
        print(f"{name} ...", file=sys.stderr)
        if has_weights(name):
            rows += measured(name, arguments.quick, trained=True)
        else:
            with random_weights():
                rows += measured(name, arguments.quick, trained=False)
    print(markdown(rows))
    if not arguments.quick:
        write_result("models", {"rows": merged(rows) if arguments.detector else rows})


def merged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """These rows, and the earlier ones of other detectors."""
    new = {row["detector"] for row in rows}
    path = RESULTS / "models.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return sorted(
        [*(row for row in earlier if row["detector"] not in new), *rows],
        key=lambda row: models.names("detector").index(row["detector"]),
    )


if __name__ == "__main__":
    main()
