"""Results of the questions of `faceindex.FaceIndex.people`: frozen dataclasses, as in
`faceindex.api.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from faceindex.documents import Json, Result

if TYPE_CHECKING:
    from faceindex.api.people_results import JournalEntry
    from faceindex.api.results import Face, Neighbour

__all__ = ["Explanation", "Progress", "Question", "Split"]


@dataclass(frozen=True, slots=True)
class Question(Result):
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
        return {"text": self.text, **super(Question, self).as_dict()}


@dataclass(frozen=True, slots=True)
class Progress(Result):
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
        return {**super(Progress, self).as_dict(), "share": round(self.share, 4)}


@dataclass(frozen=True, slots=True)
class Split(Result):
    """A person or a cluster, divided in two.

    Attributes
    ----------
    person : str or None
        Whose faces are divided; None for an unnamed cluster.
    cluster : int or None
        The cluster that is divided; None if it is all of a person.
    part, rest : tuple of int
        Faces that are split off, and those that stay.
    seeds : tuple of int
        Faces of the part that were given.
    likeness : float
        Of the two sides: 1 if they are as similar to each other as each is in itself, 0 if they are as
        different as strangers.
    clear : bool
        Whether the sides differ more than two halves of one person's faces.
    uncertain : int
        Faces that hardly resemble their side more than the other one.
    clusters : tuple of int
        The clusters of the part, if it consists of whole clusters.
    part_samples, rest_samples : tuple of Face
        Faces to show: the clearest ones, and the least clear one.
    """

    person: str | None
    cluster: int | None
    part: tuple[int, ...]
    rest: tuple[int, ...]
    seeds: tuple[int, ...]
    likeness: float
    clear: bool
    uncertain: int
    clusters: tuple[int, ...]
    part_samples: tuple[Face, ...]
    rest_samples: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Explanation(Result):
    """Why a face shows whom it shows.

    Attributes
    ----------
    face : Face
    best : str or None
        The person, or ``cluster 7``, that resembles the face most, without the face itself; None if there are
        no clusters.
    similarity, needed : float
        To the three most similar faces of `best`, and what would be needed to name it; NaN for None.
    second : str or None
        The next person or cluster.
    margin : float
        Lead over `second`, in units of similarity; NaN for None.
    probability : float
        That the face shows `best`, as `FaceIndex.identify` computes it; NaN for None.
    nearest : tuple of Neighbour
        The most similar faces, best first.
    rules : tuple of str
        What placed the face: sentences.
    decisions : tuple of JournalEntry
        The decisions about this face that were not undone, oldest first.
    """

    face: Face
    best: str | None
    similarity: float
    needed: float
    second: str | None
    margin: float
    probability: float
    nearest: tuple[Neighbour, ...]
    rules: tuple[str, ...]
    decisions: tuple[JournalEntry, ...]
