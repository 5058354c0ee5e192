"""Read and decode photos in threads ahead of the networks, in order and within a memory budget."""

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

__all__ = ["LoadResult", "Loader", "photo_bytes", "processing_failed"]

# Photos read ahead of the networks. More would only take memory: decoding is faster than recognition.
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A file that was read, or the error.

    Attributes
    ----------
    task : Task
    content_hash : bytes or None
        None if the file could not be read.
    photo : LoadedPhoto or None
        None if there is an error.
    error : ImageError or None
    """

    task: Task
    content_hash: bytes | None
    photo: LoadedPhoto | None
    error: ImageError | None


class _Budget:
    """Admits photos in ticket order while fewer than `limit` bytes are in memory.

    The consumer takes photos in order, so the next one must never wait for a later one. The last one
    admitted may exceed the limit, so that a photo of any size is admitted eventually.
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
        """Count bytes as in memory; negative when they are released."""
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
        Maps bytes and a path to a LoadedPhoto; called in threads.
    budget : int
        Bytes of photos that may be in memory; `release` frees them. A consumer that holds more than half of
        the budget must release what it holds, or the iteration blocks.
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

    def __iter__(self) -> Iterator[LoadResult]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="faceindex-decode")
        waiting: deque[Future[LoadResult]] = deque()
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

    def release(self, photo: LoadedPhoto) -> None:
        """Free the budget of a photo that is no longer needed."""
        self._budget.add(-photo_bytes(photo))

    def _load(self, ticket: int, task: Task) -> LoadResult:
        content_hash = None
        entered = False
        try:
            data = images.read(task.path)
            content_hash = images.content_hash(data)
            entered = True
            self._budget.enter(ticket)
            photo = self._decode(data, str(task.path))
            self._budget.add(photo_bytes(photo))
            return LoadResult(task, content_hash, photo, None)
        except ImageError as error:
            return LoadResult(task, content_hash, None, error)
        except FaceIndexError:
            raise  # not the photo's fault, for example models that do not load: end the run
        except Exception as error:
            failure = processing_failed(str(task.path), f"{type(error).__name__}: {error}")
            return LoadResult(task, content_hash, None, failure)
        finally:
            if not entered:
                self._budget.enter(ticket)  # admit the next ticket


def processing_failed(path: str, cause: str) -> ImageError:
    """Return the error for a failure that is unrelated to the photo."""
    return ImageError(
        path,
        Reason.FAILED,
        f"the photo could not be processed ({cause}).",
        "The next run tries it again; if it fails again, please report it.",
    )


def photo_bytes(photo: LoadedPhoto) -> int:
    """Return the bytes that a photo takes from the budget."""
    return photo.decoded.image.nbytes + len(photo.data)
