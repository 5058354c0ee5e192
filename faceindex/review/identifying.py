"""Find out who is on a picture that is dropped into the page. This alone loads the networks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from faceindex.documents import as_json
from faceindex.review.answers import Refusal
from faceindex.review.decisions import ids_by_name
from faceindex.review.fields import read_body

if TYPE_CHECKING:
    from starlette.requests import Request

    from faceindex.api import FaceIndex
    from faceindex.api.album_state import AlbumState
    from faceindex.api.results import IdentifiedFace
    from faceindex.documents import Json
    from faceindex.review.album import LiveAlbum
    from faceindex.review.threads import IndexThread

__all__ = ["Identifying"]

_MOST: Final = 100 << 20  # bytes of a picture
_SECONDS: Final = 60.0  # for it to arrive
_MOST_WAITING: Final = 4
_NEAR: Final = 8  # similar faces of each face


class Identifying:
    """Identifies one picture at a time.

    Parameters
    ----------
    thread : IndexThread
    album : LiveAlbum
    """

    def __init__(self, thread: IndexThread, album: LiveAlbum) -> None:
        self.thread = thread
        self._album = album
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def identify(self, request: Request) -> dict[str, Json]:
        """Identify the people on the picture in the body of a request."""
        if self._waiting >= _MOST_WAITING:
            raise Refusal(503, "The server is searching other pictures.", "Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:  # also while it is read: one is in memory at a time
                picture = await read_body(request, _MOST, _SECONDS)
                state = await self._album.thread.reading(self._album.follow)
                return await self.thread.reading(lambda index: _identify(index, picture, state))
        finally:
            self._waiting -= 1


def _identify(index: FaceIndex, picture: bytes, state: AlbumState) -> dict[str, Json]:
    found = index.identify(picture, neighbours=_NEAR)
    people = ids_by_name(state)
    return {
        "width": found.width,
        "height": found.height,
        "faces": [_face(face, people) for face in found.faces],
    }


def _face(face: IdentifiedFace, people: dict[str, int]) -> Json:
    document: dict[str, Any] = {
        "box": face.box,
        "person": people.get(face.nearest_person or ""),
        "cluster": face.nearest_cluster,
        "named": face.cluster is not None,
        "confidence": face.confidence,
        "probability": face.probability,
        "similarity": face.similarity,
        "near": [near.face.face for near in face.neighbours],
    }
    return as_json(document)
