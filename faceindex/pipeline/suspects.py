"""Try photos that may have ended a run, each alone, in a process that may die of them."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from faceindex.errors import ImageError, Reason
from faceindex.images.children import end_child, start_child
from faceindex.images.limits import decode_limit, format_bytes
from faceindex.pipeline.plan import Task
from faceindex.store.suspects import Suspect

__all__ = ["Examined", "examine"]

SECONDS = 120.0
"""How long a photo is decoded before it is given up; the largest allowed one takes half a minute."""

_CHECK_SECONDS = 0.2

_GROUP_DEATHS = 2  # runs that died while a photo was in work, among others, although it can be decoded alone


@dataclass(slots=True)
class Examined:
    """What became of the tasks.

    Attributes
    ----------
    clear : list of Task
        To do as usual.
    alone : list of Task
        To do one after the other, with no other photo in work: they can be decoded, but runs died again.
    failed : list of (Task, ImageError)
        They ended a run, and the process that tried them.
    suspected : set of str
        Names of all tasks that were suspects.
    """

    clear: list[Task] = field(default_factory=list)
    alone: list[Task] = field(default_factory=list)
    failed: list[tuple[Task, ImageError]] = field(default_factory=list)
    suspected: set[str] = field(default_factory=set)


def examine(
    tasks: Sequence[Task], suspects: Mapping[str, Suspect], should_stop: Callable[[], bool]
) -> Examined:
    """Find out which photos can be decoded without ending the process.

    Parameters
    ----------
    tasks : sequence of Task
        Suspects are those in `suspects`, and those that were set aside before, which are here only because
        they changed or are to be tried again.
    suspects : mapping of str to Suspect
    should_stop : callable
        Once it returns True, the remaining suspects are left for the next run: they are in no list.
    """
    found = Examined()
    with _Trial() as trial:
        for task in tasks:
            suspect = suspects.get(task.name)
            set_aside = task.known is not None and task.known.reason == Reason.ENDED_RUN.value
            if suspect is None and not set_aside:
                found.clear.append(task)
                continue
            if should_stop():
                continue
            found.suspected.add(task.name)
            if suspect is not None and suspect.alone and suspect.deaths > _GROUP_DEATHS:
                how = f"{suspect.deaths} runs died while they worked on it, the last on it alone"
            else:
                how = trial.decode(task.name, should_stop) or ""
            if how:
                found.failed.append((task, _ended_run(task.name, how)))
            elif suspect is not None and suspect.deaths >= _GROUP_DEATHS:
                found.alone.append(task)
            else:
                found.clear.append(task)
    return found


def _ended_run(path: str, how: str) -> ImageError:
    return ImageError(
        path,
        Reason.ENDED_RUN,
        f"it ended the run twice: {how}.",
        "Make a smaller copy, or leave it out; `retry_failed=True` tries it again.",
    )


class _Trial:
    """A process that decodes photos; a new one after each that dies. A context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> _Trial:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def decode(self, path: str, should_stop: Callable[[], bool]) -> str | None:
        """Return what happened if a photo cannot be decoded in a process of its own; None if it can.

        None too if no process can be started, or `should_stop` returns True.
        """
        try:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(os.fsencode(path).hex().encode("ascii") + b"\n")
            process.stdin.flush()
        except OSError:
            self._end()
            return None
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            try:
                answer = self._answers.get(timeout=_CHECK_SECONDS)
            except queue.Empty:
                if should_stop():
                    self._end()
                    return None
                continue
            if answer == b"ok\n":
                return None
            if answer == b"memory\n":
                return f"alone, it takes more than {format_bytes(decode_limit())} of memory"
            code = process.wait()
            self._end()
            return f"alone, the process that decoded it died ({_cause(code)})"
        self._end()
        return f"alone, it took more than {SECONDS:.0f} seconds"

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = start_child("faceindex.images.trial", str(decode_limit()))
            assert self._process.stdout is not None
            self._answers = queue.SimpleQueue()
            threading.Thread(
                target=_pass_lines, args=(self._process.stdout, self._answers), daemon=True
            ).start()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_child(process)


def _pass_lines(stream: IO[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    """Pass lines on, and an empty one at the end."""
    with contextlib.suppress(OSError, ValueError):  # closed by the other thread
        for line in stream:
            answers.put(line)
    answers.put(b"")


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
