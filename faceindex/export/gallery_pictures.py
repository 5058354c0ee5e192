"""Pictures of a gallery: sprites of thumbnails, and previews of photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from faceindex import images
from faceindex.export.gallery_layout import COLUMNS, QUALITY, Sprite
from faceindex.export.source import read_unchanged
from faceindex.export.thumbnails import ThumbnailRenderer, tile
from faceindex.images.containers import locate
from faceindex.images.moments import split_moment
from faceindex.images.opening import open_photo
from faceindex.images.thumbnails import encode_jpeg, fit, shown_by_browsers, shrink_for
from faceindex.store import PhotoRecord

__all__ = [
    "BATCH",
    "PREVIEW_SIDE",
    "TOO_LARGE_TO_LINK",
    "DrawnSprite",
    "draw_sprites",
    "make_preview",
    "needs_preview",
]

BATCH = 3072  # thumbnails in memory: 116 MB

PREVIEW_SIDE = 1600  # pixels of the longer side
_PREVIEW_QUALITY = 85
TOO_LARGE_TO_LINK = 50_000_000  # pixels; the page shows a preview of larger photos
"""Photos with more pixels get a preview: they take 200 MB of a browser's memory at 4 bytes a pixel."""


@dataclass(frozen=True, slots=True)
class DrawnSprite:
    """A sprite as a JPEG, and its faces (positions in the table) that could not be drawn."""

    sprite: Sprite
    data: bytes
    missing: list[int]


def draw_sprites(
    renderer: ThumbnailRenderer,
    sprites: Sequence[Sprite],
    on_progress: Callable[[int], None] = lambda faces: None,
) -> Iterator[DrawnSprite]:
    """Draw sprites, in order. A face whose photo cannot be read is grey.

    Thumbnails are made in batches of a few thousand. Each photo is decoded once per batch.

    Parameters
    ----------
    renderer : ThumbnailRenderer
    sprites : sequence of Sprite
    on_progress : callable
        Called with the number of faces finished since the last call. A face on two sprites counts twice.
    """
    for batch in _batches(sprites):
        faces = np.unique(np.concatenate([sprite.faces for sprite in batch]))
        tiles, missing = renderer.tiles(faces.tolist(), on_progress)
        on_progress(sum(len(sprite.faces) for sprite in batch) - len(faces))
        for sprite in batch:
            slots = np.searchsorted(faces, sprite.faces)
            picture = tile(tiles[slots], COLUMNS)
            not_drawn = [int(face) for face in sprite.faces if int(face) in missing]
            yield DrawnSprite(sprite, encode_jpeg(picture, quality=QUALITY), not_drawn)


def needs_preview(record: PhotoRecord, path: str) -> bool:
    """Return whether the page must show a preview instead of the photo.

    Some browsers do not support the format of the photo, or apply an EXIF orientation only to JPEGs.
    Very large photos take too much memory. A link cannot lead into an archive.

    Raises
    ------
    ImageError
        If the photo cannot be read.
    """
    if split_moment(path) is not None:  # a link leads to the video, and cannot show one frame
        return True
    try:
        with open_photo(path) as file:
            data = file.read(64)
    except OSError:
        data = b""
    if not data.startswith(b"\xff\xd8\xff"):
        data = images.read(path)
    if locate(path) is not None:
        return True
    return record.width * record.height > TOO_LARGE_TO_LINK or not shown_by_browsers(data, path)


def make_preview(record: PhotoRecord, path: str) -> bytes:
    """Make an upright JPEG of a photo, at most 1,600 pixels on its longer side.

    Raises
    ------
    ImageError
        If the photo cannot be read, or has changed since it was indexed.
    """
    shrink = shrink_for(max(record.width, record.height), PREVIEW_SIDE)
    decoded = images.decode(read_unchanged(path, record.content_hash), path, shrink=shrink)
    return encode_jpeg(fit(decoded.image, PREVIEW_SIDE), quality=_PREVIEW_QUALITY)


def _batches(sprites: Iterable[Sprite]) -> Iterator[list[Sprite]]:
    batch: list[Sprite] = []
    faces = 0
    for sprite in sprites:
        if batch and faces + len(sprite.faces) > BATCH:
            yield batch
            batch, faces = [], 0
        batch.append(sprite)
        faces += len(sprite.faces)
    if batch:
        yield batch
