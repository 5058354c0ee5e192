"""Read who is who from a CSV file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceindex.api.deciding import Decider, command_text
from faceindex.errors import UsageError
from faceindex.people.references import parse_references
from faceindex.people.roster import clean_name, name_key
from faceindex.store.decisions import Label
from faceindex.tables import restored

if TYPE_CHECKING:
    from faceindex.api.people_results import Decided
    from faceindex.api.reader import Reader
    from faceindex.people.editor import Editor

__all__ = ["NameTable", "name_many", "read_name_table"]

_NAMES = ("person", "name", "label")  # columns that may hold the name; the first that is there counts
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class NameTable:
    """Who is who, from a CSV file.

    Attributes
    ----------
    faces, clusters : dict of int to str
        Names by face, or by cluster.
    empty : int
        Rows without a name.
    unchanged : int
        Rows of a table of ``faceindex faces`` or ``faceindex clusters`` whose name is the one in the index.
    problems : tuple of str
        What is wrong with rows, each with the line; then `faces` and `clusters` lack these rows.
    """

    faces: dict[int, str]
    clusters: dict[int, str]
    empty: int
    unchanged: int
    problems: tuple[str, ...]


def read_name_table(reader: Reader, source: str | os.PathLike[str] | bytes) -> NameTable:
    """Read a CSV file with the columns ``face,person`` or ``cluster,person``, among others.

    With both ``face`` and ``cluster``, the face counts. The output of ``faceindex faces`` and of
    ``faceindex clusters``, with edited names, is such a file; of these, only the edited rows count.

    Parameters
    ----------
    reader : Reader
    source : path-like or bytes
        UTF-8, with or without a byte order mark; separated by commas, semicolons or tabs.

    Raises
    ------
    NotClustered
        If it names clusters and the faces are not clustered.
    UsageError
        If the file cannot be read, or lacks these columns.
    """
    title = "standard input" if isinstance(source, bytes) else os.fspath(source)
    text = (source if isinstance(source, bytes) else _read(title)).decode("utf-8-sig", "surrogateescape")
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        kind = "face" if "face" in header else "cluster"
        column = next((name for name in _NAMES if name in header), None)
        if kind not in header or column is None:
            found = ", ".join(header)[:80] or "nothing"
            raise UsageError(
                f"{title} needs the columns face,person or cluster,person, but its first line has: {found}.",
                "Name the columns in the first line.",
            )
        is_table = "confirmed" in header or "cohesion" in header
        places = header.index(kind), header.index(column)
        collector = _Collector(reader, kind, keep_equal=not is_table)
        for line, word, name in _cells(rows, places):
            collector.add(line, word, name)
    except csv.Error as error:
        raise UsageError(
            f"{title} is not CSV: line {rows.line_num}: {error}.", "Save it as comma-separated values."
        ) from None
    return collector.table()


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", "Check the name of the CSV file.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


def _cells(rows: Iterator[Sequence[str]], places: tuple[int, int]) -> Iterator[tuple[int, str, str]]:
    for row in rows:
        if any(cell.strip() for cell in row):
            cells = [restored(cell.strip()) for cell in row] + [""] * (max(places) + 1 - len(row))
            yield rows.line_num, cells[places[0]], cells[places[1]]  # type: ignore[attr-defined]


class _Collector:
    """Checks rows one by one."""

    def __init__(self, reader: Reader, kind: str, *, keep_equal: bool) -> None:
        self._kind = kind
        self._keep_equal = keep_equal
        with reader.store.snapshot():
            if kind == "cluster":
                reader.clustering()
            table, view = reader.table(), reader.people()
        if kind == "face":
            shown = view.person.tolist()
            self._now = {
                face: view.roster.title(person) if person >= 0 else ""
                for face, person in zip(table.face.tolist(), shown, strict=True)
            }
        else:
            called = view.cluster_names()
            clusters = np.unique(table.cluster[table.cluster >= 0]).tolist()
            self._now = {cluster: called.get(cluster, "") for cluster in clusters}
        self._found: dict[int, str] = {}
        self._lines: dict[int, int] = {}
        self._problems: list[str] = []
        self._empty = self._unchanged = 0

    def add(self, line: int, word: str, name: str) -> None:
        if not name:
            self._empty += 1
            return
        try:
            number, name = self._number(word), _checked_name(name)
        except UsageError as error:
            self._problems.append(f"line {line}: {error.problem}")
            return
        if not self._keep_equal and name_key(self._now[number]) == name_key(name):
            self._unchanged += 1
        elif number not in self._found:
            self._found[number], self._lines[number] = name, line
        elif name_key(self._found[number]) != name_key(name):
            earlier = f"'{self._found[number]}' in line {self._lines[number]}"
            self._problems.append(f"line {line}: {self._kind} {number} is '{name}', but {earlier}.")

    def _number(self, word: str) -> int:
        found = parse_references([word])
        is_bare = word.isdecimal()
        numbers = found.faces if self._kind == "face" and not is_bare else found.clusters
        if len(numbers) != 1:
            example = "f123 or 123" if self._kind == "face" else "7 or c7"
            raise UsageError(f"'{word}' is not a {self._kind}.", f"Write it as {example}.")
        if numbers[0] not in self._now:
            raise UsageError(f"There is no {self._kind} {numbers[0]}.", "")
        return numbers[0]

    def table(self) -> NameTable:
        faces, clusters = (self._found, {}) if self._kind == "face" else ({}, self._found)
        return NameTable(faces, clusters, self._empty, self._unchanged, tuple(self._problems))


def _checked_name(name: str) -> str:
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        raise UsageError("The name is not text in UTF-8; save the file as CSV in UTF-8.", "")
    return clean_name(name)


def name_many(
    decider: Decider, faces: Mapping[int, str], clusters: Mapping[int, str], *, dry_run: bool
) -> Decided:
    """Make one decision about many names; see `faceindex.api.people.IndexPeople.name_many`."""
    if not faces and not clusters:
        raise UsageError("Nothing is given to name.", "Give clusters or faces.")
    by_cluster, by_face = _by_name(clusters.items()), _by_name(faces.items())
    groups = [
        (name, found, label)
        for members, label in (
            ({name: decider.faces_of(numbers) for name, numbers in by_cluster.items()}, Label.NAMED),
            (by_face, Label.CONFIRMED),
        )
        for name, found in members.items()
    ]

    def work(editor: Editor) -> None:
        for name, found, label in groups:
            editor.label(editor.person(name), decider.marks(found), label)

    concerned = list(dict.fromkeys(face for _, found, _ in groups for face in found))
    counted = [f"{len(each):,} {noun}" for noun, each in (("clusters", clusters), ("faces", faces)) if each]
    command = f"{command_text('name', options={'from': 'FILE'})}  # {' and '.join(counted)}"
    return decider.decide(command, work, concerned, dry_run=dry_run)


def _by_name(named: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    """Return what has each name, whatever its case; the first way to write it stays."""
    found: dict[str, tuple[str, list[int]]] = {}
    for number, name in named:
        cleaned = clean_name(name)
        found.setdefault(name_key(cleaned), (cleaned, []))[1].append(int(number))
    return dict(found.values())
