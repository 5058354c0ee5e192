"""Send thumbnails of faces, each as soon as it is there, and photos."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.review.threads import IndexThreads

__all__ = ["MOST_FACE", "MOST_THUMBNAILS", "Pictures"]

MOST_FACE: Final = 2**32 - 1
"""The greatest id that the answer has room for; `AlbumState` has none above it."""

MOST_THUMBNAILS: Final = 128
"""Faces in one request."""

_HEAD: Final = struct.Struct("<II")


class Pictures:
    """Draws pictures on threads of their own.

    Parameters
    ----------
    faces, photos : IndexThreads
        For thumbnails and for photos: a thumbnail does not wait for a photo.
    """

    def __init__(self, faces: IndexThreads, photos: IndexThreads) -> None:
        self._faces, self._photos = faces, photos

    async def thumbnails(self, faces: list[int]) -> AsyncIterator[bytes]:
        """Yield for each face its id and the length of its JPEG file, as uint32, and the file.

        The length is 0 for a face that cannot be shown. Ends the work when it is closed.
        """
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        given_up = threading.Event()

        def draw(index: FaceIndex) -> None:
            waiting = b""
            for face, jpeg in index.pictures.thumbnails(faces):
                if given_up.is_set():
                    return
                waiting = _HEAD.pack(face, len(jpeg or b"")) + (jpeg or b"")
                loop.call_soon_threadsafe(arrived.put_nowait, waiting)

        task = asyncio.ensure_future(self._faces.reading(draw))
        task.add_done_callback(lambda _: arrived.put_nowait(None))
        try:
            while (part := await arrived.get()) is not None:
                parts = [part]
                while not arrived.empty() and (more := arrived.get_nowait()) is not None:
                    parts.append(more)
                yield b"".join(parts)
                if task.done() and arrived.empty():
                    break
            await task
        finally:
            given_up.set()
            task.cancel()

    async def photo(self, photo: int, side: int | None) -> bytes:
        """Return a photo as a JPEG file, at most `side` pixels wide and high, or in full size."""
        return await self._photos.reading(lambda index: index.pictures.photo(photo, side))
