"""What decisions of the journal changed, for code that keeps a state of the index up to date with them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.people.editor import marks_of_changes

if TYPE_CHECKING:
    from faceindex.store.decisions import DecisionTables

__all__ = ["DecisionChanges"]


@dataclass(frozen=True, slots=True)
class DecisionChanges:
    """What some decisions changed.

    Attributes
    ----------
    marks : set of int
        Marks whose label, rejections or links changed.
    kinds : set of str
        Of the changes: ``"mark"``, ``"rejection"``, ``"link"``, ``"person"``, ``"face"`` (one was drawn, or
        one that was drawn was removed) and ``"cluster"``.
    moved : list of int
        Faces that changed their cluster, ascending.
    clusters : set of int
        The clusters that they left or joined.
    numbers : tuple of int
        Of these decisions, ascending.
    """

    marks: Set[int]
    kinds: Set[str]
    moved: list[int]
    clusters: Set[int]
    numbers: tuple[int, ...]

    @classmethod
    def since(cls, tables: DecisionTables, number: int) -> DecisionChanges:
        """Read what the decisions after one, given by its number, changed."""
        decisions = tables.changes_since(number)
        changes = [change for each in decisions.values() for change in each]
        moves = [values for kind, *values in changes if kind == "cluster"]
        return cls(
            marks=marks_of_changes(changes),
            kinds={str(kind) for kind, *_ in changes},
            moved=sorted({int(face) for face, *_ in moves}),
            clusters={int(cluster) for _, *both in moves for cluster in both if cluster is not None},
            numbers=tuple(decisions),
        )
