"""Add a face that the detector missed, for `FaceIndex.add_face`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from faceindex import images
from faceindex.api.deciding import Decider, command_text
from faceindex.api.people import IndexPeople
from faceindex.api.people_results import Decided
from faceindex.drawn_faces import embed_drawn
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.export.source import read_unchanged
from faceindex.matching import match_boxes
from faceindex.people.editor import Editor
from faceindex.people.roster import clean_name
from faceindex.store import Status
from faceindex.store.decisions import Label
from faceindex.store.forgotten import at_places
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.recognition import Recogniser
    from faceindex.store import PhotoRecord
    from faceindex.store.decisions import Decision
    from faceindex.types import F32

__all__ = ["LEAST_SIDE", "add_face"]

LEAST_SIDE = 10
"""Side in pixels of the smallest box: a smaller face shows nobody."""

_ROUNDING = 1.0  # pixels by which a box may leave the photo; it is cut off there


def add_face(
    reader: Reader,
    recogniser: Callable[[], Recogniser],
    photo: int | str | os.PathLike[str],
    box: Sequence[float],
    *,
    name: str | None,
    uid: str | None,
    dry_run: bool,
) -> tuple[int, Decided]:
    """Add a face; see `FaceIndex.add_face`. `recogniser` loads the pinned models."""
    decider = Decider(reader)
    decider.require_writable()
    name = None if name is None else clean_name(name)
    if name is not None:
        reader.clustering()
    names, record = _find_photo(reader, photo)
    if (made := decider.made(uid)) is not None:
        decided = decider.recorded(made)
        return _face_of(decider, made, record.id), replace(decided, number=None) if dry_run else decided
    corners = _checked_box(box, record, names.name(record))
    if (known := _known_face(reader, record, corners)) is not None:
        if name is None:
            raise UsageError(
                f"Face {known} is at this place already.",
                f"`faceindex people name f{known} NAME` names it. The box of another face overlaps it less.",
            )
        return known, IndexPeople(reader).name(name, faces=[known], uid=uid, dry_run=dry_run)
    path = names.path(record)
    data = read_unchanged(path, record.content_hash)
    picture = images.read_picture(data)
    _check_not_forgotten(reader, record, picture.hash, corners)
    models = recogniser()
    faces = embed_drawn(models, models.decode_photo(data, path), corners)
    if not np.isfinite(faces.vectors).all():
        raise ImageError(
            path, Reason.FAILED, "the face in the box cannot be embedded.", "Draw the box closer around it."
        )
    words = (_shown(names.name(record)), _written(corners), *([name] if name else ()))
    command = command_text("add-face", *words)
    copies = _copies(reader, record, picture.hash, corners)
    store = reader.store
    found: list[tuple[int, Decided]] = []
    store.append_vectors(np.repeat(faces.vectors, 1 + len(copies), axis=0))

    def work() -> None:
        if record.picture is None:
            decider.tables.save_pictures([(record.id, picture)])
        (face,) = store.insert_drawn(record.id, faces)
        for copy in copies:
            store.insert_drawn(copy, faces)

        def decide(editor: Editor) -> None:
            marks = decider.marks([face])
            editor.draw(marks)
            if name is not None:
                editor.label(editor.person(name), marks, Label.CONFIRMED)

        found.append((face, decider.make(command, decide, uid=uid)))

    decider.in_transaction(work, dry_run=dry_run)
    face, decided = found[0]
    return face, replace(decided, number=None) if dry_run else decided


def _find_photo(reader: Reader, photo: int | str | os.PathLike[str]) -> tuple[PhotoNames, PhotoRecord]:
    """Return a photo that could be read."""
    if isinstance(photo, (str, os.PathLike)):
        names = PhotoNames(reader.store)
        record = names.by_id[names.find(photo)]
    else:
        found = reader.store.photos_by_id([int(photo)])
        if int(photo) not in found:
            raise UsageError(
                f"There is no photo {int(photo)} in the index.",
                "Index it with `faceindex index PATH...` first.",
            )
        names, record = PhotoNames(reader.store, [int(photo)]), found[int(photo)]
    if record.status is not Status.OK or record.content_hash is None:
        raise UsageError(
            f"{names.name(record)} could not be read when it was indexed.",
            "Index its folder again with `retry_failed` first.",
        )
    return names, record


def _checked_box(box: Sequence[float], record: PhotoRecord, name: str) -> F32:
    """Return a box as (1, 4) float32, inside the photo."""
    sides = [float(side) for side in box]
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise UsageError(
            f"`box` is {_written(np.array([sides]))}, not four numbers.", "Pass x1, y1, x2 and y2 in pixels."
        )
    x1, y1, x2, y2 = sides
    if min(x1, y1) < -_ROUNDING or x2 > record.width + _ROUNDING or y2 > record.height + _ROUNDING:
        raise UsageError(
            f"The box {_written(np.array([sides]))} is not inside {name}, which is {record.width} x "
            f"{record.height} pixels.",
            "Pass x1, y1, x2 and y2 in pixels of the upright photo at full resolution.",
        )
    inside = np.clip([[x1, y1, x2, y2]], 0, [record.width, record.height] * 2).astype(np.float32)
    if (inside[0, 2:] - inside[0, :2]).min() < LEAST_SIDE:
        raise UsageError(
            f"The box {_written(np.array([sides]))} is less than {LEAST_SIDE} pixels wide or high.",
            "Pass x1, y1, x2 and y2, with x1 < x2 and y1 < y2, of a larger face.",
        )
    return inside


def _known_face(reader: Reader, record: PhotoRecord, box: F32) -> int | None:
    """Return the face of the index at a box."""
    faces, boxes = reader.store.drawn_faces.boxes_of_faces(record.id)
    best = int(match_boxes(boxes, box)[0])
    return faces[best] if best >= 0 else None


def _copies(reader: Reader, record: PhotoRecord, picture: bytes, box: F32) -> list[int]:
    """Return the other photos of the same picture that have no face at a box.

    If another orientation is stored in a copy, `index` embeds its face.
    """
    shape = record.width, record.height, record.orientation
    return [
        copy.id
        for copy in reader.store.photos_by_picture(picture)
        if copy.id != record.id
        and (copy.width, copy.height, copy.orientation) == shape
        and copy.status is Status.OK
        and _known_face(reader, copy, box) is None
    ]


def _check_not_forgotten(reader: Reader, record: PhotoRecord, picture: bytes, box: F32) -> None:
    hashes = [picture] if record.content_hash is None else [picture, record.content_hash]
    places = reader.store.forgotten.places(hashes)
    if places and at_places(places, box, record.orientation, (record.width, record.height))[0]:
        raise UsageError(
            "The face at this place was forgotten, and does not come back.", "Draw the box of another face."
        )


def _face_of(decider: Decider, decision: Decision, photo: int) -> int:
    """Return the face that a decision drew or named on a photo; raises `UsageError` if it is gone."""
    for action in decision.actions:
        if action["do"] in ("face", "label"):
            faces = [
                face for found in decider.tables.faces_of_marks(action["faces"]).values() for face in found
            ]
            here = {*decider.store.drawn_faces.boxes_of_faces(photo)[0]}
            if kept := [face for face in faces if face in here]:
                return kept[0]
    raise UsageError(f"The face of decision {decision.number} is gone.", "Add it again, as a new decision.")


def _written(box: F32) -> str:
    return ",".join(f"{side:g}" for side in np.round(box.reshape(-1).astype(float), 1).tolist())


def _shown(name: str) -> str:
    """Return the name of a photo as text: paths may have bytes that are none."""
    return name.encode("utf-8", "replace").decode()
