"""Which person each face of an index shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceindex.people.constraints import roots_of
from faceindex.people.roster import Roster
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.store import Assignments, Store
    from faceindex.types import I64

__all__ = ["PeopleView"]


@dataclass(frozen=True, slots=True, eq=False)
class PeopleView:
    """The people of n faces.

    Attributes
    ----------
    roster : Roster
    person : (n,) int64
        The person that each face shows: by its label, else by its cluster; -1 for none.
    label : (n,) int64
        Values of `faceindex.store.decisions.Label`: what the user said of the face itself.
    of_cluster : dict of int to int
        The person of each cluster that has one.
    """

    roster: Roster
    person: I64
    label: I64
    of_cluster: dict[int, int]

    @classmethod
    def read(cls, store: Store, table: Assignments) -> PeopleView:
        """Read the people of all faces of an index, of the same moment as the table."""
        tables = store.decisions
        roster = Roster.of(tables.people())
        person = np.full(len(table), -1, np.int64)
        label = np.zeros(len(table), np.int64)
        if not roster.records and not tables.newest():
            return cls(roster, person, label, {})
        present = set(np.unique(table.cluster).tolist())
        of_cluster = {c: roster.roots[p] for c, p in tables.people_of_clusters().items() if c in present}
        if of_cluster:
            by_cluster = np.full(max(int(table.cluster.max(initial=0)), max(of_cluster)) + 2, -1, np.int64)
            by_cluster[list(of_cluster)] = list(of_cluster.values())
            person = by_cluster[table.cluster]  # -1 is the last one
        marked = tables.marked_faces()
        at = np.searchsorted(table.face, marked["face"])
        label[at] = marked["label"]
        said = roots_of(roster, marked["person"])
        person[at[said >= 0]] = said[said >= 0]
        return cls(roster, person, label, of_cluster)

    def cluster_names(self) -> dict[int, str]:
        """Return the name of the person of each cluster that has one."""
        return {cluster: self.roster.title(person) for cluster, person in self.of_cluster.items()}

    def hidden_clusters(self) -> set[int]:
        """Return the clusters of hidden people."""
        return {c for c, person in self.of_cluster.items() if self.roster.records[person].hidden}

    @property
    def confirmed(self) -> I64:
        """Positions of the faces that the user confirmed, ascending."""
        return np.flatnonzero(self.label == Label.CONFIRMED).astype(np.int64)
