"""The server: its socket, its event loop and its end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h11  # which uvicorn needs
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from faceindex.errors import UsageError
from faceindex.page.build import live_page
from faceindex.review.guard import Guard
from faceindex.review.keys import HOST, Keys
from faceindex.review.parts import Parts
from faceindex.review.redirect import remove_leftovers, remove_redirect, write_redirect
from faceindex.review.routes import application

if TYPE_CHECKING:
    from types import TracebackType

    from faceindex.documents import Json

__all__ = ["Review"]

_MOST_CONNECTIONS: Final = 200
_HEAD_SECONDS: Final = 10.0  # for the first line and the headers of a request to arrive
_KEEP_ALIVE: Final = 15  # seconds that a connection stays open without requests
_MOST_HEAD: Final = 32 << 10  # bytes of the first line and the headers
_GRACE: Final = 1  # seconds that requests have to end when the server does
_BACKLOG: Final = 128

Page = Callable[[Mapping[str, "Json"]], tuple[bytes, str]]


def _no_request(method: str, path: str, status: int, seconds: float) -> None:
    """Log nothing."""


def _log_error(error: Exception) -> None:
    logging.getLogger(__name__).error("The page got no answer.", exc_info=error)


class Review:
    """The server of the page of one index, and a context manager.

    The socket is open as soon as the object is made, and answers once `run` is called.

    Parameters
    ----------
    directory : path-like, optional
        As in `faceindex.FaceIndex.open`.
    port : int
        0 means any that is free.
    idle_exit : float, optional
        Seconds after which `run` ends if no page is open; None means never.
    on_request : callable
        Called after each answer with the method, the path without the query, the status and the seconds.
    on_error : callable
        Called with each exception that is not raised on purpose. The page gets an answer in any case.
    page : callable
        Makes the page and its policy, from its configuration.

    Attributes
    ----------
    directory : Path
    port : int
    clustered : bool
        Whether the faces have been grouped when it started; the page says so if not.

    Raises
    ------
    IndexNotFound, IndexVersionError, IndexCorrupt
        As `faceindex.FaceIndex.open`.
    UsageError
        If the port is used by another program, or may not be used.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        idle_exit: float | None = None,
        on_request: Callable[[str, str, int, float], None] = _no_request,
        on_error: Callable[[Exception], None] = _log_error,
        page: Page = live_page,
    ) -> None:
        from faceindex.api import FaceIndex

        with FaceIndex.open(directory) as index:  # raises what every command would
            self.directory = Path(index.directory)
            self.clustered = index.clustering is not None
        remove_leftovers(self.directory)
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self._keys = Keys(self.port)
        self._idle_exit, self._on_request, self._on_error = idle_exit, on_request, on_error
        self._page = page
        self._redirects: list[Path] = []
        self._server: _Server | None = None
        self._stopped = False
        self._parts: Parts | None = None

    @property
    def address(self) -> str:
        """The address to open in a browser; whoever has it can read and change the index."""
        return self._keys.address

    def run(self) -> None:
        """Serve until `stop` is called, or nobody has used the page for `idle_exit` seconds."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        parts = self._parts = Parts.of(self.directory)
        config: dict[str, Json] = {
            "mode": "live",
            "secret": self._keys.secret,
            "index": self.directory.resolve().parent.name
            if self.directory.name == ".faceindex"
            else self.directory.name,
        }
        page, policy = self._page(config)
        guard = Guard(
            application(parts, page, policy),
            self._keys,
            on_admission=self.remove_redirects,
            on_request=self._on_request,
            on_error=self._on_error,
        )
        parts.album.thread.read(parts.album.prepare)  # while the browser starts
        self._server = _Server(guard, parts, self._idle_exit)
        if self._stopped:
            self._server.should_exit = True
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """End `run`; may be called by a signal handler and by another thread."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def write_redirect(self) -> Path:
        """Write a file that leads a browser to the page once; it is deleted as soon as that happened.

        Raises
        ------
        UsageError
            If the index directory cannot be written.
        """
        try:
            path = write_redirect(self.directory, self.port, self._keys.address_for_once())
        except OSError as error:
            raise UsageError(
                f"The file that opens the browser cannot be written: {error.strerror}.",
                "Open the address yourself.",
            ) from error
        self._redirects.append(path)
        return path

    def remove_redirects(self) -> None:
        """Delete the files of `write_redirect`."""
        while self._redirects:
            remove_redirect(self._redirects.pop())

    def close(self, seconds: float = 1.0) -> bool:
        """Close the socket and the indexes.

        Returns
        -------
        bool
            False if work is still under way after some seconds: the process may be ended all the same, as a
            decision is stored whole or not at all.
        """
        self._socket.close()
        self.remove_redirects()
        return self._parts is None or self._parts.end(seconds)

    def __enter__(self) -> Review:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listen(port: int) -> socket.socket:
    """Open a socket that only programs of this machine can reach."""
    # With the protocol stated, asyncio sends each answer at once (TCP_NODELAY) instead of 40 ms later.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "nt":  # there, SO_REUSEADDR would let another program take the port over
            opened.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", -5), 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((HOST, port))
        opened.listen(_BACKLOG)
    except OverflowError:
        opened.close()
        raise UsageError(f"There is no port {port}.", "Choose a `port` from 0 to 65535.") from None
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            problem = f"Port {port} is used by another program."
        else:
            problem = f"Port {port} cannot be used: {error.strerror}."
        raise UsageError(problem, "Choose another `port`, or 0 for any that is free.") from error
    return opened


class _Protocol(H11Protocol):
    """HTTP, with limits on connections that do not send a request."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def _waits_for_head(self) -> bool:
        """Whether a request has begun to arrive, or none has yet; between two, uvicorn limits the time."""
        return self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None

    def _await_head(self) -> None:
        if not self._waits_for_head():
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._close_without_request)

    def _close_without_request(self) -> None:
        self._head_timer = None
        if self._waits_for_head() and not self.transport.is_closing():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Close the connection: what is not HTTP gets no answer."""
        self.transport.close()


class _Server(uvicorn.Server):
    """The event loop's part of the server; signals are left to the caller of `Review.run`."""

    def __init__(self, guard: Guard, parts: Parts, idle_exit: float | None) -> None:
        super().__init__(
            uvicorn.Config(
                guard,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_GRACE,
                h11_max_incomplete_event_size=_MOST_HEAD,
            )
        )
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # else it prints its warnings
        self._guard, self._parts, self._idle_exit = guard, parts, idle_exit

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; called ten times a second."""
        guard = self._guard
        if self._idle_exit is not None and not guard.active:
            self.should_exit |= time.monotonic() - guard.last_active > self._idle_exit
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests that wait, then end."""
        self._parts.album.stop()
        await super().shutdown(sockets)
