"""Which photos a query finds.

*Somebody* is on a photo if a face shows a person, by its label or its cluster, or is in a cluster without a
person. Faces in no cluster, which are blurred, small, or seen once, and faces that the user called strangers
or no faces, are nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.people.dates import ages
from faceindex.people.query import And, Anybody, ClusterNumber, Name, Not, Or, Query, Unnamed, leaves
from faceindex.people.roster import Roster, name_key

if TYPE_CHECKING:
    from faceindex.store.finding import PhotoQueries

__all__ = ["Finder", "Meant", "check_ages"]


@dataclass(frozen=True, slots=True)
class Meant:
    """The faces that a query is about: those of its names, clusters and so on outside of ``!``.

    Attributes
    ----------
    people : frozenset of int
        After merges.
    clusters : frozenset of int
    anybody, unnamed : bool
        Whether all faces are meant, or all that are in clusters without a person.
    """

    people: frozenset[int] = frozenset()
    clusters: frozenset[int] = frozenset()
    anybody: bool = False
    unnamed: bool = False

    def __bool__(self) -> bool:
        return bool(self.people or self.clusters or self.anybody or self.unnamed)

    def includes(self, cluster: int | None, person: int | None) -> bool:
        """Return whether a term stands for the faces of a cluster that show a person; None for no person."""
        if self.anybody or person in self.people or cluster in self.clusters:
            return True
        return self.unnamed and person is None


@dataclass(frozen=True, slots=True)
class _Photos:
    """Some photos, or all but these."""

    ids: set[int]
    all_but: bool = False

    def __and__(self, other: _Photos) -> _Photos:
        if self.all_but and other.all_but:
            return _Photos(self.ids | other.ids, True)
        if self.all_but:
            return _Photos(other.ids - self.ids)
        if other.all_but:
            return _Photos(self.ids - other.ids)
        return _Photos(self.ids & other.ids)

    def __invert__(self) -> _Photos:
        return _Photos(self.ids, not self.all_but)

    def __or__(self, other: _Photos) -> _Photos:
        return ~(~self & ~other)


class Finder:
    """Answers queries about one state of an index.

    Parameters
    ----------
    queries : PhotoQueries
    roster : Roster
    """

    def __init__(self, queries: PhotoQueries, roster: Roster) -> None:
        self._queries = queries
        self.roster = roster
        self._by_key: dict[str, list[int]] = {}
        for record in roster.people():
            if record.name is not None:
                self._by_key.setdefault(name_key(record.name), []).append(record.id)

    def people(self, name: str) -> list[int]:
        """Return the people with a name: one, unless journals of several machines disagree.

        Raises
        ------
        UsageError
            If nobody has the name; lists the nearest names.
        """
        return self._by_key.get(name_key(name)) or [self.roster.find(name).id]  # raises

    def photos(self, query: Query) -> set[int]:
        """Return the photos that a query finds, among those that could be read.

        Raises
        ------
        UsageError
            If a name or a cluster is not in the index.
        """
        found = self._evaluate(query)
        return self._queries.readable() - found.ids if found.all_but else found.ids

    def _evaluate(self, query: Query) -> _Photos:
        match query:
            case Name(name):
                people = {member for one in self.people(name) for member in self.roster.members(one)}
                return _Photos(self._queries.of_people(people))
            case ClusterNumber(cluster):
                if not self._queries.has_cluster(cluster):
                    raise UsageError(
                        f"There is no cluster {cluster}.", "`faceindex clusters` lists the clusters."
                    )
                return _Photos(self._queries.of_cluster(cluster))
            case Anybody():
                return _Photos(self._queries.with_anybody())
            case Unnamed():
                return _Photos(self._queries.with_unnamed())
            case Not(term):
                return ~self._evaluate(term)
            case And(terms):
                found = self._evaluate(terms[0])
                for term in terms[1:]:
                    found &= self._evaluate(term)
                return found
            case Or(terms):
                found = self._evaluate(terms[0])
                for term in terms[1:]:
                    found |= self._evaluate(term)
                return found

    def meant(self, query: Query) -> Meant:
        """Return the faces that a query is about; raises `UsageError` as `photos`."""
        wanted = [leaf for leaf, negated in leaves(query) if not negated]
        return Meant(
            people=frozenset(p for leaf in wanted if isinstance(leaf, Name) for p in self.people(leaf.name)),
            clusters=frozenset(leaf.cluster for leaf in wanted if isinstance(leaf, ClusterNumber)),
            anybody=any(isinstance(leaf, Anybody) for leaf in wanted),
            unnamed=any(isinstance(leaf, Unnamed) for leaf in wanted),
        )

    def faces_on(self, photos: Iterable[int]) -> dict[int, list[tuple[int, int | None, int | None]]]:
        """Return face, cluster and person, after merges, of the faces of somebody on each photo."""
        roots = self.roster.roots
        found: dict[int, list[tuple[int, int | None, int | None]]] = {}
        for photo, face, cluster, person in self._queries.faces_on(photos):
            shown = (face, cluster, None if person is None else roots[person])
            found.setdefault(photo, []).append(shown)
        return found

    def births(self, name: str) -> list[str]:
        """Return the dates of birth of the people with a name.

        Raises
        ------
        UsageError
            If nobody has the name, or one of them has no date of birth.
        """
        dates = []
        for person in self.people(name):
            if (born := self.roster.records[person].born) is None:
                title = self.roster.title(person)
                raise UsageError(
                    f"The date of birth of {title} is not known.",
                    "Set it with `faceindex people born NAME DATE`; a year is enough.",
                )
            dates.append(born)
        return dates


def check_ages(born: Iterable[str], taken: int, youngest: int, oldest: int) -> bool:
    """Return whether somebody may have been of some age on a photo.

    Parameters
    ----------
    born : iterable of str
        Dates of birth, one of which counts; a year or a month means any of its days.
    taken : int
        Capture time in seconds since 1970-01-01T00:00.
    youngest, oldest : int
        Full years, inclusive.
    """
    return any(low <= oldest and high >= youngest for low, high in (ages(date, taken) for date in born))
