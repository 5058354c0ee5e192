"""What the page shows: the album of the index, and what has changed since a generation of it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from faceindex.api.album_covers import cover_faces
from faceindex.errors import StoreError
from faceindex.review.answers import Refusal
from faceindex.review.memory import give_back
from faceindex.review.pictures import MOST_THUMBNAILS

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.album_state import AlbumState
    from faceindex.documents import Json
    from faceindex.review.threads import IndexThread

__all__ = ["LiveAlbum"]

_PAUSE: Final = 0.25  # seconds between two looks at the index while a page waits for changes
_MOST_WAITING: Final = 64  # requests
_WRITER_SEEN: Final = 2  # looks in a row after which another writer is shown


class LiveAlbum:
    """Keeps the album of the index, and watches for commits of all processes while a page waits for them.

    Parameters
    ----------
    thread : IndexThread
        Owns the index and `state`. Methods that are passed an index run on it, all others on the event loop.

    Attributes
    ----------
    state : AlbumState or None
        None until it is asked for.
    """

    def __init__(self, thread: IndexThread) -> None:
        self.thread = thread
        self.state: AlbumState | None = None
        self._index: FaceIndex | None = None  # that it is of
        self._packed: tuple[AlbumState, int, bytes] | None = None  # with the generation
        self._covers: tuple[AlbumState, int, list[int]] | None = None  # likewise
        self._waiting = 0
        self._changed = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._known: tuple[int, str | None] = (-1, None)  # generation, other writer
        self._stopped = False

    # On the thread -----------------------------------------------------------------------------

    def follow(self, index: FaceIndex) -> AlbumState:
        """Bring the album to the newest commit, and return it."""
        try:
            if self.state is None or index is not self._index:
                self.state, self._index = None, index  # it may be another one, in the same place
                self.state = index.album.load()
                self.thread.submit(give_back)
            else:
                index.album.follow(self.state)
        except StoreError:
            self.state = None  # it is read anew, from the index that is opened again
            raise
        finally:
            self._drop_old()
        return self.state

    def _drop_old(self) -> None:
        """Free what was made of another state of the index; of a million faces, the bytes are 20 MB."""
        now = None if self.state is None else (self.state, self.state.generation)
        if self._packed is not None and self._packed[:2] != now:
            self._packed = None
        if self._covers is not None and self._covers[:2] != now:
            self._covers = None

    def bundle(self, index: FaceIndex) -> bytes:
        """Return all of the album. It is kept until the next commit."""
        state = self.follow(index)
        if self._packed is None:
            self._packed = (state, state.generation, state.to_bytes())
            self.thread.submit(give_back)  # afterwards
        return self._packed[2]

    def covers(self, index: FaceIndex, most: int) -> list[int]:
        """Return the faces that show the largest groups, at most 128; they are kept until the next commit."""
        state = self.follow(index)
        if self._covers is None:
            self._covers = (state, state.generation, cover_faces(state, MOST_THUMBNAILS))
            self.thread.submit(give_back)
        return self._covers[2][:most]

    def prepare(self, index: FaceIndex) -> None:
        """Make ready what a page loads first."""
        self.bundle(index)
        self.covers(index, 1)

    def changes(self, index: FaceIndex, since: int) -> dict[str, Json]:
        """Return what has changed since a generation."""
        state = self.follow(index)
        return {**state.changes_since(since).as_dict(state), "busy": _other_writer(index)}

    def _look(self, index: FaceIndex) -> tuple[int, str | None]:
        return self.follow(index).generation, _other_writer(index)

    # On the event loop -------------------------------------------------------------------------

    async def wait(self, since: int, seconds: float) -> dict[str, Json]:
        """Return what has changed since a generation, as soon as anything has, or after some seconds."""
        if self._waiting >= _MOST_WAITING:
            raise Refusal(503, "Too many pages wait for changes.", "Close some of them.")
        self._waiting += 1
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            if self._watch is None:
                self._watch = loop.create_task(self._keep_looking())
            busy = self._known[1]
            while not self._stopped and self._known[0] <= since and self._known[1] == busy:
                remaining = until - loop.time()
                if remaining <= 0:
                    break
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), remaining)
            return await self.thread.reading(lambda index: self.changes(index, since))
        finally:
            self._waiting -= 1

    def decided(self, generation: int) -> None:
        """Wake all that wait: this process has changed the index."""
        self._notice((generation, self._known[1]))

    def stop(self) -> None:
        """Answer all that wait now, and later ones at once."""
        self._stopped = True
        self._changed.set()
        if self._watch is not None:
            self._watch.cancel()

    def _notice(self, found: tuple[int, str | None]) -> None:
        if found != self._known:
            self._known = found
            self._changed.set()
            self._changed = asyncio.Event()

    async def _keep_looking(self) -> None:
        """Look at the index again and again, until nobody waits any more."""
        writer, seen = None, 0
        try:
            while self._waiting and not self._stopped:
                with suppress(StoreError):
                    generation, now = await self.thread.reading(self._look)
                    seen = seen + 1 if now == writer else 1
                    writer = now
                    # A command that writes for an instant is not shown.
                    shown = writer if writer is None or seen >= _WRITER_SEEN else self._known[1]
                    self._notice((generation, shown))
                await asyncio.sleep(_PAUSE)
        finally:
            self._watch = None


def _other_writer(index: FaceIndex) -> str | None:
    """Return which other process is writing to the index."""
    holder = index.writer()
    return None if holder is None or holder.pid == os.getpid() else str(holder)
