"""Which faces on photos that are away belong to the people and clusters that are forgotten.

These faces have no place in the tables of the index. What counts is what they would be if their photos came
back now: in the cluster that they were in, unless the user has said otherwise of the face.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.store.marks import MarkState

__all__ = ["AwayFaces"]


class AwayFaces:
    """The faces on photos that are away, with the clusters and people that they have when they come back.

    Parameters
    ----------
    reader : Reader
        In a snapshot, for as long as this object is used.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._tables = reader.store.decisions
        self._clusters = reader.store.forgotten.away_clusters()

    @cached_property
    def _members(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for face, cluster in self._clusters.items():
            found.setdefault(cluster, set()).add(face)
        return found

    @cached_property
    def _marks(self) -> dict[int, int]:
        return self._reader.store.forgotten.marks_of_away(sorted(self._clusters))

    @cached_property
    def _states(self) -> dict[int, MarkState]:
        return self._tables.labels(sorted({*self._marks.values()}))

    @cached_property
    def _people(self) -> dict[int, int]:
        """The person of each cluster that has one: as the faces that are there say, else those away."""
        roots = self._reader.roster().roots
        found = {cluster: roots.get(p, p) for cluster, p in self._tables.people_of_clusters().items()}
        said: dict[int, int] = {}
        for face, mark in self._marks.items():
            if (person := self._states[mark].person) is not None:
                cluster = self._clusters[face]
                said[cluster] = max(said.get(cluster, 0), person)  # as `update_cluster_people`
        found.update((cluster, roots.get(person, person)) for cluster, person in said.items())
        return found | self._reader.people().of_cluster

    def of_people(self, roots: Collection[int], members: Collection[int]) -> set[int]:
        """Return the faces in the clusters of people, but for those that the user said are somebody else.

        Parameters
        ----------
        roots : collection of int
            The people.
        members : collection of int
            Their ids, with those of the people merged into them.
        """
        clusters = {cluster for cluster, person in self._people.items() if person in roots}
        faces = {face for cluster in clusters for face in self._members.get(cluster, ())}
        return faces - self._others(faces, roots, members)

    def of_clusters(self, clusters: Collection[int]) -> set[int]:
        """Return the faces in clusters, but for those that the user has taken out of them."""
        found: set[int] = set()
        for cluster in clusters:
            faces = self._members.get(cluster, set())
            person = self._people.get(cluster)
            roots = set() if person is None else {person}
            members = [] if person is None else self._reader.roster().members(person)
            found |= faces - self._others(faces, roots, members)
        return found

    def _others(self, faces: Collection[int], roots: Collection[int], members: Collection[int]) -> set[int]:
        """Return those of some faces that do not show some people, by the user's word; none: anybody."""
        into = self._reader.roster().roots
        people = sorted(members)
        denied = {*self._tables.rejected_from_people(people), *self._tables.different_from_people(people)}
        found = set()
        for face in faces:
            if (mark := self._marks.get(face)) is None:
                continue
            state = self._states[mark]
            nobody = state.label in (Label.STRANGER, Label.NOT_A_FACE)
            somebody_else = bool(roots) and state.person is not None and into[state.person] not in roots
            if nobody or somebody_else or (mark in denied and state.person is None):
                found.add(face)
        return found
