"""Tables as CSV on standard output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from faceindex.cli.escaping import escaped
from faceindex.tables import safe_cell, table_writer

if TYPE_CHECKING:
    from faceindex.cli.render import StandardOutput

__all__ = ["Table"]


class Table:
    """Writes rows of CSV; the texts in them are safe in a spreadsheet.

    Parameters
    ----------
    stream : StandardOutput
    visible : bool
        Escape unsafe characters, for a terminal. Programs get the exact texts.
    """

    def __init__(self, stream: StandardOutput, *, visible: bool) -> None:
        self._writer = table_writer(stream)
        self._shown = escaped if visible else str

    def writerow(self, row: Iterable[object]) -> None:
        """Write one row."""
        self._writer.writerow(
            [self._shown(safe_cell(cell)) if isinstance(cell, str) else cell for cell in row]
        )

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write rows."""
        for row in rows:
            self.writerow(row)
