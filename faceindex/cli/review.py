"""``faceindex review``: serve a page to name, correct and find people."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.escaping import escaped
from faceindex.cli.host import map_arrays
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.pictures import NoViewer, open_in_viewer
from faceindex.cli.render import Output, count
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.review import Review

__all__ = ["review"]

_SCHEMA = "faceindex/review/1"
_MINUTE = 60.0


def review(
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 for any free one."),
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in the browser.")] = False,
    idle_exit: Annotated[
        float | None,
        typer.Option(
            "--idle-exit", metavar="MINUTES", min=0, help="End when no page was open for this time."
        ),
    ] = None,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Name, correct and find people on a page in the browser.

    Prints the address of the page and opens it. Only this computer can reach the page, and only a browser
    that got this address. Every answer is stored at once; Ctrl-C ends the command. You can use other
    commands meanwhile: the page shows what they change, and waits while one of them writes.

    -v prints a line for each request; --json prints the address as one document at the start.

    Examples:
      faceindex review
      faceindex review --port 8765 --no-open --idle-exit 30
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.review import Review

        map_arrays()

        def on_error(error: Exception) -> None:
            out.error(f"Unexpected error ({' '.join(f'{type(error).__name__}: {error}'.split())}).")
            if debug:
                import traceback

                text = "".join(traceback.format_exception(error))
                sys.stderr.write("".join(escaped(line) + "\n" for line in text.splitlines()))

        with Review(
            index,
            port=port,
            idle_exit=None if idle_exit is None else idle_exit * _MINUTE,
            on_request=lambda *request: _log(out, *request),
            on_error=on_error,
        ) as server:
            _introduce(out, server)
            if not no_open:
                threading.Thread(target=_open, args=(out, server), daemon=True).start()
            with _until_signal(server) as was_signalled:
                server.run()
            if idle_exit is not None and not was_signalled():
                out.note(f"Ended: no page was open for {count(round(idle_exit), 'minute')}.")
            if not server.close():
                out.flush()
                os._exit(0)  # what is under way only reads, or is stored whole or not at all


def _introduce(out: Output, server: Review) -> None:
    """Print the address, and what runs."""
    if out.json:
        out.document(
            _SCHEMA,
            address=server.address,
            port=server.port,
            pid=os.getpid(),
            index=str(server.directory),
            clustered=server.clustered,
        )
    out.answer(server.address)
    out.flush()
    out.note(f"This is the page of {server.directory}, for this computer only. Ctrl-C ends it.")
    if not server.clustered:
        out.warning("There are no clusters. Run `faceindex cluster`; the page shows them then.")


def _open(out: Output, server: Review) -> None:
    """Open the page in the browser; on a thread, because the system's program may take a while."""
    try:
        open_in_viewer(server.write_redirect())
    except NoViewer as error:
        server.remove_redirects()
        out.warning(f"No browser could be opened ({error.why}). Open the address above yourself.")
    except UsageError as error:
        out.warning(f"{error.problem} {error.remedy}")


def _log(out: Output, method: str, path: str, status: int, seconds: float) -> None:
    out.detail(f"{method} {path} {status} {seconds * 1000:.0f} ms")


@contextlib.contextmanager
def _until_signal(server: Review) -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C and SIGTERM end the server, and a second signal the process at once."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            server.remove_redirects()
            os._exit(128 + number)
        received.append(number)
        server.stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)  # the terminal was closed
    if threading.current_thread() is not threading.main_thread():
        yield lambda: bool(received)  # only the main thread can handle signals
        return
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
