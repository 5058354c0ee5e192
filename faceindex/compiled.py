"""Loops compiled by numba, with the machine code cached on disk where that is possible.

The cache only saves time. A file of it that is damaged, cannot be read or cannot be written is ignored, and
the function is compiled again. numba's own cache raises then, and has no checksums: a changed byte would run
as machine code.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile

__all__ = ["compiled"]

_DIGEST_BYTES = 16

_Files: Any = IndexDataCacheFile  # numba has no types

_log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function when it is first called with arguments of new types.

    The machine code is cached beside the source, or in the user's cache directory. If neither can be written,
    as in a container whose user has no home, every process compiles again, which takes some seconds.

    Parameters
    ----------
    **options
        Passed to `numba.njit`, such as ``nogil=True``.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if not _has_place(function):
            return numba.njit(**options)(function)
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
        except (RuntimeError, OSError):  # "no locator available"
            return numba.njit(**options)(function)
        _make_safe(dispatcher._cache)
        return dispatcher

    return decorate


def _has_place(function: Callable[..., Any]) -> bool:
    """Whether there is a folder for the cache: for a user without a home, numba would make ``./~``."""
    if "NUMBA_CACHE_DIR" in os.environ or os.path.isabs(os.path.expanduser("~")):  # noqa: PTH111, PTH117
        return True
    return os.access(Path(function.__code__.co_filename).parent, os.W_OK)


class _CheckedFiles(_Files):  # type: ignore[misc]
    """The files of the cache of one function, each with a digest at its end, which numba does not read.

    What the digest does not fit is not there: it is not even parsed.
    """

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[BytesIO]:
        with super()._open_for_write(filepath) as file:
            content = BytesIO()
            yield content
            file.write(content.getvalue() + _digest(content.getvalue()))

    def _load_index(self) -> Any:
        return super()._load_index() if _is_sound(Path(self._index_path)) else {}

    def _load_data(self, name: str) -> Any:
        if not _is_sound(Path(self._cache_path, name)):
            raise FileNotFoundError(name)  # `load` takes it for a missing file
        return super()._load_data(name)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _is_sound(path: Path) -> bool:
    """Whether a file ends with the digest of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return _digest(content[:-_DIGEST_BYTES]) == content[-_DIGEST_BYTES:]


def _make_safe(cache: Any) -> None:
    """Make the cache of a function do without its files where they fail."""
    cache._cache_file.__class__ = _CheckedFiles
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception as error:
            _log.debug("Compiled code cannot be read from %s (%s).", cache.cache_path, error)
            return None

    def save_overload(*arguments: Any) -> None:
        try:
            save(*arguments)
        except Exception as error:
            _log.debug("Compiled code cannot be stored in %s (%s).", cache.cache_path, error)

    cache.load_overload, cache.save_overload = load_overload, save_overload
