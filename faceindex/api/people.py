"""``index.people``: who the people are, by the user's word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from faceindex.api.deciding import Decider, PersonRef, command_text, face_words, unique
from faceindex.api.people_journal import apply_journal, export_journal, named_marks
from faceindex.api.people_results import Decided, JournalEntry, Person, Replay
from faceindex.api.people_table import name_many, read_name_table
from faceindex.errors import UsageError
from faceindex.people.dates import clean_date, moment_of
from faceindex.people.editor import Editor
from faceindex.people.roster import clean_name, clean_note
from faceindex.store.decisions import Decision, Label

if TYPE_CHECKING:
    from faceindex.api.people_table import NameTable
    from faceindex.api.reader import Reader
    from faceindex.api.references import Selection

__all__ = ["IndexPeople"]


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
        self._decider = Decider(reader)

    # Reading -----------------------------------------------------------------------------------

    def list(self) -> Sequence[Person]:
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
        id = self._decider.person(person)
        return next(found for found in self.list() if found.id == id)

    def select(self, words: Iterable[str]) -> Selection:
        """Find what words stand for, as on the command line; see `faceindex.api.references.select`."""
        from faceindex.api.references import select

        return select(self._reader, words)

    def names(self) -> Sequence[str]:
        """Return the names of all people, sorted; faster than `list`."""
        roster = self._decider.roster()
        return sorted(roster.title(record.id) for record in roster.people())

    def count_decisions(self) -> int:
        """Count the decisions in the journal."""
        return self._store.decisions.count()

    def log(self, limit: int | None = None) -> Sequence[JournalEntry]:
        """Return the decisions, newest first; at most `limit`, or all."""
        return [
            JournalEntry(d.number, d.at, d.command, d.undone_by, len(named_marks(d.actions)))
            for d in self._store.decisions.decisions(limit=limit)
        ]

    # Naming ------------------------------------------------------------------------------------

    def name(
        self, name: str, *, clusters: Iterable[int] = (), faces: Iterable[int] = (), dry_run: bool = False
    ) -> Decided:
        """Say who clusters and faces are. A person with this name is added if there is none.

        All faces of the clusters have the name from now on, whatever becomes of the clusters, but for faces
        that were rejected from this person. Faces that are given one by one count as confirmed.

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
        name, clusters, faces = clean_name(name), unique(clusters), unique(faces)
        if not clusters and not faces:
            raise UsageError("Nothing is given to name.", "Give clusters or faces.")
        members = self._decider.faces_of(clusters)

        def work(editor: Editor) -> None:
            person = editor.person(name)
            if members:
                editor.label(person, self._decider.marks(members), Label.NAMED)
            if faces:
                editor.label(person, self._decider.marks(faces), Label.CONFIRMED)

        command = command_text("name", *clusters, *face_words(faces), name)
        return self._decider.decide(command, work, [*members, *faces], dry_run=dry_run)

    def name_many(
        self,
        *,
        faces: Mapping[int, str] | None = None,
        clusters: Mapping[int, str] | None = None,
        dry_run: bool = False,
    ) -> Decided:
        """Say who many faces and clusters are, as one decision; see `name`.

        Parameters
        ----------
        faces, clusters : mapping of int to str
            Names by face, or by cluster. The name of a face counts more than that of its cluster.
        dry_run : bool
        """
        return name_many(self._decider, faces or {}, clusters or {}, dry_run=dry_run)

    def read_table(self, source: str | os.PathLike[str] | bytes) -> NameTable:
        """Read names for `name_many` from CSV; see `faceindex.api.people_table.read_name_table`."""
        return read_name_table(self._reader, source)

    def confirm(
        self, faces: Iterable[int], person: PersonRef | None = None, *, dry_run: bool = False
    ) -> Decided:
        """Say that faces show the person that they are in a cluster of, or a given one."""
        faces = unique(faces)
        self._reader.clustering()
        people = self._shown(faces, person)
        if without := [face for face in faces if face not in people]:
            raise UsageError(
                f"Face {without[0]} is in no cluster of a person.", "`faceindex people name` says who it is."
            )

        def work(editor: Editor) -> None:
            for one in sorted({*people.values()}):
                chosen = [face for face in faces if people[face] == one]
                editor.label(one, self._decider.marks(chosen), Label.CONFIRMED)

        options = {"as": self._decider.title(person) if person else None}
        return self._decider.decide(
            command_text("confirm", *face_words(faces), options=options), work, faces, dry_run=dry_run
        )

    def _shown(self, faces: Sequence[int], person: PersonRef | None) -> dict[int, int]:
        """Return the given person for each face, or the one that it shows."""
        if person is None:
            return self._decider.people_of(faces)
        return dict.fromkeys(faces, self._decider.person(person))

    def reject(
        self, faces: Iterable[int], person: PersonRef | None = None, *, dry_run: bool = False
    ) -> Decided:
        """Say that faces do not show the person that they are in a cluster of, or a given one.

        They never return to that person. Faces of a cluster without a person are kept apart from the faces in
        its middle.
        """
        faces = unique(faces)
        self._reader.clustering()
        people = self._shown(faces, person)
        apart = self._decider.middles([face for face in faces if face not in people], faces)

        def work(editor: Editor) -> None:
            for one in sorted({*people.values()}):
                chosen = [face for face in faces if people.get(face) == one]
                editor.reject(one, self._decider.marks(chosen))
            for centre, chosen in apart:
                editor.different(self._decider.marks(chosen), self._decider.marks(centre))

        options = {"from": self._decider.title(person) if person else None}
        concerned = [*faces, *(face for centre, _ in apart for face in centre)]
        command = command_text("reject", *face_words(faces), options=options)
        return self._decider.decide(command, work, concerned, dry_run=dry_run)

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
        clusters, faces = unique(clusters), unique(faces)
        concerned = unique([*self._decider.faces_of(clusters), *faces])

        def work(editor: Editor) -> None:
            editor.nobody(label, self._decider.marks(concerned))

        return self._decider.decide(
            command_text(verb, *clusters, *face_words(faces)), work, concerned, dry_run=dry_run
        )

    def same(self, faces: Iterable[int], *, dry_run: bool = False) -> Decided:
        """Say that faces show one person, whoever it is."""
        faces = unique(faces)

        def work(editor: Editor) -> None:
            editor.same(self._decider.marks(faces))

        return self._decider.decide(command_text("same", *face_words(faces)), work, faces, dry_run=dry_run)

    def different(self, one: Iterable[int], other: Iterable[int], *, dry_run: bool = False) -> Decided:
        """Say that the faces of two groups show two people."""
        one, other = unique(one), unique(other)

        def work(editor: Editor) -> None:
            editor.different(self._decider.marks(one), self._decider.marks(other))

        words = [*face_words(one), "from", *face_words(other)]
        return self._decider.decide(command_text("different", *words), work, [*one, *other], dry_run=dry_run)

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
        note = clean_note(note) if note else None
        return self._set(person, {"note": note}, "note", note or "-", dry_run=dry_run)

    def merge(self, into: PersonRef, *others: PersonRef, dry_run: bool = False) -> Decided:
        """Say that people are one person, who has the name of the first."""
        first, rest = self._decider.person(into), unique(map(self._decider.person, others))
        if not rest or first in rest:
            raise UsageError("A person cannot be merged with itself.", "Name two or more people.")

        def work(editor: Editor) -> None:
            editor.merge(first, rest)

        names = [self._decider.title(person) for person in (into, *others)]
        return self._decider.decide(command_text("merge", *names), work, (), dry_run=dry_run)

    def _set(
        self, person: PersonRef, values: dict[str, Any], verb: str, *words: str, dry_run: bool
    ) -> Decided:
        id, title = self._decider.person(person), self._decider.title(person)
        uid = self._decider.roster().records[id].uid

        def work(editor: Editor) -> None:
            editor.set_person(uid, values)

        return self._decider.decide(command_text(verb, title, *words), work, (), dry_run=dry_run)

    # Undo --------------------------------------------------------------------------------------

    def undo(self, number: int = 1, *, dry_run: bool = False) -> Sequence[tuple[JournalEntry, Decided]]:
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
        self._decider.require_writable()
        found = self._store.decisions.to_undo(number)
        if not found:
            raise UsageError("There is no decision to undo.", "`faceindex people log` lists the decisions.")
        undone = []

        def undo_all() -> None:
            for each in found:
                entry = JournalEntry(each.number, each.at, each.command, None, len(named_marks(each.actions)))
                undone.append((entry, self._undo(each)))

        self._decider.in_transaction(undo_all, dry_run=dry_run)
        if dry_run:
            undone = [(entry, replace(decided, number=None)) for entry, decided in undone]
        return undone

    def _undo(self, decision: Decision) -> Decided:
        kept = 0

        def work(editor: Editor) -> None:
            nonlocal kept
            kept = editor.undo(decision.number, decision.uid)

        moves = _restored_clusters(self._store.decisions.changes(decision.number))
        decided = self._decider.make(f"people undo  # {decision.command}", work, restored=moves)
        return replace(decided, kept=kept)

    # Files -------------------------------------------------------------------------------------

    def export(self, path: str | os.PathLike[str], *, public: bool = False) -> int:
        """Write all decisions to a file of JSON Lines, and return their number.

        `apply` reads it, in this index or in another one. An existing file is replaced once the new one is
        complete. Only this user may read it, or with `public` all users of this machine.
        """
        return export_journal(self._reader, path, public=public)

    def apply(
        self,
        path: str | os.PathLike[str],
        *,
        dry_run: bool = False,
        same_names: bool = False,
        prefer: Literal["file", "index"] | None = None,
    ) -> Replay:
        """Apply the decisions of a file that `export` wrote, in one transaction.

        Decisions that the index has already are skipped. What contradicts a decision that only this index has
        is left out and reported. Places on pictures that the index lacks wait for their photos.

        Parameters
        ----------
        path : path-like
        dry_run : bool
        same_names : bool
            People of one name are one person, although they were added separately.
        prefer : {"file", "index"}, optional
            Which decision counts where two contradict each other; None reports it.

        Raises
        ------
        UsageError
            If the file is not such a file. The index does not change.
        """
        return apply_journal(self._decider, path, dry_run=dry_run, same_names=same_names, prefer=prefer)


def _restored_clusters(changes: Sequence[Sequence[Any]]) -> list[tuple[int, int | None, int | None]]:
    """Return the faces that a decision moved between clusters."""
    return [(face, before, after) for kind, face, before, after, *_ in changes if kind == "cluster"]
