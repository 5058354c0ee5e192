"""Pack arrays for the page: one block of bytes that ``assets/bundle.js`` reads in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.documents import Json

__all__ = ["SCHEMA", "join_bundle", "pack_album", "quality_bytes", "quantised"]

SCHEMA = "faceindex/album/1"

_SIMILARITY_UNITS = 10_000
_NO_SIMILARITY = -32768
_ALIGNED = 8  # bytes; of the largest items, so that a page can view each column in place


def join_bundle(document: Mapping[str, Json], columns: bytes) -> bytes:
    """Return a document and columns of `pack_album` as bytes.

    These are the length of the document as a little-endian uint32, the document as JSON, padded with spaces,
    and the columns, which begin at a multiple of 8 bytes.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % _ALIGNED)
    return b"".join([len(text).to_bytes(4, "little"), text, columns])


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
) -> tuple[dict[str, Json], bytes]:
    """Return n faces on m photos as ``faceindex/album/1``: a document, and its columns.

    The document is the header with ``columns``, which lists them: name, type (``u4``), ``offset`` in bytes,
    and ``length`` in items. Each column begins at a multiple of 8 bytes and is little-endian.

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
    listed: list[Json] = []
    parts: list[bytes] = []
    offset = 0
    for name, values in columns.items():
        values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).reshape(-1)
        listed.append({"name": name, "type": values.dtype.str[1:], "offset": offset, "length": len(values)})
        gap = -values.nbytes % _ALIGNED
        parts += [values.tobytes(), bytes(gap)]
        offset += values.nbytes + gap
    counts: dict[str, Json] = {"faces": len(face), "photos": len(photo)}
    return {"schema": SCHEMA, **header, **counts, "columns": listed}, b"".join(parts)


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
