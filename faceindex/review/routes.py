"""What the server answers, once `guard` has admitted a request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router

from faceindex.documents import as_json
from faceindex.errors import FaceIndexError
from faceindex.review.answers import Refusal, json_response
from faceindex.review.decisions import person_of
from faceindex.review.fields import read_document, read_query
from faceindex.review.pictures import MOST_FACE, MOST_THUMBNAILS
from faceindex.review.questions import MOST_QUESTIONS
from faceindex.review.verbs import read_act, read_group

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from faceindex.documents import Json
    from faceindex.review.parts import Parts

__all__ = ["application"]

_LONGEST_WAIT: Final = 30  # seconds of a request for changes
_MOST_FOUND: Final = 10_000  # photos of a search
_LONGEST_SEARCH: Final = 500  # characters
_MOST_OWN: Final = 10_000  # decisions of a page since what it shows
_MOST_SEEDS: Final = 1_000  # faces of a split that are given
_SIDES: Final = (16, 8_192)  # pixels
_UID: Final = re.compile(r"[0-9a-f]{32}")
_PIECE: Final = 1 << 18  # bytes
_OCTETS: Final = "application/octet-stream"

_Result = TypeVar("_Result")


def application(parts: Parts, page: bytes, policy: str) -> Router:
    """Return the application; what it raises is answered by `faceindex.review.guard`.

    Parameters
    ----------
    parts : Parts
    page : bytes
    policy : str
        Content-security policy of the page.
    """
    routes = _Routes(parts, page, policy)
    return Router(
        [
            Route("/", routes.page, methods=["GET"]),
            Route("/api/album", routes.album, methods=["GET"]),
            Route("/api/changes", routes.changes, methods=["GET"]),
            Route("/api/act", routes.act, methods=["POST"]),
            Route("/api/questions", routes.questions, methods=["GET"]),
            Route("/api/split", routes.split, methods=["GET"]),
            Route("/api/why", routes.why, methods=["GET"]),
            Route("/api/photo", routes.photo_record, methods=["GET"]),
            Route("/api/search", routes.search, methods=["GET"]),
            Route("/api/identify", routes.identify, methods=["POST"]),
            Route("/thumbnails", routes.thumbnails, methods=["GET"]),
            Route("/photo", routes.photo, methods=["GET"]),
        ],
        redirect_slashes=False,
        default=_nothing,
    )


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(404, "There is nothing here.", "Reload the page.")


class _Routes:
    """The functions that answer, one for each address."""

    def __init__(self, parts: Parts, page: bytes, policy: str) -> None:
        self._parts, self._page, self._policy = parts, page, policy

    async def page(self, request: Request) -> Response:
        headers = {"content-security-policy": self._policy}
        return Response(self._page, media_type="text/html", headers=headers)

    async def album(self, request: Request) -> Response:
        read_query(request).end()
        album = self._parts.album
        data = await album.thread.reading(album.bundle)
        headers = {"content-length": str(len(data))}
        return StreamingResponse(_pieces(data), headers=headers, media_type=_OCTETS)

    async def changes(self, request: Request) -> Response:
        query = read_query(request)
        since, seconds = query.integer("since"), query.integer("wait", 0, most=_LONGEST_WAIT)
        query.end()
        return json_response(await _unless_gone(request, self._parts.album.wait(since, float(seconds))))

    async def act(self, request: Request) -> Response:
        fields = await read_document(request)
        uid, seen, verb = fields.text("id"), fields.integer("seen"), fields.text("do")
        if not _UID.fullmatch(uid):
            raise Refusal(400, "The field `id` must be 32 hexadecimal digits.")
        own = fields.integers("own", most=_MOST_OWN)
        questions = self._parts.questions
        if verb in ("skip", "unskip"):
            question = fields.text("question")
            fields.end()
            await questions.skip(question, back=verb == "unskip")
            return json_response({"decided": None, "changes": await self._changes(seen)})
        act = (
            questions.read_answer(fields, uid, seen)
            if verb == "answer"
            else read_act(fields, uid, seen, verb)
        )
        # A decision is made also if the page is closed meanwhile.
        answer = await asyncio.shield(self._parts.decisions.act(act, own))
        if act.skips is not None:
            with suppress(Refusal, FaceIndexError):  # the decision is stored
                await questions.skip(act.skips, sorted_out=True)
        questions.decided()
        return json_response(answer)

    async def _changes(self, seen: int) -> dict[str, Json]:
        album = self._parts.album
        return await album.thread.reading(lambda index: album.changes(index, seen))

    async def questions(self, request: Request) -> Response:
        query = read_query(request)
        limit, seen = query.integer("limit", 5, most=MOST_QUESTIONS), query.integer("seen", 0)
        query.end()
        return json_response(await _unless_gone(request, self._parts.questions.next(limit, seen)))

    async def split(self, request: Request) -> Response:
        query = read_query(request)
        person, cluster = read_group(query)
        seeds = query.integers("faces", most=_MOST_SEEDS)
        query.end()
        state = await self._parts.album.thread.reading(self._parts.album.follow)
        what = cluster if person is None else person_of(state, person)
        assert what is not None
        found = await self._parts.details.reading(lambda index: index.people.propose_split(what, seeds))
        document: dict[str, Any] = {
            "part": list(found.part),
            "rest": list(found.rest),
            "clear": found.clear,
            "likeness": as_json(found.likeness),
            "uncertain": found.uncertain,
        }
        return json_response(document)

    async def why(self, request: Request) -> Response:
        query = read_query(request)
        face = query.integer("face")
        query.end()
        found = await self._parts.details.reading(lambda index: index.people.why(face))
        return json_response(found.as_dict())

    async def photo_record(self, request: Request) -> Response:
        query = read_query(request)
        photo = query.integer("id")
        query.end()
        found = await self._parts.album.thread.reading(lambda index: index.album.photo(photo))
        return json_response(found.as_dict())

    async def search(self, request: Request) -> Response:
        query = read_query(request)
        words, limit = (
            query.text("words", most=_LONGEST_SEARCH),
            query.integer("limit", 500, most=_MOST_FOUND),
        )
        query.end()
        found = await self._parts.album.thread.reading(lambda index: index.album.search_photos(words, limit))
        return json_response({"photos": as_json(found)})

    async def identify(self, request: Request) -> Response:
        read_query(request).end()
        return json_response(await self._parts.identifying.identify(request))

    async def thumbnails(self, request: Request) -> Response:
        query = read_query(request)
        if "covers" in query:
            most = query.integer("covers", most=MOST_THUMBNAILS)
            query.end()
            return await self._covers(most)
        faces = query.integers("faces", least=1, most=MOST_THUMBNAILS)
        query.end()
        if max(faces) > MOST_FACE:
            raise Refusal(400, f"There is no face {max(faces)} in the index.", "Reload the page.")
        return StreamingResponse(self._parts.pictures.thumbnails(faces), media_type=_OCTETS)

    async def _covers(self, most: int) -> Response:
        """Send the thumbnails that a page shows first; a header lists their faces before they are there."""
        album = self._parts.album
        faces = await album.thread.reading(lambda index: album.covers(index, most))
        headers = {"faceindex-faces": ",".join(map(str, faces))}
        return StreamingResponse(self._parts.pictures.thumbnails(faces), headers=headers, media_type=_OCTETS)

    async def photo(self, request: Request) -> Response:
        query = read_query(request)
        photo = query.integer("id")
        side = query.integer("side", most=_SIDES[1]) if "side" in query else None
        query.end()
        if side is not None and side < _SIDES[0]:
            raise Refusal(400, f"A photo cannot be {side} pixels wide.", f"Choose {_SIDES[0]} or more.")
        jpeg = await _unless_gone(request, self._parts.pictures.photo(photo, side))
        return Response(jpeg, media_type="image/jpeg")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    """Yield bytes piece by piece, as the client takes them; in one piece, they would be copied whole."""
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


async def _unless_gone(request: Request, work: Awaitable[_Result]) -> _Result:
    """Await a result; give it up when the client closes the connection."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal(499, "The request was given up.")
    finally:
        task.cancel()
        gone.cancel()


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
