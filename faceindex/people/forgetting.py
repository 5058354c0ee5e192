"""Take forgotten people and faces out of the journal of decisions, and out of journals from elsewhere.

An entry of the journal stays, with its number and time, so that numbers and the order of decisions hold. What
it says of the forgotten is deleted from its actions, its changes and its command. An entry that says nothing
else has the single action ``forgotten``; it cannot be undone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from faceindex.people.exchange import FaceMark, FileDecision
from faceindex.people.roster import name_key
from faceindex.store.forgotten import is_at_places

if TYPE_CHECKING:
    from faceindex.people.roster import Roster
    from faceindex.store.decisions import DecisionTables
    from faceindex.store.forgotten import ForgottenTables, Place

__all__ = [
    "FORGOTTEN",
    "Forgotten",
    "names_of_people",
    "redact_journal",
    "undone_namesakes",
    "without_forgotten",
]

FORGOTTEN: Final = "(forgotten)"
"""Stands in commands for what was forgotten."""

_NOTHING_LEFT: Final[list[dict[str, Any]]] = [{"do": "forgotten"}]
_VERB = re.compile(r"(?:people|import) [a-z-]+(?= |$)")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is forgotten of a journal.

    Attributes
    ----------
    people : frozenset of int
        Ids of people, with all that were merged into them.
    uids : frozenset of str
        Their uids.
    marks, faces : frozenset of int
    names : frozenset of str
        All names that these people have or had, but for those of other people.
    """

    people: frozenset[int]
    uids: frozenset[str]
    marks: frozenset[int]
    faces: frozenset[int]
    names: frozenset[str]


def names_of_people(
    tables: DecisionTables, roster: Roster, people: Collection[int]
) -> tuple[set[str], set[str]]:
    """Return all names that people have or had, and which of them other people have, too."""
    uids = {roster.records[person].uid for person in people}
    names = {record.name for person in people if (record := roster.records[person]).name is not None}
    for decision in tables.decisions():
        for action in _flat(decision.actions):
            if action.get("person") not in uids:
                continue
            values = action.get("set")
            given = values.get("name") if isinstance(values, dict) else None
            names.update(name for name in (given, action.get("name")) if isinstance(name, str))
        for change in tables.changes(decision.number) if uids else ():
            if change[0] == "person" and change[1] in people:
                names.update(state["name"] for state in change[2:] if state and state["name"] is not None)
    others = {
        name_key(record.name)
        for record in roster.records.values()
        if record.id not in people and record.name is not None
    }
    shared = {name for name in names if name_key(name) in others}
    return names - shared, shared


def undone_namesakes(tables: DecisionTables, roster: Roster, people: Collection[int]) -> set[int]:
    """Return the people whose decisions were all undone, and who had a name that only `people` have or had.

    Nobody can refer to them any more, but the journal still has their names. Naming again what was undone
    adds a person of the same name.
    """
    undone = {record.uid: record.id for record in roster.records.values() if not record.written}
    if not undone or not people:
        return set()
    keys = {name_key(name) for name in names_of_people(tables, roster, people)[0]}
    found = set()
    for decision in tables.decisions():
        for action in _flat(decision.actions):
            person = undone.get(action.get("person", ""))
            values = action.get("set")
            given = values.get("name") if isinstance(values, dict) else None
            names = (given, action.get("name"))
            if person is not None and any(isinstance(n, str) and name_key(n) in keys for n in names):
                found.add(person)
    return found


def redact_journal(tables: DecisionTables, roster: Roster, forgotten: Forgotten) -> int:
    """Delete what the journal says of the forgotten; inside a transaction.

    Parameters
    ----------
    tables : DecisionTables
    roster : Roster
        The people, with those that are forgotten.
    forgotten : Forgotten

    Returns
    -------
    int
        Number of entries that changed.
    """
    decisions = tables.decisions()[::-1]
    redacted: set[str] = set()
    number = 0
    words = _words(forgotten.names)
    titles = {record.uid: roster.title(id) for id, record in roster.records.items()}
    for decision in decisions:
        actions = _redact_actions(decision.actions, forgotten, titles)
        before = tables.changes(decision.number)
        changes = _redact_changes(before, forgotten)
        gone = bool(decision.actions) and not actions
        if gone:
            actions, changes = _NOTHING_LEFT, []
        command = decision.command
        target = decision.actions[0].get("decision") if decision.actions else None
        if gone:
            command = FORGOTTEN
        elif target in redacted:
            command = f"people undo  # {FORGOTTEN}"
        elif actions != decision.actions and (forgotten.people or _draws(decision.actions)):
            verb = _VERB.match(command)
            command = f"{verb[0] if verb else 'people'} {FORGOTTEN}"
        elif words is not None:
            command = words.sub(FORGOTTEN, command)
        if (command, actions, changes) == (decision.command, decision.actions, before):
            continue
        redacted.add(decision.uid)
        tables.rewrite(decision.number, command, actions, changes)
        number += 1
    return number


def _draws(actions: Sequence[dict[str, Any]]) -> bool:
    """Whether a decision drew a face, so that its command has the photo and the box."""
    return any(action.get("do") == "face" for action in _flat(actions))


