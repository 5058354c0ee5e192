"""Types of the values that queries return, by the names of their columns.

SQLite stores any type in any column: text where a number belongs, after damage or in a catalog that somebody
made. `Catalog.query` checks all rows of its result here, so that no other module has to. JSON and times have
checks of their own where they are parsed, and whole columns in `faceindex.store.columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faceindex.store.checked_json import Malformed

__all__ = ["check_cells"]

_NOTHING = type(None)
_WORDS = {int: "an integer", str: "text", bytes: "binary", float: "a number"}

_INTEGERS = (
    *("id", "root_id", "image_id", "vector_row", "face_id", "mark_id", "written", "a", "b", "label", "same"),
    *("width", "height", "faces"),
)
_COLUMNS: dict[str, set[type]] = {
    **{name: {int} for name in _INTEGERS},
    **{name: {int, _NOTHING} for name in ("person_id", "cluster_id", "taken", "orientation")},
    **{name: {bytes} for name in ("relpath", "min(relpath)", "geometry", "box")},
    "picture": {bytes, _NOTHING},
    "place": {bytes, _NOTHING},  # a box of forgotten_places
    "uid": {str},
    "similarity": {float, int, _NOTHING},
}


def check_cells(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Check the types of all values of a result.

    Parameters
    ----------
    names : sequence of str
        Of the columns. Names that are not of a column of the catalog are not checked.
    rows : sequence of tuple

    Raises
    ------
    Malformed
        If a value is of another type than its column.
    """
    for position, name in enumerate(names):
        allowed = _COLUMNS.get(name)
        if allowed is not None and not {type(row[position]) for row in rows} <= allowed:
            wanted = next(words for kind, words in _WORDS.items() if kind in allowed)
            raise Malformed(f"a value of the column {name} is not {wanted}")
