"""Find the clusters, faces and people that words on the command line stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex.api.reader import Reader, find_faces
from faceindex.errors import UsageError
from faceindex.people.references import parse_references

if TYPE_CHECKING:
    from faceindex.people.view import PeopleView
    from faceindex.store import FaceTable
    from faceindex.types import I64

__all__ = ["Selection", "select"]

_LARGEST: Final = 2**63 - 1  # that SQLite stores
_IN_THE_MIDDLE: Final = 2  # faces that stand for a cluster


@dataclass(frozen=True, slots=True)
class Selection:
    """Clusters, faces and people of an index.

    Attributes
    ----------
    clusters : tuple of int
        Those that were named.
    faces : tuple of int
        Those that were named.
    people : tuple of str
        Names, as the index has them.
    all_clusters : tuple of int
        The named clusters, and all clusters of the people, the largest first.
    all_faces : tuple of int
        The named faces, and all faces of `all_clusters`.
    middle : tuple of int
        The named faces, and the two nearest the middle of each of `all_clusters`.
    shown : dict of str to int
        The people that `all_faces` show, with the number of these faces.
    around : dict of int to int
        The clusters without a person that the named faces are in, with the number of their other faces.
    """

    clusters: tuple[int, ...]
    faces: tuple[int, ...]
    people: tuple[str, ...]
    all_clusters: tuple[int, ...]
    all_faces: tuple[int, ...]
    middle: tuple[int, ...]
    shown: dict[str, int]
    around: dict[int, int]


def select(reader: Reader, words: Iterable[str]) -> Selection:
    """Find what words stand for.

    Parameters
    ----------
    reader : Reader
    words : iterable of str
        Of the forms of `faceindex.people.references.parse_references`.

    Raises
    ------
    NotClustered
        If a cluster is named and the faces are not clustered.
    UsageError
        If the index has no such cluster, face or person; for a person, lists the nearest names.
    """
    found = parse_references(words)
    for number in (*found.clusters, *found.faces):
        if number > _LARGEST:
            raise UsageError(f"{number} is too large.", "`faceindex clusters` lists the clusters.")
    with reader.store.snapshot():
        table, view = reader.table(), reader.people()
        for cluster in found.clusters:
            reader.check_cluster(cluster)
    people = list(dict.fromkeys(view.roster.find(name).id for name in found.names))
    of_people = [cluster for cluster, person in view.of_cluster.items() if person in people]
    sizes = dict(zip(*(a.tolist() for a in np.unique(table.cluster, return_counts=True)), strict=True))
    of_people.sort(key=lambda cluster: (-sizes.get(cluster, 0), cluster))
    clusters = tuple(dict.fromkeys((*found.clusters, *of_people)))
    named = find_faces(table, found.faces) if found.faces else np.empty(0, np.int64)
    members = np.flatnonzero(np.isin(table.cluster, clusters))
    positions = np.concatenate([named, np.setdiff1d(members, named)])
    return Selection(
        found.clusters,
        found.faces,
        tuple(view.roster.title(person) for person in people),
        clusters,
        tuple(table.face[positions].tolist()),
        tuple(dict.fromkeys([*found.faces, *_middle(table, members, clusters)])),
        _shown(view, positions),
        _around(table, view, positions, named),
    )


def _around(table: FaceTable, view: PeopleView, positions: I64, named: I64) -> dict[int, int]:
    others = np.setdiff1d(np.arange(len(table)), positions)
    sizes = {cluster: 0 for cluster in np.unique(table.cluster[named]).tolist() if cluster >= 0}
    for cluster in sizes:
        sizes[cluster] = int((table.cluster[others] == cluster).sum())
    return {cluster: n for cluster, n in sizes.items() if n and cluster not in view.of_cluster}


def _middle(table: FaceTable, members: I64, clusters: Sequence[int]) -> list[int]:
    order = members[np.lexsort((-table.similarity[members], table.cluster[members]))]
    ordered = table.cluster[order]
    found = []
    for cluster in clusters:
        start, end = np.searchsorted(ordered, cluster, "left"), np.searchsorted(ordered, cluster, "right")
        found += table.face[order[start : min(end, start + _IN_THE_MIDDLE)]].tolist()
    return found


def _shown(view: PeopleView, positions: I64) -> dict[str, int]:
    people, counts = np.unique(view.person[positions], return_counts=True)
    return {
        view.roster.title(person): number
        for person, number in zip(people.tolist(), counts.tolist(), strict=True)
        if person >= 0
    }
