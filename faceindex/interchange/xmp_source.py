"""Bytes of a file that are read where they are needed."""

from __future__ import annotations

import io
from typing import BinaryIO, Protocol

__all__ = ["BytesSource", "FileSource", "Source", "integer"]


class Source(Protocol):
    """A file that is read in parts.

    Attributes
    ----------
    size : int
        Bytes of the whole.
    """

    size: int

    def read(self, position: int, length: int) -> bytes:
        """Return `length` bytes from a position; fewer only at the end, none for a position outside."""


class BytesSource:
    """A file that is in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, position: int, length: int) -> bytes:
        """Return bytes, as `Source.read`."""
        if position < 0 or length <= 0:
            return b""
        return bytes(self._data[position : position + length])


class FileSource:
    """An open file that can be positioned; the caller closes it."""

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

    def read(self, position: int, length: int) -> bytes:
        """Return bytes, as `Source.read`."""
        length = min(length, self.size - position)
        if position < 0 or length <= 0:
            return b""
        self._file.seek(position)
        parts: list[bytes] = []
        while length > 0 and (part := self._file.read(length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def integer(data: bytes, position: int, size: int, order: str = "big") -> int:
    """Return an unsigned integer.

    Raises
    ------
    ValueError
        If the data end before it.
    """
    part = data[position : position + size]
    if len(part) < size:
        raise ValueError("the data end here")
    return int.from_bytes(part, order)  # type: ignore[arg-type]
