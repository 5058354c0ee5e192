"""Are our embeddings those of face_recognition?

face_recognition runs in an environment of its own, which takes its numbers down::

    python benchmarks/peers.py face_recognition-wheels
    .peers/face_recognition-wheels/bin/python benchmarks/face_recognition_peer.py --record encodings.json

Then, in ours, dlib-hog and dlib with all other settings at their defaults find and embed the faces of
the same photos, and both are compared::

    python benchmarks/face_recognition_peer.py encodings.json

Without a file, with those of ``tests/fixtures/face_recognition_encodings.json``. Prints, and writes to
``results/face_recognition_peer.json``: per photo the number of faces, whether the boxes are the same,
and the largest difference of an encoding's component and of an encoding (Euclidean).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "groups"
FIXTURE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "face_recognition_encodings.json"
PHOTOS = ("32bit.png", "biden.jpg", "obama-1080p.jpg", "obama.jpg", "two_people.jpg")
MODELS = ("dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat")
DIGITS = 7


def record() -> dict[str, Any]:
    """Locations and encodings by face_recognition; runs in its environment."""
    import face_recognition

    distribution = importlib.metadata.distribution("face_recognition_models")
    photos = {}
    for name in PHOTOS:
        image = face_recognition.load_image_file(DATA / name)
        # face_encodings looks for the faces again; its boxes are not trimmed to the photo, these are.
        encodings = face_recognition.face_encodings(image)
        photos[name] = {
            "sha256": digest(DATA / name),
            "locations": [list(map(int, face)) for face in face_recognition.face_locations(image)],
            "encodings": [[round(float(x), DIGITS) for x in encoding] for encoding in encodings],
        }
    return {
        "what": "face_recognition.face_locations (top, right, bottom, left) and face_encodings, defaults: "
        "HOG, upsampled once, 5-point predictor, no jitter",
        "photos_from": "https://github.com/ageitgey/face_recognition (tests/test_images, MIT)",
        "recorded_by": "benchmarks/face_recognition_peer.py --record",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("face_recognition", "face_recognition_models", "dlib-bin", "numpy", "pillow")
        },
        "models_sha256": {
            name: digest(Path(str(distribution.locate_file(f"face_recognition_models/models/{name}"))))
            for name in MODELS
        },
        "photos": photos,
    }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(recorded: dict[str, Any]) -> dict[str, object]:
    """The same photos through `Recogniser`, next to what was recorded."""
    from faceindex.models import get
    from faceindex.recognition import Recogniser

    spec = get("detector", "dlib-hog")
    recogniser = Recogniser.load("dlib-hog", "dlib", min_face=spec.min_face)
    rows: dict[str, dict[str, object]] = {}
    for name, expected in recorded["photos"].items():
        path = DATA / name
        if digest(path) != expected["sha256"]:
            raise SystemExit(f"{path} is not the photo that was recorded.")
        (faces,) = recogniser.faces([recogniser.take(path.read_bytes(), path)])
        width, height = recogniser.take(path.read_bytes(), path).photo.image.shape[1::-1]
        left, top, right, bottom = faces.boxes.astype(int).T
        trimmed = np.stack(
            [top.clip(min=0), right.clip(max=width), bottom.clip(max=height), left.clip(min=0)], axis=1
        )
        theirs = np.array(expected["encodings"]).reshape(-1, 128)
        ours = faces.vectors * faces.norms[:, None]
        row: dict[str, object] = {"faces": len(faces), "faces_of_peer": len(theirs)}
        if len(faces) == len(theirs):
            difference = ours - theirs
            row |= {
                "same_boxes": trimmed.tolist() == expected["locations"],
                "largest_component": float(np.abs(difference).max(initial=0)),
                "largest_distance": float(np.linalg.norm(difference, axis=1).max(initial=0)),
            }
        rows[name] = row
    return {"peer": {key: recorded[key] for key in ("versions", "date")}, "photos": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recorded", nargs="?", type=Path, default=FIXTURE)
    parser.add_argument("--record", type=Path, help="write what face_recognition finds to this file")
    parser.add_argument("--quick", action="store_true", help="the same: there are five photos")
    arguments = parser.parse_args()
    if missing := [name for name in PHOTOS if not (DATA / name).is_file()]:
        raise SystemExit(f"Not in {DATA}: {', '.join(missing)}.")
    if arguments.record:
        text = json.dumps(record(), indent=1)
        # A line for each list of numbers.
        text = re.sub(r"\[[-\d.,e\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
        arguments.record.write_text(text + "\n", encoding="utf-8")
        return
    from common import write_result

    result = compare(json.loads(arguments.recorded.read_text(encoding="utf-8")))
    print(json.dumps(result, indent=2))
    print(write_result("face_recognition_peer", result))


if __name__ == "__main__":
    main()
