"""Reading and decoding in threads ahead of the networks, in order and within a memory budget."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from faceindex import images
from faceindex.errors import ImageError
from faceindex.pipeline.plan import Task
from faceindex.recognise import Shot

__all__ = ["Loaded", "Loader"]

# Photos read ahead of the networks. More only costs memory: decoding is faster than recognising.
_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that has been read.

    Attributes
    ----------
    task : Task
    content_hash : bytes or None
        None if the file could not be read.
    shot : Shot or None
        None if the content is already known to the index, or there is an error.
    error : ImageError or None
    """

    task: Task
    content_hash: bytes | None
    shot: Shot | None
    error: ImageError | None


class _Budget:
    """Admits decodes in ticket order while fewer than `limit` bytes are alive.

    The order matters: the consumer takes photos in order, so the one it waits for must never
    stand behind a later one. Those admitted last may overshoot, so any photo gets through.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._next = 0
        self._changed = threading.Condition()
        self._closed = False

    def enter(self, ticket: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (ticket == self._next and self._used < self._limit)
            )
            self._next += 1
            self._changed.notify_all()

    def add(self, size: int) -> None:
        """Count bytes as alive; negative when they are released."""
        with self._changed:
            self._used += size
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Loader:
    """Iterates over read and decoded photos in the order of the tasks.

    Parameters
    ----------
    tasks : sequence of Task
    decode : callable
        Bytes and path to a Shot; called in threads.
    skip : collection of bytes
        Content hashes that need no decoding.
    budget : int
        Bytes of decoded photos that may wait; `release` gives them back.
    threads : int
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        decode: Callable[[bytes, str], Shot],
        *,
        skip: Collection[bytes],
        budget: int,
        threads: int,
    ) -> None:
        self._tasks = tasks
        self._decode = decode
        self._skip = skip
        self._budget = _Budget(budget)
        self._threads = threads

    def __iter__(self) -> Iterator[Loaded]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="faceindex-decode")
        waiting: deque[Future[Loaded]] = deque()
        try:
            for ticket, task in enumerate(self._tasks):
                waiting.append(pool.submit(self._load, ticket, task))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            self._budget.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def retain(self, shot: Shot) -> None:
        """Count a shot that was decoded elsewhere."""
        self._budget.add(_size(shot))

    def release(self, shot: Shot) -> None:
        """Say that a shot is no longer needed."""
        self._budget.add(-_size(shot))

    def _load(self, ticket: int, task: Task) -> Loaded:
        content_hash = None
        entered = False
        try:
            data = images.read(task.path)
            content_hash = images.content_hash(data)
            if content_hash in self._skip or (task.known and task.known.content_hash == content_hash):
                return Loaded(task, content_hash, None, None)
            entered = True
            self._budget.enter(ticket)
            shot = self._decode(data, str(task.path))
            self._budget.add(_size(shot))
            return Loaded(task, content_hash, shot, None)
        except ImageError as error:
            return Loaded(task, content_hash, None, error)
        finally:
            if not entered:
                self._budget.enter(ticket)  # let the next ticket pass


def _size(shot: Shot) -> int:
    return shot.photo.image.nbytes + len(shot.data)
