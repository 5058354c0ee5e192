"""What a browser must present to be served: random values that last as long as the server."""

from __future__ import annotations

import secrets
import threading

__all__ = ["COOKIE", "HOST", "Keys"]

HOST = "127.0.0.1"
"""The only address that the server listens on: programs on other computers cannot reach it."""

COOKIE = "faceindex"

_HTTP = 80


class Keys:
    """The secrets of one server.

    The address with the token is what a user opens. The server exchanges the token for a cookie, so that the
    token is in no later request. Cookies do not differ by port, and a server on another port of this machine
    must not get it: its path is a random prefix that only this server has. A page of another origin cannot
    read the page, and so does not have the secret that each request for data needs.

    Parameters
    ----------
    port : int
        That the server listens on.

    Attributes
    ----------
    prefix : str
        The first part of the path of every address but that with the token.
    token : str
        Of the address that is printed. Works until the server ends: its user may open a second browser.
    cookie, secret : str
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.prefix = secrets.token_hex(8)
        self.token, self.cookie, self.secret = (secrets.token_hex(16) for _ in range(3))
        self._once: set[str] = set()
        self._lock = threading.Lock()
        names = (HOST, "localhost")
        self.hosts = frozenset(
            {f"{name}:{port}" for name in names} | ({*names} if port == _HTTP else frozenset[str]())
        )

    @property
    def address(self) -> str:
        """The address to open."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def address_for_once(self) -> str:
        """Return an address that works once, to be written into a file."""
        token = secrets.token_hex(16)
        with self._lock:
            self._once.add(token)
        return f"http://{HOST}:{self.port}/?token={token}"

    def admits(self, token: str) -> bool:
        """Return whether a token is valid; one that works once is not valid any more afterwards."""
        if secrets.compare_digest(token.encode(), self.token.encode()):
            return True
        with self._lock:
            for known in self._once:
                if secrets.compare_digest(token.encode(), known.encode()):
                    self._once.discard(known)
                    return True
        return False
