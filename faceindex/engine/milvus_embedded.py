"""Milvus Lite in this process: it is started on a Unix socket that only this user can reach.

pymilvus itself would start it on a TCP port of this computer, without a password: every user of the computer
could read the vectors there meanwhile.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faceindex.errors import SearchUnavailable
from faceindex.files import sync_directory
from faceindex.locks import AlreadyLocked, FileLock
from faceindex.safe_open import is_trusted_owner
from faceindex.scratch import OwnFolder, short_parent
from faceindex.store.neighbours import BUILD_ANEW, is_missing

__all__ = ["Embedded", "check_database", "erase_database", "unused"]

_PREFIX = "fi-milvus-"
_LONGEST = 80
"""Bytes of the temporary directory: the path of the socket in it has 21 more."""

_WAIT = 5.0  # seconds until requests in work are ended
_ZEROS = 1 << 20


class Embedded:
    """A running Milvus Lite. One process at a time can have a database open.

    Parameters
    ----------
    path : Path
        Directory of the database.
    create : bool
        Make it if it is missing, mode 0700.

    Attributes
    ----------
    uri : str
        What pymilvus connects to.

    Raises
    ------
    SearchUnavailable
        If it is missing, in use or damaged, or may not be read.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError

        self._path = path
        try:
            if create:
                path.mkdir(mode=0o700, exist_ok=True)
            elif is_missing(path):  # Milvus Lite would make it
                raise SearchUnavailable(
                    f"Milvus Lite in {path} has no database.", BUILD_ANEW, mended_by_rebuilding=True
                )
            check_database(path)
            restrict(path)
            self._folder = OwnFolder(short_parent(_LONGEST), _PREFIX)
        except (FileExistsError, NotADirectoryError) as error:
            raise _damaged(path, "it is not a folder") from error
        except OSError as error:
            raise SearchUnavailable(
                f"Milvus Lite cannot open {path}: {error.strerror}.", "Check the permissions and the disk."
            ) from error
        # The library joins host and port to "host:port".
        on_socket = sys.platform != "win32"
        host, port = ("unix", str(self._folder.path / "s")) if on_socket else ("127.0.0.1", 0)
        try:
            self._server, self._db, bound = start_server_in_thread(str(path), host=host, port=port)
        except DataDirLockedError:
            self._folder.remove()
            raise _in_use(path) from None
        except Exception as error:
            self._folder.remove()
            raise _damaged(path, type(error).__name__) from error
        self.uri = f"unix:{port}" if on_socket else f"http://127.0.0.1:{bound}"

    def close(self) -> None:
        """End it; the database is free for other processes then."""
        try:
            self._server.stop(grace=_WAIT).wait(_WAIT)
            self._db.close()
            restrict(self._path)
        except Exception:  # such as a database that was erased meanwhile: there is nothing to save
            logging.getLogger(__name__).debug("closing Milvus Lite", exc_info=True)
        finally:
            self._folder.remove()


def _in_use(path: Path) -> SearchUnavailable:
    return SearchUnavailable(
        f"Milvus Lite in {path} is in use by another process, and serves one at a time.",
        "Wait until that has ended.",
    )


def _damaged(path: Path, why: str) -> SearchUnavailable:
    return SearchUnavailable(f"Milvus Lite cannot open {path}: {why}.", BUILD_ANEW, mended_by_rebuilding=True)


def check_database(path: Path) -> None:
    """Refuse a database with links in it, or of another user: the index may come from elsewhere."""
    if not os.path.lexists(path):
        return
    entries = [path]
    if not path.is_symlink():
        for folder, folders, files in os.walk(path):
            entries += [Path(folder, name) for name in (*folders, *files)]
    for entry in entries:
        mode = entry.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not is_trusted_owner(entry):
            raise SearchUnavailable(
                f"{entry} is a link or a special file, or belongs to another user.",
                "Delete it. The next command that changes the index builds the database anew.",
            )


def restrict(path: Path) -> None:
    """Let only the owner read the database: Milvus Lite writes with the permissions of the process."""
    for folder, folders, files in os.walk(path):
        for name in folders:
            Path(folder, name).chmod(0o700)
        for name in files:
            Path(folder, name).chmod(0o600)


@contextmanager
def unused(path: Path) -> Iterator[None]:
    """Keep other processes from opening a database inside the ``with``; `SearchUnavailable` if one has it."""
    if is_missing(path) or path.is_symlink() or not path.is_dir():
        yield
        return
    try:
        lock = FileLock(path / "LOCK")  # of Milvus Lite
    except AlreadyLocked:
        raise _in_use(path) from None
    except OSError as error:  # a link, or a disk without locks: `erase_database` follows no links
        logging.getLogger(__name__).debug("locking Milvus Lite: %s", error)
        yield
        return
    try:
        yield
    finally:
        lock.release()


def erase_database(path: Path) -> None:
    """Overwrite the files of a database with zeros, and delete it; nothing if it is missing.

    Raises
    ------
    SearchUnavailable
        If that fails.
    """
    try:
        if path.is_symlink():
            path.unlink()
            return
        if not path.is_dir():
            if path.exists():
                _overwrite(path)
                path.unlink()
            return
        for folder, _, files in os.walk(path):
            for name in files:
                _overwrite(Path(folder, name))
        shutil.rmtree(path)
        sync_directory(path.parent)
    except OSError as error:
        raise SearchUnavailable(
            f"{error.filename or path} cannot be erased: {error.strerror}.",
            "Close the programs that have it open, and check its permissions.",
        ) from error


def _overwrite(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):  # opening a pipe would wait
        return
    fd = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        left = os.fstat(fd).st_size
        while left > 0:
            left -= file.write(bytes(min(left, _ZEROS)))
        os.fsync(fd)
