"""Compare the embeddings of dlib-hog and dlib with those of face_recognition.

First face_recognition, in its own environment, records its numbers::

    python benchmarks/peers.py face_recognition-wheels
    .peers/face_recognition-wheels/bin/python benchmarks/face_recognition_peer.py --record encodings.json

Then dlib-hog and dlib, with all other settings at their defaults, detect and embed the faces of the same
photos in our environment, and the script compares both::

    python benchmarks/face_recognition_peer.py encodings.json

Without a file it uses ``tests/fixtures/face_recognition_encodings.json``. Prints and writes to
``results/face_recognition_peer.json``: per photo the number of faces, whether the boxes are equal,
and the largest difference of a component and of an encoding (Euclidean).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from common import DATA, argument_parser, write_result

GROUPS = DATA / "groups"
FIXTURE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "face_recognition_encodings.json"
PHOTOS = ("32bit.png", "biden.jpg", "obama-1080p.jpg", "obama.jpg", "two_people.jpg")
MODELS = ("dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat")
DIGITS = 7


def record() -> dict[str, Any]:
    """Return locations and encodings of face_recognition; runs in its environment."""
    import face_recognition

    distribution = importlib.metadata.distribution("face_recognition_models")
    photos = {}
    for name in PHOTOS:
        image = face_recognition.load_image_file(GROUPS / name)
        # face_encodings detects again, with boxes that are not trimmed to the photo; face_locations trims.
        encodings = face_recognition.face_encodings(image)
        photos[name] = {
            "sha256": digest(GROUPS / name),
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
    """Detect and embed the same photos with `Recogniser`, and compare with the recording."""
    from faceindex.recognition import Recogniser

    recogniser = Recogniser.load("dlib-hog", "dlib", device="cpu")
    rows: dict[str, dict[str, object]] = {}
    for name, expected in recorded["photos"].items():
        path = GROUPS / name
        if digest(path) != expected["sha256"]:
            raise SystemExit(f"{path} is not the photo of the recording.")
        photo = recogniser.load_photo(path)
        (faces,) = recogniser.recognise([photo])
        width, height = photo.decoded.image.shape[1::-1]
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
    parser = argument_parser(__doc__, quick="no effect: there are five photos")
    parser.add_argument("recorded", nargs="?", type=Path, default=FIXTURE)
    parser.add_argument("--record", type=Path, help="write the numbers of face_recognition to this file")
    options = parser.parse_args()
    if missing := [name for name in PHOTOS if not (GROUPS / name).is_file()]:
        raise SystemExit(f"{GROUPS} lacks {', '.join(missing)}.")
    if options.record:
        text = json.dumps(record(), indent=1)
        # Join each list of numbers into one line.
        text = re.sub(r"\[[-\d.,e\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
        options.record.write_text(text + "\n", encoding="utf-8")
        return
    result = compare(json.loads(options.recorded.read_text(encoding="utf-8")))
    print(json.dumps(result, indent=2))
    write_result("face_recognition_peer", result)


if __name__ == "__main__":
    main()
