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
import tempfile
import weakref
from pathlib import Path

from faceindex.errors import SearchUnavailable
from faceindex.files import sync_directory
from faceindex.safe_open import is_trusted_owner

__all__ = ["Embedded", "erase_database"]

_WAIT = 5.0  # seconds until requests in work are ended
_ZEROS = 1 << 20


class Embedded:
    """A running Milvus Lite. One process at a time can have a database open.

    Parameters
    ----------
    path : Path
        Directory of the database; made if missing, mode 0700.

    Attributes
    ----------
    uri : str
        What pymilvus connects to.
    """

    def __init__(self, path: Path) -> None:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError

        self._path = path
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            _check_tree(path)
            restrict(path)
            self._folder = tempfile.mkdtemp(prefix="faceindex-")  # mode 0700; a short path, as sockets need
            self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, True)  # also at exit
        except OSError as error:
            raise SearchUnavailable(
                f"Milvus Lite cannot open {path}: {error.strerror}.", "Check the permissions and the disk."
            ) from error
        # The library joins host and port to "host:port".
        on_socket = sys.platform != "win32"
        host, port = ("unix", os.path.join(self._folder, "s")) if on_socket else ("127.0.0.1", 0)  # noqa: PTH118
        try:
            self._server, self._db, bound = start_server_in_thread(str(path), host=host, port=port)
        except DataDirLockedError:
            self._remove_folder()
            raise SearchUnavailable(
                f"Milvus Lite in {path} is in use by another process, and serves one at a time.",
                "Wait until that has ended.",
            ) from None
        except Exception as error:
            self._remove_folder()
            raise SearchUnavailable(
                f"Milvus Lite cannot open {path}: {type(error).__name__}.",
                "`faceindex doctor --repair` builds it anew.",
            ) from error
        self.uri = f"unix:{port}" if on_socket else f"http://127.0.0.1:{bound}"

    def close(self) -> None:
        """End it; the database is free for other processes then."""
        try:
            self._server.stop(grace=_WAIT).wait(_WAIT)
            self._db.close()
            restrict(self._path)
        except OSError:
            logging.getLogger(__name__).debug("closing Milvus Lite", exc_info=True)
        finally:
            self._remove_folder()


def _check_tree(path: Path) -> None:
    """Refuse a database with links in it, or of another user: the index may come from elsewhere."""
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files, "."):
            entry = Path(folder, name)
            mode = entry.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not is_trusted_owner(entry):
                raise SearchUnavailable(
                    f"{entry} is a link or a special file, or belongs to another user.",
                    "Delete it, and run `faceindex doctor --repair`.",
                )


def restrict(path: Path) -> None:
    """Let only the owner read the database: Milvus Lite writes with the permissions of the process."""
    for folder, folders, files in os.walk(path):
        for name in folders:
            Path(folder, name).chmod(0o700)
        for name in files:
            Path(folder, name).chmod(0o600)


def erase_database(path: Path) -> None:
    """Overwrite the files of a database with zeros, and delete it; nothing if it is missing.

    Raises
    ------
    SearchUnavailable
        If that fails.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
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
    if path.is_symlink():
        return
    fd = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        left = os.fstat(fd).st_size
        while left > 0:
            left -= file.write(bytes(min(left, _ZEROS)))
        os.fsync(fd)
