"""A browser as far as the server of the page sees it: its cookie, its headers, its requests."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import struct
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from faceindex.review import Review


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Opens the page, and sends what it sends."""

    def __init__(self, address: str) -> None:
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/\?token=[0-9a-f]+)", address)
        assert found is not None
        self.port, self.door = int(found[1]), found[2]
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        admitted = self.send("GET", self.door)
        assert admitted.status == 200, admitted.body
        self.set_cookie = admitted.headers["set-cookie"]
        self.cookie = self.set_cookie.split(";")[0]
        (self.root,) = re.findall(r"url=(/[0-9a-f]+/)", admitted.body.decode())
        self.page = self.send("GET", self.root, {"Cookie": self.cookie})
        (self.secret,) = re.findall(r'"secret":"([0-9a-f]+)"', self.page.body.decode())

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request with only these headers."""
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    @property
    def headers(self) -> dict[str, str]:
        """Those of the page's own requests."""
        return {
            "Cookie": self.cookie,
            "Origin": f"http://127.0.0.1:{self.port}",
            "Sec-Fetch-Site": "same-origin",
            "faceindex-page": self.secret,
        }

    def get(self, path: str) -> Answer:
        return self.send("GET", self.root + path, self.headers)

    def post(self, path: str, body: bytes, kind: str = "application/json", **headers: str) -> Answer:
        return self.send("POST", self.root + path, {**self.headers, "Content-Type": kind, **headers}, body)

    def act(self, do: str, seen: int, *, id: str | None = None, **fields: Any) -> Answer:
        document = {"id": id or uuid.uuid4().hex, "seen": seen, "do": do, **fields}
        return self.post("api/act", json.dumps(document).encode())

    def album(self) -> Any:
        """Return the header of the album."""
        body = self.get("api/album").body
        return json.loads(body[4 : 4 + struct.unpack("<I", body[:4])[0]])

    def generation(self) -> int:
        return int(self.album()["generation"])

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(directory: Path, **options: Any) -> Iterator[Review]:
    """Serve an index on a thread."""
    with Review(directory, **options) as review:
        thread = threading.Thread(target=review.run)
        thread.start()
        try:
            yield review
        finally:
            review.stop()
            thread.join()


@contextmanager
def elsewhere(page: str) -> Iterator[int]:
    """Serve a page on another port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
