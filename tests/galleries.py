"""Synthetic photos for galleries: grey, with a rectangle of its own colour for each face."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from faceindex.export.destination import ProtectedPaths
from faceindex.export.gallery import GallerySource
from faceindex.images import content_hash
from faceindex.store import FaceTable, PhotoRecord, Root, Status

__all__ = ["FacePlan", "PhotoPlan", "colour_of", "make_source", "protected"]


@dataclass(frozen=True)
class FacePlan:
    box: tuple[float, float, float, float]
    cluster: int = -1
    similarity: float = 0.9


@dataclass(frozen=True)
class PhotoPlan:
    name: str
    faces: Sequence[FacePlan]
    size: tuple[int, int] = (320, 240)
    save: tuple[tuple[str, object], ...] = ()  # arguments of Pillow's save


def colour_of(face: int) -> tuple[int, int, int]:
    """Return the colour of the face with an id."""
    return (40 + face * 53 % 200, 40 + face * 97 % 200, 40 + face * 31 % 200)


def make_source(
    folder: Path,
    plans: Sequence[PhotoPlan],
    *,
    clustered: bool = True,
    newer_faces: int = 0,
    given: str = "photos",
    names: Mapping[int, str] | None = None,
) -> GallerySource:
    """Write the photos and make the input of a gallery; face ids start at 1."""
    rows: list[tuple[int, FacePlan]] = []
    records = []
    for number, plan in enumerate(plans, 1):
        image = PillowImage.new("RGB", plan.size, (128, 128, number % 256))
        for face in plan.faces:
            left, top, right, bottom = (round(value) for value in face.box)
            image.paste(colour_of(1 + len(rows)), (left, top, right, bottom))
            rows.append((number, face))
        path = folder / plan.name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF"}[os.path.splitext(plan.name)[1]]  # noqa: PTH122
        with path.open("wb") as file:
            image.save(file, suffix, **dict(plan.save))
        data = path.read_bytes()
        records.append(
            PhotoRecord(
                id=number,
                root_id=1,
                relpath=plan.name,
                size=len(data),
                mtime_ns=path.stat().st_mtime_ns,
                content_hash=content_hash(data),
                width=plan.size[0],
                height=plan.size[1],
                status=Status.OK,
                reason=None,
                detail=None,
                faces=len(plan.faces),
                picture=hashlib.blake2b(data, digest_size=16).digest(),
            )
        )
    clusters = np.array([face.cluster for _, face in rows], np.int64)
    count = len(rows)
    table = FaceTable(
        face=np.arange(1, 1 + count, dtype=np.int64),
        photo=np.array([photo for photo, _ in rows], np.int64),
        row=np.arange(count, dtype=np.int64),
        boxes=np.array([face.box for _, face in rows], np.float32).reshape(-1, 4),
        landmarks=np.full((count, 5, 2), np.nan, np.float32),
        scores=np.ones(count, np.float32),
        norms=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        quality=np.ones(count, np.float32),
        turns=np.zeros(count, np.int64),
        cluster=clusters,
        similarity=np.array(
            [face.similarity if face.cluster >= 0 else np.nan for _, face in rows], np.float32
        ),
    )
    ids = {name: number for number, name in enumerate(dict.fromkeys((names or {}).values()), 1)}
    cluster_person = {c: ids[name] for c, name in (names or {}).items() if c in clusters}
    people = [
        {
            "id": id,
            "uid": f"{id:032x}",
            "name": name,
            "born": None,
            "died": None,
            "hidden": False,
            "note": None,
        }
        for name, id in ids.items()
    ]
    return GallerySource(
        table=table,
        photos=records,
        roots=[Root(id=1, path=str(folder), given=given)],
        path_of=lambda record: os.path.join(folder, record.relpath),  # noqa: PTH118
        clustered=clustered,
        newer_faces=newer_faces,
        person=np.array([cluster_person.get(c, -1) for c in clusters.tolist()], np.int64),
        label=np.zeros(count, np.int64),
        people=people,
        cluster_person=cluster_person,
        index_id="f" * 32,
    )


def protected(folder: Path) -> ProtectedPaths:
    return ProtectedPaths(folder / ".faceindex", (folder,))
