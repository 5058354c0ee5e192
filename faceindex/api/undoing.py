"""Take back decisions, for ``index.people.undo``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from faceindex.api.people_journal import named_marks
from faceindex.api.people_results import Decided, JournalEntry
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.deciding import Decider
    from faceindex.people.editor import Editor
    from faceindex.store.decisions import Decision

__all__ = ["entry_of", "undo"]


def entry_of(decision: Decision) -> JournalEntry:
    """Return a decision as `IndexPeople.log` returns it."""
    faces = len(named_marks(decision.actions))
    return JournalEntry(decision.number, decision.at, decision.command, decision.undone_by, faces)


def undo(
    decider: Decider, number: int, *, expected: int | None, uid: str | None, dry_run: bool
) -> Sequence[tuple[JournalEntry, Decided]]:
    """Take back the newest decisions; see `faceindex.api.people.IndexPeople.undo`."""
    if number < 1:
        raise UsageError(f"The number of decisions to undo is {number}.", "Choose 1 or more.")
    if uid is not None and number > 1:
        raise UsageError(f"One `uid` is given to undo {number} decisions.", "Undo one at a time.")
    if (made := decider.made(uid)) is not None:
        return [(entry_of(_undone(decider, made)), decider.recorded(made))]
    decider.require_writable()
    found = decider.tables.to_undo(number)
    if not found:
        raise UsageError("There is no decision to undo.", "`faceindex people log` lists the decisions.")
    if expected is not None and found[0].number != expected:
        raise UsageError(
            f"Decision {expected} is not the newest: decision {found[0].number} would be undone, "
            f"`faceindex {found[0].command}`.",
            "Look at the decisions again; `faceindex people log` lists them.",
        )
    undone: list[tuple[JournalEntry, Decided]] = []

    def undo_all() -> None:
        undone.extend((entry_of(each), _undo(decider, each, uid)) for each in found)

    decider.in_transaction(undo_all, dry_run=dry_run)
    return [(entry, replace(decided, number=None) if dry_run else decided) for entry, decided in undone]


def _undone(decider: Decider, decision: Decision) -> Decision:
    """Return the decision that another one undid; raises `UsageError` if it undid none."""
    for action in decision.actions:
        if action.get("do") == "undo":
            found = decider.tables.decision_with_uid(action["decision"])
            if found is not None:
                return found
    raise UsageError(f"Decision {decision.number} has this `uid`, and undid none.", "Pass another `uid`.")


def _undo(decider: Decider, decision: Decision, uid: str | None) -> Decided:
    kept = 0

    def work(editor: Editor) -> None:
        nonlocal kept
        kept = editor.undo(decision.number, decision.uid)

    moves = _restored_clusters(decider.tables.changes(decision.number))
    decided = decider.make(f"people undo  # {decision.command}", work, restored=moves, uid=uid)
    return replace(decided, kept=kept)


def _restored_clusters(changes: Sequence[Sequence[Any]]) -> list[tuple[int, int | None, int | None]]:
    """Return the faces that a decision moved between clusters."""
    return [(face, before, after) for kind, face, before, after, *_ in changes if kind == "cluster"]
