"""Make one decision: what it changes, and how to undo it.

A later decision counts more than an earlier one that contradicts it. So an action removes what contradicts
it: naming a face ends its rejection from the person, a rejection ends the label, and so on. All changed
values are kept with the decision, so that it can be undone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from faceindex.errors import UsageError
from faceindex.people.reverting import Reverting, person_values, state_values
from faceindex.people.roster import Roster, clean_name, name_key
from faceindex.store.decisions import DecisionTables, Label, MarkState, PersonRecord

__all__ = ["FIELDS", "LABEL_NAMES", "Editor", "marks_of_changes", "people_named"]

FIELDS = ("name", "born", "died", "hidden", "note")
"""Fields of a person that a decision can set."""

LABEL_NAMES = {
    Label.NAMED: "named",
    Label.CONFIRMED: "confirmed",
    Label.STRANGER: "stranger",
    Label.NOT_A_FACE: "not_a_face",
}
"""How labels are written in actions."""


class Editor(Reverting):
    """One decision while it is made, inside a transaction.

    Parameters
    ----------
    tables : DecisionTables
    command : str
        What made it, for the journal.
    at : datetime
    uid : str, optional
        None means a new one.
    roster : Roster, optional
        The people before the decision; None reads them.

    Attributes
    ----------
    number : int
        Of the decision.
    actions : list
        What the decision says so far.
    touched : set of int
        Marks that it changed.
    left : set of int
        Clusters that have lost a face, because it does not exist any more.
    removed : int
        Number of such faces.
    roster : Roster
        The people, with all changes so far.
    """

    def __init__(
        self,
        tables: DecisionTables,
        command: str,
        at: datetime,
        uid: str | None = None,
        roster: Roster | None = None,
    ) -> None:
        self.tables = tables
        self.number = tables.append(uid or uuid4().hex, at, command, [])
        self.actions: list[dict[str, Any]] = []
        self.touched: set[int] = set()
        self.left: set[int] = set()
        self.removed = 0
        self.roster = Roster.of(tables.people()) if roster is None else roster
        self._changes: list[list[Any]] = []

    @property
    def changes_nothing(self) -> bool:
        """Whether the index says all of it already."""
        return not self._changes and not any(action["do"] == "undo" for action in self.actions)

    @property
    def marks(self) -> set[int]:
        """Marks about which it says something else than before; those of `touched` may only move."""
        return marks_of_changes(self._changes)

    def finish(self) -> None:
        """Store the actions and the changes."""
        self.tables.set_actions(self.number, self.actions)
        self.tables.set_changes(self.number, self._changes)

    def record_cluster(self, face: int, before: int | None, after: int | None) -> None:
        """Keep that the decision moved a face between clusters, None for none."""
        self._changes.append(["cluster", face, before, after])

    def people_concerned(self) -> list[int]:
        """Return the people that the actions so far name, in their order."""
        return people_named(self.actions, self.roster)

    # People ------------------------------------------------------------------------------------

    def person(self, name: str) -> int:
        """Return the person with a name, or add one."""
        cleaned = clean_name(name)
        if known := self.tables.people_with_key(name_key(cleaned)):
            return known[0].id
        return self.set_person(uuid4().hex, {"name": cleaned})

    def set_person(self, uid: str, values: Mapping[str, Any], *, merge_names: bool = False) -> int:
        """Set fields of a person, who is added if the uid is new; returns the id.

        Parameters
        ----------
        uid : str
        values : mapping
            Of `FIELDS`, and ``into``: the uid of the person that this one is a part of.
        merge_names : bool
            A new person with the name of another one becomes a part of that one.

        Raises
        ------
        UsageError
            If another person has the name.
        """
        record = self.tables.person_with_uid(uid)
        before = record
        if record is None:
            record = PersonRecord(
                self.tables.insert_person(uid, self.number), uid, None, None, None, False, None, None, 0
            )
        given = dict(values)
        is_new = not record.written
        name = values.get("name", record.name)
        into = None if "into" not in values else self.tables.person_with_uid(values["into"])
        if (
            into is not None
            and before is not None
            and self.roster.roots[into.id] == self.roster.roots[before.id]
        ):
            into = None  # no circles
        if name is not None and name != record.name and into is None:
            others = [p for p in self.tables.people_with_key(name_key(name)) if p.id != record.id]
            if others and merge_names and is_new:
                into, given["into"] = others[0], others[0].uid
            elif others:
                if before is None:
                    self.tables.delete_person(record.id)
                raise UsageError(
                    f"Another person has the name '{others[0].name}'.",
                    "Choose another name, or merge the two.",
                )
        if record.born != values.get("born", record.born):
            members = self.roster.members(self.roster.roots[record.id]) if before else []
            self.touched.update(self.tables.marks_of_people(members))
        fields = {key: value for key, value in given.items() if key in FIELDS}
        if into is not None:
            fields["into"] = into.id
        else:
            given.pop("into", None)
        if is_new or any(getattr(record, key) != value for key, value in fields.items()):
            self._set_record(before, replace(record, **fields, written=self.number))
        self.actions.append({"do": "person", "person": uid, "set": given})
        return record.id

    def merge(self, into: int, others: Sequence[int]) -> None:
        """Make people parts of another one."""
        for other in others:
            record = self.tables.person(other)
            assert record is not None
            self._set_record(record, replace(record, into=into, written=self.number))
        root = self.roster.roots[into]
        members = self.roster.members(root)
        # Their other faces may be in clusters of the whole person now, from whom they are rejected.
        self.touched.update(self.tables.rejected_from_people(members))
        self.touched.update(self.tables.different_from_people(members))
        if self.roster.records[root].born is not None:
            self.touched.update(self.tables.marks_of_people([m for m in members if m != root]))
        self.actions.append(
            {"do": "merge", "person": self._uid(into), "merged": [self._uid(o) for o in others]}
        )

    def _set_record(self, before: PersonRecord | None, after: PersonRecord) -> None:
        self._changes.append(["person", after.id, person_values(before), person_values(after)])
        self.tables.update_person(after, None if after.name is None else name_key(after.name))
        self.roster = self.roster.with_record(after)

    def _uid(self, person: int) -> str:
        return self.roster.records[person].uid

    # Faces -------------------------------------------------------------------------------------

    def draw(self, marks: Sequence[int]) -> None:
        """Say that there are faces at these marks, whether or not a detector finds them."""
        for mark in marks:
            before = self.tables.drawn_faces.drawn(mark)
            if before is None:
                self.tables.drawn_faces.set_drawn(mark, self.number)
                self.touched.add(mark)
                self._changes.append(["face", mark, None, self.number])
        states = self.tables.labels(marks)
        denied = [mark for mark, state in states.items() if state.label is Label.NOT_A_FACE]
        self._set_labels(states, {mark: MarkState(Label.NONE, None, self.number) for mark in denied})
        self.actions.append({"do": "face", "faces": list(marks)})

    def label(self, person: int, marks: Sequence[int], label: Label) -> None:
        """Say that faces show a person.

        What was said about a single face counts more than what is said about its cluster (`Label.NAMED`):
        confirmed faces stay so, and faces that do not show the person are left out.
        """
        roots = self.roster.roots
        root = roots[person]
        if label is Label.NAMED:
            refused = self._refused(root, marks)
            marks = [mark for mark in marks if mark not in refused]
        states = self.tables.labels(marks)
        new = {}
        for mark in marks:
            state = states[mark]
            is_same = state.person is not None and roots[state.person] == root
            if is_same and (label is Label.NAMED or state.label is label):
                continue
            new[mark] = MarkState(label, person, self.number)
        self._set_labels(states, new)
        for mark, rejected in self.tables.rejections(marks):
            if roots[rejected] == root:
                self._set_rejection(mark, rejected, None)
        self._drop_links(marks, lambda other, same: (
            other is not None and (roots[other] == root) is not same
        ))  # fmt: skip
        self.actions.append(
            {"do": "label", "person": self._uid(person), "name": self.roster.title(person),
             "as": LABEL_NAMES[label], "faces": list(marks)}
        )  # fmt: skip

    def _refused(self, root: int, marks: Sequence[int]) -> set[int]:
        """Return the marks that were rejected from a person, or are different from a face of the person."""
        roots = self.roster.roots
        refused = {mark for mark, person in self.tables.rejections(marks) if roots[person] == root}
        links = self.tables.links(marks)
        states = self.tables.labels(sorted({mark for pair in links for mark in pair}))
        for (a, b), (same, _) in links.items():
            for mark, other in ((a, b), (b, a)):
                person = states[other].person
                if not same and person is not None and roots[person] == root:
                    refused.add(mark)
        return refused.intersection(marks)

    def reject(self, person: int, marks: Sequence[int]) -> None:
        """Say that faces do not show a person."""
        states = self.tables.labels(marks)
        roots = self.roster.roots
        root = roots[person]
        labelled = {
            mark: MarkState(Label.NONE, None, self.number)
            for mark, state in states.items()
            if state.person is not None and roots[state.person] == root
        }
        self._set_labels(states, labelled)
        known = self.tables.rejections(marks)
        for mark in marks:
            if (mark, root) not in known:
                self._set_rejection(mark, root, self.number)
        self._drop_links(marks, lambda other, same: same and other is not None and roots[other] == root)
        self.actions.append({"do": "reject", "person": self._uid(root), "faces": list(marks)})

    def nobody(self, label: Label, marks: Sequence[int]) -> None:
        """Say that faces are of strangers, or no faces."""
        states = self.tables.labels(marks)
        self._set_labels(
            states,
            {mark: MarkState(label, None, self.number) for mark in marks if states[mark].label is not label},
        )
        self.actions.append({"do": "nobody", "as": LABEL_NAMES[label], "faces": list(marks)})

    def same(self, marks: Sequence[int]) -> None:
        """Say that faces show one person.

        Raises
        ------
        UsageError
            If they have labels of two people.
        """
        people = self._labelled(marks)
        if len(people) > 1:
            names = " and ".join(sorted(self.roster.title(person) for person in people))
            raise UsageError(f"These faces are {names}.", "Merge these people if they are one.")
        for a, b in itertools.pairwise(marks):
            self._set_link(a, b, same=True)
        for pair, (is_same, _) in self.tables.links(marks).items():
            if not is_same and set(pair) <= set(marks):
                self._change_link(pair, None)
        self.actions.append({"do": "same", "faces": list(marks)})

    def different(self, one: Sequence[int], other: Sequence[int]) -> None:
        """Say that the faces of two groups show two people.

        Raises
        ------
        UsageError
            If the groups have labels of one person.
        """
        if both := self._labelled(one) & self._labelled(other):
            raise UsageError(
                f"Faces on both sides are {self.roster.title(min(both))}.",
                "Reject those that are not, or split the person.",
            )
        for a in one:
            for b in other:
                self._set_link(a, b, same=False)
        self.actions.append({"do": "different", "faces": [list(one), list(other)]})

    def unlink(self, one: Sequence[int], other: Sequence[int]) -> None:
        """Forget that faces of two groups are the same person; `different` should follow."""
        inside, outside = set(one), set(other)
        dropped: tuple[set[int], set[int]] = set(), set()
        for (a, b), (same, _) in self.tables.links(one).items():
            for x, y in ((a, b), (b, a)):
                if same and x in inside and y in outside:
                    self._change_link((a, b), None)
                    dropped[0].add(x)
                    dropped[1].add(y)
        if dropped[0]:
            self.actions.append({"do": "unlink", "faces": [sorted(marks) for marks in dropped]})

    def _labelled(self, marks: Sequence[int]) -> set[int]:
        states = self.tables.labels(marks).values()
        return {self.roster.roots[state.person] for state in states if state.person is not None}

    def _set_labels(self, states: Mapping[int, MarkState], new: Mapping[int, MarkState]) -> None:
        self.tables.set_labels(new)
        self.touched.update(new)
        self._changes += [
            ["mark", mark, state_values(states[mark]), state_values(state)] for mark, state in new.items()
        ]

    def _set_rejection(self, mark: int, person: int, written: int | None) -> None:
        before = self.tables.rejections([mark]).get((mark, person))
        self.tables.set_rejection(mark, person, written)
        self.touched.add(mark)
        self._changes.append(["rejection", mark, person, before, written])

    def _set_link(self, a: int, b: int, *, same: bool) -> None:
        if a != b:
            self._change_link((min(a, b), max(a, b)), (same, self.number))

    def _change_link(self, pair: tuple[int, int], state: tuple[bool, int] | None) -> None:
        before = self.tables.links([pair[0]]).get(pair)
        if before is not None and state is not None and before[0] == state[0]:
            return
        self.tables.set_link(*pair, state)
        self.touched.update(pair)
        self._changes.append(["link", *pair, before, state])

    def _drop_links(self, marks: Sequence[int], is_dropped: Callable[[int | None, bool], bool]) -> None:
        """Remove the links of marks to others for which a function of (its person, same) is true."""
        links = self.tables.links(marks)
        if not links:
            return
        wanted = set(marks)
        states = self.tables.labels(sorted({mark for pair in links for mark in pair}))
        for (a, b), (same, _) in links.items():
            if any(is_dropped(states[y].person, same) for x, y in ((a, b), (b, a)) if x in wanted):
                self._change_link((a, b), None)


def marks_of_changes(changes: Iterable[Sequence[Any]]) -> set[int]:
    """Return the marks of changes of decisions, as `DecisionTables.changes` returns them."""
    found: set[int] = set()
    for kind, *values in changes:
        if kind in ("mark", "rejection", "face"):
            found.add(values[0])
        elif kind == "link":
            found.update(values[:2])
    return found


def people_named(actions: Sequence[Mapping[str, Any]], roster: Roster) -> list[int]:
    """Return the people that actions name, in their order, as far as the roster has them."""
    uids = [
        uid
        for action in actions
        for uid in (action.get("person"), *action.get("merged", ()))
        if uid is not None
    ]
    if not uids:
        return []
    by_uid = {record.uid: id for id, record in roster.records.items()}
    return list(dict.fromkeys(roster.roots[by_uid[uid]] for uid in uids if uid in by_uid))
