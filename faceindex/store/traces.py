"""What the index holds of faces and texts, to search for it before and after it is forgotten."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceindex.store.compaction import live_rows
from faceindex.store.directory import CATALOG, next_vectors_name, part_name
from faceindex.store.raw_files import reading
from faceindex.store.residue import LEAST_NAME, forms_of_text
from faceindex.store.vector_files import vector_file

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.types import F32

__all__ = ["Traces"]

_BLOCK = 1 << 20  # bytes that are searched at a time


class Traces:
    """Finds vectors of faces, and values of the catalog with some texts.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    """

    def __init__(self, catalog: Catalog, directory: Path) -> None:
        self._catalog = catalog
        self._directory = directory

    # Faces -------------------------------------------------------------------------------------

    def of_faces(self, faces: Sequence[int]) -> tuple[list[F32], list[bytes]]:
        """Return copies of the vectors of faces, of each model that made some, and their measures.

        Parameters
        ----------
        faces : sequence of int
            Faces of photos that are there or away.

        Returns
        -------
        vectors : list of (n, d) float32
        measures : list of bytes
            Values of the column ``geometry``.
        """
        found = [
            row
            for table in ("faces", "away_faces")
            for row in self._catalog.query_in(
                f"SELECT vector_row, geometry FROM {table} WHERE id IN ({{}})", faces
            )
        ]
        measures = [bytes(geometry) for _, geometry in found]
        vectors = [self._gather([int(row) for row, _ in found])]
        if (transfer := self._catalog.transfer()) is not None:
            staged = self._catalog.query_in(
                "SELECT vector_row, geometry FROM transfer_faces WHERE face_id IN ({})", faces
            )
            part = part_name(next_vectors_name(self._catalog.vectors_name))
            file = vector_file(self._catalog, self._directory, part, transfer[0].dimension, part=True)
            rows = np.array(sorted(int(row) for row, _ in staged), np.int64)
            vectors.append(np.array(file.gather(transfer[1], rows)))
            file.close()
            measures += [bytes(geometry) for _, geometry in staged]
        return vectors, measures

    def of_all(self) -> tuple[F32, list[bytes]]:
        """Return the vectors of all faces, also of photos that are away, (n, d) float32, and the measures."""
        measures = [
            bytes(geometry)
            for table in ("faces", "away_faces")
            for (geometry,) in self._catalog.query(f"SELECT geometry FROM {table}")
        ]
        return self._gather(live_rows(self._catalog).tolist()), measures

    def _gather(self, rows: list[int]) -> F32:
        catalog = self._catalog
        file = vector_file(catalog, self._directory, catalog.vectors_name, catalog.pins().dimension)
        found: F32 = np.array(file.gather(self._catalog.rows, np.array(sorted(rows), np.int64)))
        file.close()
        return found

    # Texts -------------------------------------------------------------------------------------

    def cells_with(self, texts: Iterable[str]) -> tuple[Counter[str], dict[str, set[str]]]:
        """Find the values of the catalog with some texts in them, as whole words.

        Returns
        -------
        number : Counter of str
            Of values, by ``table.column``.
        values : dict of str to set of str
            The values, by the same.
        """
        number: Counter[str] = Counter()
        values: dict[str, set[str]] = {}
        forms = _forms(texts)
        words = re.compile(rb"(?<!%b)(?:%b)(?!%b)" % (_LETTER, b"|".join(map(re.escape, forms)), _LETTER))
        for table, column, value in self._cells(forms):
            if words.search(value) is None:  # Ada is not in "unreadable"
                continue
            key = f"{table}.{column}"
            number[key] += 1
            values.setdefault(key, set()).add(value.decode("utf-8", "surrogateescape"))
        return number, values

    def unexplained(self, texts: Iterable[str]) -> dict[str, int]:
        """Count how often texts are in the files of the catalog without being in a value of it.

        Returns
        -------
        dict of str to int
            By the name of the file, where it is not 0.
        """
        forms = [form for form in _forms(texts) if len(form) >= LEAST_NAME]
        explained: Counter[bytes] = Counter()
        times = self._times_stored()
        for table, column, value in self._cells(forms):
            for form in forms:
                explained[form] += value.count(form) * times[table, column]
        found = {}
        for path in sorted(self._directory.glob(CATALOG + "*")):
            extra = sum(max(0, _count(path, form) - explained[form]) for form in forms)
            if extra:
                found[path.name] = extra
        return found

    def _cells(self, forms: Sequence[bytes]) -> Iterator[tuple[str, str, bytes]]:
        if not forms:
            return
        for table in self._tables():
            for column in self._columns(table):
                cell = f'CAST("{column}" AS BLOB)'
                where = " OR ".join(f"instr({cell}, ?)" for _ in forms)
                for (value,) in self._catalog.query(f'SELECT {cell} FROM "{table}" WHERE {where}', forms):
                    yield table, column, bytes(value)

    def _times_stored(self) -> dict[tuple[str, str], int]:
        """Return how often the file holds a value of each column: in the table, and in each index of it."""
        found = {}
        for table in self._tables():
            number = Counter(dict.fromkeys(self._columns(table), 1))
            ((sql,),) = self._catalog.query("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
            for _, index, _, origin, *_ in self._catalog.query(f'PRAGMA index_list("{table}")'):
                if origin == "pk" and "WITHOUT ROWID" in str(sql).upper():
                    continue  # this index is the table
                columns = self._catalog.query(f'PRAGMA index_info("{index}")')
                number.update(str(name) for _, _, name in columns if name)
            found.update({(table, column): times for column, times in number.items()})
        return found

    def _tables(self) -> list[str]:
        found = self._catalog.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [str(name) for (name,) in found]

    def _columns(self, table: str) -> list[str]:
        return [str(row[1]) for row in self._catalog.query(f'PRAGMA table_info("{table}")')]


_LETTER = rb"[A-Za-z0-9_\x80-\xff]"  # of UTF-8


def _forms(texts: Iterable[str]) -> list[bytes]:
    return sorted({form for text in texts for form in forms_of_text(text)})


def _count(path: Path, form: bytes) -> int:
    """Count some bytes in a file."""
    if not path.is_file():
        return 0
    number, rest = 0, b""
    with reading(path) as file:
        while block := file.read(_BLOCK):
            content, after = rest + block, 0
            while (at := content.find(form, after)) >= 0:
                number, after = number + 1, at + len(form)
            rest = content[max(after, len(content) - len(form) + 1) :]
    return number
