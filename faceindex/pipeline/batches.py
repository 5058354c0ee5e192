"""Recognise any number of photos in batches: decode ahead, a batch for each worker, results in order.

`index` and `identify` share this code, so that a photo costs the same in both.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from faceindex.cores import cores
from faceindex.embed import prepare
from faceindex.errors import FaceIndexError, ImageError
from faceindex.images import Picture
from faceindex.images.exhaustion import has_memory_limit, is_exhausted, is_memory_error, out_of_memory
from faceindex.images.limits import DECODE_BYTES, decode_limit
from faceindex.pipeline.load import Loader, LoadResult, Source, Watch, photo_bytes, processing_failed
from faceindex.recognition import LoadedPhoto, Recogniser, use_one_thread
from faceindex.types import Faces

__all__ = [
    "BATCH_BYTES",
    "BATCH_PHOTOS",
    "BUDGET_BYTES",
    "DECODE_THREADS",
    "GPU_BATCH_PHOTOS",
    "Outcome",
    "count_workers",
    "recognise_each",
    "recognise_in_batches",
]

BATCH_PHOTOS = 16  # enough faces for full batches of the embedder, few enough to stay in cache
GPU_BATCH_PHOTOS = 64
BATCH_BYTES = 32 << 20  # limit for a batch of large photos, so that each worker gets one soon
BUDGET_BYTES = 256 << 20  # decoded photos in memory at a time
DECODE_THREADS = 2  # to read and decode ahead of the networks
_MOST_WORKERS = 4  # batches in the networks at a time, one thread each; limits memory on large machines
_GPU_WORKERS = 2  # one cuts chips while the other waits for the GPU
_LARGE = 48 << 20  # bytes of a batch: the networks take 8 bytes a pixel for a photo of 48 megapixels, 400 MB
_SMALL = 16 << 20  # a photo of 5 megapixels, which takes little memory in any network
_MOST_SOURCES = 4  # per photo of a full batch: unreadable files, which fill no batch, are reported soon

_S = TypeVar("_S", bound=Source)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_S]):
    """The result of the networks for one photo, without its pixels.

    Attributes
    ----------
    source : Source
    content_hash : bytes or None
        Of the file; None if it could not be read, or there is no file.
    picture : Picture or None
        None in the same cases.
    result : Faces or ImageError
    width, height : int
        Size in pixels of the upright photo at full resolution; 0 after an error.
    note : str or None
        As `faceindex.images.DecodedImage.note`.
    """

    source: _S
    content_hash: bytes | None
    picture: Picture | None
    result: Faces | ImageError
    width: int = 0
    height: int = 0
    note: str | None = None


def recognise_in_batches(
    sources: Iterable[_S],
    recogniser: Recogniser,
    *,
    number: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    watch: Watch | None = None,
    workers: int | None = None,
) -> Generator[list[Outcome[_S]], None, None]:
    """Load photos ahead and recognise them in batches, several at a time.

    Decoded photos take `BUDGET_BYTES` at most (a single larger photo is admitted alone), however many there
    are. Where `faceindex.images.limits` allows less than by default, they take less, and large photos are in
    the networks one at a time. An error of one photo is its result, and does not stop the others. Closing the
    iterator ends all threads after their current batch.

    Parameters
    ----------
    sources : iterable of Source
        Taken as they are needed.
    recogniser : Recogniser
    number : int, optional
        Number of sources, to divide a few among the workers; None if it is unknown.
    should_stop : callable
        Called between photos; once it returns True, the batches in the networks are finished, and the
        iterator ends.
    watch : Watch, optional
        Learns which sources are in work.
    workers : int, optional
        Batches in the networks at a time. None means one for each core, up to a few, or two on a GPU.

    Yields
    ------
    list of Outcome
        In the order of the sources.

    Raises
    ------
    FaceIndexError
        For an error that is not about one photo, such as `BrokenModel`.
    """
    on_cpu = recogniser.device == "cpu"
    if workers is None:
        workers = count_workers() if on_cpu else _GPU_WORKERS
    most_photos = BATCH_PHOTOS if on_cpu else GPU_BATCH_PHOTOS
    if on_cpu and number is not None:
        most_photos = max(1, min(most_photos, -(-number // workers)))
    most_bytes = min(BATCH_BYTES, BUDGET_BYTES // 2) if on_cpu else BUDGET_BYTES // 2
    budget, one_large = BUDGET_BYTES, None
    if on_cpu and decode_limit() < DECODE_BYTES:
        budget, one_large = min(BUDGET_BYTES, decode_limit() // 4), threading.Lock()
        most_bytes = min(most_bytes, budget // 2)
    loader = Loader(
        sources,
        recogniser.load_photo,
        budget=budget,
        threads=DECODE_THREADS if on_cpu else count_workers(),
        watch=watch,
    )
    running: deque[Future[list[Outcome[_S]]]] = deque()
    batch: list[LoadResult[_S]] = []
    photos = size = 0
    if number is not None:
        prepare(recogniser.embedder, number)  # about a face on each photo
    pool = ThreadPoolExecutor(workers, thread_name_prefix="faceindex-recognise", initializer=use_one_thread)
    try:
        with contextlib.closing(iter(loader)) as results:
            for loaded in results:
                batch.append(loaded)
                if loaded.photo is not None:
                    photos += 1
                    size += photo_bytes(loaded.photo)
                if photos >= most_photos or size > most_bytes or len(batch) >= _MOST_SOURCES * most_photos:
                    running.append(pool.submit(_work_on, batch, recogniser, loader.release, one_large))
                    batch, photos, size = [], 0, 0
                    if len(running) > workers:
                        yield running.popleft().result()
                if should_stop():
                    break
            else:
                if batch:
                    running.append(pool.submit(_work_on, batch, recogniser, loader.release, one_large))
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work_on(
    batch: Sequence[LoadResult[_S]],
    recogniser: Recogniser,
    release: Callable[[LoadedPhoto], None],
    one_large: threading.Lock | None,
) -> list[Outcome[_S]]:
    """Recognise a batch and release its photos; with a lock, one large batch at a time."""
    photos = [loaded.photo for loaded in batch if loaded.photo is not None]
    if one_large is None or sum(map(photo_bytes, photos)) < _LARGE:
        alone: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    else:
        alone = one_large
    try:
        with alone:
            found = iter(recognise_each(recogniser, photos))
        outcomes = []
        for loaded in batch:
            known = (loaded.source, loaded.content_hash, loaded.picture)
            if loaded.photo is None:
                assert loaded.error is not None
                outcomes.append(Outcome(*known, loaded.error))
                continue
            result, size = next(found), (loaded.photo.decoded.width, loaded.photo.decoded.height)
            if isinstance(result, ImageError):
                size = (0, 0)
            outcomes.append(Outcome(*known, result, *size, loaded.photo.decoded.note))
        return outcomes
    finally:
        for photo in photos:
            release(photo)  # in the worker: the consumer may be waiting for more photos


def recognise_each(recogniser: Recogniser, photos: Sequence[LoadedPhoto]) -> list[Faces | ImageError]:
    """Recognise a batch; if it fails, each photo alone, so that only the photo at fault fails.

    Raises
    ------
    FaceIndexError
        For an error that is not about one photo, such as `BrokenModel`.
    """
    try:
        found = recogniser.recognise(photos)
    except Exception as error:  # of any kind: one photo never stops a run
        if len(photos) > 1:
            return [faces for photo in photos for faces in recognise_each(recogniser, [photo])]
        if isinstance(error, ImageError):
            return [error]
        if isinstance(error, FaceIndexError):
            raise
        small = photo_bytes(photos[0]) < _SMALL
        if is_memory_error(error) and (is_exhausted() or (small and has_memory_limit())):
            raise out_of_memory(error) from error  # no photo will fit
        return [processing_failed(photos[0].path, error)]
    return [
        faces if np.isfinite(faces.vectors).all() else processing_failed(photo.path, "its vectors are NaN")
        for photo, faces in zip(photos, found, strict=True)
    ]


def count_workers() -> int:
    """Return how many batches are in the networks at a time on a CPU, one thread each."""
    return min(cores(), _MOST_WORKERS)
