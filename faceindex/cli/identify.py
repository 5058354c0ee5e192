"""``faceindex identify``: find the people on photos.

Each call starts a new process, so it must start fast: this module imports no typer, and
`faceindex.cli.start` calls `identify` directly for a plain list of photos.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.flags import as_flags
from faceindex.cli.host import collection_paused
from faceindex.cli.render import Output, columns, count, finite, shell_quoted
from faceindex.documents import Json
from faceindex.errors import FaceIndexError, ImageError, NoFaceFound, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from faceindex.api import Face, FaceIndex, Identification, IdentifiedFace
    from faceindex.cli.options import (
        AbsoluteFlag,
        DebugFlag,
        DeviceOption,
        IdentifyThresholdOption,
        IndexOption,
        JsonFlag,
        NeighboursOption,
        OpenFlag,
        PhotosArgument,
        QuietFlag,
        SaveOption,
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
    save: SaveOption = None,
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Identify the people on a photo.

    Prints the cluster of each face, or "unknown", and the most similar faces of the index. The similarity to
    a cluster is the mean over its three most similar faces; the margin is the lead over the next cluster.
    Exit code 1 if a photo has no answer: it is unreadable, has no face, or `faceindex cluster` has not run.

    Example: faceindex identify party.jpg --save party-faces.png
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        for photo in photos:
            if os.path.isdir(photo):  # noqa: PTH112 - keeps what the user typed
                raise UsageError(
                    f"{photo} is a folder.", f"Name photos, such as {shell_quoted(photo)}/*.jpg."
                )
        how, files = None, []
        if show:
            from faceindex.cli.pictures import no_pictures, protocol

            how = protocol() if out.terminal else None
            if how is None:
                raise no_pictures("--open, or --save FILE.png")
        if save is not None:
            from faceindex.cli.pictures import numbered_files

            files = numbered_files(save, [_stem(photo) for photo in photos])
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, device=device) as faces:
            if save is not None:
                from faceindex.cli.pictures import check_files

                check_files(out, faces, files, photos)
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
            first, *rest = photos
            with collection_paused():  # the first photo loads the models
                answers = [_identify(out, faces, first, neighbours, threshold, absolute, how)]
            answers += [_identify(out, faces, photo, neighbours, threshold, absolute, how) for photo in rest]
            if json:
                out.document(
                    _SCHEMA,
                    index=str(faces.directory),
                    clustered=clustered,
                    photos=[
                        _as_json(photo, answer, absolute)
                        for photo, answer in zip(photos, answers, strict=True)
                    ],
                )
            # Pictures come last, so that the answer is complete even if one of them fails.
            if files:
                _save(out, faces, answers, files)
            if viewer:
                _open(out, faces, answers, files)


def _identify(
    out: Output,
    faces: FaceIndex,
    photo: str,
    neighbours: int,
    threshold: float | None,
    absolute: bool,
    how: str | None,
) -> Identification | FaceIndexError:
    try:
        result = faces.identify(photo, neighbours=neighbours, threshold=threshold)
        if not result.faces:
            raise NoFaceFound(f"{photo}: no face was found.", "Try a photo on which the face is larger.")
    except (ImageError, NoFaceFound) as error:
        out.error(error.problem, error.remedy)
        out.exit_code = PARTIAL
        return error
    if not out.json:
        _print(out, result, absolute)
    if how is not None:
        from faceindex.cli.pictures import draw

        draw(out, faces.sheets.identification(result), how)
    return result


def _save(
    out: Output, faces: FaceIndex, answers: Sequence[Identification | FaceIndexError], files: Sequence[Path]
) -> None:
    from faceindex.cli.pictures import write_picture

    for answer, file in zip(answers, files, strict=True):
        if not isinstance(answer, FaceIndexError):
            write_picture(file, faces.sheets.identification(answer))
            out.note(f"Saved {file}.")


def _open(
    out: Output, faces: FaceIndex, answers: Sequence[Identification | FaceIndexError], files: Sequence[Path]
) -> None:
    """Open a picture of each photo: the saved one, or a temporary file."""
    from faceindex.cli.pictures import open_in_viewer, write_temporary

    found = [i for i, answer in enumerate(answers) if not isinstance(answer, FaceIndexError)]
    if files:
        pictures = [files[i] for i in found]
    else:
        # All in one folder, so that a viewer for albums can leaf through them.
        pictures = write_temporary(
            (f"{i + 1}-{_stem(answer.photo)}", faces.sheets.identification(answer))
            for i, answer in enumerate(answers)
            if not isinstance(answer, FaceIndexError)
        )
    for picture in pictures:
        open_in_viewer(picture)
        out.note(f"Opened {picture}.")


def _stem(photo: str) -> str:
    return os.path.splitext(os.path.basename(photo))[0]  # noqa: PTH119, PTH122 - pathlib starts more slowly


def _print(out: Output, result: Identification, absolute: bool) -> None:
    photo = os.path.abspath(result.photo) if absolute else result.photo  # noqa: PTH100
    head = out.styled(f"{photo}: {count(len(result.faces), 'face')}", "bold")
    known = result.indexed_path if absolute else result.indexed_as
    out.paragraph(head if known is None else f"{head} (already in the index as {known})", hang=2)
    for number, face in enumerate(result.faces, 1):
        x1, y1, x2, y2 = face.box
        where = f"face {number} at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}"
        out.paragraph(f"{where}: {_answer(out, face)}", indent=2, hang=6)
        rows = [
            (
                f"{near.similarity:.4f}",
                "-" if near.face.cluster is None else str(near.face.cluster),
                _photo(near.face, absolute),
            )
            for near in face.neighbours
        ]
        for line in columns(
            rows, header=("similarity", "cluster", "photo") if rows else (), right=[0, 1], indent=6
        ):
            out.answer(line)
    out.flush()  # show it before the next photo is processed


def _photo(face: Face, absolute: bool) -> str:
    return face.path if absolute else face.photo


def _answer(out: Output, face: IdentifiedFace) -> str:
    margin = finite(face.margin)
    tail = "" if margin is None else f", margin {margin:.4f}"
    if face.cluster is not None:
        cluster = out.styled(f"cluster {face.cluster}", "good")
        return f"{cluster}, similarity {face.similarity:.4f}{tail}"
    if face.nearest_cluster is None:
        return "unknown"
    return (
        f"unknown (nearest is cluster {face.nearest_cluster}, similarity {face.similarity:.4f}{tail}; "
        f"{face.needed:.4f} needed)"
    )


def _as_json(photo: str, answer: Identification | FaceIndexError, absolute: bool) -> Json:
    photo = os.path.abspath(photo) if absolute else photo  # noqa: PTH100
    if isinstance(answer, FaceIndexError):
        error = {
            "type": type(answer).__name__,
            "problem": as_flags(answer.problem),
            "remedy": as_flags(answer.remedy),
        }
        return {"photo": photo, "indexed_as": None, "error": error, "faces": []}
    return {
        "photo": photo,
        "indexed_as": answer.indexed_path if absolute else answer.indexed_as,
        "error": None,
        "faces": [_face_as_json(face, absolute) for face in answer.faces],
    }


def _face_as_json(face: IdentifiedFace, absolute: bool) -> Json:
    nearest: list[Json] = [
        {
            "face": near.face.face,
            "photo": _photo(near.face, absolute),
            "path": near.face.path,
            "box": [round(value, 1) for value in near.face.box],
            "turn": near.face.turn,
            "similarity": _rounded(near.similarity),
            "cluster": near.face.cluster,
        }
        for near in face.neighbours
    ]
    return {
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "quality": round(face.quality, 4),
        "turn": face.turn,
        "cluster": face.cluster,
        "nearest_cluster": face.nearest_cluster,
        "similarity": _rounded(face.similarity),
        "needed": _rounded(face.needed),
        "margin": _rounded(face.margin),
        "nearest": nearest,
    }


def _rounded(value: float) -> float | None:
    return None if finite(value) is None else round(value, 6)
