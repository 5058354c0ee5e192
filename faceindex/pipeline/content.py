"""Read files in threads, and compare their bytes and pictures with those of indexed photos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex import images
from faceindex.addresses import is_address
from faceindex.errors import ImageError, Reason
from faceindex.images import Picture
from faceindex.pipeline.held import Held
from faceindex.pipeline.plan import Stopped, Task
from faceindex.store import PhotoRecord

if TYPE_CHECKING:
    from faceindex.pipeline.batches import Outcome

__all__ = ["Content", "content_of", "read_contents", "read_video_content"]


@dataclass(frozen=True, slots=True)
class Content:
    """The identity of a file's content.

    Attributes
    ----------
    hash : bytes
        `faceindex.images.content_hash` of the file.
    picture : Picture
    width, height : int
        Size in pixels of the upright photo; 0 if it was not needed, or cannot be read.
    """

    hash: bytes
    picture: Picture
    width: int = 0
    height: int = 0

    def shows(self, record: PhotoRecord) -> bool:
        """Return whether the picture is that of an indexed photo, in the same orientation and size."""
        return (self.picture.hash, self.picture.orientation, self.width, self.height) == (
            *(record.picture, record.orientation, record.width, record.height),
        )


def content_of(outcome: Outcome[Task]) -> Content | None:
    """Return the identity of a photo that was recognised; None if it could not be read."""
    if outcome.picture is None or outcome.content_hash is None:
        return None
    return Content(outcome.content_hash, outcome.picture, outcome.width, outcome.height)


def read_video_content(path: str, with_picture: bool) -> Content | ImageError:
    """Return what identifies a video: its file by some blocks, its pictures if they are needed.

    Without PyAV, the pictures are not known.
    """
    from faceindex.images.moments import video_digest, videos_are_readable
    from faceindex.images.video_reading import read_video

    try:
        digest = video_digest(path)
        if not with_picture or not videos_are_readable():
            return Content(digest, Picture(digest, 1, None))
        about = read_video(path)
    except OSError as error:
        return ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be read ({error.strerror or error}).",
            "Check the disk or the network connection, and try again.",
        )
    except ImageError as error:
        return error
    return Content(digest, Picture(about.identity, 1, about.taken), about.width, about.height)


def read_contents(
    tasks: Sequence[Task],
    *,
    threads: int,
    should_stop: Callable[[], bool],
    pictures: Collection[bytes | None] = (),
    held: Held | None = None,
) -> Iterator[tuple[Task, Content | ImageError]]:
    """Read files in threads, without decoding them. Yields them in the given order.

    Parameters
    ----------
    tasks : sequence of Task
    threads : int
    should_stop : callable
        Called after each file.
    pictures : collection of bytes
        Hashes of pictures of which the size is needed, to compare it.
    held : Held, optional
        Where to keep objects of stores, to recognise them.

    Raises
    ------
    Stopped
        If `should_stop` returns True.
    """

    def read(task: Task) -> Content | ImageError:
        try:
            data = task.read() if held is None or not is_address(task.name) else _object(task, held)
        except ImageError as error:
            is_video = error.reason is Reason.VIDEO and not is_address(task.name)
            return read_video_content(task.name, bool(pictures)) if is_video else error
        try:
            picture = images.read_picture(data)
            size = images.probe(data, task.name)[:2] if picture.hash in pictures else (0, 0)
            return Content(images.content_hash(data), picture, *size)
        except ImageError as error:
            return error

    if any(is_address(task.name) for task in tasks):
        from faceindex.images.remote import CONNECTIONS

        threads = CONNECTIONS  # they wait for round trips
    pool = ThreadPoolExecutor(threads, thread_name_prefix="faceindex-hash")
    try:
        for task, content in zip(tasks, pool.map(read, tasks), strict=True):
            yield task, content
            if should_stop():
                raise Stopped
    finally:
        pool.shutdown(cancel_futures=True)


def _object(task: Task, held: Held) -> bytes:
    """Read an object, and hold it."""
    found = held.get(task.name)
    if found is None:
        try:
            found = task.read()
        except ImageError as error:
            held.put(task.name, error)
            raise
        held.put(task.name, found)
    if isinstance(found, ImageError):
        raise found
    return found
