"""Reading and decoding in threads ahead of the networks, in order and within a memory budget."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from faceindex import images
from faceindex.errors import FaceIndexError, ImageError, Reason
from faceindex.pipeline.plan import Task
from faceindex.recognition import LoadedPhoto

__all__ = ["Loaded", "Loader", "photo_bytes", "processing_failed"]

# Photos read ahead of the networks. More only costs memory: decoding is faster than recognising.
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that has been read.

    Attributes
    ----------
    task : Task
    content_hash : bytes or None
        None if the file could not be read.
    shot : LoadedPhoto or None
        None if there is an error.
    error : ImageError or None
    """

    task: Task
    content_hash: bytes | None
    shot: LoadedPhoto | None
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
        Bytes and path to a LoadedPhoto; called in threads.
    budget : int
        Bytes of photos that may be alive; `release` gives them back. Whoever takes photos must release
        all that it holds when they are more than half of it, or the next one never comes.
    threads : int
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        decode: Callable[[bytes, str], LoadedPhoto],
        *,
        budget: int,
        threads: int,
    ) -> None:
        self._tasks = tasks
        self._decode = decode
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

    def release(self, shot: LoadedPhoto) -> None:
        """Say that a shot is no longer needed."""
        self._budget.add(-photo_bytes(shot))

    def _load(self, ticket: int, task: Task) -> Loaded:
        content_hash = None
        entered = False
        try:
            data = images.read(task.path)
            content_hash = images.content_hash(data)
            entered = True
            self._budget.enter(ticket)
            shot = self._decode(data, str(task.path))
            self._budget.add(photo_bytes(shot))
            return Loaded(task, content_hash, shot, None)
        except ImageError as error:
            return Loaded(task, content_hash, None, error)
        except FaceIndexError:
            raise  # the models cannot be loaded, say: not the photo's fault, and not to be gone on from
        except Exception as error:
            failure = processing_failed(str(task.path), f"{type(error).__name__}: {error}")
            return Loaded(task, content_hash, None, failure)
        finally:
            if not entered:
                self._budget.enter(ticket)  # let the next ticket pass


def processing_failed(path: str, cause: str) -> ImageError:
    """What is told of a photo when something else than the photo seems to be at fault."""
    return ImageError(
        path,
        Reason.FAILED,
        f"the photo could not be processed ({cause}).",
        "It is tried again at the next run; if it fails again, please report it.",
    )


def photo_bytes(shot: LoadedPhoto) -> int:
    """What a shot counts for in the budget."""
    return shot.photo.image.nbytes + len(shot.data)
