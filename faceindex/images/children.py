"""Processes that decode files which may hang, crash or take too much memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

__all__ = ["end_child", "start_child"]


def start_child(
    module: str,
    *arguments: str,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a module with a pipe to and from it.

    Parameters
    ----------
    module, *arguments : str
        As in ``python -m``.
    command : sequence of str, optional
        Another command in its place.
    environment : mapping, optional
        Variables beside those of this process.

    Raises
    ------
    OSError
        If no process can be started.
    """
    return subprocess.Popen(
        command or [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends that one
        env={**os.environ, **(environment or {})},
    )


def end_child(process: subprocess.Popen[bytes], before_closing: Callable[[], None] = lambda: None) -> None:
    """Kill a process, and close its pipes.

    Parameters
    ----------
    process : Popen
    before_closing : callable
        Called once the process has ended: a thread may still read its output.
    """
    process.kill()
    process.wait()
    before_closing()
    streams: tuple[IO[bytes] | None, ...] = (process.stdin, process.stdout)
    for stream in streams:
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
