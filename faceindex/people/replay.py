"""Apply the decisions of a file to an index; see `faceindex.people.exchange`."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import numpy as np

from faceindex.errors import UsageError
from faceindex.matching import match_boxes
from faceindex.people.editor import Editor
from faceindex.people.exchange import FaceMark, FileDecision
from faceindex.people.roster import Roster
from faceindex.store.decisions import DecisionTables, Label

__all__ = ["FileConflict", "Replayed", "replay"]

_REST: Final = UUID("7d1f2e66-6f0c-4f0b-9a5e-0c9a4c1f2b11")  # any namespace, the same in all indexes
_SIDE = np.float32(1000)  # pixels of a picture, for boxes in fractions


@dataclass(frozen=True, slots=True)
class FileConflict:
    """A part of a decision of a file that was left out.

    Attributes
    ----------
    command : str
        That made the decision of the file.
    at : datetime
    problem : str
    mark : int or None
        The face concerned.
    """

    command: str
    at: datetime
    problem: str
    mark: int | None = None


@dataclass(slots=True)
class Replayed:
    """What `replay` did.

    Attributes
    ----------
    applied, known : int
        Decisions of the file that were stored, and that the index had already.
    touched : dict of int to int
        Marks that changed, with the first decision that changed each.
    first : int or None
        Number of the first decision that was stored.
    left : set of int
        Clusters that have lost a face.
    conflicts : list of FileConflict
    roster : Roster
    """

    applied: int = 0
    known: int = 0
    touched: dict[int, int] = field(default_factory=dict)
    first: int | None = None
    left: set[int] = field(default_factory=set)
    conflicts: list[FileConflict] = field(default_factory=list)
    roster: Roster = field(default_factory=lambda: Roster({}, {}))


def replay(
    tables: DecisionTables,
    decisions: Sequence[FileDecision],
    *,
    same_names: bool = False,
    prefer: Literal["file", "index"] | None = None,
    seen: int = 0,
    settle: Callable[[Editor, list[list[Any]]], None] | None = None,
) -> Replayed:
    """Apply the decisions of a file, inside a transaction. Clusters do not change, unless `settle` does it.

    Parameters
    ----------
    tables : DecisionTables
    decisions : sequence of FileDecision
    same_names : bool
        People of one name are one person, although the file and the index have added them separately.
    prefer : {"file", "index"}, optional
        Which decision counts in a conflict; None reports it.
    seen : int
        Number of the newest decision of the index that the author of the file had seen.
    settle : callable, optional
        Called with each decision before it is stored, and with the changes of those that it undoes.
    """
    known = tables.uids()
    in_file = {uid for decision in decisions for uid in (decision.uid, _rest_of(decision.uid))}
    left_out = tables.left_out()
    replayer = _Replayer(
        tables,
        own={number for uid, number in known.items() if uid not in in_file and number > seen},
        places=_marks_of_places(tables, decisions, known),
        same_names=same_names,
        prefer=prefer,
        settle=settle,
    )
    for decision in decisions:
        if decision.uid not in known:
            replayer.apply(decision)
            continue
        replayer.result.known += 1
        rest = _rest_of(decision.uid)
        if decision.uid in left_out and rest not in known:
            replayer.apply(replace(decision, uid=rest, actions=left_out[decision.uid]))
    return replayer.result


def _rest_of(uid: str) -> str:
    """Return the uid of the decision that says what conflicted of another one."""
    return uuid5(_REST, uid).hex


class _Replayer:
    """Applies decisions one by one.

    Parameters
    ----------
    own : set of int
        Numbers of the decisions that only the index has.
    places : dict
        The mark of each place.
    """

    def __init__(
        self,
        tables: DecisionTables,
        *,
        own: set[int],
        places: dict[FaceMark, int],
        same_names: bool,
        prefer: Literal["file", "index"] | None,
        settle: Callable[[Editor, list[list[Any]]], None] | None,
    ) -> None:
        self._settle, self._undone = settle, list[list[Any]]()
        self.result = Replayed(roster=Roster.of(tables.people()))
        self._tables = tables
        self._own = own
        self._places = places
        self._same_names = same_names
        self._prefer = prefer
        self._left_out: set[str] = set()  # people that conflict by their name
        self._refused: set[int] = set()  # marks that conflict, of the action that is applied
        self._skipped = False  # whether a part of it conflicts

    def apply(self, decision: FileDecision) -> None:
        """Apply what does not conflict of a decision."""
        editor = Editor(self._tables, decision.command, decision.at, decision.uid, self.result.roster)
        rest = []
        self._undone = []
        for action in decision.actions:
            self._refused = set()
            self._skipped = False
            getattr(self, f"_{action['do']}")(editor, action, decision)
            if self._skipped:
                rest.append(self._conflicting_part(action))
        if not editor.actions and decision.actions:
            self._tables.remove(editor.number)
            return
        if rest:
            editor.actions.append({"do": "left_out", "actions": rest})
        if self._settle is not None:
            self._settle(editor, self._undone)
        editor.finish()
        self.result.applied += 1
        self.result.roster = editor.roster
        if self.result.first is None:
            self.result.first = editor.number
        self.result.left |= editor.left
        for mark in editor.touched:
            self.result.touched.setdefault(mark, editor.number)

    def _conflicting_part(self, action: dict[str, Any]) -> dict[str, Any]:
        """Return what conflicts of an action, with marks in place of faces, to be applied later."""
        faces = action.get("faces")
        if faces is None:
            return action
        if action["do"] in ("different", "unlink"):
            return {**action, "faces": [self._marks(group) for group in faces]}
        marks = self._marks(faces)
        return {**action, "faces": [mark for mark in marks if not self._refused or mark in self._refused]}

    # One method for each kind of action ---------------------------------------------------------

    def _person(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        uid, values = action["person"], dict(action["set"])
        record = self._tables.person_with_uid(uid)
        if record is not None and not record.written:
            self._conflict(decision, f"{values.get('name') or 'A person'} was undone here", always=True)
            return
        if record is not None and record.written in self._own:
            changed = [key for key, value in values.items() if getattr(record, key, value) != value]
            if changed:
                own = getattr(record, changed[0])
                problem = f"{record.name or 'A person'} has another {changed[0]} here: {own}"
                if self._conflict(decision, problem):
                    values = {key: value for key, value in values.items() if key not in changed}
        try:
            if values:
                editor.set_person(uid, values, merge_names=self._same_names)
        except UsageError:
            name = values["name"]
            self._left_out.add(uid)
            self._skipped = True
            self.result.conflicts.append(
                FileConflict(
                    decision.command,
                    decision.at,
                    f"Both have '{name}', added separately: one person, or two of one name?",
                )
            )

    def _merge(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        into = self._tables.person_with_uid(action["person"])
        others = [self._tables.person_with_uid(uid) for uid in action["merged"]]
        if into is None or None in others:
            return  # people that were left out
        if not into.written:
            self._conflict(decision, "The person into whom others are merged was undone here", always=True)
            return
        roots = editor.roster.roots
        rest = [o.id for o in others if o is not None and o.written and roots[o.id] != roots[into.id]]
        free = []
        for other in rest:
            record = editor.roster.records[other]
            if record.into is not None and record.written in self._own:
                problem = f"{record.name or 'A person'} is merged with somebody else here"
                if self._conflict(decision, problem):
                    continue
            free.append(other)
        if free:
            editor.merge(into.id, free)

    def _face(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        editor.draw(self._marks(action["faces"]))

    def _label(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        person = self._known_person(action, decision)
        if person is None:
            return
        roots, root = editor.roster.roots, editor.roster.roots[person]
        marks = self._marks(action["faces"])
        states = self._tables.labels(marks)
        rejections = self._tables.rejections(marks)
        linked = self._linked_here(editor, root, marks)
        kept = []
        for mark in marks:
            state = states[mark]
            problem = None
            if state.written in self._own and state.label is not Label.NONE:
                if state.person is None:
                    problem = "is nobody here"
                elif roots[state.person] != root:
                    problem = f"is {editor.roster.title(state.person)} here"
            if any(
                roots[other] == root and written in self._own
                for (at, other), written in rejections.items()
                if at == mark
            ):
                problem = "was rejected here"
            if problem is None and mark in linked:
                problem = "is another person here, as was said of two faces"
            said = f"A face of {editor.roster.title(person)} {problem}"
            if problem is None or not self._conflict(decision, said, mark, single=True):
                kept.append(mark)
        if kept:
            editor.label(person, kept, action["as"])

    def _reject(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        person = self._known_person(action, decision)
        if person is None:
            return
        roots, root = editor.roster.roots, editor.roster.roots[person]
        marks = self._marks(action["faces"])
        linked = self._linked_here(editor, root, marks, rejected=True)
        kept = []
        for mark, state in self._tables.labels(marks).items():
            is_person = state.person is not None and roots[state.person] == root
            conflicts = (is_person and state.written in self._own) or mark in linked
            said = f"A face that is {editor.roster.title(person)} here is somebody else there"
            if not conflicts or not self._conflict(decision, said, mark, single=True):
                kept.append(mark)
        if kept:
            editor.reject(person, kept)

    def _nobody(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        kept = []
        for mark, state in self._tables.labels(self._marks(action["faces"])).items():
            conflicts = state.person is not None and state.written in self._own
            name = editor.roster.title(state.person) if state.person is not None else ""
            said = f"A face that is {name} here is nobody there"
            if not conflicts or not self._conflict(decision, said, mark, single=True):
                kept.append(mark)
        if kept:
            editor.nobody(action["as"], kept)

    def _same(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        marks = self._marks(action["faces"])
        wanted = set(marks)
        against = [
            written
            for pair, (same, written) in self._tables.links(marks).items()
            if not same and wanted.issuperset(pair)
        ]
        if self._own.intersection(against) and self._conflict(
            decision, "Two faces that are one person there are two people here", marks[0]
        ):
            return
        try:
            editor.same(marks)
        except UsageError as error:
            self._conflict(decision, error.problem.rstrip("."), marks[0], always=True)

    def _different(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        one, other = (self._marks(group) for group in action["faces"])
        against = [
            written
            for (a, b), (same, written) in self._tables.links(one).items()
            if same and ({a, b} & set(one)) and ({a, b} & set(other))
        ]
        if self._own.intersection(against) and self._conflict(
            decision, "Two faces that are two people there are one person here", one[0]
        ):
            return
        try:
            editor.different(one, other)
        except UsageError as error:
            self._conflict(decision, error.problem.rstrip("."), one[0], always=True)

    def _unlink(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        one, other = (self._marks(group) for group in action["faces"])
        editor.unlink(one, other)

    def _undo(self, editor: Editor, action: dict[str, Any], decision: FileDecision) -> None:
        undone = self._tables.decision_with_uid(action["decision"])
        if undone is None or undone.undone_by is not None:
            return
        self._undone += self._tables.changes(undone.number)
        kept = editor.undo(undone.number, undone.uid)
        if kept:
            said = f"{kept} of what `{undone.command}` did has changed here since, and was not undone"
            self._conflict(decision, said, always=True)

    # -------------------------------------------------------------------------------------------

    def _known_person(self, action: dict[str, Any], decision: FileDecision) -> int | None:
        """Return the person of an action; None, and a conflict, if there is none (any more)."""
        uid = action["person"]
        if uid in self._left_out:
            self._skipped = True
            return None  # reported before
        record = self._tables.person_with_uid(uid)
        if record is not None and record.written:
            return record.id
        name = action.get("name", "A person")
        gone = "was undone here" if record is not None else "is not in the index, nor in the file"
        self._conflict(decision, f"{name} {gone}", always=True)
        return None

    def _linked_here(
        self, editor: Editor, root: int, marks: Sequence[int], *, rejected: bool = False
    ) -> set[int]:
        """Return the marks that links of the index alone contradict, if they are a person, or are not."""
        links = self._tables.links(marks)
        states = self._tables.labels(sorted({mark for pair in links for mark in pair}))
        found = set()
        for (a, b), (same, written) in links.items():
            if written not in self._own:
                continue
            for mark, other in ((a, b), (b, a)):
                person = states[other].person
                if person is None:
                    continue
                is_person = (editor.roster.roots[person] == root) is same  # by the link
                if is_person is rejected and (same or not rejected):
                    found.add(mark)
        return found.intersection(marks)

    def _marks(self, faces: Sequence[FaceMark | int]) -> list[int]:
        return list(dict.fromkeys(f if isinstance(f, int) else self._places[f] for f in faces))

    def _conflict(
        self,
        decision: FileDecision,
        problem: str,
        mark: int | None = None,
        *,
        single: bool = False,
        always: bool = False,
    ) -> bool:
        """Report a conflict, unless one side is preferred; return whether the index's decision counts.

        Parameters
        ----------
        decision : FileDecision
        problem : str
        mark : int, optional
            A face that it is about.
        single : bool
            Only this face conflicts, not the whole action.
        always : bool
            No preference settles it.
        """
        if self._prefer is None and not always:
            self._skipped = True
            if single and mark is not None:
                self._refused.add(mark)
        if self._prefer is None or always:
            self.result.conflicts.append(FileConflict(decision.command, decision.at, problem + ".", mark))
        return self._prefer != "file"


def _marks_of_places(
    tables: DecisionTables, decisions: Sequence[FileDecision], known_decisions: Container[str]
) -> dict[FaceMark, int]:
    """Return the mark of each place that new decisions name; new ones get one and are matched to faces.

    The places of known decisions take part: of two faces close to each other, both would match the mark of
    the only one that has one.
    """
    places = dict.fromkeys(face for d in decisions if d.uid not in known_decisions for face in d.marks())
    wanted: dict[bytes, list[FaceMark]] = {face.picture: [] for face in places}
    for face in dict.fromkeys(face for decision in decisions for face in decision.marks()):
        if face.picture in wanted:
            wanted[face.picture].append(face)
    found: dict[FaceMark, int] = {}
    new = set()
    for picture, faces in wanted.items():
        known = tables.marks_on_picture(picture)
        boxes = np.frombuffer(b"".join(box for _, box in known), "<f4").reshape(-1, 4)
        own = np.array([face.box for face in faces], np.float32)
        for face, i in zip(faces, match_boxes(boxes * _SIDE, own * _SIDE).tolist(), strict=True):
            if i >= 0:
                found[face] = known[i][0]
            elif face in places:
                found[face] = tables.insert_mark(picture, np.array(face.box, "<f4").tobytes())
                new.add(picture)
    tables.match(new)
    return found
