"""What `models fetch` shows while a file comes: a bar on terminals, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from faceindex.cli.render import Output, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Download"]

_LINE_SECONDS = 10.0


class Download:
    """The progress of one file. Use as a context manager; nothing is shown before the first byte.

    Parameters
    ----------
    out : Output
    name : str
        The file.
    """

    def __init__(self, out: Output, name: str) -> None:
        self._out = out
        self._name = name
        self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()

    def on_progress(self, done: int, total: int) -> None:
        """`done` bytes of `total` are there."""
        if self._out.lively:
            if self._bar is None:
                self._start_bar(done, total)
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._told >= _LINE_SECONDS:
            self._told = time.monotonic()
            self._out.note(f"{self._name}: {size(done)} of {size(total)}")

    def _start_bar(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            Speed(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._name, completed=done, total=total)
        self._out.attach(lambda text: console.print(Text.from_ansi(text), soft_wrap=True), self._bar.stop)
