"""What `index` shows while it works: a bar on terminals, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from faceindex.cli.render import Output, count, duration
from faceindex.pipeline.events import Committed, Event, PhotoDone, PhotoFailed, Planned, Scanning, Warned

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["IndexProgress"]

_LINE_SECONDS = 10.0
_LONG_WALK = 0.5  # seconds; most walks are over before a bar could be drawn
_FIRST_RATE = 8  # photos; before that, loading the networks is most of the time


class IndexProgress:
    """Listens to the events of a run. Use as a context manager.

    Parameters
    ----------
    out : Output
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._total = 0
        self._done = 0
        self._started = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> IndexProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()

    def on_event(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Scanning(files):
                if time.monotonic() - self._started > _LONG_WALK:
                    self._start_bar()
                self._describe(f"Looking for photos: {files:,} files" if files else "Looking for photos")
            case Planned(photos):
                self._plan(photos)
            case PhotoDone(path, faces):
                self._out.detail(f"{path}: {count(faces, 'face')}")
                self._advance()
            case PhotoFailed(error):
                self._out.error(error.problem, error.remedy)
                self._advance()
            case Warned(message):
                self._out.warning(message)
            case Committed():
                pass  # the summary tells what is safe, as one number

    def _plan(self, photos: int) -> None:
        self._total = photos
        if photos:
            self._start_bar()
        self._started = self._told = time.monotonic()
        if self._bar is not None and self._task is not None:
            # A new task, so that the time of the walk does not count as slow indexing.
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task("Indexing", total=photos) if photos else None

    def _advance(self) -> None:
        self._done += 1
        # Files that the walk could not reach come on top of those it planned.
        self._total = max(self._total, self._done)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, total=self._total)
        elif self._bar is None and time.monotonic() - self._told >= _LINE_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        rate = self._done / (self._told - self._started)
        left = duration((self._total - self._done) / rate)
        self._out.note(f"{self._done:,} of {self._total:,} photos, {rate:.1f} photos/s, {left} left")

    def _describe(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)

    def _start_bar(self) -> None:
        """Draw the bar from now on, if there is a terminal for it."""
        if self._bar is not None or not self._out.lively:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        class Speed(ProgressColumn):
            """How many of how many, photos per second, and the time left."""

            max_refresh = 0.5

            def render(self, task: Task) -> Text:
                if task.total is None:
                    return Text("")
                text = f"{task.completed:,.0f}/{task.total:,.0f}"
                if task.completed >= _FIRST_RATE and task.elapsed:
                    # Over the whole run: photos come in batches, and what rich estimates would jump.
                    rate = task.completed / task.elapsed
                    left = duration((task.total - task.completed) / rate)
                    text += f"  {rate:.1f} photos/s, {left} left"
                return Text(text)

        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            Speed(table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("Looking for photos", total=None)
        bar = self._bar
        # Already styled text; written raw, rich would wrap and mark up what are file names.
        self._out.attach(lambda text: console.print(Text.from_ansi(text), soft_wrap=True), bar.stop)
