"""Find the photos of an index by paths of other programs, which may be paths of another machine.

A path is compared from its end: of ``/mnt/old/Pictures/2001/a.jpg`` and ``/home/me/Pictures/2001/a.jpg``, the
last three components agree. Upper and lower case and the two Unicode forms of accents are one: file systems
and programs differ in them.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FoundPath", "KnownPaths", "components"]

_AFTER_SLASH = chr(ord("/") + 1)


@dataclass(frozen=True, slots=True)
class FoundPath:
    """The known paths that have the longest common tail with another one.

    Attributes
    ----------
    numbers : tuple of int
        Of the known paths; empty if not even a file name agrees.
    tail : int
        Components that agree, the name of the file among them.
    whole : bool
        Whether all components of the path that was looked for agree.
    """

    numbers: tuple[int, ...]
    tail: int = 0
    whole: bool = False


class KnownPaths:
    """Paths, sorted by their components from the last to the first.

    A search takes a time that grows with the logarithm of their number.

    Parameters
    ----------
    paths : iterable of (int, str)
        A number for each path, and the path with ``/`` between components.
    """

    def __init__(self, paths: Iterable[tuple[int, str]]) -> None:
        keyed = sorted((_key(components(path)), number) for number, path in paths)
        self._keys = [key for key, _ in keyed]
        self._numbers = [number for _, number in keyed]

    def __len__(self) -> int:
        return len(self._keys)

    def exact(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the known paths that are this one."""
        key = _key(components(path))
        return tuple(self._numbers[bisect_left(self._keys, key) : bisect_right(self._keys, key)])

    def find(self, path: str) -> FoundPath:
        """Return the known paths with the longest common tail."""
        wanted = components(path)
        key = _key(wanted)
        at = bisect_left(self._keys, key)
        near = self._keys[max(at - 1, 0) : at + 1]
        tail = max((_common(key, other) for other in near), default=0)
        if not tail:
            return FoundPath(())
        start = _key(wanted[-tail:])
        first = bisect_left(self._keys, start)
        last = bisect_left(self._keys, start[:-1] + _AFTER_SLASH)
        return FoundPath(tuple(self._numbers[first:last]), tail, tail == len(wanted))


def components(path: str) -> list[str]:
    """Return the components of a path, without those that name no folder; ``..`` removes the one before."""
    found: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del found[-1:]
        elif part not in ("", "."):
            found.append(part)
    return found


def _key(parts: list[str]) -> str:
    """Return components in the form in which they are compared: the last one first, each with a ``/``."""
    plain = unicodedata.normalize("NFC", "/".join(reversed(parts))).casefold()
    return unicodedata.normalize("NFC", plain) + "/" if parts else ""


def _common(a: str, b: str) -> int:
    """Count the components with which two keys begin alike."""
    number = 0
    for one, other in zip(a[:-1].split("/"), b[:-1].split("/"), strict=False):
        if one != other or not one:
            break
        number += 1
    return number
