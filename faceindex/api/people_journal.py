"""Write the decisions of an index to a file, and apply those of a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from faceindex.api.copies import recorded
from faceindex.api.people_results import Conflict, Replay
from faceindex.errors import UsageError
from faceindex.export.access import Access
from faceindex.files import write_durably
from faceindex.people.exchange import header_of, journal_lines, read_journal
from faceindex.people.forgetting import without_forgotten
from faceindex.people.replay import Replayed, replay
from faceindex.people.settling import settle

if TYPE_CHECKING:
    from faceindex.api.deciding import Decider
    from faceindex.api.reader import Reader
    from faceindex.documents import Json
    from faceindex.people.editor import Editor

__all__ = ["apply_journal", "export_journal", "named_marks"]


def export_journal(reader: Reader, path: str | os.PathLike[str], *, public: bool) -> int:
    """Write all decisions to a file; see `faceindex.api.people.IndexPeople.export`."""
    reader.check_writable(path)
    with recorded(reader, path, "journal", {"public": public}):
        return _write_journal(reader, path, public)


def _write_journal(reader: Reader, path: str | os.PathLike[str], public: bool) -> int:
    tables = reader.store.decisions
    with reader.store.snapshot():
        decisions = tables.decisions()[::-1]
        marks = sorted({mark for decision in decisions for mark in named_marks(decision.actions)})
        places = {mark: (picture, _box(box)) for mark, (picture, box) in tables.places(marks).items()}
        photos = tables.paths_of_pictures({picture for picture, _ in places.values()})
        lines = "".join(line + "\n" for line in journal_lines(decisions, places, photos))
    try:
        content = lines.encode()
        options: dict[str, Json] = {"public": public, "sha256": hashlib.sha256(content).hexdigest()}
        with recorded(reader, path, "journal", options):
            write_durably(Path(path), content, mode=Access.of(public=public).file)
    except OSError as error:
        raise UsageError(
            f"{os.fspath(path)} cannot be written: {error.strerror}.", "Choose another file."
        ) from error
    return len(decisions)


def apply_journal(
    decider: Decider,
    path: str | os.PathLike[str],
    *,
    dry_run: bool,
    same_names: bool,
    prefer: Literal["file", "index"] | None,
) -> Replay:
    """Apply the decisions of a file; see `faceindex.api.people.IndexPeople.apply`."""
    lines = _read_lines(path)
    decisions = read_journal(lines, os.fspath(path))
    index, uid = header_of(lines)
    decisions, forgotten = without_forgotten(decisions, decider.store.forgotten)
    store, tables = decider.store, decider.tables
    found: list[tuple[Replayed, int, int]] = []
    names: dict[int, str] = {}

    def work() -> None:
        clustered = store.active_clustering() is not None
        if index is not None and index == store.index_id:
            # Made on sight of this very index, one after the other: with the clusters that each one leaves.
            newest = None if uid is None else tables.decision_with_uid(uid)
            result = replay(
                tables, decisions, same_names=same_names, prefer=prefer,
                seen=0 if newest is None else newest.number,
                settle=(lambda editor, undone: _settle_one(decider, editor, undone)) if clustered else None,
            )  # fmt: skip
        else:
            result = replay(tables, decisions, same_names=same_names, prefer=prefer)
            if clustered:
                _settle(decider, result)
        faces = tables.faces_of_marks(sorted(result.touched))
        found.append((result, sum(map(len, faces.values())), len(result.touched) - len(faces)))
        marks = sorted({conflict.mark for conflict in result.conflicts if conflict.mark is not None})
        places = tables.places(marks)
        paths = tables.paths_of_pictures({picture for picture, _ in places.values()})
        names.update({mark: paths[picture] for mark, (picture, _) in places.items() if picture in paths})

    decider.in_transaction(work, dry_run=dry_run)
    result, faces, unmatched = found[0]
    return Replay(
        decisions=result.applied,
        known=result.known,
        faces=faces,
        unmatched=unmatched,
        unread=tables.count_unread_photos(),
        conflicts=tuple(
            Conflict(c.command, c.at, c.problem, None if c.mark is None else names.get(c.mark))
            for c in result.conflicts
        ),
        dry_run=dry_run,
        forgotten=forgotten,
    )


def _settle_one(decider: Decider, editor: Editor, undone: Sequence[Sequence[Any]]) -> None:
    """Make the clusters agree with a decision, as when it is made in the index."""
    moved = settle(
        decider.tables,
        editor.roster,
        editor.touched,
        decider.store.vectors,
        restored=[(face, before, after) for kind, face, before, after, *_ in undone if kind == "cluster"],
        left=editor.left,
    )
    for face, before, after in moved:
        editor.record_cluster(face, before, after)


def _settle(decider: Decider, result: Replayed) -> None:
    """Make the clusters agree with the decisions of a file, and keep with these what moved.

    A face belongs to the first decision about it, other faces to the first of all. So undoing all of them,
    the newest first, brings every face back.
    """
    tables = decider.tables
    moved = settle(tables, result.roster, result.touched, decider.store.vectors, left=result.left)
    if result.first is None:
        return
    marks = tables.marks_of_faces([face for face, _, _ in moved])
    of_decision: dict[int, list[list[Any]]] = {}
    for face, before, after in moved:
        number = result.touched.get(marks.get(face, -1), result.first)
        of_decision.setdefault(number, []).append(["cluster", face, before, after])
    for number, changes in of_decision.items():
        tables.set_changes(number, [*tables.changes(number), *changes])


def named_marks(actions: Sequence[dict[str, Any]]) -> set[int]:
    """Return the marks that the actions of a decision name."""
    found: set[int] = set()
    for action in actions:
        for face in action.get("faces", ()):
            found.update(face if isinstance(face, list) else [face])
    return found


def _box(box: bytes) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = np.frombuffer(box, "<f4").tolist()
    return x1, y1, x2, y2


def _read_lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        return Path(path).read_text("utf-8-sig").split("\n")  # JSON may contain the other line ends
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{os.fspath(path)} is not a text file.", "Apply a file that `faceindex people export` wrote."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{os.fspath(path)} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
