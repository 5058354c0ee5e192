"""Clusters by person: which of them an export contains, and how their folders are named."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from faceindex.errors import UsageError
from faceindex.export.names import LONGEST, UniqueNames, clash_key, safe_name
from faceindex.store import FaceTable
from faceindex.types import I64

__all__ = ["Choice", "find_person", "folder_names", "merge_people", "select_faces"]

_MOST_SUGGESTIONS = 3
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
        Names of chosen people; case and Unicode's form are ignored. Without chosen clusters or people, all
        are exported.
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
        people = {find_person(names.values(), person) for person in self.people}
        named = {cluster for cluster, name in names.items() if name in people}
        return (named & present) | set(self.clusters)


def find_person(names: Iterable[str], given: str) -> str:
    """Find a person by name. Case, Unicode's form and additional spaces are ignored.

    Parameters
    ----------
    names : iterable of str
        Of all people; a name may be repeated.
    given : str

    Returns
    -------
    str
        The name as it is in `names`.

    Raises
    ------
    UsageError
        If no person has the name; the message lists the nearest ones. Also if several have it and none is
        written exactly so.
    """
    known = sorted(set(names))
    if given in known:
        return given
    by_key: dict[str, list[str]] = {}
    for name in known:
        by_key.setdefault(_key(name), []).append(name)
    found = by_key.get(_key(given), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"Several people are named '{given}'.", f"Choose {_listed(found)}.")
    problem = f"There is no person '{given}'."
    if not known:
        raise UsageError(problem, "No cluster has the name of a person yet.")
    if near := _nearest(given, known):
        raise UsageError(problem, f"Did you mean {_listed(near)}?")
    more = len(known) - _MOST_SUGGESTIONS
    shown = [f"'{name}'" for name in known[:_MOST_SUGGESTIONS]] + ([f"{more:,} more"] if more > 0 else [])
    raise UsageError(problem, f"Names in this index: {', '.join(shown)}.")


def _nearest(given: str, known: list[str]) -> list[str]:
    """Return the names that start like a name or share a word with it, then those that are spelt alike."""
    by_key = {_without_accents(name): name for name in known}
    key = _without_accents(given)
    words = set(key.split())
    near = [other for other in by_key if key and (other.startswith(key) or words & set(other.split()))]
    near += difflib.get_close_matches(key, by_key, n=_MOST_SUGGESTIONS)
    alike = set(difflib.get_close_matches(key, {word for other in by_key for word in other.split()}))
    near += [other for other in by_key if alike & set(other.split())]
    return [by_key[other] for other in dict.fromkeys(near)][:_MOST_SUGGESTIONS]


def _without_accents(name: str) -> str:
    letters = unicodedata.normalize("NFKD", _key(name))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _key(name: str) -> str:
    return clash_key(" ".join(name.split()))


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


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
