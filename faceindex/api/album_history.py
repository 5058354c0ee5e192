"""When faces, clusters and people changed last, so that two pages do not overwrite each other's decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from faceindex.types import I64

__all__ = ["AlbumHistory", "Step"]

_MOST_STEPS = 10_000


class Step(NamedTuple):
    """What brought an album to a generation.

    Attributes
    ----------
    decisions : tuple of int
        Numbers of the decisions between it and the generation before; empty if `everything`.
    command : str or None
        The newest of them, as the journal has it.
    everything : bool
        Whether something else changed the index, such as ``cluster``.
    """

    decisions: tuple[int, ...]
    command: str | None
    everything: bool

    def is_of(self, own: Collection[int]) -> bool:
        """Return whether all that happened are some decisions, given by their numbers."""
        return bool(self.decisions) and all(number in own for number in self.decisions)

    def words(self) -> str:
        """Return the end of a sentence on what changed something."""
        if self.everything:
            return " by another command"
        if self.command is None:
            return ""
        number = len(self.decisions)
        return f" by `{self.command}`" if number == 1 else f" by one of {number:,} decisions"


@dataclass(slots=True, eq=False)
class AlbumHistory:
    """Generations of the last changes that were seen.

    Attributes
    ----------
    started : int
        Generation from which on the changes are known.
    reloaded : int
        Generation at which faces or photos were added or removed last.
    shown : (n,) int64
        Of each face: when anything changed that the album has of it; 0 for no change.
    decided : (n,) int64
        The same without its similarity.
    clusters, people : dict of int to int
        Of each cluster that lost or got a face or a person, and of each person who was changed, added, merged
        or removed.
    roster, names : int
        When a person changed, and when the person of a cluster did.
    steps : dict of int to Step
        By the generation that they led to.
    """

    started: int
    reloaded: int
    shown: I64
    decided: I64
    clusters: dict[int, int] = field(default_factory=dict)
    people: dict[int, int] = field(default_factory=dict)
    roster: int = 0
    names: int = 0
    steps: dict[int, Step] = field(default_factory=dict)

    @classmethod
    def begin(cls, generation: int, faces: int) -> AlbumHistory:
        """Return the history of an album that was just read."""
        return cls(generation, generation, np.zeros(faces, np.int64), np.zeros(faces, np.int64))

    def add_step(self, generation: int, step: Step) -> None:
        """Keep what led to a generation; the oldest are dropped."""
        self.steps[generation] = step
        if len(self.steps) > _MOST_STEPS:
            del self.steps[next(iter(self.steps))]

    def forget_commands(self) -> None:
        """Drop the commands of decisions, which have names of people: some may have been forgotten."""
        self.steps = {generation: step._replace(command=None) for generation, step in self.steps.items()}

    def late(self, changed: Mapping[int, int], ids: Collection[int], seen: int, own: Collection[int]) -> Late:
        """Return the first of some clusters or people that was changed after a generation, and by what.

        Parameters
        ----------
        changed : mapping of int to int
            `clusters` or `people`.
        ids : collection of int
        seen : int
        own : collection of int
            Numbers of decisions that do not count.
        """
        for id in ids:
            if (at := changed.get(id, 0)) > seen and (words := self.words(at, own)) is not None:
                return id, words
        return None

    def words(self, generation: int, own: Collection[int]) -> str | None:
        """Return the end of a sentence on what led to a generation; None if only own decisions did."""
        step = self.steps.get(generation)
        if step is None:
            return ""
        return None if step.is_of(own) else step.words()


Late = tuple[int, str] | None
"""An id, and the end of a sentence."""
