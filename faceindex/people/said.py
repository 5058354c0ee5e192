"""What the user said of the faces on a query photo, by its picture; the index need not have the photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceindex.matching import match_boxes
from faceindex.orientation import to_upright
from faceindex.people.dates import first_second
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.people.roster import Roster
    from faceindex.people.view import PeopleView
    from faceindex.store.decisions import DecisionTables
    from faceindex.types import F32

__all__ = ["NOTHING", "Said", "left_out", "not_yet_born", "said_of_faces"]


@dataclass(frozen=True, slots=True)
class Said:
    """What the user said of a face.

    Attributes
    ----------
    label : Label
    person : int or None
        The person whom the label names.
    cluster : int or None
        The cluster of this face in the index.
    not_people : frozenset of int
        People whom the face does not show.
    not_clusters : frozenset of int
        Clusters of faces that are of another person.
    """

    label: Label = Label.NONE
    person: int | None = None
    cluster: int | None = None
    not_people: frozenset[int] = frozenset()
    not_clusters: frozenset[int] = frozenset()

    @property
    def nobody(self) -> bool:
        """Whether the face is a stranger's, or not a face."""
        return self.label in (Label.STRANGER, Label.NOT_A_FACE)


NOTHING = Said()


def said_of_faces(
    tables: DecisionTables,
    roster: Roster,
    picture: bytes,
    orientation: int,
    size: tuple[int, int],
    boxes: F32,
) -> list[Said]:
    """Find what the user said of the faces on a picture, by the places of their boxes.

    The boxes may be of another detector, and the photo a copy at another path, with other metadata, or one
    that the index does not have (any more).

    Parameters
    ----------
    tables : DecisionTables
    roster : Roster
    picture : bytes
        Hash of the picture (`faceindex.images.Picture`).
    orientation : int
        The EXIF orientation of the photo.
    size : (int, int)
        Width and height of the upright photo.
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo.

    Returns
    -------
    list of Said
        One for each box.
    """
    marked = tables.marks_on_picture(picture) if len(boxes) and tables.exist else []
    if not marked:
        return [NOTHING] * len(boxes)
    places = np.frombuffer(b"".join(box for _, box in marked), "<f4").reshape(-1, 4)
    here = to_upright(places, np.full(len(places), orientation)) * np.array([*size, *size], np.float32)
    found = match_boxes(here, boxes).tolist()
    return [NOTHING if i < 0 else _said(tables, roster, marked[i][0]) for i in found]


def _said(tables: DecisionTables, roster: Roster, mark: int) -> Said:
    state = tables.labels([mark])[mark]
    apart = {a if b == mark else b for (a, b), (same, _) in tables.links([mark]).items() if not same}
    others = tables.labels(sorted(apart)).values()
    people = {person for _, person in tables.rejections([mark])}
    people.update(other.person for other in others if other.person is not None)
    own = _clusters(tables, [mark])
    return Said(
        label=state.label,
        person=None if state.person is None else roster.roots[state.person],
        cluster=min(own, default=None),
        not_people=frozenset(roster.roots[person] for person in people),
        not_clusters=frozenset(_clusters(tables, apart) - own),
    )


def _clusters(tables: DecisionTables, marks: Iterable[int]) -> set[int]:
    faces = [face for faces in tables.faces_of_marks(sorted(marks)).values() for face in faces]
    return set(tables.assigned(faces).values())


def not_yet_born(roster: Roster, taken: int | None) -> set[int]:
    """Return the people who were born after a photo was taken, at the earliest moment of the date of birth.

    Parameters
    ----------
    roster : Roster
    taken : int or None
        Capture time in seconds since 1970-01-01T00:00; None if it is not known.
    """
    if taken is None:
        return set()
    return {record.id for record in roster.people() if record.born and first_second(record.born) > taken}


def left_out(view: PeopleView, said: Said, clusters: Iterable[int], unborn: set[int]) -> set[int]:
    """Return the clusters that a face cannot belong to, by what the user said.

    A face that is labelled can only belong to a cluster of its person: to its own one, if that is among
    `clusters`. Others cannot belong to people whom they do not show, or who were not born.

    Parameters
    ----------
    view : PeopleView
    said : Said
    clusters : iterable of int
        All clusters that faces are identified by.
    unborn : set of int
        People who were not born when the photo was taken.
    """
    if said.person is not None:
        every = set(clusters)
        own = {c for c, person in view.of_cluster.items() if person == said.person and c in every}
        if said.cluster in own:
            own = {said.cluster}
        return every - own
    people = {view.of_cluster[c] for c in said.not_clusters if c in view.of_cluster}
    people |= said.not_people | unborn
    if not people and not said.not_clusters:
        return set()
    return {c for c, person in view.of_cluster.items() if person in people} | set(said.not_clusters)
