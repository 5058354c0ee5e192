"""CSV that spreadsheets show and do not execute, and that Python's `csv` reads back exactly.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, also one that comes from
the name of a file or of a person. Such a text gets an apostrophe before it, and so does one that begins with
apostrophes and then such a character, so that `restored` is exact. Numbers stay numbers.

The characters are those of OWASP's page on CSV injection, with the wide ones that Excel reads likewise.
"""

from __future__ import annotations

import csv
import re
from typing import Any, Protocol

__all__ = ["restored", "safe_cell", "table_writer"]

_DANGEROUS = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_MARKED = re.compile("'" + _DANGEROUS.pattern)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _Stream(Protocol):
    def write(self, text: str, /) -> object: ...


class _Rows:
    """Ends rows with ``\\n``. `csv` quotes a cell with CR only if CR is part of its own line end."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def write(self, row: str) -> object:
        return self._stream.write(row[:-2] + "\n")


def safe_cell(text: str) -> str:
    """Return a text as the cell of a table, with an apostrophe before it if it could be a formula."""
    if _DANGEROUS.match(text) is None or _NUMBER.fullmatch(text) is not None:
        return text
    return f"'{text}"


def restored(cell: str) -> str:
    """Return the text of which `safe_cell` made a cell."""
    return cell[1:] if _MARKED.match(cell) is not None else cell


def table_writer(stream: _Stream) -> Any:
    """Return a `csv.writer` to a text stream: ``\\n`` ends a row, and a cell with a line end is quoted.

    Pass texts through `safe_cell`. To read the file, open it with ``newline=""``.
    """
    return csv.writer(_Rows(stream), lineterminator="\r\n")
