"""Make decisions about the faces of an index, for `faceindex.api.people` and its companions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar

from faceindex import images
from faceindex.api.people_results import Decided, Person
from faceindex.errors import UsageError
from faceindex.people.editor import Editor, marks_of_changes, people_named
from faceindex.people.roster import Roster
from faceindex.people.settling import settle
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.store.decisions import Decision

__all__ = [
    "Decider",
    "PersonRef",
    "check_uid",
    "command_text",
    "face_words",
    "made_once",
    "unique",
]

PersonRef: TypeAlias = "str | Person"
"""A person: the name, or a `Person` that the index returned."""

_MOST_SHOWN: Final = 12  # faces that are written in the command of a decision
_UID: Final = re.compile(r"[0-9a-f]{32}")

_P = ParamSpec("_P")


class _Deciding(Protocol):
    """Has a `Decider`."""

    _decider: Decider


_Self = TypeVar("_Self", bound=_Deciding)


class _DryRun(Exception):
    """Rolls a transaction back."""


class Decider:
    """Finds people and faces, and makes decisions about them.

    Reads only what it needs: after a decision, reading all faces again would take longer than the next one.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.store = reader.store
        self.tables = reader.store.decisions
        self._decided: Roster | None = None  # the people after the decisions of this transaction

    # Decisions ---------------------------------------------------------------------------------

    def decide(
        self,
        command: str,
        work: Callable[[Editor], None],
        faces: Sequence[int],
        *,
        dry_run: bool,
        uid: str | None = None,
    ) -> Decided:
        """Make one decision, in one transaction.

        Parameters
        ----------
        command : str
            For the journal.
        work : callable
            Carries out its actions.
        faces : sequence of int
            All faces that it is about.
        dry_run : bool
            Store nothing.
        uid : str, optional
            Of the decision, 32 hexadecimal digits in lower case; None means a new one. `made_once` looks for
            a decision that has it.

        Raises
        ------
        NotClustered
            If the faces are not clustered.
        UsageError
            If the index is open for reading only, or another decision has the uid.
        """
        self.require_writable()
        self.reader.clustering()
        pictures = self._missing_pictures(faces)
        found: list[Decided] = []

        def decide() -> None:
            if pictures:
                self.tables.save_pictures(pictures)
            found.append(self.make(command, work, uid=uid))

        self.in_transaction(decide, dry_run=dry_run)
        return replace(found[0], number=None) if dry_run else found[0]

    def in_transaction(self, work: Callable[[], object], *, dry_run: bool) -> None:
        """Call a function in one transaction, which is rolled back if `dry_run`."""
        self.require_writable()
        self._decided = None
        try:
            with self.store.deciding():
                work()
                if dry_run:
                    raise _DryRun
        except _DryRun:
            return
        finally:
            decided, self._decided = self._decided, None
        if decided is not None:
            self.reader.keep_roster(decided)

    def make(
        self,
        command: str,
        work: Callable[[Editor], None],
        restored: Iterable[tuple[int, int | None, int | None]] = (),
        *,
        uid: str | None = None,
    ) -> Decided:
        """Make one decision inside a transaction.

        Parameters
        ----------
        command, work
            As of `decide`.
        restored
            As in `faceindex.people.settling.settle`.
        uid : str, optional
            Of the decision; None means a new one.
        """
        tables = self.tables
        now = datetime.now(timezone.utc)
        editor = Editor(tables, command, now, uid, roster=self._decided or self.roster())
        work(editor)
        people = tuple(dict.fromkeys(editor.roster.title(person) for person in editor.people_concerned()))
        if editor.changes_nothing:
            tables.remove(editor.number)
            return Decided(None, command, 0, 0, people)
        moved = []
        if self.store.active_clustering() is not None:
            moved = settle(
                tables,
                editor.roster,
                editor.touched,
                self.store.vectors,
                restored=restored,
                left=editor.left,
            )
        for face, before, after in moved:
            editor.record_cluster(face, before, after)
        editor.finish()
        self._decided = editor.roster
        faces = tables.faces_of_marks(sorted(editor.marks)).values()
        return Decided(
            editor.number, command, sum(map(len, faces)), len(moved), people, removed=editor.removed
        )

    def made(self, uid: str | None) -> Decision | None:
        """Return the decision with a uid; None if there is none, or no uid is given.

        Raises
        ------
        UsageError
            If the uid is not one.
        """
        if uid is None:
            return None
        check_uid(uid)
        return self.tables.decision_with_uid(uid)

    def recorded(self, decision: Decision) -> Decided:
        """Return what a stored decision changed, as the journal has it."""
        tables = self.tables
        changes = tables.changes(decision.number)
        faces = tables.faces_of_marks(sorted(marks_of_changes(changes))).values()
        roster = self.roster()
        people = people_named(decision.actions, roster)
        names = {action["person"]: action["name"] for action in decision.actions if "name" in action}
        # If the decision was undone, the person that it added has no name any more.
        nameless = [roster.records[id] for id in people if roster.records[id].name is None]
        said = {record.id: names[record.uid] for record in nameless if record.uid in names}
        kept = 0
        for action in decision.actions:
            undone = tables.decision_with_uid(action["decision"]) if action.get("do") == "undo" else None
            if undone is not None:
                kept = _count_values(tables.changes(undone.number)) - _count_values(changes)
        return Decided(
            decision.number,
            decision.command,
            sum(map(len, faces)),
            len(changes) - _count_values(changes),
            tuple(dict.fromkeys(said.get(id) or roster.title(id) for id in people)),
            max(kept, 0),
        )

    def require_writable(self) -> None:
        """Raise `UsageError` if the index is open for reading only."""
        if not self.store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")

    def marks(self, faces: Sequence[int]) -> list[int]:
        """Return the marks of faces, each once; inside a transaction."""
        marks = self.tables.mark_faces(faces)
        return list(dict.fromkeys(marks[face] for face in faces))

    def know_pictures(self, faces: Sequence[int]) -> None:
        """Store the pictures of photos that an older faceindex indexed; decisions refer to them."""
        if pictures := self._missing_pictures(faces):
            self.store.save_pictures(pictures)

    def _missing_pictures(self, faces: Sequence[int]) -> list[tuple[int, images.Picture]]:
        """Read the pictures of photos that an older faceindex indexed; decisions refer to them."""
        without = self.tables.photos_without_picture(faces)
        if not without:
            return []
        names = PhotoNames(self.store, without)
        found = []
        for record in names.records:
            data = images.read(names.path(record))  # raises `ImageError`
            if images.content_hash(data) != record.content_hash:
                raise UsageError(
                    f"{names.path(record)} has changed since it was indexed.",
                    "Run `faceindex index` on its folder first.",
                )
            found.append((record.id, images.read_picture(data)))
        return found

    # People and faces --------------------------------------------------------------------------

    def roster(self) -> Roster:
        """Return all people."""
        return self.reader.roster()

    def person(self, person: PersonRef) -> int:
        """Return the id of a person; raises `UsageError` if nobody has the name."""
        roster = self.roster()
        if not isinstance(person, Person):
            return roster.find(person).id
        record = roster.records.get(person.id)
        if record is None or record.uid != person.uid or not record.written:
            raise UsageError(
                f"{person.name} is not in the index any more.", "`faceindex people` lists all names."
            )
        return roster.roots[person.id]

    def title(self, person: PersonRef) -> str:
        """Return the name of a person."""
        return self.roster().title(self.person(person))

    def faces_of(self, clusters: Sequence[int]) -> list[int]:
        """Return the faces of clusters.

        Raises
        ------
        NotClustered, UsageError
            If there is no such cluster.
        """
        rows = self.tables.faces_of_clusters(clusters)
        known = {cluster for _, _, cluster in rows}
        for cluster in clusters:
            if cluster not in known:
                self.reader.check_cluster(cluster)  # raises
        return [face for face, _, _ in rows]

    def people_of(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the person of each face that shows one, by its label or by its cluster.

        Raises
        ------
        UsageError
            If a face is not in the index.
        """
        self.check_faces(faces)
        roots = self.roster().roots
        clusters = self.tables.assigned(faces)
        of_cluster = self.tables.people_of_clusters()
        found = {
            face: roots[of_cluster[cluster]] for face, cluster in clusters.items() if cluster in of_cluster
        }
        marks = self.tables.marks_of_faces(faces)
        states = self.tables.labels(sorted({*marks.values()}))
        for face, mark in marks.items():
            person = states[mark].person
            if person is not None:
                found[face] = roots[person]
        return found

    def check_faces(self, faces: Sequence[int]) -> None:
        """Raise `UsageError` if a face is not in the index."""
        known = {face for face, _ in self.tables.rows_of_faces(faces)}
        if missing := [face for face in faces if face not in known]:
            raise UsageError(
                f"There is no face {missing[0]} in the index.", "`faceindex faces` lists the faces."
            )

    def middles(self, faces: Sequence[int], others: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """Return the three faces in the middle of each cluster that some faces are in, and these faces.

        Parameters
        ----------
        faces : sequence of int
        others : sequence of int
            Faces that are not taken for the middle.

        Raises
        ------
        UsageError
            If a face is not in the index or in no cluster, or a cluster has no other faces.
        """
        self.check_faces(faces)
        clusters = self.tables.assigned(faces)
        groups: dict[int, list[int]] = {}
        for face in faces:
            if face not in clusters:
                raise UsageError(f"Face {face} is in no cluster.", "Name the person whom it does not show.")
            groups.setdefault(clusters[face], []).append(face)
        found = []
        for cluster, chosen in groups.items():
            middle = self.tables.central_faces(cluster, 3, set(others))
            if not middle:
                raise UsageError(
                    f"Cluster {cluster} has no other faces.", "Give only those that do not belong to it."
                )
            found.append((middle, chosen))
        return found


def made_once(
    verb: Callable[Concatenate[_Self, _P], Decided],
) -> Callable[Concatenate[_Self, _P], Decided]:
    """Give a verb with the keyword `uid` what makes it safe to call twice.

    If the journal has a decision with the uid, the verb returns what that one changed, and decides nothing.
    That comes before everything else: a person may have been renamed, or merged, by the decision itself.
    """

    @wraps(verb)
    def call(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> Decided:
        uid: Any = kwargs.get("uid")
        decision = self._decider.made(uid)
        if decision is None:
            return verb(self, *args, **kwargs)
        decided = self._decider.recorded(decision)
        return replace(decided, number=None) if kwargs.get("dry_run") else decided

    return call


def check_uid(uid: str) -> None:
    """Raise `UsageError` if the uid of a decision is not 32 hexadecimal digits in lower case."""
    if not isinstance(uid, str) or not _UID.fullmatch(uid):
        raise UsageError(
            f"`uid` is {str(uid)[:40]!r}, which no decision can have.",
            "Pass 32 hexadecimal digits in lower case, such as `uuid.uuid4().hex`.",
        )


def _count_values(changes: Sequence[Sequence[Any]]) -> int:
    """Count the changes of a decision other than moves between clusters."""
    return sum(change[0] != "cluster" for change in changes)


def unique(values: Iterable[int]) -> list[int]:
    """Return integers in their order, each once."""
    return list(dict.fromkeys(int(value) for value in values))


def face_words(faces: Sequence[int]) -> list[str]:
    """Return faces as the command line writes them; of many, the first and their number."""
    shown = [f"f{face}" for face in faces[:_MOST_SHOWN]]
    return shown if len(shown) == len(faces) else [*shown, f"... ({len(faces)} faces)"]


def command_text(*words: object, options: Mapping[str, object | None] | None = None) -> str:
    """Return the command that makes a decision, as it is kept in the journal.

    Parameters
    ----------
    words : object
    options : mapping of str to object or None
        Values of options by their names; those that are None are left out.
    """
    given = [(name, value) for name, value in (options or {}).items() if value is not None]
    every = [*words, *(part for name, value in given for part in (f"--{name}", value))]
    return "people " + " ".join(shlex.quote(str(word)) for word in every)
