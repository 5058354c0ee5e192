"""The decisions of the user as constraints on clusters."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from faceindex.clustering.constraints import Constraints, owners, resolve
from faceindex.people.dates import first_second
from faceindex.people.roster import Roster
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.store import Assignments
    from faceindex.store.decisions import DecisionTables
    from faceindex.types import F64, I32, I64

__all__ = [
    "all_constraints",
    "births_of",
    "capture_times",
    "constraints_of_faces",
    "constraints_since",
    "people_by_links",
    "places_of_marks",
    "roots_of",
]

_Ids = TypeVar("_Ids", "I32", "I64")


def all_constraints(tables: DecisionTables, table: Assignments) -> Constraints:
    """Return the constraints on all faces of an index.

    Parameters
    ----------
    tables : DecisionTables
    table : Assignments
        n faces.
    """
    return constraints_since(tables, table, 0)[0]


def constraints_since(tables: DecisionTables, table: Assignments, number: int) -> tuple[Constraints, I64]:
    """Return the constraints on all faces of an index, and the faces about which something new was said.

    Parameters
    ----------
    tables : DecisionTables
    table : Assignments
        n faces.
    number : int
        Of a decision.

    Returns
    -------
    constraints : Constraints
    decided : (m,) int64
        Positions of the faces about which later decisions say something.
    """
    if not tables.newest():
        return Constraints.empty(len(table)), np.empty(0, np.int64)
    roster = Roster.of(tables.people())
    births = births_of(roster)
    marked = tables.marked_faces()
    marked = marked[np.isin(marked["face"], table.face)]  # while an index moves to other models, some are not
    at = np.searchsorted(table.face, marked["face"])
    person = np.full(len(table), -1, np.int64)
    nobody = np.zeros(len(table), bool)
    person[at] = roots_of(roster, marked["person"])
    nobody[at] = np.isin(marked["label"], [Label.STRANGER, Label.NOT_A_FACE])
    # A mark has several faces if its picture is at several paths.
    order = np.argsort(marked["mark"], kind="stable")
    marks, places = marked["mark"][order], at[order]
    rejections, links = tables.all_rejections(), tables.all_links()
    which, faces = places_of_marks(rejections[:, 0], marks, places)
    rejected = np.stack([faces, roots_of(roster, rejections[which, 1])], axis=1)
    pairs = []
    for same in (1, 0):
        chosen = links[links[:, 2] == same]
        chosen = chosen[np.argsort(chosen[:, 3], kind="stable")]
        link, one = places_of_marks(chosen[:, 0], marks, places)
        again, other = places_of_marks(chosen[link, 1], marks, places)
        pairs.append(np.stack([one[again], other], axis=1))
    constraints = Constraints(
        person=person,
        nobody=nobody,
        rejected=rejected,
        same=pairs[0],
        different=pairs[1],
        taken=capture_times(tables, table) if births else np.full(len(table), np.nan),
        born=births,
    )
    late = np.concatenate([rejections[rejections[:, 2] > number, 0], links[links[:, 3] > number, :2].ravel()])
    decided = (marked["written"] > number) | np.isin(marked["mark"], late)
    return constraints, at[decided]


def constraints_of_faces(tables: DecisionTables, roster: Roster, faces: list[int]) -> Constraints:
    """Return the constraints on some faces, read for these alone.

    They contain what was said about other faces as far as it concerns these: a face that is different from a
    face of a person, wherever that is, is rejected from the person.

    Parameters
    ----------
    tables : DecisionTables
    roster : Roster
    faces : list of int
        n faces.
    """
    others = _linked_faces(tables, faces) if tables.has_links else []
    known = _constraints_among(tables, roster, [*faces, *others])
    return resolve(known).select(np.arange(len(faces))) if others else known


def _linked_faces(tables: DecisionTables, faces: list[int]) -> list[int]:
    """Return the other faces that matter for some faces because of links.

    These are the faces that are the same person as one of them, those that are different from these, and
    those that are the same person as the latter. Links lead no further than to a label.

    Parameters
    ----------
    tables : DecisionTables
    faces : list of int
    """
    own = set(tables.marks_of_faces(faces).values())
    near, apart = _same_and_different(tables, own)
    far, _ = _same_and_different(tables, apart)
    faces_of = tables.faces_of_marks(sorted((near | far) - own)).values()
    return sorted({face for each in faces_of for face in each} - set(faces))


def _same_and_different(tables: DecisionTables, marks: Set[int]) -> tuple[set[int], set[int]]:
    """Return the marks that are the same person as some marks, and those that are different from these."""
    same, different = set(marks), set[int]()
    free = _without_person(tables, same)
    while free:
        new = set[int]()
        for pair, (is_same, _) in tables.links(free).items():
            (new if is_same else different).update(pair)
        new -= same
        same |= new
        free = _without_person(tables, new)
    return same, different - same


def _without_person(tables: DecisionTables, marks: Set[int]) -> list[int]:
    return [mark for mark, state in tables.labels(sorted(marks)).items() if state.person is None]


def people_by_links(labels: I64, constraints: Constraints) -> dict[int, int]:
    """Return the people of clusters, also of those with a face that is the same person as a labelled one.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each face, -1 for none.
    constraints : Constraints
        On the n faces.
    """
    clusters, people = owners(labels, resolve(constraints).person)
    return dict(zip(clusters.tolist(), people.tolist(), strict=True))


def _constraints_among(tables: DecisionTables, roster: Roster, faces: list[int]) -> Constraints:
    """Return what was said about some faces and pairs of them."""
    position = {face: i for i, face in enumerate(faces)}
    mark_of = tables.marks_of_faces(faces)
    places: dict[int, list[int]] = {}
    for face, mark in mark_of.items():
        places.setdefault(mark, []).append(position[face])
    marks = sorted(places)
    person = np.full(len(faces), -1, np.int64)
    nobody = np.zeros(len(faces), bool)
    for mark, state in tables.labels(marks).items():
        if state.person is not None:
            person[places[mark]] = roster.roots[state.person]
        nobody[places[mark]] = state.label in (Label.STRANGER, Label.NOT_A_FACE)
    births = births_of(roster, set(person.tolist()))
    taken = np.full(len(faces), np.nan)
    if births:
        known = tables.capture_times(faces)
        taken = np.array([known.get(face, np.nan) for face in faces], np.float64)
    rejected = [(at, roster.roots[other]) for mark, other in tables.rejections(marks) for at in places[mark]]
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for (a, b), (same, _) in sorted(tables.links(marks).items(), key=lambda item: item[1][1]):
        pairs[same] += [(one, other) for one in places.get(a, ()) for other in places.get(b, ())]
    return Constraints(
        person=person,
        nobody=nobody,
        rejected=_pairs(rejected),
        same=_pairs(pairs[True]),
        different=_pairs(pairs[False]),
        taken=taken,
        born=births,
    )


def places_of_marks(wanted: I64, marks: I32 | I64, places: I32 | I64) -> tuple[I64, I64]:
    """Return the faces of marks: for each the index into `wanted`, and its position.

    Parameters
    ----------
    wanted : (k,) int64
        Marks; those without a face are left out.
    marks, places : (m,) int32 or int64
        The mark of each marked face, ascending, and the position of the face.
    """
    first, end = np.searchsorted(marks, wanted, "left"), np.searchsorted(marks, wanted, "right")
    number = end - first
    which = np.repeat(np.arange(len(wanted)), number)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(number) - number, number)
    return which, places[first[which] + offset].astype(np.int64)


def roots_of(roster: Roster, people: _Ids) -> _Ids:
    """Return the people that some people, -1 for none, are part of; of the same type."""
    if not roster.roots:
        own: _Ids = people.copy()
        return own
    by_id = np.full(max(roster.roots) + 2, -1, people.dtype)
    by_id[list(roster.roots)] = list(roster.roots.values())
    roots: _Ids = by_id[people]  # -1 is the last one
    return roots


def capture_times(tables: DecisionTables, table: Assignments) -> F64:
    """Return the capture time of each face, in seconds; NaN where it is unknown."""
    photos, times = tables.photo_times()
    taken = np.full(len(table), np.nan)
    if len(photos):
        at = np.minimum(np.searchsorted(photos, table.photo), len(photos) - 1)
        known = photos[at] == table.photo
        taken[known] = times[at[known]]
    return taken


def births_of(roster: Roster, people: Set[int] | None = None) -> dict[int, float]:
    """Return when people were born, in seconds, as the capture times; `people` None means all."""
    return {
        id: float(first_second(born))
        for id, record in roster.records.items()
        if (people is None or id in people) and roster.roots[id] == id and (born := record.born)
    }


def _pairs(pairs: list[tuple[int, int]]) -> I64:
    return np.array(pairs, np.int64).reshape(-1, 2)