def _words(names: Collection[str]) -> re.Pattern[str] | None:
    """Return a pattern of names as whole words, the longest first; None without names."""
    plain = {form for name in names for form in (name, name_key(name))}
    quoted = {shlex.quote(f"{name} ")[1:-2] for name in plain}  # inside the quotes of a command
    every = sorted(plain | quoted, key=len, reverse=True)
    if not every:
        return None
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, every)) + r")(?!\w)", re.IGNORECASE)


def _flat(actions: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for action in actions:
        if action.get("do") == "left_out":
            yield from _flat(action.get("actions", ()))
        else:
            yield action


def _redact_actions(
    actions: Sequence[dict[str, Any]], forgotten: Forgotten, titles: dict[str, str]
) -> list[dict[str, Any]]:
    found = []
    for action in actions:
        kept = _redact_action(action, forgotten, titles)
        if kept is not None:
            found.append(kept)
    return found


def _redact_action(
    action: dict[str, Any], forgotten: Forgotten, titles: dict[str, str]
) -> dict[str, Any] | None:
    """Return an action without the forgotten people; None if nothing is left of it."""
    do = action.get("do")
    if do == "left_out":
        inner = _redact_actions(action["actions"], forgotten, titles)
        return {**action, "actions": inner} if inner else None
    if action.get("person") in forgotten.uids:
        return None
    if do == "person" and action["set"].get("into") in forgotten.uids:
        values = {key: value for key, value in action["set"].items() if key != "into"}
        return {**action, "set": values} if values else None
    if do == "merge":
        merged = [uid for uid in action["merged"] if uid not in forgotten.uids]
        return {**action, "merged": merged} if merged else None
    if do == "label" and action.get("name") in forgotten.names:
        action = {**action, "name": titles.get(action["person"], FORGOTTEN)}
    if "faces" not in action:
        return action
    faces = action["faces"]
    if do in ("different", "unlink"):
        groups = [[mark for mark in group if mark not in forgotten.marks] for group in faces]
        return {**action, "faces": groups} if all(groups) else None
    kept = [mark for mark in faces if mark not in forgotten.marks]
    return {**action, "faces": kept} if len(kept) >= (2 if do == "same" else 1) else None


def _redact_changes(changes: Sequence[list[Any]], forgotten: Forgotten) -> list[list[Any]]:
    """Return the changes without those of forgotten people, so that undoing the rest never restores them."""
    found = []
    for change in changes:
        kind, *values = change
        kept: list[Any] | None = change
        if kind == "mark":
            kept = _redact_mark(change, forgotten)
        elif kind == "rejection":
            kept = None if values[0] in forgotten.marks or values[1] in forgotten.people else change
        elif kind == "link":
            kept = None if forgotten.marks.intersection(values[:2]) else change
        elif kind == "cluster":
            kept = None if values[0] in forgotten.faces else change
        elif kind == "person":
            kept = _redact_person(change, forgotten)
        if kept is not None:
            found.append(kept)
    return found


def _redact_mark(change: list[Any], forgotten: Forgotten) -> list[Any] | None:
    kind, mark, before, after = change
    if mark in forgotten.marks or after[1] in forgotten.people:
        return None
    return [kind, mark, [0, None, before[2]] if before[1] in forgotten.people else before, after]


def _redact_person(change: list[Any], forgotten: Forgotten) -> list[Any] | None:
    kind, person, *states = change
    if person in forgotten.people:
        return None
    before, after = (
        {**state, "into": None} if state is not None and state["into"] in forgotten.people else state
        for state in states
    )
    # The row of the person has no such parent any more, so that the change still describes it.
    parts = [{**state, "written": 0} for state in (before, after) if state is not None]
    same = len(parts) == 2 and parts[0] == parts[1]
    return None if same else [kind, person, before, after]


# Journals from elsewhere -------------------------------------------------------------------------


def without_forgotten(
    decisions: Sequence[FileDecision], tables: ForgottenTables
) -> tuple[list[FileDecision], int]:
    """Return the decisions of a file without those about people and faces that were forgotten here.

    Returns
    -------
    decisions : list of FileDecision
    left_out : int
        Number of decisions of which at least a part is left out.
    """
    if not tables.exist:
        return list(decisions), 0
    uids = {
        uid
        for decision in decisions
        for action in decision.actions
        for uid in (action.get("person"), *action.get("merged", ()), action.get("set", {}).get("into"))
        if uid is not None
    }
    people = tables.people_among(uids)
    marks = {mark for decision in decisions for mark in decision.marks()}
    places: dict[bytes, list[Place]] = {}
    for picture, box in tables.places(sorted({mark.picture for mark in marks})):
        places.setdefault(picture, []).append((picture, box))
    gone = {
        mark
        for mark in marks
        if mark.picture in places and is_at_places(places[mark.picture], np.array(mark.box, "<f4").tobytes())
    }
    if not people and not gone:
        return list(decisions), 0
    found, number = [], 0
    for decision in decisions:
        actions = [
            kept for action in decision.actions if (kept := _without(action, people, gone)) is not None
        ]
        number += actions != decision.actions
        if actions or not decision.actions:
            command = decision.command if actions == decision.actions else FORGOTTEN
            found.append(replace(decision, actions=actions, command=command))
    return found, number


def _without(action: dict[str, Any], people: set[str], gone: set[FaceMark]) -> dict[str, Any] | None:
    """As `_redact_action`, for an action of a file."""
    return _redact_action(
        action,
        Forgotten(frozenset(), frozenset(people), gone, frozenset(), frozenset()),  # type: ignore[arg-type]
        {},
    )
