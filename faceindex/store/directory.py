"""The files of an index directory: their names, permissions and sizes, and the writer's lock."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from faceindex.errors import IndexCorrupt, IndexLocked, StoreError, UsageError
from faceindex.locks import NO_LOCKS, AlreadyLocked, FileLock
from faceindex.safe_open import UnsafeFile, check_own
from faceindex.scratch import remove_leftovers

__all__ = [
    "CATALOG",
    "DIGESTS",
    "IN_WORK",
    "LOCK",
    "PARTS",
    "REDIRECT",
    "THUMBNAILS",
    "VECTORS",
    "check_catalog_files",
    "check_not_orphaned",
    "file_sizes",
    "file_state",
    "has_index",
    "hnsw_name",
    "is_derived_name",
    "is_index",
    "is_numbered",
    "is_vectors_name",
    "lock_for_writing",
    "make_directory",
    "next_vectors_name",
    "no_locks",
    "part_name",
    "refused",
    "remove_stale_files",
]

_WITHOUT_ROWS = 64  # bytes of a vector file that has a header at most

CATALOG, VECTORS, LOCK = "catalog.sqlite", "vectors.f32", "lock"
DIGESTS = "catalog.digests"  # of the pages of the catalog; see `faceindex.store.pages`
IN_WORK = "in-work"  # the photos that a run is working on; see `faceindex.store.suspects`
PARTS = ".parts-"  # start of the names of folders with the arrays of a run; see `faceindex.api.distributed`
REDIRECT = ".review-"  # start of the names of files that open a browser; see `faceindex.review.redirect`
THUMBNAILS = "thumbnails.sqlite"  # derived; see `faceindex.store.thumbnail_cache`
_FILES = (CATALOG, CATALOG + "-wal", CATALOG + "-shm", DIGESTS, IN_WORK, THUMBNAILS, LOCK)

# vectors.f32 and ann.hnsw at first; vectors-2.f32 and ann-2.hnsw after the first change of models, and so on.
_VECTORS_NAME = re.compile(r"vectors(-[1-9][0-9]{0,8})?\.f32")
_DERIVED = re.compile(r"ann(-[0-9]+)?\.hnsw(\.new)?")
_NUMBERED = re.compile(r"(vectors(-[0-9]+)?\.f32(\.part)?|ann(-[0-9]+)?\.hnsw(\.new)?)")


def is_vectors_name(name: str) -> bool:
    """Whether `name` can be the name of a vector file."""
    return _VECTORS_NAME.fullmatch(name) is not None


def is_numbered(name: str) -> bool:
    """Whether `name` can be the name of a vector file or of an HNSW index, finished or not."""
    return _NUMBERED.fullmatch(name) is not None


def next_vectors_name(name: str) -> str:
    """Return the name of the vector file that replaces the one of this name."""
    number = _VECTORS_NAME.fullmatch(name)
    before = number[1] if number is not None else None
    return f"vectors-{2 if before is None else int(before[1:]) + 1}.f32"


def part_name(name: str) -> str:
    """Return the name of the unfinished vector file that becomes the file of this name."""
    return name + ".part"


def hnsw_name(name: str) -> str:
    """Return the name of the HNSW index of the vector file of this name: it is never used for another one."""
    return "ann" + name.removeprefix("vectors").removesuffix(".f32") + ".hnsw"


def is_derived_name(name: str) -> bool:
    """Whether a file of this name can be deleted at any time: it is made again, or was left unfinished."""
    return (
        _DERIVED.fullmatch(name) is not None
        or name.startswith((CATALOG + ".new", CATALOG + ".damaged", REDIRECT))  # `doctor` keeps damaged ones
        or (name.startswith(".") and any(name[1:].startswith(own) for own in ("ann", "vectors", CATALOG)))
    )


def remove_stale_files(directory: Path, vectors: str, *, with_part: bool) -> None:
    """Delete vector files and HNSW indexes of earlier and of discarded models, and arrays of killed runs.

    Only the writer may call this.

    A file that cannot be deleted, because a reader has it open on Windows, is deleted the next time.

    Parameters
    ----------
    directory : Path
    vectors : str
        Name of the vector file in use.
    with_part : bool
        Whether the unfinished vector file of the next models is in use too.
    """
    remove_leftovers(directory, PARTS)
    used = {vectors, hnsw_name(vectors)} | ({part_name(next_vectors_name(vectors))} if with_part else set())
    for path in directory.iterdir():
        if _NUMBERED.fullmatch(path.name) and path.name not in used:
            with contextlib.suppress(OSError):
                path.unlink()


def has_index(directory: Path) -> bool:
    """Whether `directory` contains a complete index. The catalog is written last."""
    return (directory / CATALOG).is_file()


def check_not_orphaned(directory: Path) -> None:
    """Refuse vectors of faces without their catalog: a new catalog would take the file over, and empty it.

    A file without vectors is what a creation left that was stopped.

    Raises
    ------
    IndexCorrupt
        If there is a vector file with vectors and no catalog.
    """
    if has_index(directory) or not (orphans := _orphans(directory)):
        return
    raise IndexCorrupt(
        f"{directory / CATALOG} is missing, and {orphans[0].name} beside it has the vectors of an index.",
        f"Restore catalog.sqlite from a backup, or delete {directory} and index again.",
    )


def _orphans(directory: Path) -> list[Path]:
    try:
        found = [path for path in directory.iterdir() if is_vectors_name(path.name)]
        return sorted(path for path in found if path.stat().st_size > _WITHOUT_ROWS)
    except OSError:  # no such folder, or not a folder
        return []


def is_index(directory: Path) -> bool:
    """Whether `directory` contains an index, complete or without its catalog."""
    return has_index(directory) or bool(_orphans(directory))


def make_directory(directory: Path) -> None:
    """Create a directory for a new index, or check an existing one; only its owner may read it.

    Raises
    ------
    UsageError
        If it contains files that are not of an index, apart from hidden ones.
    StoreError
        If it cannot be created.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = [
            p
            for p in directory.iterdir()
            if not p.name.startswith((".", *_FILES)) and not _NUMBERED.fullmatch(p.name)
        ]
        if foreign:
            raise UsageError(
                f"{directory} cannot become an index: it contains {foreign[0].name}.",
                "Choose a new or empty folder as `directory`.",
            )
        directory.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"The folder {directory} cannot be created: {error.strerror}.", "Choose another `directory`."
        ) from error


