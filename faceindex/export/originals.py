"""Check whether the originals of copied photos still exist."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable

from faceindex.images.containers import exists

__all__ = ["Originals"]


class Originals:
    """The photos of an index, found by their path or by their content.

    Parameters
    ----------
    photos : iterable of (str, bytes or None)
        Absolute path and `faceindex.images.content_hash` of each photo. Read at the first call of
        `exists`.
    forgotten : collection of bytes
        Contents of photos that show a forgotten face: a copy is not kept because it is the last one.
    """

    def __init__(
        self, photos: Iterable[tuple[str, bytes | None]] = (), forgotten: Collection[bytes] = ()
    ) -> None:
        self._photos = photos
        self._forgotten = {content.hex() for content in forgotten}
        self._paths: dict[str, list[str]] | None = None

    @staticmethod
    def key(path: str, content_hash: bytes | None) -> str:
        """Identify the original of a copy, without revealing its path."""
        return f"{_digest(path)} {content_hash.hex() if content_hash is not None else ''}"

    def exists(self, key: str) -> bool:
        """Return whether an indexed photo with the path or the content of the original still exists.

        The original of a photo with a forgotten face counts as existing.
        """
        if self._forgotten.intersection(key.split()):
            return True
        if self._paths is None:
            self._paths = {}
            for path, content_hash in self._photos:
                self._paths.setdefault(_digest(path), []).append(path)
                if content_hash is not None:
                    self._paths.setdefault(content_hash.hex(), []).append(path)
        return any(exists(path, follow=True) for part in key.split() for path in self._paths.get(part, ()))


def _digest(path: str) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
