"""The files of an index directory: their names, permissions and sizes, and the writer's lock."""

from __future__ import annotations

from pathlib import Path

from faceindex.errors import IndexLocked, StoreError, UsageError
from faceindex.locks import AlreadyLocked, FileLock

__all__ = [
    "CATALOG",
    "HNSW",
    "LOCK",
    "VECTORS",
    "file_sizes",
    "file_state",
    "has_index",
    "lock_for_writing",
    "make_directory",
]

CATALOG, VECTORS, HNSW, LOCK = "catalog.sqlite", "vectors.f32", "ann.hnsw", "lock"
_FILES = (CATALOG, CATALOG + "-wal", CATALOG + "-shm", VECTORS, HNSW, LOCK)


def has_index(directory: Path) -> bool:
    """Whether `directory` contains a complete index. The catalog is written last."""
    return (directory / CATALOG).is_file()


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
        foreign = [p for p in directory.iterdir() if not p.name.startswith((".", *_FILES))]
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


def lock_for_writing(directory: Path) -> FileLock:
    """Take the writer's lock of an index.

    Raises
    ------
    IndexLocked
        If another process, or another store of this one, holds it.
    StoreError
        If the lock file cannot be written.
    """
    try:
        return FileLock(directory / LOCK)
    except AlreadyLocked as error:
        raise IndexLocked(
            f"The index in {directory} is being written by {error.holder}.",
            "Wait until it has finished, or stop it; reading is possible meanwhile.",
        ) from error
    except OSError as error:
        raise StoreError(
            f"The index in {directory} cannot be written: {error.strerror}.",
            "Check the permissions of the folder, or choose another `directory`.",
        ) from error


def file_state(path: Path) -> list[int] | None:
    """Return size and modification time (ns) of a file; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]


def file_sizes(directory: Path) -> dict[str, int]:
    """Return the bytes of each file of the index, by name; missing files are left out."""
    states = {name: file_state(directory / name) for name in _FILES}
    return {name: state[0] for name, state in states.items() if state is not None}
