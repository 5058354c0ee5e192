"""What a page of all faces needs of the catalog: whole columns, and small parts of them after a decision."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faceindex.addresses import normal_path
from faceindex.store.columns import INTEGER
from faceindex.store.face_states import face_states, faces_of_photo, states_of_clusters
from faceindex.store.migrations import WITH_PICTURES
from faceindex.store.photo_records import roots
from faceindex.store.records import Status
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.face_states import FacesOfPhoto, FaceStates
    from faceindex.types import F32, F64, I64

__all__ = ["AlbumQueries", "fold"]

_NO_TIME = -(1 << 62)  # seconds; stands for NULL, which `read_columns` refuses
_BLOCK = 1 << 15  # photos whose paths are in memory at once


class SaidOfFace(NamedTuple):
    """A face with the label and the person of its mark; 0 and -1 without one."""

    face: int
    label: int
    person: int


class AlbumQueries:
    """Reads faces and photos for `faceindex.api.album`.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def base(self) -> tuple[object, ...]:
        """Return what no decision changes, and all else does that `faces`, `photos` and the labels show.

        These are the newest clustering, the last commit that changed photos or vectors, and the newest entry
        of the journal of runs.
        """
        (clustering,) = self._catalog.query("SELECT max(id) FROM clusterings")
        (run,) = self._catalog.query("SELECT max(id) FROM journal")
        return (*clustering, *run, self._catalog.photos_at)

    def faces(self) -> FaceStates:
        """Return all live faces; see `faceindex.store.face_states.FaceStates`."""
        return face_states(self._catalog)

    def members(self, clusters: Sequence[int]) -> tuple[I64, I64, F32]:
        """Return the faces of some clusters, (n,) int64, their clusters, and their similarities."""
        return states_of_clusters(self._catalog, clusters)

    def photos(self) -> tuple[I64, F64]:
        """Return the photos that can be shown.

        Returns
        -------
        photos : (m,) int64
            Their ids, ascending.
        taken : (m,) float64
            Capture times in seconds since 1970, local time of the camera; NaN where it is unknown.
        """
        known = self._catalog.format_version >= WITH_PICTURES
        photos, times = self._catalog.columns(
            f"(SELECT id, {'taken' if known else 'NULL AS taken'} FROM images"
            f" WHERE status = '{Status.OK.value}' OR faces > 0)",
            [("id", INTEGER), (f"coalesce(taken, {_NO_TIME})", INTEGER)],
        )
        return photos, np.where(times == _NO_TIME, np.nan, times)

    def said_on_pictures(self, marks: Sequence[int]) -> list[SaidOfFace]:
        """Return what was said of all faces on the pictures of some marks.

        A new mark can take a face from another mark on its picture. So more faces may have changed
        than those of these marks.
        """
        return [
            SaidOfFace(*row)
            for row in self._catalog.query_in(
                "SELECT f.id, coalesce(m.label, 0) AS label, coalesce(m.person_id, -1) AS person_id"
                " FROM images i JOIN faces f ON f.image_id = i.id"
                " LEFT JOIN marked_faces k ON k.face_id = f.id LEFT JOIN marks m ON m.id = k.mark_id"
                " WHERE i.picture IN (SELECT picture FROM marks WHERE id IN ({}))",
                marks,
            )
        ]

    def faces_of_photo(self, photo: int, width: int, height: int) -> FacesOfPhoto:
        """Return the faces on a photo, which has this size in pixels."""
        return faces_of_photo(self._catalog, photo, width, height)

    def search_photos(self, words: Sequence[str], limit: int) -> list[int]:
        """Find photos whose names contain all words.

        The paths are read in blocks: no more than some thousands are in memory at once.

        Parameters
        ----------
        words : sequence of str
            As `fold` returns them.
        limit : int
            Of the number of photos.

        Returns
        -------
        list of int
            Ids, ascending.
        """
        catalog = self._catalog
        prefixes = " ".join(f"WHEN {root.id} THEN '{_prefix(root.given).hex()}'" for root in roots(catalog))
        # One row for each block of photos: a row for each photo takes three times as long.
        names = f"CASE root_id {prefixes} END || hex(relpath)" if prefixes else "NULL"
        statement = (
            f"SELECT count(*), max(id), group_concat(id), group_concat({names}, '00') FROM"
            f" (SELECT id, root_id, relpath FROM images WHERE id > ?"
            f" AND (status = '{Status.OK.value}' OR faces > 0) ORDER BY id LIMIT {_BLOCK})"
        )
        found: list[int] = []
        last = -1
        while len(found) < limit:
            ((count, last, ids, block),) = catalog.query(statement, (last,))
            if not count:
                break
            text = fold(os.fsdecode(bytes.fromhex(block or "")))
            if text.count("\0") != count - 1 or not block:
                raise corrupt(catalog.path, f"a photo up to {last} has no root, or a NUL in its path")
            if all(word in text for word in words):
                pairs = zip(ids.split(","), text.split("\0"), strict=True)
                found += [int(id) for id, name in pairs if all(word in name for word in words)]
        return found[:limit]


def fold(text: str) -> str:
    """Return a text as names of photos are compared: without case and accents, as `folded` of the page."""
    if text.isascii():
        return text.lower()
    return _marks().sub("", unicodedata.normalize("NFKD", text)).lower()


@cache
def _marks() -> re.Pattern[str]:
    """Return the pattern of combining marks, Unicode category M, that can follow a letter of a name."""
    codes = itertools.chain(range(0x300, 0x1F000), range(0xE0100, 0xE01F0))  # no others: 10 ms, not 100
    marks = [c for c in map(chr, codes) if unicodedata.category(c)[0] == "M"]
    return re.compile(f"[{''.join(marks)}]+")


def _prefix(given: str) -> bytes:
    """Return what comes before the path in the names of the photos of a root."""
    folder = normal_path(given)
    if folder == os.curdir:
        return b""
    return os.fsencode(folder if folder.endswith(os.sep) else folder + os.sep)
