"""Which photos that copies were made of are still there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

__all__ = ["Originals"]


class Originals:
    """The photos of an index, by where they are and by what they hold.

    Parameters
    ----------
    photos : iterable of (str, bytes or None)
        Absolute path, and `faceindex.images.content_hash`, of each; not looked at before `there` is called.
    """

    def __init__(self, photos: Iterable[tuple[str, bytes | None]] = ()) -> None:
        self._photos = photos
        self._paths: dict[str, list[str]] | None = None

    @staticmethod
    def mark(path: str, content_hash: bytes | None) -> str:
        """What to keep beside a copy. It does not tell where the photo was."""
        return f"{_digest(path)} {content_hash.hex() if content_hash is not None else ''}"

    def there(self, mark: str) -> bool:
        """Whether a photo of that content can be found, or its file, which then was edited since."""
        if self._paths is None:
            self._paths = {}
            for path, content_hash in self._photos:
                self._paths.setdefault(_digest(path), []).append(path)
                if content_hash is not None:
                    self._paths.setdefault(content_hash.hex(), []).append(path)
        return any(os.path.exists(path) for key in mark.split() for path in self._paths.get(key, ()))  # noqa: PTH110


def _digest(path: str) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
