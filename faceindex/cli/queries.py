"""The photos of ``faceindex identify``: paths, folders, and standard input.

Like `faceindex.cli.identify`, this module imports no typer and nothing that starts slowly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from faceindex.addresses import is_address
from faceindex.errors import FaceIndexError, ImageError, NoFaceFound, Reason, UsageError

__all__ = ["STANDARD_INPUT", "Query", "find_queries", "with_moments"]

STANDARD_INPUT = "standard input"
"""The name of a photo whose bytes are on standard input."""

_HEAD = 64  # bytes in which a list of paths has no control characters
_VIDEO_HEAD = 4096  # bytes in which a video is recognised
_TEXT = frozenset(b"\0\t\n\r")
# Programs of Windows begin a list with one of these.
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BLOCK = 1 << 20  # bytes read from standard input at a time
_FIRST = 1 << 13  # bytes that contain the first path of a list


class Query(NamedTuple):
    """One photo to identify.

    Attributes
    ----------
    name : str
        As it is printed.
    photo : str or bytes
        A path, or the content of an image file.
    origin : str or None
        The folder in which it was found, as the user wrote it; None if it was named.
    error : FaceIndexError or None
        Why it cannot be read, if that is known already.
    """

    name: str
    photo: str | bytes
    origin: str | None = None
    error: FaceIndexError | None = None


def find_queries(
    arguments: Sequence[str],
    *,
    exclude: Collection[Path] = (),
    on_files: Callable[[int], None] | None = None,
) -> tuple[list[Query], list[str]]:
    """List the photos that the arguments of a command stand for, in their order.

    A folder or archive stands for the files in it, as `faceindex.images.walk` finds them, and ``-`` for
    standard input: the bytes of one image, or a list of files and folders, one a line or separated by null
    bytes. What is named twice is listed twice. Pipes, as of ``<(...)``, and other streams are read at once.

    Parameters
    ----------
    arguments : sequence of str
    exclude : collection of Path
        Files and folders to skip inside folders, such as the index.
    on_files : callable, optional
        Called now and then with the number of files found in a folder.

    Returns
    -------
    queries : list of Query
    origins : list of str
        The folders, and standard input if it was a list: each should have a photo.

    Raises
    ------
    UsageError
        If ``-`` is given twice, or standard input is a terminal.
    """
    if arguments.count("-") > 1:
        raise UsageError("- is given twice.", "Standard input can be read only once.")
    queries: list[Query] = []
    origins: list[str] = []

    def add(path: str) -> None:
        if _is_folder(path) or _is_archive(path):
            origins.append(path)
            queries.extend(_photos_in(path, exclude, on_files))
        else:
            queries.append(_named(path))

    for argument in arguments:
        if argument != "-":
            add(argument)
            continue
        try:
            data = _read_standard_input()
        except ImageError as error:
            queries.append(Query(STANDARD_INPUT, b"", error=error))
            continue
        if _is_image(data):
            queries.append(Query(STANDARD_INPUT, data))
        elif _is_list(data):
            paths = _listed(data)
            if not paths:
                origins.append(STANDARD_INPUT)
            for path in paths:
                add(path)
        else:
            neither = ImageError(
                STANDARD_INPUT,
                Reason.NOT_AN_IMAGE,
                "neither an image of a known format nor a list of paths.",
                "Pipe the bytes of one image, or paths, one a line or separated by null bytes.",
            )
            queries.append(Query(STANDARD_INPUT, b"", error=neither))
    return queries, origins


def with_moments(queries: Sequence[Query], find_moments: Callable[[str], list[str]]) -> list[Query]:
    """Replace videos by their moments.

    Parameters
    ----------
    queries : sequence of Query
    find_moments : callable
        As `faceindex.FaceIndex.moments`.
    """
    found: list[Query] = []
    for query in queries:
        if query.error is not None or not isinstance(query.photo, str) or not _is_video(query.photo):
            found.append(query)
            continue
        try:
            moments = find_moments(query.photo)
        except ImageError as error:
            found.append(query._replace(error=error))
            continue
        if not moments:
            nobody = NoFaceFound(f"{query.name}: no face was found in the video.", "Try another video.")
            found.append(query._replace(error=nobody))
        found += [query._replace(name=moment, photo=moment) for moment in moments]
    return found


def _is_folder(path: str) -> bool:
    """Return whether a path, or an address, stands for the photos in it."""
    if not is_address(path):
        return os.path.isdir(path)  # noqa: PTH112 - keeps what the user typed
    from faceindex.images.remote import check_address, is_photo_address

    return not is_photo_address(check_address(path))


def _is_video(path: str) -> bool:
    """Return whether a file is a video, by its first bytes."""
    from faceindex.images import sniff
    from faceindex.images.moments import sniff_video, split_moment
    from faceindex.images.opening import open_photo, read_head

    if split_moment(path) or is_address(path):
        return False
    try:
        with open_photo(path) as file:
            head = read_head(file, _VIDEO_HEAD)
    except (ImageError, OSError, ValueError):
        return False  # reported when it is read
    return sniff(head) is None and sniff_video(head) is not None


def _is_archive(path: str) -> bool:
    """Return whether a path is that of an archive; one that does not exist is reported as a photo."""
    return path[-4:].lower() in (".zip", ".tar") and os.path.isfile(path)  # noqa: PTH113


def _named(path: str) -> Query:
    """Return the query for one path; a stream is read here, where Ctrl-C ends the wait for its writer."""
    from faceindex.images.opening import is_stream

    if not is_stream(path):
        return Query(path, path)
    from faceindex.images import read

    try:
        return Query(path, read(path, streams=True))
    except ImageError as error:
        return Query(path, b"", error=error)


def _photos_in(
    folder: str, exclude: Collection[Path], on_files: Callable[[int], None] | None
) -> Iterator[Query]:
    from faceindex.images import walk

    base = os.path.dirname(folder) if _is_archive(folder) else folder  # noqa: PTH120
    for found in walk([folder], exclude=exclude, on_files=on_files):
        path = folder if found.relpath == "." else os.path.join(base, found.relpath)  # noqa: PTH118
        error = found.error
        if error is not None:  # with the path as the user wrote it
            error = ImageError(path, error.reason, error.detail, error.remedy)
        yield Query(path, path, folder, error)


def _read_standard_input() -> bytes:
    if sys.stdin.isatty():
        raise UsageError(
            "Standard input is a terminal.",
            "Pipe a list of photos, or the bytes of one, into the command.",
        )
    from faceindex.images.limits import file_limit, too_large_file

    parts, left = [], file_limit()
    while part := sys.stdin.buffer.read(_BLOCK):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise too_large_file(STANDARD_INPUT, file_limit() - left)
    return b"".join(parts)


def _listed(data: bytes) -> list[str]:
    """Split a list of paths; lines may end as on Windows."""
    if data.startswith(_UTF16_MARKS):
        lines = data.decode("utf-16", "replace").splitlines()
        return [line for line in lines if line.strip("\0 ")]
    data = data.removeprefix(_UTF8_MARK)
    if b"\0" in data:
        return [os.fsdecode(part) for part in data.split(b"\0") if part.strip()]
    return [os.fsdecode(line.removesuffix(b"\r")) for line in data.split(b"\n") if line.strip()]


def _is_image(data: bytes) -> bool:
    """Return whether this is an image. A path may begin like one, as in GIF89a/cat.jpg."""
    from faceindex.images import sniff

    return sniff(data) is not None and not _begins_with_a_path(data)


def _is_list(data: bytes) -> bool:
    printable = all(byte in _TEXT or byte >= 32 for byte in data[:_HEAD])
    return printable or data.startswith(_UTF16_MARKS) or _begins_with_a_path(data)


def _begins_with_a_path(data: bytes) -> bool:
    """Return whether the first path of a list exists."""
    paths = _listed(data[:_FIRST])
    try:
        return bool(paths) and os.path.lexists(paths[0])
    except ValueError:  # a null byte
        return False
