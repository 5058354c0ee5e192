"""Which table, and which of its rows, a page of an SQLite file belongs to.

By the file format of https://www.sqlite.org/fileformat2.html#b_tree_pages: interior pages have the numbers of
their children, leaves of tables the ids of their rows. Only `doctor` reads pages itself, to name what a
damaged page has put in doubt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from faceindex.store.raw_files import reading

__all__ = ["rows_on_pages"]

_INTERIOR_TABLE, _INTERIOR_INDEX, _LEAF_TABLE = 5, 2, 13


def rows_on_pages(
    path: Path, page_size: int, pages: set[int], roots: Mapping[str, int]
) -> dict[str, set[int]]:
    """Return the ids of rows on some pages, by table.

    Parameters
    ----------
    path : Path
    page_size : int
        Bytes.
    pages : set of int
        From 1 on.
    roots : mapping of str to int
        Root page of each table or index.

    Returns
    -------
    dict of str to set of int
        The set is empty for an index, for an inner page, and for a leaf that cannot be read. Pages of no
        table, which are unused or continue a long value, are left out.
    """
    with reading(path) as file:
        content = file.read()
    found: dict[str, set[int]] = {}
    for table, root in roots.items():
        seen: set[int] = set()
        todo = [root]
        while todo:
            number = todo.pop()
            if number in seen or not 1 <= number <= len(content) // page_size:
                continue
            seen.add(number)
            page = content[(number - 1) * page_size : number * page_size]
            if number in pages:
                found.setdefault(table, set())
            with contextlib.suppress(IndexError):
                kind, children, rows = _parse(page, 100 if number == 1 else 0)
                todo += children
                if number in pages and kind == _LEAF_TABLE:
                    found[table] |= rows
    return found


def _parse(page: bytes, start: int) -> tuple[int, list[int], set[int]]:
    """Return kind, children and ids of rows of a page."""
    kind, cells = page[start], int.from_bytes(page[start + 3 : start + 5], "big")
    interior = kind in (_INTERIOR_TABLE, _INTERIOR_INDEX)
    first = start + (12 if interior else 8)
    offsets = [int.from_bytes(page[first + 2 * i : first + 2 * i + 2], "big") for i in range(cells)]
    if interior:
        ends = [start + 8, *offsets]
        return kind, [int.from_bytes(page[offset : offset + 4], "big") for offset in ends], set()
    rows = set()
    if kind == _LEAF_TABLE:
        for offset in offsets:
            with contextlib.suppress(IndexError):
                _, offset_of_row = _varint(page, offset)
                rows.add(_varint(page, offset_of_row)[0])
    return kind, [], rows


def _varint(page: bytes, offset: int) -> tuple[int, int]:
    """Return a number of variable length, and the offset after it."""
    value = 0
    for position in range(8):
        byte = page[offset + position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + position + 1
    return value << 8 | page[offset + 8], offset + 9
