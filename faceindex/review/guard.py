"""Refuse every request but those of the page that this server made.

Other pages in the same browser, other programs and other users of this machine can all connect to a port of
it. What they can send, and what stops it:

===============================================  ===========================================================
request                                          refused because of
===============================================  ===========================================================
of a program that does not have the token        the cookie
of another page, by a form, an image, a script   ``SameSite=Strict``: the browser does not send the cookie;
                                                 ``Sec-Fetch-Site`` and ``Origin``
of another page, by a name that resolves to      ``Host``
127.0.0.1 (DNS rebinding)
of a page of another port of this machine,       the cookie's path; ``Sec-Fetch-Site``, which is "same-site";
which is the "same site" for cookies             the secret in a header, which is in no other page
of the page in a frame of another page           ``frame-ancestors``, ``Sec-Fetch-Dest``
===============================================  ===========================================================

The sources are the W3C drafts "Fetch Metadata Request Headers" and "Content Security Policy Level 3", and
RFC 6265, section 8.5 (cookies and ports).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from faceindex.errors import FaceIndexError, ImageError
from faceindex.review.answers import BUSY, CONFLICT, Refusal, json_response
from faceindex.review.keys import COOKIE, Keys

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["POLICY", "Guard"]

POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
"""The content-security policy of every answer that is not the page."""

_HEADERS: Final = {
    "cache-control": "no-store",  # the browser's cache would keep faces that `forget` deletes
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_PATH: Final = re.compile(rb"/[a-z0-9]*(?:/[a-z_]*)*")
_SECRET: Final = b"faceindex-page"
_OPEN: Final = "Open the address that `faceindex review` printed."
_WITHOUT_SECRET: Final = {"", "photo"}
"""Paths that a browser fetches by itself: the page, and pictures, which the page shows with ``<img>``."""


class Guard:
    """An ASGI application around another one, which gets only requests that may be answered.

    The inner application finds the path without the random prefix.

    Parameters
    ----------
    app : ASGI application
    keys : Keys
    on_admission : callable
        Called when a token was exchanged for the cookie.
    on_request : callable
        Called after each answer with the method, the path, the status and the seconds.
    on_error : callable
        Called with an exception that is not raised on purpose.

    Attributes
    ----------
    active : int
        Requests of the page that are being answered.
    last_active : float
        When the last one was, by `time.monotonic`.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        on_admission: Callable[[], None],
        on_request: Callable[[str, str, int, float], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._app, self._keys = app, keys
        self._on_admission, self._on_request, self._on_error = on_admission, on_request, on_error
        self._root = f"/{keys.prefix}/".encode()
        self.active = 0
        self.last_active = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"cannot serve {scope['type']}")
        started, status, begun = time.monotonic(), 500, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                more = {"content-security-policy": POLICY, **_HEADERS}
                headers += [
                    (name.encode(), value.encode())
                    for name, value in more.items()
                    if name.encode() not in present
                ]
                message = {**message, "headers": headers}
            await send(message)

        path = ""
        try:
            path = self._admit(scope)
            if path == "/":
                await self._exchange(scope)(scope, receive, send_with_headers)
                return
            self.active += 1
            try:
                inner = {**scope, "path": path[len(self._root) - 1 :]}
                await self._app(inner, receive, send_with_headers)
            finally:
                self.active -= 1
                self.last_active = time.monotonic()
        except Exception as error:
            refusal = self._refusal(error, scope["method"])
            if begun:
                raise  # the connection is closed, and so the page finds that the answer is not complete
            # Whoever is refused could go on sending a body that nobody reads.
            unread = _has_body(scope) and refusal.status not in (BUSY, CONFLICT)
            response = json_response(
                refusal.document, refusal.status, {"connection": "close"} if unread else None
            )
            await response(scope, receive, send_with_headers)
        finally:
            shown = path[len(self._root) - 1 :] if path != "/" else path
            self._on_request(scope["method"], shown or "?", status, time.monotonic() - started)

    def _refusal(self, error: Exception, method: str) -> Refusal:
        """Return how an exception is answered."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, ImageError) and method == "GET":
            return Refusal(404, error.problem, error.remedy)
        if isinstance(error, FaceIndexError):
            return Refusal(400, error.problem, error.remedy)
        self._on_error(error)
        return Refusal(500, f"Unexpected error ({type(error).__name__}).", "Look at the terminal.")

    def _admit(self, scope: Scope) -> str:
        """Return the path of a request that may be answered, in lower case ASCII; else raise `Refusal`."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        host = _only(headers, b"host")
        if host.decode("latin-1").lower() not in self._keys.hosts:
            raise Refusal(421, "The request is for another server.", _OPEN)
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        if not _PATH.fullmatch(raw):
            raise Refusal(404, "There is nothing here.", _OPEN)
        method = scope["method"]
        if path == "/":
            if method != "GET":
                raise Refusal(405, "This address takes only GET.", _OPEN)
            return path
        if not secrets.compare_digest(raw[: len(self._root)], self._root):
            raise Refusal(404, "There is nothing here, or not any more.", _OPEN)
        if not _has_cookie(headers.get(b"cookie", []), self._keys.cookie):
            raise Refusal(403, "This browser has not been admitted.", _OPEN)
        if _only(headers, b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            raise Refusal(403, "Another page sent this request.", _OPEN)
        own = path[len(self._root) :]
        if own == "" and _only(headers, b"sec-fetch-dest", b"document") != b"document":
            raise Refusal(403, "The page is not shown inside another one.", _OPEN)
        if own not in _WITHOUT_SECRET and not secrets.compare_digest(
            _only(headers, _SECRET, b""), self._keys.secret.encode()
        ):
            raise Refusal(403, "This request is not of the page.", "Reload the page.")
        if method == "POST":
            if _only(headers, b"origin", b"") != b"http://" + host:
                raise Refusal(403, "Another page sent this request.", _OPEN)
        elif method != "GET":
            raise Refusal(405, "This address takes only GET and POST.")
        return path

    def _exchange(self, scope: Scope) -> Response:
        """Exchange the token for the cookie.

        The answer is a page that goes on to the real one by itself. A redirection would be part of a
        navigation that another page may have begun, such as the file that opens the browser, and would not
        carry the cookie.
        """
        token = re.fullmatch(rb"token=([0-9a-f]{1,64})", scope["query_string"])
        if token is None or not self._keys.admits(token[1].decode()):
            raise Refusal(403, "The token is missing, or not valid any more.", _OPEN)
        root = self._root.decode()
        # A refresh would wait for the end of this page.
        script = f"location.replace({json.dumps(root)} + location.hash)"
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><script>{script}</script>'
            "<title>faceindex</title>"
            f'<noscript><meta http-equiv="refresh" content="0;url={html.escape(root)}"></noscript>'
            f'<p><a href="{html.escape(root)}">Go to the page</a></p></html>'
        )
        response = Response(page, media_type="text/html")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = POLICY.replace("sandbox", f"script-src 'sha256-{digest}'")
        response.headers["content-security-policy"] = policy
        response.set_cookie(COOKIE, self._keys.cookie, path=root, httponly=True, samesite="strict")
        self._on_admission()
        return response


def _only(headers: dict[bytes, list[bytes]], name: bytes, default: bytes | None = None) -> bytes:
    """Return the value of a header that may be given once."""
    values = headers.get(name, [])
    if len(values) == 1:
        return values[0]
    if values or default is None:
        raise Refusal(400, f"The header {name.decode()} must be given once.")
    return default


def _has_body(scope: Scope) -> bool:
    """Return whether a request may have a body, of which a part is still to come."""
    bodies = (b"content-length", b"transfer-encoding")
    return scope["method"] != "GET" or any(name in bodies for name, _ in scope["headers"])


def _has_cookie(values: list[bytes], expected: str) -> bool:
    """Return whether one of the cookies of a request is the right one.

    There may be several of the name: pages of other ports can set cookies for this one.
    """
    for value in values:
        for part in value.decode("latin-1").split(";"):
            try:
                cookie = SimpleCookie(part.strip()).get(COOKIE)
            except CookieError:
                continue
            if cookie is not None and secrets.compare_digest(
                cookie.value.encode("utf-8", "replace"), expected.encode()
            ):
                return True
    return False
