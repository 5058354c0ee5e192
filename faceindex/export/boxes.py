"""Export of face boxes as CSV or JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import BinaryIO, Literal, TypeAlias

import numpy as np

from faceindex.errors import UsageError
from faceindex.export.annotations import write_coco
from faceindex.export.source import Source, fingerprint
from faceindex.tables import safe_cell, table_writer
from faceindex.types import F32

__all__ = ["BOXES_HEADER", "BoxFormat", "boxes_source", "write_boxes"]

BoxFormat: TypeAlias = Literal["csv", "csv-full", "json", "coco"]

BOXES_HEADER = ("image_path", "y_min", "x_max", "y_max", "x_min")
"""The layout that scripts around DSFD and face_recognition read: top, right, bottom, left."""

_LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_FULL_HEADER = (
    *("face", "image_path", "x_min", "y_min", "x_max", "y_max", "score", "sharpness", "norm"),
    *("cluster", "person", "similarity_to_cluster"),
    *(f"{point}_{axis}" for point in _LANDMARKS for axis in "xy"),
    *("quality", "turn"),
)
_SCHEMA = "faceindex/boxes/1"
_BLOCK = 1 << 12  # faces formatted together
_VERSION = 4


def boxes_source(source: Source, format: BoxFormat, *, absolute: bool = False) -> str:
    """Compute the fingerprint of what `write_boxes` would write; raises as it does."""
    _check(format)
    table, names = source.table, "\0".join(source.names(absolute=absolute))
    parts: list[object] = ["boxes", _VERSION, format, names, table.boxes, table.face]
    if format in ("csv", "coco"):
        parts += [[(photo.width, photo.height) for photo in source.photos.values()]]
    if format != "csv":
        parts += [
            table.landmarks,
            table.scores,
            table.sharpness,
            table.norms,
            table.cluster,
            table.similarity,
            table.quality,
            table.turns,
            "\0".join(source.people()),
        ]
    return fingerprint(*parts)


def write_boxes(source: Source, file: BinaryIO, format: BoxFormat, *, absolute: bool = False) -> None:
    """Write a row for each face.

    - ``csv``: exactly the columns `BOXES_HEADER`. Boxes are rounded to whole pixels and clipped to the
      photo, so that they can be used as slices.
    - ``csv-full``: face, photo, the detected box (which may exceed the photo), score, sharpness, norm,
      cluster, name of the person, similarity, landmarks, quality and turn. Missing values are empty.
    - ``json``: the same values as a document with a ``schema`` and ``faces``, one per line. Missing values
      are null.
    - ``coco``: see `faceindex.export.annotations.write_coco`.

    CSV is UTF-8 with ``\\n`` line ends; undecodable bytes of photo names are written as they are, and texts
    that a spreadsheet would execute have an apostrophe before them (`faceindex.tables`). Numbers
    in ``csv-full`` and ``json`` are the shortest that give the same float32.

    Parameters
    ----------
    source : Source
    file : binary file
        Stays open.
    format : {"csv", "csv-full", "json", "coco"}
    absolute : bool
        Write absolute paths of photos instead of their names.

    Raises
    ------
    UsageError
        If the format is unknown.
    """
    _check(format)
    if format == "coco":
        write_coco(source, file, absolute=absolute)
        return
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    try:
        names = source.names(absolute=absolute)
        if format == "json":
            _write_json(source, text, names)
        else:
            writer = table_writer(text)
            writer.writerow(BOXES_HEADER if format == "csv" else _FULL_HEADER)
            writer.writerows(_pixel_rows(source, names) if format == "csv" else _safe_rows(source, names))
    finally:
        text.detach()


def _pixel_rows(source: Source, names: list[str]) -> Iterator[tuple[object, ...]]:
    table = source.table
    sizes = [(photo.width, photo.height) for photo in map(source.photos.__getitem__, table.photo.tolist())]
    limits = np.tile(np.array(sizes, np.float32).reshape(-1, 2), 2)
    boxes = np.clip(np.rint(table.boxes), 0, limits).astype(np.int64)
    for name, (x1, y1, x2, y2) in zip(names, boxes.tolist(), strict=True):
        yield safe_cell(name), y1, x2, y2, x1


def _full_rows(source: Source, names: list[str]) -> Iterator[tuple[object, ...]]:
    table, people = source.table, source.people()
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        clusters = ("" if cluster < 0 else cluster for cluster in table.cluster[part].tolist())
        numbers = [
            as_text(values[part].reshape(len(table.face[part]), -1))
            for values in (table.boxes, table.scores, table.sharpness, table.norms, table.similarity)
        ]
        points = as_text(table.landmarks[part].reshape(-1, 10))
        more = as_text(table.quality[part, None]), table.turns[part].tolist()
        about = table.face[part].tolist(), names[part], clusters, people[part]
        columns = zip(*about, *numbers, points, *more, strict=True)
        for face, name, cluster, person, box, score, sharpness, norm, similarity, *rest in columns:
            landmarks, quality, turn = rest
            yield (
                *(face, name, *box, *score, *sharpness, *norm, cluster, person, *similarity),
                *(*landmarks, *quality, turn),
            )


def _safe_rows(source: Source, names: list[str]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `_full_rows` for CSV."""
    person = _FULL_HEADER.index("person")
    for face, name, *cells in _full_rows(source, names):
        cells[person - 2] = safe_cell(str(cells[person - 2]))
        yield face, safe_cell(str(name)), *cells


def _check(format: str) -> None:
    if format not in ("csv", "csv-full", "json", "coco"):
        raise UsageError(
            f"There is no format '{format}' for boxes.", "Choose csv, csv-full, json, coco or voc."
        )


def _write_json(source: Source, text: io.TextIOWrapper, names: list[str]) -> None:
    text.write(f'{{"schema": {json.dumps(_SCHEMA)}, "faces": [')
    for number, row in enumerate(_full_rows(source, names)):
        face, name, *measures = row[:9]
        cluster, person, *rest = row[9:]
        values = [float(str(value)) if value != "" else None for value in (*measures, *rest)]
        landmarks = [values[i : i + 2] for i in range(8, 18, 2)]
        document = {
            "face": face,
            "image_path": name,
            **dict(zip(_FULL_HEADER[2:9], values, strict=False)),
            "cluster": None if cluster == "" else cluster,
            "person": person or None,
            "similarity_to_cluster": values[7],
            "landmarks": None if landmarks[0][0] is None else dict(zip(_LANDMARKS, landmarks, strict=True)),
            "quality": values[18],
            "turn": row[-1],
        }
        text.write((",\n" if number else "\n") + json.dumps(document, allow_nan=False))
    text.write("\n]}\n")


def as_text(values: F32) -> list[list[str]]:
    """Format numbers as the shortest decimals that give the same float32; NaN becomes empty text.

    Parameters
    ----------
    values : (n, k) float32
    """
    rows: list[list[str]] = values.astype(np.str_).tolist()
    if np.isnan(values).any():
        rows = [["" if value == "nan" else value for value in row] for row in rows]
    return rows
