"""``faceindex identify``: find the people on photos.

Each call starts a new process, so it must start fast: this module imports no typer, and
`faceindex.cli.start` calls `identify` directly for a plain list of photos.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.render import Json, Output, columns, count, finite, shell_quoted
from faceindex.errors import FaceIndexError, ImageError, NoFaceFound, UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex, Identification, IdentifiedFace
    from faceindex.cli.options import (
        DebugFlag,
        DeviceOption,
        IdentifyThresholdOption,
        IndexOption,
        JsonFlag,
        NeighboursOption,
        OpenFlag,
        PhotosArgument,
        QuietFlag,
        ShowFlag,
        VerboseFlag,
    )

__all__ = ["identify"]

_SCHEMA = "faceindex/identify/1"


def identify(
    photos: PhotosArgument,
    neighbours: NeighboursOption = 5,
    threshold: IdentifyThresholdOption = None,
    device: DeviceOption = "auto",
    show: ShowFlag = False,
    viewer: OpenFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Identify the people on a photo.

    Prints the cluster of each face, or "unknown", and the most similar faces of the index. Similarity is the
    mean over the three most similar faces of the cluster; the margin is the lead over the next cluster. Exit
    code 1 if a photo has no answer: it is unreadable, has no face, or `cluster` has not run.
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

        with FaceIndex.open(index, device=device) as faces:
            clustered = faces.clustering is not None
            if not clustered:
                out.error(
                    "The faces have not been grouped into people yet.",
                    "Run `faceindex cluster`. Until then, only the most similar faces are listed.",
                )
                out.exit_code = PARTIAL
            if not len(faces):
                out.error("The index has no faces.", "Add photos with `faceindex index PATH...`.")
                out.exit_code = PARTIAL
            answers = [_identify(out, faces, photo, neighbours, threshold, how) for photo in photos]
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


def _identify(
    out: Output, faces: FaceIndex, photo: str, neighbours: int, threshold: float | None, how: str | None
) -> Identification | FaceIndexError:
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

        draw(out, faces.sheets.identification(query), how)
    return query


def _open(out: Output, faces: FaceIndex, queries: list[Identification]) -> None:
    """One picture for each photo; an album viewer then leafs through their folder."""
    from faceindex.cli.pictures import open_in_viewer, write_pictures

    pictures = [
        (f"{number} {os.path.splitext(os.path.basename(query.photo))[0]}", faces.sheets.identification(query))  # noqa: PTH119, PTH122
        for number, query in enumerate(queries, 1)
    ]
    for path in write_pictures(pictures):
        open_in_viewer(path)
        out.note(f"Opened {path}.")


def _print(out: Output, query: Identification) -> None:
    out.answer(out.styled(f"{query.photo}: {count(len(query.faces), 'face')}", "bold"))
    for number, face in enumerate(query.faces, 1):
        x1, y1, x2, y2 = face.box
        out.answer(f"  face {number} at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}: {_answer(out, face)}")
        rows = [
            (
                f"{near.similarity:.4f}",
                "-" if near.face.cluster is None else str(near.face.cluster),
                near.face.photo,
            )
            for near in face.neighbours
        ]
        for line in columns(
            rows, header=("similarity", "cluster", "photo") if rows else (), right=[0, 1], indent=6
        ):
            out.answer(line)
    out.flush()  # several photos take their time


def _answer(out: Output, answer: IdentifiedFace) -> str:
    margin = finite(answer.margin)
    tail = "" if margin is None else f", margin {margin:.4f}"
    if answer.cluster is not None:
        known = out.styled(f"cluster {answer.cluster}", "good")
        return f"{known}, similarity {answer.similarity:.4f}{tail}"
    if answer.nearest_cluster is None:
        return "unknown"
    return (
        f"unknown (nearest is cluster {answer.nearest_cluster}, similarity {answer.similarity:.4f}{tail}; "
        f"{answer.needed:.4f} needed)"
    )


def _as_json(photo: str, answer: Identification | FaceIndexError) -> Json:
    if isinstance(answer, FaceIndexError):
        error = {"type": type(answer).__name__, "problem": answer.problem, "remedy": answer.remedy}
        return {"photo": photo, "error": error, "faces": []}
    return {
        "photo": photo,
        "error": None,
        "faces": [_face_as_json(face) for face in answer.faces],
    }


def _face_as_json(face: IdentifiedFace) -> Json:
    nearest: list[Json] = [
        {
            "face": near.face.face,
            "photo": near.face.photo,
            "path": near.face.path,
            "box": [round(value, 1) for value in near.face.box],
            "similarity": _rounded(near.similarity),
            "cluster": near.face.cluster,
        }
        for near in face.neighbours
    ]
    return {
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "cluster": face.cluster,
        "nearest_cluster": face.nearest_cluster,
        "similarity": _rounded(face.similarity),
        "needed": _rounded(face.needed),
        "margin": _rounded(face.margin),
        "nearest": nearest,
    }


def _rounded(value: float) -> float | None:
    return None if finite(value) is None else round(value, 6)
