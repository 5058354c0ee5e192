"""Results of the questions of `faceindex.FaceIndex.people`: frozen dataclasses, as in `faceindex.api.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from faceindex.documents import Json, as_json

if TYPE_CHECKING:
    from faceindex.api.results import Face

__all__ = ["Progress", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about faces.

    Attributes
    ----------
    kind : {"who", "same", "is", "anyone"}
        Who is this? Are these two one person? Is this, or are these all, the person? Can you name any of
        these?
    person : str or None
        The person whom the faces may show.
    cluster : int or None
        The cluster in question; None if the question is about single faces.
    other : int or None
        The cluster that it is compared with.
    faces : tuple of Face
        Faces to show. *is* and *anyone* are about all of these.
    others : tuple of Face
        Faces to show of the other side.
    settles : int
        Faces whose name the answer decides.
    expected : float
        Faces that are expected to become right by the answer.
    probability : float
        That the answer is yes, 0..1; NaN for *who* and *anyone*.
    """

    kind: Literal["who", "same", "is", "anyone"]
    person: str | None
    cluster: int | None
    other: int | None
    faces: tuple[Face, ...]
    others: tuple[Face, ...]
    settles: int
    expected: float
    probability: float

    @property
    def text(self) -> str:
        """The question as a sentence."""
        if self.kind == "who":
            return "Who is this?"
        if self.kind == "same":
            return "Are these two one person?" if self.person is None else f"Is this {self.person}?"
        if self.kind == "anyone":
            return "Can you name any of these?"
        if len(self.faces) == 1:
            return f"Is this face {self.person}?"
        return f"Are these {len(self.faces)} faces all {self.person}?"

    def as_dict(self) -> dict[str, Json]:
        """Return the fields as plain JSON values, with `text`."""
        return {"text": self.text, **cast("dict[str, Json]", as_json(self))}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the naming of an index is.

    Attributes
    ----------
    faces : int
        All faces, without strangers and what is not a face.
    named : int
        Those that show a person.
    questions : int
        Questions that are left, nearly.
    """

    faces: int
    named: int
    questions: int

    @property
    def share(self) -> float:
        """Share of the faces that are named, 0..1; 1 without faces."""
        return self.named / self.faces if self.faces else 1.0

    def as_dict(self) -> dict[str, Json]:
        """Return the fields as plain JSON values, with `share`."""
        return {**cast("dict[str, Json]", as_json(self)), "share": round(self.share, 4)}
