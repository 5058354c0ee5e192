"""Threads that each own an index. The event loop never waits for one: it submits a function and awaits it."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from faceindex.errors import StoreError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex

__all__ = ["IndexThread", "IndexThreads", "Thread"]

_Result = TypeVar("_Result")


class Thread:
    """One thread that calls functions in the order in which they are submitted. It starts with the first.

    It does not keep the process alive: what is under way when the server ends is given up, as by a kill.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._ended = False

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Call a function on the thread; it is skipped if the future is cancelled before."""
        future: Future[_Result] = Future()
        with self._lock:
            if self._ended:
                future.cancel()
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._tasks.put((future, work))
        return future

    async def call(self, work: Callable[[], _Result]) -> _Result:
        """Call a function on the thread, and return its result to the event loop."""
        return await asyncio.wrap_future(self.submit(work))

    def end(self) -> None:
        """Take no more work, and end after what is under way; do not wait for that."""
        with self._lock:
            self._ended = True
            while not self._tasks.empty():
                if (task := self._tasks.get()) is not None:
                    task[0].cancel()
            self._tasks.put(None)

    def join(self, until: float) -> bool:
        """Wait for the end, at most until a moment of `time.monotonic`; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(max(until - time.monotonic(), 0))
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            _carry_out(*task)
            del task  # its result may be large
        self.close()

    def close(self) -> None:
        """Called on the thread at its end."""


def _carry_out(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


class IndexThread(Thread):
    """A thread that has an index open for reading.

    Parameters
    ----------
    name : str
    directory : Path
    """

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name)
        self._directory = directory
        self._index: FaceIndex | None = None

    def read(self, work: Callable[[FaceIndex], _Result]) -> Future[_Result]:
        """Call a function with the index on the thread."""
        return self.submit(lambda: self._with_index(work))

    async def reading(self, work: Callable[[FaceIndex], _Result]) -> _Result:
        """Call a function with the index on the thread, and return its result to the event loop."""
        return await asyncio.wrap_future(self.read(work))

    def _with_index(self, work: Callable[[FaceIndex], _Result]) -> _Result:
        if self._index is not None and self._index.replaced:
            self.close()
        if self._index is None:
            from faceindex.api import FaceIndex

            self._index = FaceIndex.open(self._directory)
        try:
            return work(self._index)
        except StoreError:  # other models, or damage that was repaired: the next call opens it again
            self.close()
            raise

    def close(self) -> None:
        """Close the index."""
        index, self._index = self._index, None
        if index is not None:
            index.close()


class IndexThreads:
    """Several threads that share the work; each has an index of its own.

    Parameters
    ----------
    name : str
    directory : Path
    number : int
    """

    def __init__(self, name: str, directory: Path, number: int) -> None:
        self.threads = [IndexThread(f"{name} {i}", directory) for i in range(number)]
        self._free = asyncio.Semaphore(number)
        self._idle = list(self.threads)

    async def reading(self, work: Callable[[FaceIndex], _Result]) -> _Result:
        """Call a function with an index on a thread that is free."""
        async with self._free:
            thread = self._idle.pop()
            try:
                return await thread.reading(work)
            finally:
                self._idle.append(thread)
