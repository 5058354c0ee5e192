"""Export of face boxes for tools that label and train: COCO and Pascal VOC.

Sources: the format of COCO (https://cocodataset.org/#format-data) with its key points and the ``attributes``
of CVAT, and the VOC2012 development kit, section 8.1: boxes are whole pixels, counted from 1, and both ends
belong to the box.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.sax.saxutils import escape

import numpy as np

from faceindex.export.crops import photo_stems
from faceindex.export.source import Exported, Source, fingerprint
from faceindex.export.target import Target
from faceindex.types import F32

__all__ = ["export_voc", "write_coco"]

_LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_FACE = 1  # the only category of COCO, and the name of a face without a person in VOC
_VERSION = 1
# XML 1.0, section 2.2: these characters cannot be written, not even as references.
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_coco(source: Source, file: BinaryIO, *, absolute: bool = False) -> None:
    """Write one JSON document in the format of COCO.

    Each photo with faces is an image, and each face an annotation of the category ``face``, with its five
    landmarks as key points. The id of an annotation is that of the face, and the id of an image that of the
    photo. Boxes and key points are in pixels of the upright photo; boxes are clipped to it. ``attributes``
    has the person (null if the face has none), cluster, quality and turn.

    Parameters
    ----------
    source : Source
    file : binary file
        Stays open.
    absolute : bool
        Write absolute paths of photos instead of their names.
    """
    text = io.TextIOWrapper(file, encoding="ascii", newline="", write_through=True)
    try:
        category = {"id": _FACE, "name": "face", "supercategory": "person", "keypoints": _LANDMARKS}
        text.write(
            f'{{"info": {{"description": "faces of faceindex"}}, "categories": [{json.dumps(category)}]'
        )
        _write_list(text, "images", _images(source, absolute))
        _write_list(text, "annotations", _annotations(source))
        text.write("}\n")
    finally:
        text.detach()


def _write_list(text: io.TextIOWrapper, name: str, items: Iterator[dict[str, object]]) -> None:
    text.write(f',\n"{name}": [')
    for number, item in enumerate(items):
        text.write((",\n" if number else "\n") + json.dumps(item, allow_nan=False))
    text.write("\n]")


def _images(source: Source, absolute: bool) -> Iterator[dict[str, object]]:
    for id, photo in source.photos.items():
        name = photo.path if absolute else photo.name
        yield {"id": id, "file_name": name, "width": photo.width, "height": photo.height}


def _annotations(source: Source) -> Iterator[dict[str, object]]:
    table, people = source.table, source.people()
    clipped = _clipped(source)
    for i in range(len(table)):
        x1, y1, x2, y2 = (round(side, 2) for side in clipped[i].tolist())
        points, seen = table.landmarks[i], bool(np.isfinite(table.landmarks[i]).all())
        keypoints = [
            value
            for x, y in (points.tolist() if seen else [(0, 0)] * len(_LANDMARKS))
            for value in (round(x, 2), round(y, 2), 2 if seen else 0)
        ]
        quality, cluster = float(table.quality[i]), int(table.cluster[i])
        yield {
            "id": int(table.face[i]),
            "image_id": int(table.photo[i]),
            "category_id": _FACE,
            "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
            "area": round((x2 - x1) * (y2 - y1), 2),
            "segmentation": [],
            "iscrowd": 0,
            "keypoints": keypoints,
            "num_keypoints": len(_LANDMARKS) if seen else 0,
            "score": round(float(table.scores[i]), 4),
            "attributes": {
                "person": people[i] or None,
                "cluster": None if cluster < 0 else cluster,
                "quality": round(quality, 4) if np.isfinite(quality) else None,
                "turn": int(table.turns[i]),
            },
        }


def export_voc(source: Source, folder: Target, *, absolute: bool = False) -> Exported:
    """Write an XML file for each photo with faces, as Pascal VOC does, named for the photo.

    The name of an object is the person, or ``face`` for a face without one. Characters that XML cannot have
    become U+FFFD.

    Parameters
    ----------
    source : Source
    folder : Target
        Open; `Target.finish` is called.
    absolute : bool
        Write absolute paths of photos instead of their names.
    """
    stems, people, clipped = photo_stems(source, writable=False), source.people(), _clipped(source)
    faces: dict[int, list[int]] = {}
    for i, photo in enumerate(source.table.photo.tolist()):
        faces.setdefault(photo, []).append(i)
    folder.total = len(faces)
    for id, of_photo in faces.items():
        stem, suffix = stems[id]
        # The suffix stays: a.jpg and a.png have the same stem.
        name = f"{stem}.xml" if suffix.lower() in (".jpg", ".jpeg") else f"{stem}{suffix}.xml"
        content = _voc(source, id, of_photo, people, clipped, absolute).encode()
        if folder.include(name, fingerprint("voc", _VERSION, content)):
            folder.write(name, content)
    return Exported(folder.finish(), len(source.table), len(faces))


def _voc(source: Source, id: int, faces: list[int], people: list[str], clipped: F32, absolute: bool) -> str:
    photo = source.photos[id]
    path = photo.path if absolute else photo.name
    before, _, name = path.rpartition("/")
    lines = [
        "<annotation>",
        f"  <folder>{_text(before.rpartition('/')[2])}</folder>",
        f"  <filename>{_text(name)}</filename>",
        f"  <path>{_text(path)}</path>",
        "  <source><database>faceindex</database></source>",
        f"  <size><width>{photo.width}</width><height>{photo.height}</height><depth>3</depth></size>",
        "  <segmented>0</segmented>",
    ]
    for i in faces:
        x1, y1, x2, y2 = np.rint(clipped[i]).astype(int).tolist()
        cut = bool((clipped[i] != source.table.boxes[i]).any())
        lines += [
            "  <object>",
            f"    <name>{_text(people[i] or 'face')}</name>",
            "    <pose>Unspecified</pose>",
            f"    <truncated>{int(cut)}</truncated>",
            "    <difficult>0</difficult>",
            f"    <bndbox><xmin>{min(x1 + 1, x2)}</xmin><ymin>{min(y1 + 1, y2)}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text))


def _clipped(source: Source) -> F32:
    """Return the boxes (n, 4) inside their photos."""
    sizes = [(source.photos[id].width, source.photos[id].height) for id in source.table.photo.tolist()]
    clipped: F32 = np.clip(source.table.boxes, 0, np.tile(np.array(sizes, np.float32).reshape(-1, 2), 2))
    return clipped
