"""`faceindex.FaceIndex.doctor`: check all files of an index, and repair what can be repaired."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex import images
from faceindex.api.opening import connect_search
from faceindex.documents import Result
from faceindex.errors import FaceIndexError, ImageError, IndexCorrupt, SearchUnavailable, StoreError
from faceindex.store import Store
from faceindex.store.catalog import Catalog
from faceindex.store.decisions import DecisionTables
from faceindex.store.directory import CATALOG, hnsw_name, lock_for_writing
from faceindex.store.doctor import LEAST_RECALL, NEIGHBOURS, QUERIES, Problem, check_index
from faceindex.store.mending import find_damaged_rows, mend_vectors
from faceindex.store.photo_records import photos_by_id
from faceindex.store.photo_records import roots as read_roots
from faceindex.store.salvage import Salvage, salvage_catalog
from faceindex.store.thumbnail_file import discard_thumbnails

if TYPE_CHECKING:
    from faceindex.recognition import Recogniser
    from faceindex.store import FaceTable, Pins
    from faceindex.types import F32

__all__ = ["Health", "diagnose", "repair_index"]

_IN_CATALOG = {"pages", "structure", "log", "values", "digests"}


@dataclass(frozen=True, slots=True)
class Health(Result):
    """The result of `FaceIndex.doctor`.

    Attributes
    ----------
    directory : str
    problems : tuple of Problem
        What is wrong; after a repair, what still is.
    rows : int or None
        Rows of the vector file that were compared with their digests.
    recall : float or None
        Share of the 20 nearest faces that the HNSW index finds, for 100 faces; None without one.
    repaired : tuple of Problem
        What was wrong, and no longer is.
    embedded : int
        Faces that were embedded again.
    read_again : tuple of str
        Names of photos whose damaged faces were deleted: the next `index` reads them again.
    deleted : tuple of str
        What was deleted of the catalog because it could not be read or stood on damaged pages.
    decided : tuple of str
        What the user decided and stands on damaged pages, or could not be read: to be looked at.
    kept : tuple of str
        Names of the damaged files, which were kept in the index directory.
    search : str or None
        Address of the neighbour index outside the index's own files, such as Milvus, if it was checked.
    search_recall : float or None
        Share of the 20 nearest faces that this one finds, for 100 faces.
    """

    directory: str
    problems: tuple[Problem, ...]
    rows: int | None
    recall: float | None
    repaired: tuple[Problem, ...] = ()
    embedded: int = 0
    read_again: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    search: str | None = None
    search_recall: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def diagnose(directory: Path) -> Health:
    """Check all files of an index, and the collection of a Milvus that it has, without changing them."""
    found = check_index(directory)
    if found.problems:  # a collection is compared with an index that is sound
        return Health(str(directory), tuple(found.problems), found.rows, found.recall)
    address, problems, recall = _check_search(directory)
    return Health(
        str(directory), tuple(problems), found.rows, found.recall, search=address, search_recall=recall
    )


def _check_search(directory: Path) -> tuple[str | None, list[Problem], float | None]:
    """Return the address of the neighbour index outside the files, what is wrong with it, and its recall."""
    with Store.open(directory) as store:
        if (address := store.searching.address) is None:
            return None, [], None
        store.searching.connect = connect_search
        try:
            found, recall = store.searching.check(QUERIES, NEIGHBOURS, LEAST_RECALL)
        except FaceIndexError as error:
            return address, [_unavailable(address, error)], None
        return address, [Problem(address, "search", what) for what in found], recall


def _unavailable(address: str, error: FaceIndexError) -> Problem:
    """Describe a neighbour index that cannot be checked, or must be built anew."""
    mended = isinstance(error, SearchUnavailable) and error.mended_by_rebuilding
    what = error.problem if mended else f"{error.problem} {error.remedy}"
    return Problem(address, "search", what, repairable=mended)


def repair_index(directory: Path, load: Callable[[Pins, Path], Recogniser], wait: float = 0.0) -> Health:
    """Check an index, and repair it.

    Parameters
    ----------
    directory : Path
    load : callable
        Returns the models of an index; called only if faces must be embedded again.
    wait : float
        Seconds for which it waits until another process has stopped writing.

    Raises
    ------
    IndexLocked
        If another process is writing.
    IndexCorrupt
        If the catalog cannot be repaired.
    StoreError
        If the disk is full or fails.
    """
    before = check_index(directory)
    if not before.problems:
        return _repair_search(directory, wait)
    path = directory / CATALOG
    if not path.is_file():
        raise IndexCorrupt(
            f"{path} is missing.", f"Restore it from a backup, or delete {directory} and index again."
        )
    with lock_for_writing(directory, wait):
        pass
    before = check_index(directory)  # the process that was waited for may have repaired it
    if not before.problems:
        return _repair_search(directory, wait)
    with lock_for_writing(directory, wait):
        salvage = Salvage()
        if any(problem.kind in _IN_CATALOG for problem in before.problems):
            try:
                salvage = salvage_catalog(path)
            except OSError as error:
                raise StoreError(
                    f"{path} cannot be repaired: {error.strerror}.",
                    "Make room and run the same command again.",
                ) from error
        embedded, again = _repair_vectors(directory, load)
    with Store.open(directory, write=True, wait=wait) as store:
        with store.deciding():
            tables = DecisionTables(store._catalog)
            tables.match()
            tables.update_cluster_people()
        if any(problem.kind == "hnsw" for problem in before.problems):
            (directory / hnsw_name(store._catalog.vectors_name)).unlink(missing_ok=True)
        if any(problem.kind == "thumbnails" for problem in before.problems):
            discard_thumbnails(directory)
        if store.searching.address is None:
            store.update_hnsw()
        else:  # vectors may have changed in their rows
            store.searching.connect = connect_search
            store.searching.invalidate()  # if it cannot be reached now, a later command builds it anew
            store.searching.catch_up(rebuild=True)
    return replace(
        after := diagnose(directory),
        repaired=tuple(problem for problem in before.problems if problem not in after.problems),
        embedded=embedded,
        read_again=again,
        deleted=tuple(
            f"{table}: {rows:,} rows" if rows else table for table, rows in sorted(salvage.deleted().items())
        ),
        decided=_decided(salvage),
        kept=tuple(salvage.kept),
    )


def _repair_search(directory: Path, wait: float) -> Health:
    """Build the collection of a Milvus anew if something is wrong with it, not if it cannot be reached."""
    before = diagnose(directory)
    if not any(problem.repairable for problem in before.problems):
        return before
    with Store.open(directory, write=True, wait=wait) as store:
        store.searching.connect = connect_search
        try:
            store.searching.require_up_to_date(rebuild=True)
        except FaceIndexError as error:
            (problem, *_) = before.problems
            return replace(before, problems=(_unavailable(problem.file, error),))
    after = diagnose(directory)
    return replace(after, repaired=tuple(each for each in before.problems if each not in after.problems))


def _repair_vectors(directory: Path, load: Callable[[Pins, Path], Recogniser]) -> tuple[int, tuple[str, ...]]:
    """Embed damaged faces again, and return how many, and the names of photos that must be read again."""
    with closing(Catalog.open(directory / CATALOG, write=True)) as catalog:
        damage = find_damaged_rows(catalog, directory)
        if damage.problem is None:
            damage.file.close()
            return 0, ()
        paths = _Photos(catalog)
        recogniser: list[Recogniser] = []

        def embed(photo: int, faces: FaceTable) -> F32 | None:
            data = paths.read(photo)
            if data is None:
                return None
            if not recogniser:
                recogniser.append(load(catalog.pins(), directory))
            with suppress(ImageError):
                import numpy as np

                loaded = recogniser[0].decode_photo(data, paths.name(photo))
                (found,) = recogniser[0].embed_faces([loaded], [faces.detections(np.arange(len(faces)))])
                return found.vectors
            return None

        mended = mend_vectors(catalog, directory, damage, embed)
        return mended.embedded, tuple(paths.name(photo) for photo in mended.lost)


class _Photos:
    """Reads photos of a catalog that are as they were indexed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._roots = {root.id: root.path for root in read_roots(catalog)}

    def name(self, photo: int) -> str:
        (record,) = photos_by_id(self._catalog, [photo])
        return os.path.join(self._roots[record.root_id], record.relpath)  # noqa: PTH118

    def read(self, photo: int) -> bytes | None:
        """Return the content of a photo; None if it is not there, or has another picture now."""
        (record,) = photos_by_id(self._catalog, [photo])
        try:
            data = images.read(self.name(photo))
            if images.content_hash(data) == record.content_hash:
                return data
            if record.picture is not None and images.read_picture(data).hash == record.picture:
                return data
        except (ImageError, OSError):
            return None
        return None


def _decided(salvage: Salvage) -> tuple[str, ...]:
    """Describe what the user decided and may be wrong or lost."""
    found = []
    for table, ids in sorted(salvage.decided().items()):
        which = ", ".join(map(str, sorted(ids)[:10])) + (" and others" if len(ids) > 10 else "")
        rows = f"rows {which}" if ids else "some rows"
        found.append(f"{table}: {rows} were on a damaged page. They are kept as they can be read.")
    found += [
        f"{table}: at least {salvage.lost[table]:,} rows could not be read."
        for table in ("decisions", "people", "marks", "rejections", "links", "hand_boxes")
        if table in salvage.lost
    ]
    return tuple(found)
