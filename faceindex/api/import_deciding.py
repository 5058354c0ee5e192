"""Make the decision of an import: which names count, and which contradict what the user said here."""

from __future__ import annotations

from collections import Counter as CountOf
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from faceindex.api.import_results import Counter, ImportConflict
from faceindex.store.decisions import Label, MarkState

if TYPE_CHECKING:
    from faceindex.api.import_names import ImportedName, ImportedPeople
    from faceindex.people.editor import Editor
    from faceindex.store.decisions import DecisionTables
    from faceindex.types import I64

__all__ = ["FACE", "HAND", "PLACED", "WAITING", "Claims", "ImportDecision"]

FACE, PLACED, HAND, WAITING = range(4)
"""How a name came to a mark: on a face of the index; without a place; on a face that was added; at a place
whose face will be added when the photo is read again."""

_COUNTED: Final = {FACE: "named", PLACED: "placed", HAND: "added", WAITING: "waiting"}


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Names of marks.

    Attributes
    ----------
    mark, name, kind : (n,) int64
        Marks, ids of names, and how each came to the mark.
    """

    mark: I64
    name: I64
    kind: I64


class ImportDecision:
    """Decides about names of marks, inside a transaction.

    Parameters
    ----------
    tables : DecisionTables
    people : ImportedPeople
    names : sequence of ImportedName
        By their ids.
    counter : Counter
    prefer : {"file", "index"}, optional
        What counts where both say something else.
    renamed : mapping of int to int
        Marks whose names changed in the program only, and their person before.
    """

    def __init__(
        self,
        tables: DecisionTables,
        people: ImportedPeople,
        names: Sequence[ImportedName],
        counter: Counter,
        prefer: Literal["file", "index"] | None,
        renamed: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._renamed = renamed
        self._tables, self._people, self._names = tables, people, names
        self._roster = people.roster
        self._counter, self._prefer = counter, prefer
        self._conflicts: list[tuple[int, int, str]] = []
        self.new_people: tuple[str, ...] = ()

    def choose(self, claims: Claims) -> Claims:
        """Return the claims about which the index is to say something else than before; count all of them."""
        claims = self._without_contradictions(claims)
        person = self._people_of(claims)
        marks = np.unique(claims.mark).tolist()
        states = self._tables.labels(marks)
        roots = self._roster.roots
        rejected = {(mark, roots[other]) for mark, other in self._tables.rejections(marks)}
        linked = self._links(claims, person, states)
        doubled = {} if self._prefer == "file" else self._doubled(claims, person, states)
        kept = np.ones(len(claims.mark), np.bool_)
        rows = zip(claims.mark.tolist(), claims.name.tolist(), claims.kind.tolist(), strict=True)
        for row, (mark, name, kind) in enumerate(rows):
            state, root = states[mark], person[name]
            shown = None if state.person is None else roots[state.person]
            if state.label is Label.CONFIRMED and shown == root:
                kept[row] = kind in (HAND, WAITING) and self._tables.drawn_faces.drawn(mark) is None
                self._counter.add("placeless_known" if kind == PLACED else "known")
                continue
            before = shown if shown != self._renamed.get(mark, -1) else root
            problem = self._problem(state, before, root, (mark, root) in rejected, linked.get(mark))
            if problem is None and mark in doubled:
                kept[row] = False
                self._counter.add("undecided" if kind == PLACED else "contradicting")
                self._conflicts.append((mark, name, doubled[mark]))
                continue
            if problem is not None and self._prefer != "file":
                kept[row] = False
                self._counter.add("undecided" if kind == PLACED else "conflicting")
                if self._prefer is None:
                    self._conflicts.append((mark, name, problem))
            else:
                self._counter.add(_COUNTED[kind])
        self._list_conflicts()
        return Claims(claims.mark[kept], claims.name[kept], claims.kind[kept])

    def _without_contradictions(self, claims: Claims) -> Claims:
        """Drop all names of the marks that have several: copies of one picture with other names."""
        pairs = np.unique(np.stack([claims.mark, claims.name], axis=1), axis=0)
        marks, number = np.unique(pairs[:, 0], return_counts=True)
        several = marks[number > 1]
        lost = np.isin(claims.mark, several)
        self._counter.add("contradicting", int((lost & (claims.kind != PLACED)).sum()))
        self._counter.add("undecided", int((lost & (claims.kind == PLACED)).sum()))
        for mark, name in pairs[np.isin(pairs[:, 0], several)].tolist():
            self._conflicts.append((mark, name, "Copies of the photo have other names at this place."))
        return Claims(claims.mark[~lost], claims.name[~lost], claims.kind[~lost])

    def _people_of(self, claims: Claims) -> dict[int, int]:
        """Return the person of each name; -1 minus the id of a name for one that is new."""
        found = {}
        for name in np.unique(claims.name).tolist():
            person = self._people.person(self._names[name])
            found[name] = -1 - name if person is None else person
        return found

    def _links(
        self, claims: Claims, person: Mapping[int, int], states: Mapping[int, MarkState]
    ) -> dict[int, str]:
        """Return what is wrong with marks, by what the user said of two faces."""
        if not self._tables.has_links:
            return {}
        said = dict(zip(claims.mark.tolist(), (person[n] for n in claims.name.tolist()), strict=True))
        links = self._tables.links(sorted(said))
        others = self._tables.labels(sorted({mark for pair in links for mark in pair} - said.keys()))
        found = {}
        for pair, (same, _) in links.items():
            shown = []
            for mark in pair:
                state = states.get(mark) or others.get(mark) or MarkState()
                labelled = None if state.person is None else self._roster.roots[state.person]
                shown.append(said.get(mark, labelled))
            if None not in shown and (shown[0] == shown[1]) is not same:
                word = "the same person as" if same else "another person than"
                found.update(
                    {mark: f"You said that this face is {word} another one." for mark in pair if mark in said}
                )
        return found

    def _doubled(
        self, claims: Claims, person: Mapping[int, int], states: Mapping[int, MarkState]
    ) -> dict[int, str]:
        """Return what is wrong with marks whose person is on another face of the picture, too."""
        roots = self._roster.roots
        at: dict[int, set[int]] = {}  # new claims: marks by person
        for mark, name in set(zip(claims.mark.tolist(), claims.name.tolist(), strict=True)):
            state, root = states[mark], person[name]
            is_known = state.label is Label.CONFIRMED and state.person is not None
            if not is_known or roots[state.person or 0] != root:
                at.setdefault(root, set()).add(mark)
        shown: dict[int, list[int]] = {}  # in the index: marks by person
        there = self._tables.marks_of_people([id for id, root in roots.items() if root in at])
        for mark, state in self._tables.labels(there).items():
            if state.label is Label.CONFIRMED and state.person is not None:
                shown.setdefault(roots[state.person], []).append(mark)
        places = self._tables.places(sorted({mark for marks in at.values() for mark in marks} | {*there}))
        found = {}
        for root, marks in at.items():
            here = {places[mark][0] for mark in shown.get(root, ()) if mark in places}
            number = CountOf(places[mark][0] for mark in marks)
            for mark in marks:
                if places[mark][0] in here:
                    found[mark] = "The photo has this person on another face here."
                elif number[places[mark][0]] > 1:
                    found[mark] = f"The photo has this person on {number[places[mark][0]]} faces."
        return found

    def _problem(
        self, state: MarkState, shown: int | None, root: int, is_rejected: bool, linked: str | None
    ) -> str | None:
        """Return what contradicts that a face shows a person."""
        if state.label is Label.STRANGER:
            return "The face is ignored here."
        if state.label is Label.NOT_A_FACE:
            return "It is not a face here."
        if state.label is Label.CONFIRMED and shown is not None and shown != root:
            return f"The face is {self._roster.title(shown)} here."
        return "You said that the face does not show this person." if is_rejected else linked

    def _list_conflicts(self) -> None:
        marks = sorted({mark for mark, *_ in self._conflicts})
        places = self._tables.places(marks)
        paths = self._tables.paths_of_pictures({picture for picture, _ in places.values()})
        for mark, name, problem in self._conflicts:
            photo = paths.get(places[mark][0], "") if mark in places else ""
            self._counter.list("conflicts", ImportConflict(photo, self._names[name].name, problem))

    def carry_out(self, editor: Editor, claims: Claims) -> None:
        """Say who the faces are, and what the program knows of the people."""
        hand = claims.mark[np.isin(claims.kind, (HAND, WAITING))]
        if len(hand):
            editor.draw(np.unique(hand).tolist())
        order = np.argsort(claims.name, kind="stable")
        names, starts = np.unique(claims.name[order], return_index=True)
        parts = np.split(claims.mark[order], starts[1:]) if len(names) else []
        groups = dict(zip(names.tolist(), parts, strict=True))
        for name in self._names:
            marks = groups.get(name.id)
            person = self._people.person(name)
            if marks is None and (person is None or not name.keys):
                continue
            values: dict[str, Any] = self._people.values(
                name, person, lambda text: self._counter.list("problems", text)
            )
            if marks is None and not values:
                continue
            if person is None:
                self.new_people += (name.name,)
            found = self._people.add(editor, name, person, values)
            if marks is not None:
                editor.label(found, np.unique(marks).tolist(), Label.CONFIRMED)
