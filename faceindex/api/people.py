"""``index.people``: who the people are, by the user's word."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from faceindex import images
from faceindex.api.people_results import Decided, JournalEntry, Person
from faceindex.errors import UsageError
from faceindex.people.dates import clean_date, moment_of
from faceindex.people.editor import Editor
from faceindex.people.roster import clean_name
from faceindex.people.settling import settle
from faceindex.store.decisions import Decision, Label
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.api.references import Selection
    from faceindex.types import F64

__all__ = ["IndexPeople", "PersonRef"]

PersonRef: TypeAlias = "str | Person"
"""A person: the name, or what `IndexPeople.list` returned."""

_MOST_SHOWN: Final = 12  # faces that are written in the command of a decision


class _DryRun(Exception):
    """Rolls a transaction back."""


class IndexPeople:
    """Names people, corrects what the program believes, and undoes that; ``index.people`` of a `FaceIndex`.

    Each call is one decision: one entry of the journal, which `undo` takes back. All changes need an index
    that is open for writing, and faces that are clustered. With `dry_run`, a call returns what it would
    change, and stores nothing.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._store = reader.store

    # Reading -----------------------------------------------------------------------------------

    def list(self) -> list[Person]:
        """Return all people, those with most faces first."""
        with self._store.snapshot():
            table, names = self._reader.faces_and_photos()
            view = self._reader.people()
        records = {record.id: record for record in view.roster.people()}
        found = []
        clusters: dict[int, list[int]] = {}
        for cluster, person in view.of_cluster.items():
            clusters.setdefault(person, []).append(cluster)
        sizes = np.bincount(table.cluster[table.cluster >= 0]) if len(table) else np.zeros(0, np.int64)
        order = np.argsort(view.person, kind="stable")
        ordered = view.person[order]
        for id, record in records.items():
            mine = order[np.searchsorted(ordered, id, "left") : np.searchsorted(ordered, id, "right")]
            photos = np.unique(table.photo[mine])
            taken = [t for photo in photos.tolist() if (t := names.by_id[photo].taken) is not None]
            found.append(
                Person(
                    id=id,
                    uid=record.uid,
                    name=view.roster.title(id),
                    born=record.born,
                    died=record.died,
                    hidden=record.hidden,
                    note=record.note,
                    clusters=tuple(sorted(clusters.get(id, ()), key=lambda c: (-sizes[c], c))),
                    faces=len(mine),
                    photos=len(photos),
                    named=int((view.label[mine] == Label.NAMED).sum()),
                    confirmed=int((view.label[mine] == Label.CONFIRMED).sum()),
                    first=moment_of(min(taken)) if taken else None,
                    last=moment_of(max(taken)) if taken else None,
                )
            )
        return sorted(found, key=lambda person: (-person.faces, person.name))

    def get(self, person: PersonRef) -> Person:
        """Return a person by name; raises `UsageError` if nobody has it."""
        id = self._id(person)
        return next(found for found in self.list() if found.id == id)

    def select(self, words: Iterable[str]) -> Selection:
        """Find what words stand for, as on the command line; see `faceindex.api.references.select`."""
        from faceindex.api.references import select

        return select(self._reader, words)

    def log(self, limit: int | None = None) -> list[JournalEntry]:
        """Return the decisions, newest first; at most `limit`, or all."""
        return [
            JournalEntry(d.number, d.at, d.command, d.undone_by, len(_marks(d.actions)))
            for d in self._store.decisions.decisions(limit=limit)
        ]

    # Naming ------------------------------------------------------------------------------------

    def name(
        self, name: str, *, clusters: Iterable[int] = (), faces: Iterable[int] = (), dry_run: bool = False
    ) -> Decided:
        """Say who clusters and faces are. A person with this name is added if there is none.

        All faces of the clusters have the name from now on, whatever becomes of the clusters. Faces that are
        given one by one count as confirmed.

        Parameters
        ----------
        name : str
            Any case of a known name means that person.
        clusters, faces : iterable of int
        dry_run : bool

        Raises
        ------
        NotClustered
            If the faces are not clustered.
        UsageError
            If a cluster or a face is not in the index, or the name cannot be used.
        """
        name, clusters, faces = clean_name(name), _unique(clusters), _unique(faces)
        if not clusters and not faces:
            raise UsageError("Nothing is given to name.", "Give clusters or faces.")
        members = self._faces_of(clusters)

        def work(editor: Editor) -> None:
            person = editor.person(name)
            if members:
                editor.label(person, self._marks(editor, members), Label.NAMED)
            if faces:
                editor.label(person, self._marks(editor, faces), Label.CONFIRMED)

        command = _command("name", *clusters, *_face_words(faces), name)
        return self._decide(command, work, [*members, *faces], dry_run=dry_run)

    def confirm(
        self, faces: Iterable[int], person: PersonRef | None = None, *, dry_run: bool = False
    ) -> Decided:
        """Say that faces show the person that they are in a cluster of, or a given one."""
        faces = _unique(faces)
        people = {face: self._id(person) for face in faces} if person else self._people_of(faces)

        def work(editor: Editor) -> None:
            for one in sorted({*people.values()}):
                chosen = [face for face in faces if people[face] == one]
                editor.label(one, self._marks(editor, chosen), Label.CONFIRMED)

        words = ["--as", self._title(person)] if person else []
        return self._decide(_command("confirm", *_face_words(faces), *words), work, faces, dry_run=dry_run)

    def reject(
        self, faces: Iterable[int], person: PersonRef | None = None, *, dry_run: bool = False
    ) -> Decided:
        """Say that faces do not show the person that they are in a cluster of, or a given one.

        They never return to that person. Faces of a cluster without a person are kept apart from the faces in
        its middle.
        """
        faces = _unique(faces)
        people = {face: self._id(person) for face in faces} if person else self._people_of(faces, nobody=True)
        apart = self._centres([face for face in faces if face not in people], faces)

        def work(editor: Editor) -> None:
            for one in sorted({*people.values()}):
                chosen = [face for face in faces if people.get(face) == one]
                editor.reject(one, self._marks(editor, chosen))
            for centre, chosen in apart:
                editor.different(self._marks(editor, chosen), self._marks(editor, centre))

        words = ["--from", self._title(person)] if person else []
        concerned = [*faces, *(face for centre, _ in apart for face in centre)]
        command = _command("reject", *_face_words(faces), *words)
        return self._decide(command, work, concerned, dry_run=dry_run)

    def ignore(
        self, *, clusters: Iterable[int] = (), faces: Iterable[int] = (), dry_run: bool = False
    ) -> Decided:
        """Say that faces, or all faces of clusters, are of strangers: they are in no cluster any more."""
        return self._nobody("ignore", Label.STRANGER, clusters, faces, dry_run)

    def not_a_face(
        self, *, clusters: Iterable[int] = (), faces: Iterable[int] = (), dry_run: bool = False
    ) -> Decided:
        """Say that faces, or all of clusters, are no faces: they are in no cluster any more."""
        return self._nobody("not-a-face", Label.NOT_A_FACE, clusters, faces, dry_run)

    def _nobody(
        self, verb: str, label: Label, clusters: Iterable[int], faces: Iterable[int], dry_run: bool
    ) -> Decided:
        clusters, faces = _unique(clusters), _unique(faces)
        concerned = _unique([*self._faces_of(clusters), *faces])

        def work(editor: Editor) -> None:
            editor.nobody(label, self._marks(editor, concerned))

        return self._decide(_command(verb, *clusters, *_face_words(faces)), work, concerned, dry_run=dry_run)

    def same(self, faces: Iterable[int], *, dry_run: bool = False) -> Decided:
        """Say that faces show one person, whoever it is."""
        faces = _unique(faces)

        def work(editor: Editor) -> None:
            editor.same(self._marks(editor, faces))

        return self._decide(_command("same", *_face_words(faces)), work, faces, dry_run=dry_run)

    def different(self, one: Iterable[int], other: Iterable[int], *, dry_run: bool = False) -> Decided:
        """Say that the faces of two groups show two people."""
        one, other = _unique(one), _unique(other)

        def work(editor: Editor) -> None:
            editor.different(self._marks(editor, one), self._marks(editor, other))

        words = [*_face_words(one), "from", *_face_words(other)]
        return self._decide(_command("different", *words), work, [*one, *other], dry_run=dry_run)

    # People ------------------------------------------------------------------------------------

    def rename(self, person: PersonRef, name: str, *, dry_run: bool = False) -> Decided:
        """Give a person another name."""
        return self._set(person, {"name": clean_name(name)}, "rename", name, dry_run=dry_run)

    def born(self, person: PersonRef, date: str | None, *, dry_run: bool = False) -> Decided:
        """Set the date of birth: a year, a month, a day, or None. Nobody is found on earlier photos."""
        date = None if date is None else clean_date(date)
        return self._set(person, {"born": date}, "born", date or "-", dry_run=dry_run)

    def died(self, person: PersonRef, date: str | None, *, dry_run: bool = False) -> Decided:
        """Set the date of death: a year, a month, a day, or None."""
        date = None if date is None else clean_date(date)
        return self._set(person, {"died": date}, "died", date or "-", dry_run=dry_run)

    def hide(self, person: PersonRef, hidden: bool = True, *, dry_run: bool = False) -> Decided:
        """Leave a person out of the gallery and of exports, or show the person again."""
        return self._set(person, {"hidden": hidden}, "hide" if hidden else "unhide", dry_run=dry_run)

    def note(self, person: PersonRef, note: str | None, *, dry_run: bool = False) -> Decided:
        """Keep a note about a person; None removes it."""
        return self._set(person, {"note": note or None}, "note", note or "-", dry_run=dry_run)

    def merge(self, into: PersonRef, *others: PersonRef, dry_run: bool = False) -> Decided:
        """Say that people are one person, who has the name of the first."""
        first, rest = self._id(into), _unique(map(self._id, others))
        if not rest or first in rest:
            raise UsageError("A person cannot be merged with itself.", "Name two or more people.")

        def work(editor: Editor) -> None:
            editor.merge(first, rest)

        names = [self._title(person) for person in (into, *others)]
        return self._decide(_command("merge", *names), work, (), dry_run=dry_run)

    def _set(
        self, person: PersonRef, values: dict[str, Any], verb: str, *words: str, dry_run: bool
    ) -> Decided:
        id, title = self._id(person), self._title(person)
        uid = self._reader.people().roster.records[id].uid

        def work(editor: Editor) -> None:
            editor.set_person(uid, values)

        return self._decide(_command(verb, title, *words), work, (), dry_run=dry_run)

    # Undo --------------------------------------------------------------------------------------

    def undo(self, number: int = 1, *, dry_run: bool = False) -> list[tuple[JournalEntry, Decided]]:
        """Take back the newest decisions that were not undone, the newest first.

        Parameters
        ----------
        number : int
            How many.
        dry_run : bool

        Returns
        -------
        list of (JournalEntry, Decided)
            What was undone, and what changed.

        Raises
        ------
        UsageError
            If there is no decision to undo.
        """
        if number < 1:
            raise UsageError(f"The number of decisions to undo is {number}.", "Choose 1 or more.")
        found = self._store.decisions.to_undo(number)
        if not found:
            raise UsageError("There is no decision to undo.", "`faceindex people log` lists the decisions.")
        undone = []

        def undo_all() -> None:
            for each in found:
                entry = JournalEntry(each.number, each.at, each.command, None, len(_marks(each.actions)))
                undone.append((entry, self._undo(each)))

        self._in_transaction(undo_all, dry_run=dry_run)
        if dry_run:
            undone = [(entry, replace(decided, number=None)) for entry, decided in undone]
        return undone

    def _undo(self, decision: Decision) -> Decided:
        kept = 0

        def work(editor: Editor) -> None:
            nonlocal kept
            kept = editor.undo(decision.number, decision.uid)

        moves = [
            (face, before, after)
            for kind, face, before, after in _moves(self._store.decisions.changes(decision.number))
            if kind == "cluster"
        ]
        decided = self._make(f"people undo  # {decision.command}", work, restored=moves)
        return replace(decided, kept=kept)

    # Making decisions --------------------------------------------------------------------------

    def _decide(
        self, command: str, work: Callable[[Editor], None], faces: Sequence[int], *, dry_run: bool
    ) -> Decided:
        """Make one decision about some faces, in one transaction."""
        self._require_writable()
        self._reader.clustering()
        self._know_pictures(faces)
        found: list[Decided] = []
        self._in_transaction(lambda: found.append(self._make(command, work)), dry_run=dry_run)
        return replace(found[0], number=None) if dry_run else found[0]

    def _in_transaction(self, work: Callable[[], None], *, dry_run: bool) -> None:
        self._require_writable()
        try:
            with self._store.deciding():
                work()
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass

    def _make(
        self,
        command: str,
        work: Callable[[Editor], None],
        restored: Iterable[tuple[int, int | None, int | None]] = (),
    ) -> Decided:
        tables = self._store.decisions
        editor = Editor(tables, command, datetime.now(timezone.utc))
        work(editor)
        moved = settle(editor, self._store.vectors, self._taken, restored=restored)
        editor.finish()
        faces = tables.faces_of_marks(sorted(editor.touched)).values()
        people = dict.fromkeys(editor.roster.title(person) for person in editor.people_concerned())
        return Decided(editor.number, command, sum(map(len, faces)), moved, tuple(people))

    def _require_writable(self) -> None:
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")

    def _marks(self, editor: Editor, faces: Sequence[int]) -> list[int]:
        marks = editor.tables.mark_faces(faces)
        return list(dict.fromkeys(marks[face] for face in faces))

    def _taken(self, faces: Sequence[int]) -> F64:
        known = self._store.decisions.capture_times(faces)
        return np.array([known.get(face, np.nan) for face in faces], np.float64)

    def _know_pictures(self, faces: Sequence[int]) -> None:
        """Read the pictures of photos that an older faceindex indexed; decisions refer to them."""
        without = self._store.decisions.photos_without_picture(faces)
        if not without:
            return
        names = PhotoNames(self._store, without)
        found = []
        for record in names.records:
            data = images.read(names.path(record))  # raises `ImageError`
            if images.content_hash(data) != record.content_hash:
                raise UsageError(
                    f"{names.path(record)} has changed since it was indexed.",
                    "Run `faceindex index` on its folder first.",
                )
            found.append((record.id, images.read_picture(data)))
        self._store.save_pictures(found)

    # References --------------------------------------------------------------------------------

    def _id(self, person: PersonRef) -> int:
        if isinstance(person, Person):
            return self._reader.people().roster.roots[person.id]
        return self._reader.people().roster.find(person).id

    def _title(self, person: PersonRef) -> str:
        return self._reader.people().roster.title(self._id(person))

    def _faces_of(self, clusters: Sequence[int]) -> list[int]:
        """Return the faces of clusters; raises `UsageError` for an unknown one."""
        rows = self._store.decisions.faces_of_clusters(clusters)
        known = {cluster for _, _, cluster in rows}
        for cluster in clusters:
            if cluster not in known:
                self._reader.check_cluster(cluster)  # raises
        return [face for face, _, _ in rows]

    def _people_of(self, faces: Sequence[int], *, nobody: bool = False) -> dict[int, int]:
        """Return the person of each face.

        Raises
        ------
        UsageError
            If a face is not in the index, or shows nobody known, unless `nobody`.
        """
        from faceindex.api.reader import find_faces

        table, view = self._reader.table(), self._reader.people()
        shown = view.person[find_faces(table, faces)]
        found = {face: person for face, person in zip(faces, shown.tolist(), strict=True) if person >= 0}
        if not nobody and (without := [face for face in faces if face not in found]):
            raise UsageError(
                f"Face {without[0]} is in no cluster of a person.",
                "Name the person with `person`, or use `name`.",
            )
        return found

    def _centres(self, faces: Sequence[int], others: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """Return the middle of each cluster that some faces are in, without `others`, and these faces."""
        from faceindex.api.reader import find_faces

        if not faces:
            return []
        table = self._reader.table()
        positions = find_faces(table, faces)
        left_out = np.isin(table.face, others)
        found = []
        for cluster in np.unique(table.cluster[positions]).tolist():
            chosen = [
                f for f, p in zip(faces, positions.tolist(), strict=True) if table.cluster[p] == cluster
            ]
            if cluster < 0:
                raise UsageError(
                    f"Face {chosen[0]} is in no cluster.", "Name the person whom it does not show."
                )
            rest = np.flatnonzero((table.cluster == cluster) & ~left_out)
            if not len(rest):
                raise UsageError(
                    f"Cluster {cluster} has no other faces.", "Give only those that do not belong to it."
                )
            middle = rest[np.argsort(-table.similarity[rest], kind="stable")[:3]]
            found.append((table.face[middle].tolist(), chosen))
        return found


def _unique(values: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(int(value) for value in values))


def _marks(actions: Sequence[dict[str, Any]]) -> set[int]:
    found: set[int] = set()
    for action in actions:
        for face in action.get("faces", ()):
            found.update(face if isinstance(face, list) else [face])
    return found


def _moves(changes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(change) for change in changes if change[0] == "cluster"]


def _face_words(faces: Sequence[int]) -> list[str]:
    """Return faces as the command line writes them; many are counted."""
    shown = [f"f{face}" for face in faces[:_MOST_SHOWN]]
    return shown if len(shown) == len(faces) else [*shown, f"... ({len(faces)} faces)"]


def _command(*words: object) -> str:
    return "people " + " ".join(shlex.quote(str(word)) for word in words)
