"""Ctrl-C and SIGTERM: commands that work through many photos finish the current ones; others clean up."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from faceindex.cli.render import Output

__all__ = ["Terminated", "stoppable", "terminable"]


class Terminated(KeyboardInterrupt):
    """SIGTERM ended the command."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """End the body of the ``with`` by `Terminated` on SIGTERM, so that it cleans up; a second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stoppable(
    out: Output, before_quitting: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C and SIGTERM stop the run after the current photos, and a second signal at once.

    Parameters
    ----------
    out : Output
    before_quitting : callable
        Called on the second signal, while threads may still work. After the first signal, the body of the
        ``with`` cleans up.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            out.close()
            before_quitting()
            os._exit(128 + number)  # what is finished is safe; do not wait for threads
        stopped.set()
        again = "Ctrl-C again" if number == signal.SIGINT else "the signal again"
        with contextlib.suppress(RuntimeError):  # the signal interrupted the output of another line
            out.note(f"Stopping: finishing the current photos; {again} to quit at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set  # only the main thread can handle signals
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
