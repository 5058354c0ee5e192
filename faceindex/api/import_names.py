"""The names of an import, and the people of the index that they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

from faceindex.errors import UsageError
from faceindex.people.dates import clean_date
from faceindex.people.roster import clean_name, clean_note, name_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceindex.interchange.regions import SourcePerson
    from faceindex.people.editor import Editor
    from faceindex.people.roster import Roster
    from faceindex.store import Store
    from faceindex.store.decisions import PersonRecord

__all__ = ["ImportedName", "ImportedNames", "ImportedPeople", "import_command"]

_PEOPLE: Final = UUID("0c1c6b0a-5f6a-4f0e-9b57-3d2c8d0a7f16")  # any namespace, the same in all indexes
_RANDOM_KEY: Final = re.compile(r"[0-9a-f]{16,}")


def import_command(program: str) -> str:
    """Return the start of the command of an import, as the journal has it."""
    return f"import {'-'.join(program.lower().split())}"


@dataclass(slots=True)
class ImportedName:
    """A name of an import.

    Attributes
    ----------
    id : int
    name : str
        As it is written first.
    keys : set of str
        Of the `SourcePerson` that have it.
    forgotten : bool
        Whether a face with this name was forgotten here.
    """

    id: int
    name: str
    keys: set[str] = field(default_factory=set)
    forgotten: bool = False


class ImportedNames:
    """All names of an import; names that the index takes for one have one id."""

    def __init__(self) -> None:
        self._by_key: dict[str, ImportedName] = {}
        self._by_text: dict[str, ImportedName | UsageError] = {}
        self._of_person: dict[str, ImportedName] = {}
        self.all: list[ImportedName] = []

    def find(self, written: str, person: str | None = None) -> ImportedName:
        """Return a name, which is added if it is new.

        Raises
        ------
        UsageError
            If nobody can have the name.
        """
        found = self._by_text.get(written)
        if found is None:
            try:
                cleaned = clean_name(written)
            except UsageError as error:
                found = error
            else:
                found = self._by_key.get(name_key(cleaned))
                if found is None:
                    found = self._by_key[name_key(cleaned)] = ImportedName(len(self.all), cleaned)
                    self.all.append(found)
            self._by_text[written] = found
        if isinstance(found, UsageError):
            raise found
        if person is not None and self._of_person.setdefault(person, found) is found:
            found.keys.add(person)
        return found


class ImportedPeople:
    """Finds the person of each name.

    That is, in this order: the person whom an earlier import added with the program's key, unless the name is
    new there and somebody else has it here; the one with the name; the one into whom that was merged; and the
    one who had the name when an earlier import of the program used it, and was renamed here.

    Parameters
    ----------
    store : Store
    roster : Roster
    program : str
    people : mapping of str to SourcePerson
        Of the program, by their keys.

    Attributes
    ----------
    roster : Roster
    """

    def __init__(
        self, store: Store, roster: Roster, program: str, people: Mapping[str, SourcePerson]
    ) -> None:
        self.roster = roster
        self._program = program
        self._people = people
        self._tables = store.decisions
        self._forgotten = store.forgotten
        self._by_uid = {record.uid: record for record in roster.records.values()}
        self._current: dict[str, int] = {}
        self._merged: dict[str, set[int]] = {}
        for id, record in roster.records.items():
            if record.name is None or not record.written:
                continue
            if roster.roots[id] == id:
                self._current[name_key(record.name)] = id
            else:
                self._merged.setdefault(name_key(record.name), set()).add(roster.roots[id])
        self._earlier: dict[str, set[str]] | None = None

    def person(self, name: ImportedName) -> int | None:
        """Return the person of a name; None if there is none yet."""
        record = self._by_key(name)
        key = name_key(name.name)
        if record is not None and (key not in self._current or not self._is_new_there(record, key)):
            return self.roster.roots[record.id]
        if (found := self._current.get(key)) is not None:
            return found
        merged = self._merged.get(key, set())
        return next(iter(merged)) if len(merged) == 1 else self._renamed(key)

    def _by_key(self, name: ImportedName) -> PersonRecord | None:
        """Return the person whom an earlier import added with the program's key."""
        uid = self.uid(name)
        record = None if uid is None else self._by_uid.get(uid)
        return record if record is not None and record.written else None

    def _is_new_there(self, record: PersonRecord, key: str) -> bool:
        """Whether neither the index nor an earlier import of the program has a name for a person."""
        root = self.roster.roots[record.id]
        here = {name_key(name) for id in (record.id, root) if (name := self.roster.records[id].name)}
        return key not in here and record.uid not in self._uids_by_name().get(key, set())

    def doubt(self, name: ImportedName) -> str | None:
        """Return a sentence if the program means several people, or one who has another name here."""
        if len(name.keys) > 1:
            return (
                f"{self._program} has {len(name.keys):,} people with the name '{name.name}', who are one "
                "person here. Give them different names there if they are not."
            )
        record = self._by_key(name)
        key = name_key(name.name)
        if record is None or key in self._current or not self._is_new_there(record, key):
            return None
        title = self.roster.title(record.id)
        return (
            f"{self._program} names {title} '{name.name}' now. The name here stays; "
            "`faceindex people rename` changes it."
        )

    def _uids_by_name(self) -> dict[str, set[str]]:
        if self._earlier is None:
            self._earlier = self._names_of_imports() if self.roster.records else {}
        return self._earlier

    def _renamed(self, key: str) -> int | None:
        uids = self._uids_by_name().get(key, set())
        people = {
            self.roster.roots[record.id]
            for uid in uids
            if (record := self._by_uid.get(uid)) is not None and record.written
        }
        return next(iter(people)) if len(people) == 1 else None

    def _names_of_imports(self) -> dict[str, set[str]]:
        """Return the uids of the people that earlier imports of the program named, by these names."""
        found: dict[str, set[str]] = {}
        start = import_command(self._program)
        for decision in self._tables.decisions():
            if decision.undone_by is not None or not f"{decision.command} ".startswith(f"{start} "):
                continue
            for action in decision.actions:
                if action.get("do") != "label":
                    continue
                uid, name = action.get("person"), action.get("name")
                if isinstance(uid, str) and isinstance(name, str):
                    found.setdefault(name_key(name), set()).add(uid)
        return found

    def uid(self, name: ImportedName) -> str | None:
        """Return the uid of a person whom the program knows by a random key, the same in all indexes."""
        if len(name.keys) != 1:
            return None
        key = next(iter(name.keys)).replace("-", "").lower()
        if not _RANDOM_KEY.fullmatch(key):
            return None
        return uuid5(_PEOPLE, f"{import_command(self._program)} {key}").hex

    def is_forgotten(self, name: ImportedName) -> bool:
        """Return whether the person of a name was forgotten here.

        The index keeps no names of these. So a name is taken for one if nobody has it, and the program's key
        of the person is that of a forgotten one, or a region with it is at the place of a forgotten face.
        """
        if self.person(name) is not None:
            return False
        uid = self.uid(name)
        return name.forgotten or (uid is not None and bool(self._forgotten.people_among([uid])))

    def values(
        self, name: ImportedName, person: int | None, complain: Callable[[str], None]
    ) -> dict[str, Any]:
        """Return what the program knows of a person and the index does not, as values of fields.

        Parameters
        ----------
        name : ImportedName
        person : int or None
            None for a new one.
        complain : callable
            Called with a sentence on each value that cannot be used.
        """
        record = None if person is None else self.roster.records[person]
        values: dict[str, Any] = {}
        for key in sorted(name.keys):
            source = self._people.get(key)
            if source is None:
                continue
            for field_name, value, clean in (
                ("born", source.born, clean_date),
                ("died", source.died, clean_date),
                ("note", source.note, clean_note),
            ):
                if not value or field_name in values:
                    continue
                if record is not None and getattr(record, field_name) is not None:
                    continue
                try:
                    values[field_name] = clean(value)
                except UsageError as error:
                    complain(f"{self._program}, {name.name}, {field_name}: {error.problem}")
            if source.hidden and record is None:
                values["hidden"] = True
        return values

    def add(self, editor: Editor, name: ImportedName, person: int | None, values: dict[str, Any]) -> int:
        """Return the person of a name with some values, adding the person if `person` is None."""
        if person is not None:
            if values:
                editor.set_person(self.roster.records[person].uid, values)
            return person
        uid = self.uid(name)
        if uid is None and not values:
            return editor.person(name.name)
        return editor.set_person(uid or uuid4().hex, {"name": name.name, **values})
