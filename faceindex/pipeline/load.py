"""Read and decode photos in threads ahead of the networks, in order and within a memory budget."""

from __future__ import annotations

import concurrent.futures.thread
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from faceindex import images
from faceindex.addresses import is_address
from faceindex.errors import FaceIndexError, ImageError, Reason
from faceindex.images.exhaustion import is_exhausted, is_memory_error, out_of_memory
from faceindex.recognition import LoadedPhoto

if TYPE_CHECKING:
    from faceindex.images import Picture
    from faceindex.images.inputs import PhotoInput

__all__ = ["LoadResult", "Loader", "Source", "Watch", "photo_bytes", "processing_failed"]

# Photos read ahead of the networks. More would only take memory: decoding is faster than recognition.
_AHEAD = 16

_REQUESTS = 32
"""Photos in object stores that are requested at a time, ahead of those that are decoded."""

_REQUESTED_BYTES = 128 << 20  # of these, by their sizes
_UNKNOWN_BYTES = 8 << 20  # of one whose size is not known

_CHECK_SECONDS = 1.0


class Source(Protocol):
    """A photo to load: a file, the bytes of one, or pixels."""

    @property
    def name(self) -> str:
        """Its path, or a name for messages."""

    @property
    def at_once(self) -> bool:
        """Whether to load it before the next source is taken, in the thread that iterates.

        Pixels need this: their owner may reuse an array, or close an open image.
        """

    def read(self) -> PhotoInput:
        """Return the bytes of the file, or pixels; raises `ImageError`."""


class Watch(Protocol):
    """Learns which sources are in work: from before they are read until `Loader.release`, or their error."""

    def begin(self, name: str) -> None:
        """The work on a source begins; called in threads."""

    def end(self, name: str) -> None:
        """The work on a source is over."""


_S = TypeVar("_S", bound=Source)


@dataclass(frozen=True, slots=True)
class LoadResult(Generic[_S]):
    """A photo that was read and decoded, or the error.

    Attributes
    ----------
    source : Source
    content_hash : bytes or None
        None if the file could not be read, or there is no file.
    picture : Picture or None
        None in the same cases.
    photo : LoadedPhoto or None
        None if there is an error.
    error : ImageError or None
    """

    source: _S
    content_hash: bytes | None
    picture: Picture | None
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
        def free() -> bool:
            return self._closed or (ticket == self._next and self._used < self._limit)

        with self._changed:
            while not self._changed.wait_for(free, _CHECK_SECONDS) and not _program_ends():
                pass
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


def _program_ends() -> bool:
    """Return whether Python waits for the threads of all executors, as it does at its end.

    An iterator that was abandoned half-way is closed only later. Its threads must not wait for memory then.
    """
    return bool(getattr(concurrent.futures.thread, "_shutdown", False))


class Loader(Generic[_S]):
    """Iterates over read and decoded photos in the order of their sources.

    Sources are taken from the iterable as they are needed, so that it may have any length.

    Parameters
    ----------
    sources : iterable of Source
    decode : callable
        Maps what a source reads, and its name, to a LoadedPhoto; called in threads.
    budget : int
        Bytes of photos that may be in memory; `release` frees them. A consumer that holds more than half of
        the budget must release what it holds, or the iteration blocks.
    threads : int
    watch : Watch, optional
    """

    def __init__(
        self,
        sources: Iterable[_S],
        decode: Callable[[PhotoInput, str], LoadedPhoto],
        *,
        budget: int,
        threads: int,
        watch: Watch | None = None,
    ) -> None:
        self._sources = sources
        self._decode = decode
        self._budget = _Budget(budget)
        self._threads = threads
        self._watch = watch

    def __iter__(self) -> Generator[LoadResult[_S], None, None]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="faceindex-decode")
        waiting: deque[Future[LoadResult[_S]]] = deque()
        try:
            with closing(_read_ahead(self._sources)) as sources:
                for ticket, (source, read) in enumerate(sources):
                    if source.at_once:
                        while waiting:  # they come first; their memory is released only after they are taken
                            yield waiting.popleft().result()
                        yield self._load(ticket, source, read)
                        continue
                    waiting.append(pool.submit(self._load, ticket, source, read))
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
        if self._watch is not None:
            self._watch.end(photo.path)

    def _load(self, ticket: int, source: _S, read: Callable[[], PhotoInput]) -> LoadResult[_S]:
        content_hash = picture = None
        entered = loaded = False
        if self._watch is not None:
            self._watch.begin(source.name)
        try:
            data = read()
            if isinstance(data, bytes):
                content_hash = images.content_hash(data)
                picture = images.read_picture(data)
            entered = True
            self._budget.enter(ticket)
            photo = self._decode(data, source.name)
            self._budget.add(photo_bytes(photo))
            loaded = True
            return LoadResult(source, content_hash, picture, photo, None)
        except ImageError as error:
            if is_memory_error(error.__cause__) and is_exhausted():
                raise out_of_memory(error) from error  # no other photo will fit
            return LoadResult(source, content_hash, picture, None, error)
        except FaceIndexError:
            raise  # not the photo's fault, for example models that do not load: end the run
        except Exception as error:
            if is_memory_error(error) and is_exhausted():
                raise out_of_memory(error) from error
            return LoadResult(source, content_hash, picture, None, processing_failed(source.name, error))
        finally:
            if self._watch is not None and not loaded:
                self._watch.end(source.name)
            if not entered:
                self._budget.enter(ticket)  # admit the next ticket


def _read_ahead(sources: Iterable[_S]) -> Generator[tuple[_S, Callable[[], PhotoInput]], None, None]:
    """Yield sources in their order, each with what reads it.

    Photos in object stores are requested before they are yielded, `_REQUESTS` at a time. All others are read
    when they are needed.
    """
    waiting: deque[tuple[_S, Future[PhotoInput], int]] = deque()
    size = 0
    pool: ThreadPoolExecutor | None = None
    at_end = False
    try:
        for source in sources:
            if source.at_once or not is_address(source.name):
                while waiting:
                    yield waiting[0][0], waiting.popleft()[1].result
                size = 0
                yield source, source.read
                continue
            if pool is None:
                pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="faceindex-request")
            expected = getattr(source, "size", 0) or _UNKNOWN_BYTES
            waiting.append((source, pool.submit(source.read), expected))
            size += expected
            while len(waiting) > _REQUESTS or (size > _REQUESTED_BYTES and len(waiting) > 1):
                first, request, its_size = waiting.popleft()
                size -= its_size
                yield first, request.result
        while waiting:
            yield waiting[0][0], waiting.popleft()[1].result
        at_end = True
    finally:
        if pool is not None:  # at the end, the last requests are still wanted
            pool.shutdown(wait=False, cancel_futures=not at_end)


def processing_failed(path: str, cause: Exception | str) -> ImageError:
    """Return the error for a failure that is unrelated to the photo; an exception becomes its cause."""
    text = f"{type(cause).__name__}: {cause}" if isinstance(cause, Exception) else cause
    failure = ImageError(
        path,
        Reason.FAILED,
        f"the photo could not be processed ({text}).",
        "Try it again, as the next run of `faceindex index` does; if it fails again, please report it.",
    )
    failure.__cause__ = cause if isinstance(cause, Exception) else None
    return failure


def photo_bytes(photo: LoadedPhoto) -> int:
    """Return the bytes that a photo takes from the budget."""
    return photo.decoded.image.nbytes + len(photo.data)
