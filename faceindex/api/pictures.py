"""`FaceIndex.pictures`: JPEGs of faces and photos, for a page. Nothing is drawn while photos are indexed."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from faceindex import images
from faceindex.errors import UsageError
from faceindex.export.source import read_unchanged
from faceindex.export.thumbnails import MARGIN, SIDE, ThumbnailRenderer, one_large_photo
from faceindex.images.thumbnails import encode_jpeg, fit, shrink_for
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.store import FacePlaces, PhotoRecord
    from faceindex.store.thumbnail_cache import ThumbnailCache
    from faceindex.types import U8

__all__ = ["MOST_PIXELS", "IndexPictures"]

MOST_PIXELS = 40_000_000
"""Pixels of the largest photo that is shown at full size; a larger one is scaled down to this.

It takes 160 MB in a browser, at 4 bytes a pixel.
"""

_STEP = 512  # faces in work at a time
_STORED = 64  # thumbnails that are stored at a time
_QUALITY = 76  # of thumbnails: as in galleries
_PHOTO_QUALITY, _FULL_QUALITY = 85, 90
_LONGEST = 65_500  # pixels of a side, the limit of libjpeg
_RENDITION_BYTES = 64 << 20
_MOST_ID = 1 << 53
_STYLE = f"{SIDE} {MARGIN} {_QUALITY} 1".encode()  # part of each key: another style is drawn anew

_Rendition: TypeAlias = "tuple[str, int, bytes, int]"  # the index, the photo, its content, the longest side


class IndexPictures:
    """Draws faces and photos of an index as JPEGs without metadata. Needs no network, changes no photo.

    Thumbnails are kept in the index directory (`faceindex.store.thumbnail_cache`), photos in memory. Where
    the directory cannot be written, or its disk is full, everything is drawn each time.

    Like `FaceIndex`, an object may be used by one thread at a time; open the index once for each thread. They
    share the photos in memory.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._store = reader.store
        self._cache: ThumbnailCache | None = None

    # Faces -------------------------------------------------------------------------------------

    def thumbnails(self, face_ids: Iterable[int]) -> Iterator[tuple[int, bytes | None]]:
        """Yield the thumbnail of each face as soon as it is there; photos are decoded in several threads.

        Parameters
        ----------
        face_ids : iterable of int
            Any number; 512 of them are in work at a time. A face that comes again in these is yielded once.

        Yields
        ------
        face : int
        jpeg : bytes or None
            A square of 112 pixels. None if the face is not in the index, or its photo cannot be read, or has
            changed since it was indexed.
        """
        for wanted in _in_steps(face_ids):
            yield from self._thumbnails(wanted)

    def warm(self, face_ids: Iterable[int], should_stop: Callable[[], bool] = lambda: False) -> int:
        """Draw the thumbnails that are not kept yet, in one thread, until there is no room for more.

        Parameters
        ----------
        face_ids : iterable of int
            The most important first.
        should_stop : callable
            Called after each photo; once it returns True, nothing more is drawn.

        Returns
        -------
        int
            Number of thumbnails that were drawn and kept.
        """
        cache, kept = self._open_cache(), 0
        for wanted in _in_steps(face_ids):
            if should_stop() or not cache.has_room():
                break
            found = self._find(wanted)
            missing = set(cache.missing([*found.keys.values()]))
            faces = [face for face, key in found.keys.items() if key in missing]
            drawing = _Drawing(self._store_current, found, cache)
            for _ in drawing.run(faces, threads=1):
                if should_stop():
                    break
            kept += drawing.finish()
        return kept

    def kept(self, face_ids: Iterable[int]) -> Iterator[bytes]:
        """Yield the thumbnails of faces that are kept, without drawing any."""
        for wanted in _in_steps(face_ids):
            yield from self._open_cache().load([*self._find(wanted).keys.values()]).values()

    def _thumbnails(self, wanted: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
        cache, found = self._open_cache(), self._find(wanted)
        kept = cache.load([*found.keys.values()])
        missing = []
        for face in wanted:
            key = found.keys.get(face)
            if key is not None and key not in kept:
                missing.append(face)
            else:
                yield face, None if key is None else kept[key]
        if not missing:
            return
        drawing = _Drawing(self._store_current, found, cache)
        try:
            yield from drawing.run(missing)
        finally:  # also of what was drawn before the caller stopped
            drawing.finish()

    def _open_cache(self) -> ThumbnailCache:
        self._cache = self._cache or self._store.thumbnails
        return self._cache

    def _find(self, faces: Sequence[int]) -> _Found:
        with self._store.snapshot():
            places = self._store.places(faces)
            names = PhotoNames(self._store, places.photo.tolist())
        return _Found(places, names)

    def _store_current(self, faces: Sequence[int]) -> Collection[bytes]:
        """Return the keys of those of some faces that are in the index now, by the newest commit."""
        return [*self._find(faces).keys.values()] if self._store.sees_commits() else []

    # Photos ------------------------------------------------------------------------------------

    def photo(self, photo_id: int, side: int | None = None) -> bytes:
        """Return a photo as an upright JPEG without metadata. It is never enlarged.

        Parameters
        ----------
        photo_id : int
        side : int, optional
            Pixels of the longer side at most. None means full size, for photos of up to 40 megapixels;
            larger ones are scaled down to that.

        Raises
        ------
        UsageError
            If the photo is not in the index, or `side` is below 1.
        ImageError
            If it cannot be read, has changed since it was indexed, or takes more memory than decoding may.
        """
        if side is not None and side < 1:
            raise UsageError(f"`side` is {side}.", "Choose 1 or more.")
        with self._store.snapshot():
            names = PhotoNames(self._store, [photo_id] if 0 < photo_id < _MOST_ID else [])
        if not names.records:
            _renditions.drop(str(self._store.directory), photo_id)
            raise UsageError(
                f"There is no photo {photo_id} in the index.", "Read the ids of the photos again."
            )
        record = names.records[0]
        longest = _longest(record, side)
        key = (str(self._store.directory), record.id, record.content_hash or b"", longest)
        if (kept := _renditions.get(key)) is None:
            kept = _draw_photo(record, names.path(record), longest, full=side is None)
            _renditions.put(key, kept)
        return kept


class _Found:
    """Faces with their photos, and the keys of those whose thumbnails may be kept.

    Parameters
    ----------
    places : FacePlaces
    names : PhotoNames
        Of their photos.
    """

    def __init__(self, places: FacePlaces, names: PhotoNames) -> None:
        self.places, self.names = places, names
        self.position = {face: slot for slot, face in enumerate(places.face.tolist())}
        boxes = places.boxes.astype("<f4")
        self.keys: dict[int, bytes] = {}
        for slot, (face, photo, turn) in enumerate(
            zip(places.face.tolist(), places.photo.tolist(), places.turns.tolist(), strict=True)
        ):
            content = names.by_id[photo].content_hash
            if content is not None:  # else, it is not drawn
                parts = (content, boxes[slot].tobytes(), turn.to_bytes(2, "little"), _STYLE)
                self.keys[face] = hashlib.blake2b(b"".join(parts), digest_size=16).digest()


@dataclass
class _Drawing:
    """Draws thumbnails, and stores them in the cache."""

    current: Callable[[Sequence[int]], Collection[bytes]]
    found: _Found
    cache: ThumbnailCache

    def __post_init__(self) -> None:
        self._drawn: dict[int, bytes] = {}
        self._stored = 0

    def run(self, faces: Sequence[int], **options: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield the thumbnails of faces whose keys are known, as they are finished."""
        found = self.found
        positions = [found.position[face] for face in faces]
        renderer = ThumbnailRenderer(found.places, found.names.by_id, found.names.path, **options)
        for slots, jpegs in renderer.by_photo(positions, _encode):
            drawn = {faces[slot]: jpeg for slot, jpeg in zip(slots, jpegs or (), strict=jpegs is not None)}
            self._drawn |= drawn
            if len(self._drawn) >= _STORED:
                self.finish()
            for slot in slots:
                yield faces[slot], drawn.get(faces[slot])

    def finish(self) -> int:
        """Store what has been drawn; return how many were stored so far."""
        drawn, self._drawn = self._drawn, {}
        if drawn:
            thumbnails = {self.found.keys[face]: jpeg for face, jpeg in drawn.items()}
            self._stored += self.cache.store(thumbnails, lambda: self.current([*drawn]))
        return self._stored


def _encode(_: list[int], squares: U8) -> list[bytes]:
    return [encode_jpeg(square, quality=_QUALITY) for square in squares]


def _in_steps(face_ids: Iterable[int]) -> Iterator[list[int]]:
    ids = iter(face_ids)
    while step := [*dict.fromkeys(int(face) for face in islice(ids, _STEP))]:
        yield step


def _longest(record: PhotoRecord, side: int | None) -> int:
    """Return the longer side of the rendition of a photo, in pixels."""
    width, height = max(1, record.width), max(1, record.height)
    longest = min(max(width, height), _LONGEST, *(() if side is None else (side,)))
    if side is None and width * height > MOST_PIXELS:
        longest = min(longest, int((MOST_PIXELS / (width * height)) ** 0.5 * max(width, height)))
    return longest


def _draw_photo(record: PhotoRecord, path: str, longest: int, *, full: bool) -> bytes:
    shrink = shrink_for(max(record.width, record.height), longest)
    with one_large_photo(record, shrink):
        decoded = images.decode(read_unchanged(path, record.content_hash), path, shrink=shrink)
        return encode_jpeg(
            fit(decoded.image, longest),
            quality=_FULL_QUALITY if full else _PHOTO_QUALITY,
            progressive=not full,
        )


class _Renditions:
    """Keeps the JPEGs of photos that were used last, of all indexes and threads of this process.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[_Rendition, bytes] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def get(self, key: _Rendition) -> bytes | None:
        with self._changing:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: _Rendition, jpeg: bytes) -> None:
        with self._changing:
            self._bytes += len(jpeg) - len(self._kept.pop(key, b""))
            self._kept[key] = jpeg
            while self._bytes > self._limit:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)

    def drop(self, directory: str, photo: int) -> None:
        """Drop what is kept of a photo that is no longer in its index."""
        with self._changing:
            for key in [key for key in self._kept if key[:2] == (directory, photo)]:
                self._bytes -= len(self._kept.pop(key))


_renditions = _Renditions(_RENDITION_BYTES)
