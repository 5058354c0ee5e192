"""A question of `faceindex.people.questions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Asked", "Key", "Kind"]

Kind: TypeAlias = Literal["who", "same", "is", "anyone"]

Key: TypeAlias = "tuple[str, int, tuple[int, ...], tuple[int, ...]]"
"""What a skipped question is recognised by: kind, person (-1 for none), clusters and faces, by their ids."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about positions of faces.

    Attributes
    ----------
    kind : {"who", "same", "is", "anyone"}
    slot : int
        Of the cluster that is asked about; -1 for faces in none, and for doubtful faces in a named cluster.
    other : int
        Slot of the cluster that it is compared with; -1 for none.
    person : int
        The person that the faces may show; -1 for none.
    faces, others : tuple of int
        Positions of the faces to show of either side. An *is* question is about all of `faces`.
    settles : int
        Faces whose name the answer decides.
    expected : float
        Faces that are expected to become right.
    probability : float
        That the answer is yes; NaN for *who*.
    """

    kind: Kind
    slot: int
    other: int
    person: int
    faces: tuple[int, ...]
    others: tuple[int, ...]
    settles: int
    expected: float
    probability: float
