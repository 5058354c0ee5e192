"""Objects of stores that were read to compare them, until they are recognised: each is requested once."""

from __future__ import annotations

import threading

from faceindex.errors import ImageError

__all__ = ["HELD_BYTES", "Held"]

HELD_BYTES = 128 << 20
"""Bytes of all objects that are held, as many as are requested ahead. What does not fit is read again."""

_LEAST = 1 << 10  # bytes that an object counts, also an error


class Held:
    """Bytes or errors of objects by their addresses; several threads may use it."""

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._limit = limit
        self._used = 0
        self._found: dict[str, bytes | ImageError] = {}
        self._lock = threading.Lock()

    def __contains__(self, address: str) -> bool:
        return address in self._found

    def put(self, address: str, found: bytes | ImageError) -> None:
        """Hold what was read of an object, if there is room."""
        with self._lock:
            if address not in self._found and self._used + _size(found) <= self._limit:
                self._found[address] = found
                self._used += _size(found)

    def get(self, address: str) -> bytes | ImageError | None:
        """Return what is held of an object, and go on holding it; None if nothing is."""
        return self._found.get(address)

    def take(self, address: str) -> bytes | ImageError | None:
        """Return what is held of an object, and hold it no longer; None if nothing is."""
        with self._lock:
            found = self._found.pop(address, None)
            self._used -= 0 if found is None else _size(found)
        return found

    def clear(self) -> None:
        """Hold nothing any longer."""
        with self._lock:
            self._found.clear()
            self._used = 0


def _size(found: bytes | ImageError) -> int:
    return max(_LEAST, len(found) if isinstance(found, bytes) else 0)
