"""What ``faceindex identify`` does: say who is on photos.

It is asked for one photo after the other, each time from a cold start, so it needs no typer:
`faceindex.cli.start` calls it for a plain list of photos.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.render import Json, Output, columns, count, finite, shell_quoted
from faceindex.errors import FaceIndexError, ImageError, NoFaceFound, NotClustered, UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex, IdentifiedFace, Query

__all__ = ["NEIGHBOURS", "run"]

NEIGHBOURS = 5
"""Faces that are listed if no number is given."""

_SCHEMA = "faceindex/identify/1"


def run(
    photos: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
    threshold: float | None = None,
    device: str = "auto",
    show: bool = False,
    viewer: bool = False,
    directory: Path | None = None,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    debug: bool = False,
) -> None:
    """Run the command; parameters are its options.

    Raises
    ------
    SystemExit
        As `session`.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        for photo in photos:
            if os.path.isdir(photo):  # noqa: PTH112 - keeps what the user typed
                raise UsageError(
                    f"{photo} is a folder.", f"Name photos, such as {shell_quoted(photo)}/*.jpg."
                )
        how = None
        if show:
            from faceindex.cli.pictures import no_pictures, protocol

            how = protocol() if out.terminal else None
            if how is None:
                raise no_pictures("--open")
        from faceindex.api import FaceIndex

        with FaceIndex.open(directory, device=device) as faces:
            try:
                faces.require_clusters()
                clustered = True
            except NotClustered as error:
                clustered = False
                out.error(error.problem, f"{error.remedy} Until then, the most alike faces are listed.")
                out.exit_code = PARTIAL
            if not faces.count_faces():
                out.error("The index has no faces.", "Add photos with `faceindex index PATH...`.")
                out.exit_code = PARTIAL
            answers = [_ask(out, faces, photo, neighbours, threshold, how) for photo in photos]
            found = [answer for answer in answers if not isinstance(answer, FaceIndexError)]
            if json:
                out.document(
                    _SCHEMA,
                    index=str(faces.directory),
                    clustered=clustered,
                    photos=[_as_json(photo, answer) for photo, answer in zip(photos, answers, strict=True)],
                )
            if viewer:  # last: should it fail, the answer is given
                _open(out, faces, found)


def _ask(
    out: Output, faces: FaceIndex, photo: str, neighbours: int, threshold: float | None, how: str | None
) -> Query | FaceIndexError:
    try:
        query = faces.identify(photo, neighbours=neighbours, threshold=threshold)
        if not query.faces:
            raise NoFaceFound(f"{photo}: no face was found.", "Try a photo on which the face is larger.")
    except (ImageError, NoFaceFound) as error:
        out.error(error.problem, error.remedy)
        out.exit_code = PARTIAL
        return error
    if not out.json:
        _print(out, query)
    if how is not None:
        from faceindex.cli.pictures import draw

        draw(out, faces.query_sheet(query), how)
    return query


def _open(out: Output, faces: FaceIndex, queries: list[Query]) -> None:
    """One picture for each photo; an album viewer then leafs through their folder."""
    from faceindex.cli.pictures import open_in_viewer, write_pictures

    pictures = [
        (f"{number} {os.path.splitext(os.path.basename(query.photo))[0]}", faces.query_sheet(query))  # noqa: PTH119, PTH122
        for number, query in enumerate(queries, 1)
    ]
    for path in write_pictures(pictures):
        open_in_viewer(path)
        out.note(f"Opened {path}.")


def _print(out: Output, query: Query) -> None:
    out.answer(out.styled(f"{query.photo}: {count(len(query.faces), 'face')}", "bold"))
    for number, face in enumerate(query.faces, 1):
        x1, y1, x2, y2 = face.box
        out.answer(f"  face {number} at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}: {_verdict(out, query, face)}")
        rows = [
            (f"{near.similarity:.4f}", "-" if near.cluster < 0 else str(near.cluster), found.photo)
            for near in face.answer.neighbours
            if (found := query.nearest.get(near.face)) is not None
        ]
        for line in columns(
            rows, header=("similarity", "cluster", "photo") if rows else (), right=[0, 1], indent=6
        ):
            out.answer(line)
    out.flush()  # several photos take their time


def _verdict(out: Output, query: Query, face: IdentifiedFace) -> str:
    answer = face.answer
    margin = finite(answer.margin)
    tail = "" if margin is None else f", margin {margin:.4f}"
    if answer.cluster is not None:
        known = out.styled(f"cluster {answer.cluster}", "good")
        return f"{known}, similarity {answer.similarity:.4f}{tail}"
    if answer.best is None:
        return "unknown"
    return (
        f"unknown (nearest is cluster {answer.best}, similarity {answer.similarity:.4f}{tail}; "
        f"{answer.needed:.4f} needed)"
    )


def _as_json(photo: str, answer: Query | FaceIndexError) -> Json:
    if isinstance(answer, FaceIndexError):
        error = {"type": type(answer).__name__, "problem": answer.problem, "remedy": answer.remedy}
        return {"photo": photo, "error": error, "faces": []}
    return {
        "photo": photo,
        "error": None,
        "faces": [_face_as_json(answer, face) for face in answer.faces],
    }


def _face_as_json(query: Query, face: IdentifiedFace) -> Json:
    nearest: list[Json] = []
    for near in face.answer.neighbours:
        found = query.nearest.get(near.face)
        if found is not None:
            nearest.append(
                {
                    "face": near.face,
                    "photo": found.photo,
                    "path": found.path,
                    "box": [round(value, 1) for value in found.box],
                    "similarity": _rounded(near.similarity),
                    "cluster": None if near.cluster < 0 else near.cluster,
                }
            )
    return {
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "cluster": face.answer.cluster,
        "nearest_cluster": face.answer.best,
        "similarity": _rounded(face.answer.similarity),
        "needed": _rounded(face.answer.needed),
        "margin": _rounded(face.answer.margin),
        "nearest": nearest,
    }


def _rounded(value: float) -> float | None:
    return None if finite(value) is None else round(value, 6)
