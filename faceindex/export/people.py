"""Clusters by person: which of them an export contains, and how their folders are named."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from faceindex.errors import UsageError
from faceindex.export.names import LONGEST, UniqueNames, safe_name
from faceindex.store import FaceTable
from faceindex.types import I64

__all__ = ["Choice", "folder_names", "merge_people", "select_faces"]

# Folders of clusters without a person, as `faceindex.export.clusters` names them.
_CLUSTER_FOLDER = re.compile(r"(cluster-)?\d+|unclustered", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """The clusters that an export contains.

    Attributes
    ----------
    clusters : collection of int
        Ids of chosen clusters.
    people : collection of str
        Names of chosen people, as the index has them. Without chosen clusters or people, all are exported.
    hidden : bool
        Whether clusters of hidden people are exported, too. Chosen ones are, in any case.
    """

    clusters: Collection[int] = ()
    people: Collection[str] = ()
    hidden: bool = False

    def includes_all(self) -> bool:
        """Return whether no cluster and no person was chosen."""
        return not self.clusters and not self.people

    def of(self, labels: I64, names: Mapping[int, str], hidden: Collection[int]) -> set[int]:
        """Return the ids of the clusters that are exported.

        Parameters
        ----------
        labels : (n,) int64
            Cluster of each face, -1 for none.
        names : mapping of int to str
            Names of people, by their clusters.
        hidden : collection of int
            Clusters of hidden people.

        Raises
        ------
        UsageError
            If a chosen cluster does not exist, or a chosen person has no cluster.
        """
        present = set(np.unique(labels[labels >= 0]).tolist())
        if self.includes_all():
            return present if self.hidden else present - set(hidden)
        for cluster in self.clusters:
            if cluster not in present:
                raise UsageError(
                    f"There is no cluster {cluster}.", "`faceindex clusters` lists the clusters."
                )
        chosen = set(self.clusters)
        for person in self.people:
            of_person = {cluster for cluster, name in names.items() if name == person} & present
            if not of_person:
                raise UsageError(
                    f"{person} has no faces in clusters.",
                    "`faceindex people` lists the clusters of each.",
                )
            chosen |= of_person
        return chosen


def folder_names(names: Iterable[str], longest: int = LONGEST) -> dict[str, str]:
    """Make a distinct folder name for each person, valid on every system.

    The result depends only on the names. A person whose name is a valid folder name gets it; the others
    who would get the same folder have eight hexadecimal digits more. A name that looks like the folder of
    a cluster without a person gets an underscore in front.

    Parameters
    ----------
    names : iterable of str
        Of all people, also of those who are not exported; a name may be repeated.
    longest : int
        As in `faceindex.export.names.safe_name`.

    Returns
    -------
    dict of str to str
        Folder names, by the names of people.
    """
    unique = UniqueNames(longest)
    folders = {}
    for name in sorted(set(names), key=lambda name: (safe_name(name, longest) != name, name)):
        wanted = f"_{name}" if _CLUSTER_FOLDER.fullmatch(safe_name(name, longest)) else name
        folders[name] = unique.add(wanted, "", name)
    return folders


def merge_people(labels: I64, names: Mapping[int, str]) -> tuple[I64, dict[int, list[int]]]:
    """Join the clusters of each person.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each face, -1 for none.
    names : mapping of int to str
        Names of people, by their clusters.

    Returns
    -------
    labels : (n,) int64
        Each cluster of a person is replaced by the lowest one that has a face.
    clusters : dict of int to list of int
        All clusters of each of these, ascending.
    """
    present, positions = np.unique(labels, return_inverse=True)
    first: dict[str, int] = {}
    merged = [
        first.setdefault(names[cluster], cluster) if names.get(cluster) and cluster >= 0 else cluster
        for cluster in present.tolist()
    ]
    clusters: dict[int, list[int]] = {}
    for into, cluster in zip(merged, present.tolist(), strict=True):
        if cluster >= 0:
            clusters.setdefault(into, []).append(cluster)
    return np.asarray(merged, np.int64)[positions].reshape(labels.shape), clusters


def select_faces(table: FaceTable, positions: I64) -> FaceTable:
    """Return the faces at some positions of a table."""
    return replace(table, **{field.name: getattr(table, field.name)[positions] for field in fields(table)})
