"""The decisions that a page can make: each verb, its fields, what it is about, and the call that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from faceindex.review.answers import Refusal

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.people_results import Decided, Person
    from faceindex.review.fields import Fields

__all__ = ["Act", "People", "read_act", "read_group"]

_MOST_MERGED: Final = 1_000

People = Callable[[int], "Person"]
"""Finds a person by id; raises `Refusal`."""


@dataclass(frozen=True, slots=True)
class Act:
    """A decision to be made.

    Attributes
    ----------
    uid : str
        Of the decision: sent again, it is not made again.
    seen : int
        The generation of the index that the page showed.
    verb : str
    decide : callable
        Makes the decision in an index that is open for writing.
    faces, clusters, people : tuple of int
        What it is about: nobody else may have changed it since.
    number : int or None
        Of an undo: the decision that was the newest.
    skips : str or None
        A question that is not asked again afterwards.
    repeats : bool
        Whether `decide` itself finds out that it has been carried out before.
    more : dict
        Further fields of the answer, filled by `decide`.
    """

    uid: str
    seen: int
    verb: str
    decide: Callable[[FaceIndex, People], Decided | None]
    faces: tuple[int, ...] = ()
    clusters: tuple[int, ...] = ()
    people: tuple[int, ...] = ()
    number: int | None = None
    skips: str | None = None
    repeats: bool = False
    more: dict[str, int] = field(default_factory=dict)


def read_act(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    """Read the fields of a verb; raises `Refusal` if they do not fit."""
    if verb not in _VERBS:
        raise Refusal(400, "There is no such decision.", f"Choose one of {', '.join(sorted(_VERBS))}.")
    act = _VERBS[verb](fields, uid, seen, verb)
    fields.end()
    return act


def _name(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    name, faces, clusters = fields.text("name"), fields.integers("faces"), fields.integers("clusters")

    def decide(index: FaceIndex, people: People) -> Decided:
        return index.people.name(name, faces=faces, clusters=clusters, uid=uid)

    return Act(uid, seen, verb, decide, tuple(faces), tuple(clusters))


def _confirm_or_reject(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    faces = fields.integers("faces", least=1)
    person = fields.integer("person") if "person" in fields else None

    def decide(index: FaceIndex, people: People) -> Decided:
        call = index.people.confirm if verb == "confirm" else index.people.reject
        return call(faces, None if person is None else people(person), uid=uid)

    return Act(uid, seen, verb, decide, tuple(faces), people=_some(person))


def _nobody(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    faces, clusters = fields.integers("faces"), fields.integers("clusters")

    def decide(index: FaceIndex, people: People) -> Decided:
        call = index.people.ignore if verb == "ignore" else index.people.not_a_face
        return call(faces=faces, clusters=clusters, uid=uid)

    return Act(uid, seen, verb, decide, tuple(faces), tuple(clusters))


def _same(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    faces = fields.integers("faces", least=2)
    return Act(uid, seen, verb, lambda index, people: index.people.same(faces, uid=uid), tuple(faces))


def _different(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    one, other = fields.integers("one", least=1), fields.integers("other", least=1)

    def decide(index: FaceIndex, people: People) -> Decided:
        return index.people.different(one, other, uid=uid)

    return Act(uid, seen, verb, decide, (*one, *other))


def _split(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    person, cluster = read_group(fields)
    faces, name = fields.integers("faces"), fields.text_or_none("name")

    def decide(index: FaceIndex, people: People) -> Decided:
        what = people(person) if person is not None else cluster
        assert what is not None
        return index.people.split(what, faces, name=name, uid=uid)[1]

    return Act(uid, seen, verb, decide, tuple(faces), _some(cluster), _some(person))


def read_group(fields: Fields) -> tuple[int | None, int | None]:
    """Read a person or a cluster."""
    if ("person" in fields) == ("cluster" in fields):
        raise Refusal(400, "A person or a cluster is missing, or both are given.")
    return (fields.integer("person"), None) if "person" in fields else (None, fields.integer("cluster"))


def _merge(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    into, others = fields.integer("into"), fields.integers("others", least=1, most=_MOST_MERGED)

    def decide(index: FaceIndex, people: People) -> Decided:
        return index.people.merge(people(into), *map(people, others), uid=uid)

    return Act(uid, seen, verb, decide, people=(into, *others))


_EDITED: Final[dict[str, Callable[[Fields], object]]] = {
    "rename": lambda fields: fields.text("name"),
    "born": lambda fields: fields.text_or_none("date") or None,
    "died": lambda fields: fields.text_or_none("date") or None,
    "hide": lambda fields: fields.flag("hidden"),
    "note": lambda fields: fields.text_or_none("note") or None,
}
"""What the verbs that change a person take besides the person. `index.people` has the same verbs."""


def _edit(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    person, value = fields.integer("person"), _EDITED[verb](fields)

    def decide(index: FaceIndex, people: People) -> Decided:
        edit: Callable[..., Decided] = getattr(index.people, verb)
        return edit(people(person), value, uid=uid)

    return Act(uid, seen, verb, decide, people=(person,))


def _undo(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    number = fields.integer("number")

    def decide(index: FaceIndex, people: People) -> Decided:
        return index.people.undo(uid=uid)[0][1]

    return Act(uid, seen, verb, decide, number=number)


def _add_face(fields: Fields, uid: str, seen: int, verb: str) -> Act:
    photo, box, name = fields.integer("photo"), fields.box("box"), fields.text_or_none("name")
    more: dict[str, int] = {}

    def decide(index: FaceIndex, people: People) -> Decided | None:
        more["face"], decided = index.add_face(photo, box, name=name, uid=uid)
        return decided

    return Act(uid, seen, verb, decide, repeats=True, more=more)


def _some(id: int | None) -> tuple[int, ...]:
    return () if id is None else (id,)


_VERBS: Final[dict[str, Callable[[Fields, str, int, str], Act]]] = {
    "name": _name,
    "confirm": _confirm_or_reject,
    "reject": _confirm_or_reject,
    "ignore": _nobody,
    "not_a_face": _nobody,
    "same": _same,
    "different": _different,
    "split": _split,
    "merge": _merge,
    "undo": _undo,
    "add_face": _add_face,
    **dict.fromkeys(_EDITED, _edit),
}
