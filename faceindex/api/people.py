"""``index.people``: who the people are, by the user's word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from faceindex.api.deciding import Decider, PersonRef, command_text, face_words, made_once, unique
from faceindex.api.people_journal import apply_journal, export_journal
from faceindex.api.people_results import Decided, JournalEntry, Person, Replay
from faceindex.api.people_table import name_many, read_name_table
from faceindex.errors import UsageError
from faceindex.people.dates import clean_date
from faceindex.people.editor import Editor
from faceindex.people.roster import clean_name, clean_note
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.people_table import NameTable
    from faceindex.api.reader import Reader
    from faceindex.api.references import Selection

__all__ = ["IndexPeople"]


class IndexPeople:
    """Names people, corrects what the program believes, and undoes that; ``index.people`` of a `FaceIndex`.

    Each call is one decision: one entry of the journal, which `undo` takes back. All changes need an index
    that is open for writing, and faces that are clustered. With `dry_run`, a call returns what it would
    change, and stores nothing. A call may give the decision its `uid`, 32 hexadecimal digits in lower case. A
    second call with it decides nothing, and returns what the first one changed, even if that was undone: so a
    call can be repeated whose answer was lost.

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
        from faceindex.api.people_list import list_people

        return list_people(self._reader)

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
        from faceindex.api.undoing import entry_of

        return [entry_of(decision) for decision in self._store.decisions.decisions(limit=limit)]

    def made(self, uid: str) -> Decided | None:
        """Return what the decision with a uid changed, even if it was undone; None if there is none."""
        decision = self._decider.made(uid)
        return None if decision is None else self._decider.recorded(decision)

    # Naming ------------------------------------------------------------------------------------

    @made_once
    def name(
        self,
        name: str,
        *,
        clusters: Iterable[int] = (),
        faces: Iterable[int] = (),
        uid: str | None = None,
        dry_run: bool = False,
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
        return self._decider.decide(command, work, [*members, *faces], uid=uid, dry_run=dry_run)

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

    @made_once
    def confirm(
        self,
        faces: Iterable[int],
        person: PersonRef | None = None,
        *,
        uid: str | None = None,
        dry_run: bool = False,
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
            command_text("confirm", *face_words(faces), options=options),
            work,
            faces,
            uid=uid,
            dry_run=dry_run,
        )

    def _shown(self, faces: Sequence[int], person: PersonRef | None) -> dict[int, int]:
        """Return the given person for each face, or the one that it shows."""
        if person is None:
            return self._decider.people_of(faces)
        return dict.fromkeys(faces, self._decider.person(person))

    @made_once
    def reject(
        self,
        faces: Iterable[int],
        person: PersonRef | None = None,
        *,
        uid: str | None = None,
        dry_run: bool = False,
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
        return self._decider.decide(command, work, concerned, uid=uid, dry_run=dry_run)

    @made_once
    def ignore(
        self,
        *,
        clusters: Iterable[int] = (),
        faces: Iterable[int] = (),
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Decided:
        """Say that faces, or all faces of clusters, are of strangers: they are in no cluster any more."""
        return self._nobody("ignore", Label.STRANGER, clusters, faces, uid, dry_run)

    @made_once
    def not_a_face(
        self,
        *,
        clusters: Iterable[int] = (),
        faces: Iterable[int] = (),
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Decided:
        """Say that faces, or all of clusters, are no faces: they are in no cluster any more."""
        return self._nobody("not-a-face", Label.NOT_A_FACE, clusters, faces, uid, dry_run)

    def _nobody(
        self,
        verb: str,
        label: Label,
        clusters: Iterable[int],
        faces: Iterable[int],
        uid: str | None,
        dry_run: bool,
    ) -> Decided:
        clusters, faces = unique(clusters), unique(faces)
        concerned = unique([*self._decider.faces_of(clusters), *faces])

        def work(editor: Editor) -> None:
            editor.nobody(label, self._decider.marks(concerned))

        return self._decider.decide(
            command_text(verb, *clusters, *face_words(faces)), work, concerned, uid=uid, dry_run=dry_run
        )

    @made_once
    def same(self, faces: Iterable[int], *, uid: str | None = None, dry_run: bool = False) -> Decided:
        """Say that faces show one person, whoever it is."""
        faces = unique(faces)

        def work(editor: Editor) -> None:
            editor.same(self._decider.marks(faces))

        return self._decider.decide(
            command_text("same", *face_words(faces)), work, faces, uid=uid, dry_run=dry_run
        )

    @made_once
    def different(
        self, one: Iterable[int], other: Iterable[int], *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Say that the faces of two groups show two people."""
        one, other = unique(one), unique(other)

        def work(editor: Editor) -> None:
            editor.different(self._decider.marks(one), self._decider.marks(other))

        words = [*face_words(one), "from", *face_words(other)]
        return self._decider.decide(
            command_text("different", *words), work, [*one, *other], uid=uid, dry_run=dry_run
        )

    # People ------------------------------------------------------------------------------------

    @made_once
    def rename(
        self, person: PersonRef, name: str, *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Give a person another name."""
        return self._set(person, {"name": clean_name(name)}, "rename", name, uid=uid, dry_run=dry_run)

    @made_once
    def born(
        self, person: PersonRef, date: str | None, *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Set the date of birth: a year, a month, a day, or None. Nobody is found on earlier photos."""
        date = None if date is None else clean_date(date)
        return self._set(person, {"born": date}, "born", date or "-", uid=uid, dry_run=dry_run)

    @made_once
    def died(
        self, person: PersonRef, date: str | None, *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Set the date of death: a year, a month, a day, or None."""
        date = None if date is None else clean_date(date)
        return self._set(person, {"died": date}, "died", date or "-", uid=uid, dry_run=dry_run)

    @made_once
    def hide(
        self, person: PersonRef, hidden: bool = True, *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Leave a person out of the gallery and of exports, or show the person again."""
        return self._set(person, {"hidden": hidden}, "hide" if hidden else "unhide", uid=uid, dry_run=dry_run)

    @made_once
    def note(
        self, person: PersonRef, note: str | None, *, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Keep a note about a person; None removes it."""
        note = clean_note(note) if note else None
        return self._set(person, {"note": note}, "note", note or "-", uid=uid, dry_run=dry_run)

    @made_once
    def merge(
        self, into: PersonRef, *others: PersonRef, uid: str | None = None, dry_run: bool = False
    ) -> Decided:
        """Say that people are one person, who has the name of the first."""
        first, rest = self._decider.person(into), unique(map(self._decider.person, others))
        if not rest or first in rest:
            raise UsageError("A person cannot be merged with itself.", "Name two or more people.")

        def work(editor: Editor) -> None:
            editor.merge(first, rest)

        names = [self._decider.title(person) for person in (into, *others)]
        return self._decider.decide(command_text("merge", *names), work, (), uid=uid, dry_run=dry_run)

    def _set(
        self,
        person: PersonRef,
        values: dict[str, Any],
        verb: str,
        *words: str,
        uid: str | None,
        dry_run: bool,
    ) -> Decided:
        id, title = self._decider.person(person), self._decider.title(person)
        person_uid = self._decider.roster().records[id].uid

        def work(editor: Editor) -> None:
            editor.set_person(person_uid, values)

        return self._decider.decide(command_text(verb, title, *words), work, (), uid=uid, dry_run=dry_run)

    # Undo --------------------------------------------------------------------------------------

    def undo(
        self,
        number: int = 1,
        *,
        expected: int | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Sequence[tuple[JournalEntry, Decided]]:
        """Take back the newest decisions that were not undone, the newest first.

        Parameters
        ----------
        number : int
            How many.
        expected : int, optional
            Number of the decision that must be the newest of these.
        uid : str, optional
            Of the decision that undoes one.
        dry_run : bool

        Returns
        -------
        list of (JournalEntry, Decided)
            What was undone, and what changed.

        Raises
        ------
        UsageError
            If there is no decision to undo, or another one than `expected` would be undone.
        """
        from faceindex.api.undoing import undo

        return undo(self._decider, number, expected=expected, uid=uid, dry_run=dry_run)

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
