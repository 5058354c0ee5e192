"""A bar for work of which both the amount and what is done are known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faceindex.cli.errors import INTERRUPTED
from faceindex.cli.render import Output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "resumable"]


class Bar:
    """Drawn on terminals only, from the first `update` on. Use as a context manager.

    Parameters
    ----------
    out : Output
    text : str
        What is being done.
    """

    def __init__(self, out: Output, text: str) -> None:
        self._out = out
        self._text = text
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *failure: object) -> None:
        self._out.close()

    def update(self, done: int, total: int) -> None:
        """Show how far the work has come."""
        if not self._out.lively:
            return
        if self._bar is None or self._task is None:
            self._bar, self._task = self._start(total)
        self._bar.update(self._task, completed=done, total=total)

    def _start(self, total: int) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            transient=True,
        )
        task = bar.add_task(self._text, total=total)
        bar.start()
        # Already styled text; written raw, rich would wrap and mark up what are file names.
        self._out.attach(lambda text: console.print(Text.from_ansi(text), soft_wrap=True), bar.stop)
        return bar, task


@contextlib.contextmanager
def resumable(
    out: Output, remedy: str = "What is written stays; run the same command again and it goes on from there."
) -> Iterator[None]:
    """Around work that Ctrl-C may stop, and `remedy` says what then becomes of it.

    Raises
    ------
    SystemExit
        When it is interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        out.close()
        out.error("Interrupted.", remedy)
        raise SystemExit(INTERRUPTED) from None
