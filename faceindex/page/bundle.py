"""Pack arrays for the page: one block of bytes that ``assets/bundle.js`` reads in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.documents import Json

__all__ = ["SCHEMA", "pack_album", "pack_bundle", "quality_bytes", "quantised", "split_bundle"]

SCHEMA = "faceindex/album/1"

_SIMILARITY_UNITS = 10_000
_NO_SIMILARITY = -32768
_ALIGNED = 8  # bytes; of the largest items, so that a page can view each column in place


def pack_bundle(header: Mapping[str, Json], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a header and columns as bytes.

    These are the length of the header as a little-endian uint32, the header as JSON, padded with spaces, and
    the columns, each at a multiple of 8 bytes.

    Parameters
    ----------
    header : mapping
        Without ``columns``, which lists the columns: name, type (``u4``), ``offset`` in bytes from the first
        one, and ``length`` in items.
    columns : mapping of str to array
        Of types that `assets/bundle.js` has; they are written in little-endian order.
    """
    listed: list[Json] = []
    parts: list[bytes] = []
    offset = 0
    for name, values in columns.items():
        values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).reshape(-1)
        listed.append({"name": name, "type": values.dtype.str[1:], "offset": offset, "length": len(values)})
        gap = -values.nbytes % _ALIGNED
        parts += [values.tobytes(), bytes(gap)]
        offset += values.nbytes + gap
    document = {**header, "columns": listed}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % _ALIGNED)
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def split_bundle(bundle: bytes) -> tuple[bytes, bytes]:
    """Return the header of a bundle, as JSON, and the bytes of its columns."""
    start = 4 + int.from_bytes(bundle[:4], "little")
    return bundle[4:start], bundle[start:]


def pack_album(
    header: Mapping[str, Json],
    *,
    face: NDArray[Any],
    face_photo: NDArray[Any],
    cluster: NDArray[Any],
    person: NDArray[Any],
    label: NDArray[Any],
    similarity: NDArray[np.float32],
    quality: NDArray[np.float32],
    photo: NDArray[Any],
    taken: NDArray[Any],
    **more: NDArray[Any],
) -> bytes:
    """Return n faces on m photos as ``faceindex/album/1``.

    Parameters
    ----------
    header : mapping
        The state, the people, and the people of clusters; ``assets/album.js`` reads it.
    face, face_photo, cluster, person, label : (n,) int
        Ids, ascending; positions of the photos; clusters and people, -1 for none; values of
        `faceindex.store.decisions.Label`.
    similarity, quality : (n,) float32
        -1..1 and 0..1; NaN for none.
    photo : (m,) int
        Ids, ascending.
    taken : (m,) float64
        Capture times in seconds since 1970; NaN where they are unknown.
    **more : array
        Further columns, as they are.
    """
    columns: dict[str, NDArray[Any]] = {
        "face": face.astype("<u4", copy=False),
        "face_photo": face_photo.astype("<u4", copy=False),
        "cluster": cluster.astype("<i4", copy=False),
        "person": person.astype("<i4", copy=False),
        "label": label.astype("u1", copy=False),
        "similarity": quantised(similarity).astype("<i2", copy=False),
        "quality": quality_bytes(quality),
        "photo": photo.astype("<u4", copy=False),
        "taken": taken.astype("<f8", copy=False),
        **more,
    }
    return pack_bundle({"schema": SCHEMA, **header, "faces": len(face), "photos": len(photo)}, columns)


def quantised(similarity: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return similarities in units of 1/10,000, (n,) int16; -32768 for NaN."""
    scaled = np.rint(similarity * np.float32(_SIMILARITY_UNITS))
    found: NDArray[np.int16] = np.where(np.isnan(scaled), _NO_SIMILARITY, scaled).astype(np.int16)
    return found


def quality_bytes(quality: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return qualities in units of 1/255, (n,) uint8, at least 1; 0 for NaN."""
    scaled = np.clip(np.rint(quality * np.float32(255)), 1, 255)
    found: NDArray[np.uint8] = np.where(np.isnan(scaled), 0, scaled).astype(np.uint8)
    return found
