"""Where exports and galleries of the index are, so that `forget` can clean them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from faceindex.errors import FaceIndexError
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import mapping, parse
from faceindex.store.directory import CATALOG
from faceindex.store.migrations import WITH_COPIES
from faceindex.store.sqlite import connect, keeping_log

if TYPE_CHECKING:
    from faceindex.documents import Json

__all__ = ["Copy", "CopyTable", "Recorded", "record_copy", "remove_record"]

Recorded: TypeAlias = Literal["new", "known", "not"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A folder or a file that was written from the index.

    Attributes
    ----------
    id : int
    path : str
        Absolute.
    kind : str
        What wrote it: ``crops``, ``clusters``, ``boxes``, ``embeddings``, ``gallery``, ``journal`` or
        ``picture``.
    options : mapping
        To write it again; people are ids.
    stale : bool
        Whether it may still hold what was forgotten.
    """

    id: int
    path: str
    kind: str
    options: Mapping[str, Any]
    stale: bool


class CopyTable:
    """The table of copies.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def exists(self) -> bool:
        """Whether the catalog has the table; not in an older format that is open for reading only."""
        return self._catalog.format_version >= WITH_COPIES

    def all(self, *, stale: bool = False) -> list[Copy]:
        """Return all copies in the order of their ids, or only those that are stale."""
        if not self.exists:
            return []
        found = self._catalog.query(
            f"SELECT id, path, kind, options, stale FROM copies {'WHERE stale ' if stale else ''}ORDER BY id"
        )
        with self._catalog.checked():
            return [
                Copy(
                    int(id),
                    os.fsdecode(path),
                    str(kind),
                    parse(options, "the options of a copy", mapping()),
                    bool(is_stale),
                )
                for id, path, kind, options, is_stale in found
            ]

    def has_stale(self) -> bool:
        """Whether a copy may hold what was forgotten."""
        return self.exists and bool(
            self._catalog.query("SELECT EXISTS (SELECT 1 FROM copies WHERE stale)")[0][0]
        )

    # Inside a transaction ----------------------------------------------------------------------

    def mark_stale(self) -> None:
        """Keep that all copies may hold what is being forgotten."""
        self._catalog.execute("UPDATE copies SET stale = 1")

    def mark_clean(self, ids: Iterable[int]) -> None:
        """Keep that copies hold nothing any more that was forgotten."""
        self._catalog.executemany("UPDATE copies SET stale = 0 WHERE id = ?", [(id,) for id in ids])

    def delete(self, ids: Iterable[int]) -> None:
        """Delete the entries of copies."""
        self._catalog.executemany("DELETE FROM copies WHERE id = ?", [(id,) for id in ids])

    def set_options(self, id: int, options: Mapping[str, Json]) -> None:
        """Store the options of a copy."""
        self._catalog.execute("UPDATE copies SET options = ? WHERE id = ?", (json.dumps(dict(options)), id))


def record_copy(
    directory: Path, path: str | os.PathLike[str], kind: str, options: Mapping[str, Json]
) -> Recorded:
    """Record a copy before it is written, through a connection of its own.

    An export reads the index, which another process may be writing. One more row in this table contradicts
    nothing that the writer does, so neither waits for the other one's command to end.

    Parameters
    ----------
    directory : Path
        Of the index.
    path : path-like
    kind : str
    options : mapping

    Returns
    -------
    {"new", "known", "not"}
        ``not`` if the catalog cannot be written, or has an older format: `forget` does not find the copy.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    key = (os.fsencode(os.path.realpath(path)), kind)
    try:
        with _writing(directory) as catalog:
            if catalog is None:
                return "not"
            known = catalog.query("SELECT 1 FROM copies WHERE path = ? AND kind = ?", key)
            catalog.execute(
                "INSERT INTO copies (path, kind, options, at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (path, kind) DO UPDATE SET options = excluded.options, at = excluded.at",
                (*key, json.dumps(dict(options)), now),
            )
    except FaceIndexError:
        return "not"
    return "known" if known else "new"


def remove_record(directory: Path, path: str | os.PathLike[str], kind: str) -> None:
    """Delete the entry of a copy of which nothing was written; as `record_copy`."""
    key = (os.fsencode(os.path.realpath(path)), kind)
    with suppress(FaceIndexError), _writing(directory) as catalog:
        if catalog is not None:
            catalog.execute("DELETE FROM copies WHERE path = ? AND kind = ?", key)


@contextmanager
def _writing(directory: Path) -> Iterator[Catalog | None]:
    """Open a transaction in a connection of its own; None if the catalog has no such table."""
    path = directory / CATALOG
    # The pages that it writes have no digests yet: they stay in the log until a writer has stored some.
    with keeping_log(path), closing(Catalog(path, connect(path))) as catalog:
        catalog.query("PRAGMA wal_autocheckpoint = 0")
        if catalog.format_version < WITH_COPIES:
            yield None
            return
        with catalog.transaction(uncounted=True):
            yield catalog
