"""How ``faceindex identify`` prints an answer: as text, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceindex.cli.flags import as_flags
from faceindex.cli.render import Output, columns, count, finite
from faceindex.documents import Json
from faceindex.errors import FaceIndexError
from faceindex.images.moments import at_moment

if TYPE_CHECKING:
    from faceindex.api import Face, Identification, IdentifiedFace

__all__ = ["answer_as_json", "percent", "print_answer"]


def print_answer(out: Output, photo: str, result: Identification, absolute: bool) -> None:
    """Print the faces on a photo, and what each was matched with.

    Parameters
    ----------
    out : Output
    photo : str
        Its name.
    result : Identification
    absolute : bool
        Print absolute paths of indexed photos.
    """
    head = out.styled(f"{at_moment(photo)}: {count(len(result.faces), 'face')}", "bold")
    known = result.indexed_path if absolute else result.indexed_as
    known = None if known is None else at_moment(known)
    out.paragraph(head if known is None else f"{head} (already in the index as {known})", hang=2)
    for number, face in enumerate(result.faces, 1):
        x1, y1, x2, y2 = face.box
        where = f"face {number} at {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}"
        out.paragraph(f"{where}: {_answer(out, face)}", indent=2, hang=6)
        header: tuple[str, ...] = ("similarity", "cluster", "photo")
        rows: list[tuple[str, ...]] = [
            (
                f"{near.similarity:.4f}",
                "-" if near.face.cluster is None else str(near.face.cluster),
                at_moment(_photo(near.face, absolute)),
            )
            for near in face.neighbours
        ]
        if any(near.face.person for near in face.neighbours):
            header = (*header[:2], "person", *header[2:])
            rows = [
                (*row[:2], near.face.person or "-", *row[2:])
                for row, near in zip(rows, face.neighbours, strict=True)
            ]
        for line in columns(rows, header=header if rows else (), right=[0, 1], indent=6):
            out.answer(line)
    out.flush()  # show it before the next photo is processed


def _photo(face: Face, absolute: bool) -> str:
    return face.path if absolute else face.photo


def _answer(out: Output, face: IdentifiedFace) -> str:
    if face.source == "stranger":
        return "a stranger, by your word"
    if face.source == "not a face":
        return "not a face, by your word"
    if face.source != "similarity":
        who = out.styled(face.person or "", "good")
        measured = finite(face.similarity)
        rest = "" if measured is None else f", similarity {measured:.4f}"
        return f"{who}, certain ({face.source} by you on this picture){rest}"
    if face.nearest_cluster is None:
        return "unknown"
    margin, share = finite(face.margin), finite(face.probability)
    similarity = f"similarity {face.similarity:.4f}" + ("" if margin is None else f", margin {margin:.4f}")
    if face.cluster is not None and face.person is not None:
        who = out.styled(face.person, "good")
        word = "" if share is None else f" {percent(share)}"
        if face.confidence in ("certain", "likely"):
            word += f" ({face.confidence})"
        return f"{who}{word}, {similarity}"
    if face.cluster is not None:
        cluster = out.styled(f"cluster {face.cluster}", "good")
        word = ""
        if share is not None:
            # A constant threshold may name faces that are not likely this person.
            named = face.confidence in ("certain", "likely")
            word = f", {face.confidence} ({percent(share)})" if named else f", probability {percent(share)}"
        return f"{cluster}{word}, {similarity}"
    if face.confidence == "doubtful" and share is not None and face.nearest_person is not None:
        maybe = f"unknown, maybe {face.nearest_person} {percent(share)}"
        return f"{maybe}, {similarity}; {face.needed:.4f} needed"
    if face.confidence == "doubtful" and share is not None:
        perhaps = f"perhaps cluster {face.nearest_cluster}, doubtful ({percent(share)})"
        return f"{perhaps}, {similarity}; {face.needed:.4f} needed"
    nearest = face.nearest_person or f"cluster {face.nearest_cluster}"
    return f"unknown (nearest is {nearest}, {similarity}; {face.needed:.4f} needed)"


def percent(share: float) -> str:
    """Round a probability down, so that nothing looks surer than it is."""
    if share >= 0.999:
        return "over 99.9 %"
    if share >= 0.99:
        return f"{int(1000 * share) / 10:.1f} %"
    return f"{int(100 * share)} %" if share >= 0.01 else "under 1 %"


def answer_as_json(photo: str, answer: Identification | FaceIndexError, absolute: bool) -> Json:
    """Return the answer for a photo, or the error, as JSON values; parameters as in `print_answer`."""
    if isinstance(answer, FaceIndexError):
        error = {
            "type": type(answer).__name__,
            "problem": as_flags(answer.problem),
            "remedy": as_flags(answer.remedy),
        }
        return {"photo": photo, "indexed_as": None, "error": error, "note": None, "faces": []}
    return {
        "photo": photo,
        "indexed_as": answer.indexed_path if absolute else answer.indexed_as,
        "error": None,
        "note": answer.note,
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
            "person": near.face.person,
        }
        for near in face.neighbours
    ]
    return {
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "quality": round(face.quality, 4),
        "turn": face.turn,
        "person": face.person,
        "cluster": face.cluster,
        "nearest_person": face.nearest_person,
        "nearest_cluster": face.nearest_cluster,
        "source": face.source,
        "confidence": face.confidence,
        "probability": _rounded(face.probability),
        "false_alarm": _rounded(face.false_alarm),
        "similarity": _rounded(face.similarity),
        "needed": _rounded(face.needed),
        "margin": _rounded(face.margin),
        "nearest": nearest,
    }


def _rounded(value: float) -> float | None:
    return None if finite(value) is None else round(value, 6)
