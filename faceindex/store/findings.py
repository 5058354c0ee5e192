"""What `faceindex.store.checks` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog

__all__ = ["Finding", "count_rows"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a catalog.

    Attributes
    ----------
    table : str
        The table, or ``meta`` for a single value.
    what : str
        What is wrong, as the end of a sentence that begins with the name of the file.
    rows : int
        Number of rows that it concerns.
    repair : str or None
        A statement of SQL that removes the damage and leaves everything else; to be run in a transaction.
        None if no statement can do it without losing decisions of the user.
    """

    table: str
    what: str
    rows: int
    repair: str | None


def count_rows(catalog: Catalog, table: str, where: str) -> int:
    """Count the rows of a table that a condition of SQL holds for."""
    return int(catalog.query(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])