def lock_for_writing(directory: Path, wait: float = 0.0) -> FileLock:
    """Take the writer's lock of an index; wait for it so many seconds.

    Raises
    ------
    IndexLocked
        If another process, or another store of this one, still holds it then.
    StoreError
        If the lock file cannot be written.
    """
    try:
        return FileLock(directory / LOCK, wait)
    except AlreadyLocked as error:
        raise IndexLocked(
            f"The index in {directory} is being written by {error.holder}.",
            "Wait until it has finished, or stop it; reading is possible meanwhile.",
        ) from error
    except UnsafeFile as error:
        raise refused(error) from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise no_locks(directory) from error
        raise StoreError(
            f"The index in {directory} cannot be written: {error.strerror}.",
            "Check the permissions of the folder, or choose another `directory`.",
        ) from error


def check_catalog_files(catalog: Path, *, write: bool) -> None:
    """Check the files that SQLite opens by itself, before it opens them.

    SQLite itself follows no link to its logs, but one to the catalog. A link that is planted after this check
    would be followed: only the mode 0700 of the folder prevents that.

    Raises
    ------
    StoreError
        If one of them is a link or anything else but a file of our own.
    """
    try:
        check_own(catalog, write=write)
        for suffix in ("-wal", "-shm", "-journal"):
            check_own(catalog.with_name(catalog.name + suffix), write=True)  # readers write there, too
    except UnsafeFile as error:
        raise refused(error) from error
    except OSError:
        pass  # SQLite reports it


def no_locks(directory: Path) -> StoreError:
    """Return the error for a disk without file locks."""
    return StoreError(
        f"The disk of {directory} has no file locks, which an index needs.",
        "Move the index to a local disk and pass it as `directory`. The photos can stay.",
    )


def refused(error: UnsafeFile) -> StoreError:
    """Return the error for a file of an index that is not opened."""
    return StoreError(
        f"{error.filename} is not opened: {error.strerror}.",
        "If you did not put it there, somebody else writes into this folder. Move the file away, or choose "
        "another `directory`.",
    )


def file_state(path: Path) -> list[int] | None:
    """Return size and modification time (ns) of a file; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]


def file_sizes(directory: Path, vectors: str) -> dict[str, int]:
    """Return the bytes of each file of the index, by name; missing files are left out.

    Parameters
    ----------
    directory : Path
    vectors : str
        Name of the vector file.
    """
    names = (*_FILES[:-1], vectors, part_name(next_vectors_name(vectors)), hnsw_name(vectors), LOCK)
    states = {name: file_state(directory / name) for name in names}
    return {name: state[0] for name, state in states.items() if state is not None}
