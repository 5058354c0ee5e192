"""Rows of faces: a table on a terminal, CSV, or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from faceindex.cli.errors import PARTIAL
from faceindex.cli.render import Output, columns, width_of
from faceindex.documents import Json
from faceindex.images.moments import at_moment

if TYPE_CHECKING:
    from faceindex.api import Face

__all__ = ["print_faces"]

_SCHEMA = "faceindex/faces/1"
_CSV_HEADER = (
    *("face", "photo", "x1", "y1", "x2", "y2", "score", "similarity_to_cluster", "cluster"),
    *("quality", "turn", "person", "confirmed", "by_hand"),
)
_TABLE_HEADER: tuple[str, ...] = ("face", "cluster", "similarity", "quality", "score", "box", "photo")
_NUMBERS = ("face", "cluster", "similarity", "quality", "score")
_PAGE = 200  # rows that are aligned together, so that a long table starts at once


def print_faces(
    out: Output, faces: Iterable[Face], *, as_csv: bool, absolute: bool, names: Sequence[str] = ()
) -> int:
    """Print a row for each face, and return their number; sets the exit code if there is none.

    Parameters
    ----------
    out : Output
    faces : iterable of Face
    as_csv : bool
        Print CSV on a terminal, too.
    absolute : bool
        Print absolute paths of photos instead of their names.
    names : sequence of str
        Names of all people. A table has a column for them if there are any.
    """
    if out.json:
        written = out.array(_SCHEMA, "faces", (_as_json(face, absolute) for face in faces))
    elif as_csv or not out.terminal:
        written = _write_csv(out, faces, absolute)
    else:
        written = _write_table(out, iter(faces), absolute, max(map(width_of, names), default=0))
    if not written:
        out.exit_code = PARTIAL
    return written


def _as_json(face: Face, absolute: bool) -> Json:
    x1, y1, x2, y2 = face.box
    return {
        "face": face.face,
        "photo": face.path if absolute else face.photo,
        "path": face.path,
        "x1": round(x1, 1),
        "y1": round(y1, 1),
        "x2": round(x2, 1),
        "y2": round(y2, 1),
        "score": round(face.score, 4),
        "similarity_to_cluster": None if face.similarity is None else round(face.similarity, 6),
        "cluster": face.cluster,
        "quality": round(face.quality, 4),
        "turn": face.turn,
        "person": face.person,
        "confirmed": face.confirmed,
        "by_hand": face.by_hand,
    }


def _write_csv(out: Output, faces: Iterable[Face], absolute: bool) -> int:
    writer = out.table()
    writer.writerow(_CSV_HEADER)
    written = 0
    for face in faces:
        written += 1
        similarity = "" if face.similarity is None else f"{face.similarity:.6f}"
        cluster = "" if face.cluster is None else face.cluster
        box = (f"{value:.1f}" for value in face.box)
        photo = face.path if absolute else face.photo
        said = ("yes" if face.confirmed else "", "yes" if face.by_hand else "")
        more = (f"{face.quality:.4f}", face.turn, face.person or "", *said)
        writer.writerow((face.face, photo, *box, f"{face.score:.4f}", similarity, cluster, *more))
    return written


def _write_table(out: Output, faces: Iterator[Face], absolute: bool, name_width: int) -> int:
    written = 0
    # The column of people takes the place of the scores, so that rows stay short.
    header = _TABLE_HEADER
    if name_width:
        header = tuple(title for title in (*header[:2], "person", *header[2:]) if title != "score")
    right = [place for place, title in enumerate(header) if title in _NUMBERS]
    while page := list(islice(faces, _PAGE)):
        cells = [
            (
                f"{face.face:>6}",
                "-" if face.cluster is None else str(face.cluster),
                *([_padded(face.person or "-", name_width)] if name_width else []),
                "-" if face.similarity is None else f"{face.similarity:.4f}",
                f"{face.quality:.2f}",
                *([] if name_width else [f"{face.score:.3f}"]),
                f"{','.join(f'{value:.0f}' for value in face.box):<21}",
                at_moment(face.path if absolute else face.photo),
            )
            for face in page
        ]
        # Every page is aligned with the header, so that all have the same widths; only the first prints it.
        lines = columns([header, *cells], right=right)
        for line in lines[written > 0 :]:
            out.answer(line)
        written += len(page)
    return written


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))
