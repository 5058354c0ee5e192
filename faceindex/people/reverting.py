"""Take a decision back: bring back what it changed, where nothing has changed since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faceindex.people.roster import Roster, name_key
from faceindex.store.decisions import DecisionTables, Label, MarkState, PersonRecord

__all__ = ["Reverting", "person_values", "state_values"]


class Reverting:
    """The part of `faceindex.people.editor.Editor` that undoes; attributes as there."""

    tables: DecisionTables
    number: int
    actions: list[dict[str, Any]]
    touched: set[int]
    left: set[int]
    removed: int
    roster: Roster
    _changes: list[list[Any]]
    _states: dict[int, MarkState]  # of the marks of the decision that is undone
    _restored: set[int]  # those of them that are not stored yet

    def undo(self, number: int, uid: str) -> int:
        """Bring back what a decision changed, where nothing has changed since.

        Parameters
        ----------
        number, uid
            Of the decision to undo.

        Returns
        -------
        int
            Number of values that stay, because a later decision changed them.
        """
        undo: dict[str, Callable[..., bool]] = {
            "mark": self._undo_mark,
            "rejection": self._undo_rejection,
            "link": self._undo_link,
            "person": self._undo_person,
            "face": self._undo_face,
            "cluster": lambda *_: True,  # `faceindex.people.settling` does it
        }
        kept = 0
        changes = self.tables.changes(number)
        marks = sorted({change[1] for change in changes if change[0] == "mark"})
        self._states, self._restored = self.tables.labels(marks), set()
        for kind, *values in reversed(changes):
            if kind != "mark":  # the others may read them
                self._store_labels()
            kept += not undo[kind](*values)
        self._store_labels()
        self.tables.set_undone(number, self.number)
        self.actions.append({"do": "undo", "decision": uid})
        return kept

    def _store_labels(self) -> None:
        self.tables.set_labels({mark: self._states[mark] for mark in self._restored})
        self._restored.clear()

    def _undo_mark(self, mark: int, before: list[Any], after: list[Any]) -> bool:
        now = self._states.get(mark)
        if now is None or state_values(now) != after:
            return False
        self._states[mark] = MarkState(Label(before[0]), before[1], before[2])
        self._restored.add(mark)
        self.touched.add(mark)
        self._changes.append(["mark", mark, after, before])
        return True

    def _undo_face(self, mark: int, before: int | None, after: int | None) -> bool:
        drawn = self.tables.drawn_faces
        if drawn.drawn(mark) != after or (after is not None and drawn.is_said_since(mark, after)):
            return False
        drawn.set_drawn(mark, before)
        if before is None:
            number, left = drawn.remove_faces(mark)
            self.left |= left
            self.removed += number
        self.touched.add(mark)
        self._changes.append(["face", mark, after, before])
        return True

    def _undo_rejection(self, mark: int, person: int, before: int | None, after: int | None) -> bool:
        if self.tables.rejections([mark]).get((mark, person)) != after:
            return False
        self.tables.set_rejection(mark, person, before)
        self.touched.add(mark)
        self._changes.append(["rejection", mark, person, after, before])
        return True

    def _undo_link(self, a: int, b: int, before: list[Any] | None, after: list[Any] | None) -> bool:
        now = self.tables.links([a]).get((a, b))
        if now != (None if after is None else (bool(after[0]), after[1])):
            return False
        self.tables.set_link(a, b, None if before is None else (bool(before[0]), before[1]))
        self.touched.update((a, b))
        self._changes.append(["link", a, b, after, before])
        return True

    def _undo_person(self, person: int, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        record = self.tables.person(person)
        if record is None or person_values(record) != after or self._is_needed(record, before):
            return False
        self._changes.append(["person", person, after, before])
        if before is None or any(before[key] != after[key] for key in ("into", "born")):
            members = self.roster.members(self.roster.roots[person])
            self.touched.update(self.tables.marks_of_people(members))  # clusters may have two people now
        if before is not None:
            restored = PersonRecord(person, record.uid, **before)
        else:
            # The row stays: decisions that were undone refer to it. `Roster.people` leaves it out.
            restored = PersonRecord(person, record.uid, None, None, None, False, None, None, 0)
        self.tables.update_person(restored, None if restored.name is None else name_key(restored.name))
        # Reading all people again, for each one of an import, would take minutes.
        self.roster = self.roster.with_record(restored)
        return True

    def _is_needed(self, record: PersonRecord, before: dict[str, Any] | None) -> bool:
        """Return whether a person cannot be as before: decisions of another machine may build on it."""
        if before is None:
            merged = any(other.into == record.id for other in self.roster.records.values())
            return merged or bool(self.tables.marks_of_people([record.id]))
        into = before["into"]
        if into is not None and into != record.into and self.roster.roots.get(into) == record.id:
            return True  # they would be parts of each other
        if into is not None or before["name"] is None:
            return False
        return any(p.id != record.id for p in self.tables.people_with_key(name_key(before["name"])))


def state_values(state: MarkState) -> list[Any]:
    """Return the state of a mark as changes of decisions have it."""
    return [int(state.label), state.person, state.written]


def person_values(record: PersonRecord | None) -> dict[str, Any] | None:
    """Return a person as changes of decisions have it; None for nobody."""
    if record is None:
        return None
    return {
        "name": record.name,
        "born": record.born,
        "died": record.died,
        "hidden": record.hidden,
        "note": record.note,
        "into": record.into,
        "written": record.written,
    }
