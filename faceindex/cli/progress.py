"""Progress of long work: a bar on a terminal, a line every ten seconds elsewhere.

rich is imported when a bar is drawn for the first time: that takes a tenth of a second.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceindex.cli.errors import INTERRUPTED
from faceindex.cli.escaping import escaped
from faceindex.cli.render import Output, count, duration, size

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID
    from rich.text import Text

    from faceindex.pipeline.events import Event

__all__ = ["Bar", "DownloadBar", "IdentifyBar", "IndexBar", "PhotoBar", "resumable"]

_LINE_SECONDS = 10.0
_LONG_WALK = 0.5  # seconds; most walks end before a bar could be drawn
_FIRST_RATE = 8  # photos; the first batches take longer than later ones
_LONG_RUN = 2.0  # seconds; a run of `identify` that ends before needs no bar

_B = TypeVar("_B", bound="Bar")


class Bar:
    """Shows how many items are finished, and the time left. Use as a context manager.

    Nothing is shown before the first `update`, and with ``--quiet``.

    Parameters
    ----------
    out : Output
    text : str
        The work, such as "Cutting faces".
    """

    def __init__(self, out: Output, text: str) -> None:
        self._out = out
        self._text = escaped(text)
        self._printed_at = time.monotonic()
        self._display: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self: _B) -> _B:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        self._out.close()

    def update(self, done: int, total: int) -> None:
        """Show that `done` items of `total` are finished."""
        if self._out.lively:
            self._draw(done, total)
        elif time.monotonic() - self._printed_at >= _LINE_SECONDS:
            self._printed_at = time.monotonic()
            self._out.note(f"{time.strftime('%H:%M:%S')} {self._line(done, total)}")

    def _columns(self) -> Sequence[ProgressColumn]:
        """Return the columns to the right of the bar."""
        from rich.progress import MofNCompleteColumn, TimeRemainingColumn

        return MofNCompleteColumn(), TimeRemainingColumn()

    def _line(self, done: int, total: int) -> str:
        """Return the progress as text, for output that is not a terminal."""
        return f"{self._text}: {done:,} of {total:,}"

    def _draw(self, done: int, total: int | None) -> None:
        """Draw the bar; without a total it only moves back and forth."""
        if self._display is None:
            self._display = self._start_display()
        if self._task is None:
            self._task = self._display.add_task(self._text, completed=done, total=total)
        else:
            self._display.update(self._task, description=self._text, completed=done, total=total)

    def _start_display(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            *self._columns(),
            console=console,
            expand=True,
            transient=True,
            redirect_stdout=False,  # the answer belongs to standard output even while there is a bar
        )
        display.start()
        # Lines are styled already. `Text` keeps rich from reading brackets in file names as markup.
        self._out.attach(
            lambda line: console.print(Text.from_ansi(line), soft_wrap=True), display.stop, display.start
        )
        return display


class DownloadBar(Bar):
    """Shows how many bytes of a file have arrived, the speed, and the time left."""

    def _columns(self) -> Sequence[ProgressColumn]:
        from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

        return DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()

    def _line(self, done: int, total: int) -> str:
        return f"{self._text}: {size(done)} of {size(total)}"


class PhotoBar(Bar):
    """Shows the stages of work on many photos, its rate, and the time left.

    Parameters
    ----------
    out : Output
    """

    def __init__(self, out: Output) -> None:
        super().__init__(out, "Looking for photos")
        self._done = self._total = 0
        self._done_before = 0  # when the stage began
        self._stage_began = self._advanced_at = time.monotonic()

    def show_loading(self) -> None:
        """Begin the stage in which the models are loaded."""
        self._begin("Loading the models", None)

    def scan(self, files: int) -> None:
        """Show that folders are walked, and how many files were found so far."""
        self._text = f"Looking for photos: {files:,} files" if files else "Looking for photos"
        long = time.monotonic() - self._stage_began > _LONG_WALK
        if self._out.lively and (long or self._display is not None):
            self._draw(0, None)

    def _begin(self, text: str, total: int | None) -> None:
        """Begin a stage and draw its bar."""
        self._enter(text)
        if self._out.lively and total != 0:
            self._draw(self._done, total)

    def _enter(self, text: str) -> None:
        """Begin a stage. Its rate does not include the time of the stages before."""
        self._text, self._done_before = text, self._done
        self._stage_began = self._printed_at = time.monotonic()
        if self._display is not None and self._task is not None:
            self._display.remove_task(self._task)
            self._task = None

    def _advance(self) -> None:
        self._done += 1
        self._advanced_at = time.monotonic()
        # Files that the walk could not reach are not part of the plan.
        self._total = max(self._total, self._done)
        self.update(self._done, self._total)

    def _rate(self, done: int, total: int) -> str:
        # Until the last photo: between batches, the rate stays and the time left runs down. The mean of the
        # whole stage, because a moving average would jump with each batch.
        seconds, finished = self._advanced_at - self._stage_began, done - self._done_before
        if seconds <= 0 or finished <= 0:
            return ""
        rate = finished / seconds
        left = (total - done) / rate - (time.monotonic() - self._advanced_at)
        return f"{rate:.1f} photos/s, {duration(max(0.0, left))} left"

    def _line(self, done: int, total: int) -> str:
        rate = self._rate(done, total) if done - self._done_before >= _FIRST_RATE else ""
        return ", ".join(filter(None, (f"{done:,} of {total:,} photos", rate)))

    def _columns(self) -> Sequence[ProgressColumn]:
        from rich.progress import ProgressColumn
        from rich.table import Column
        from rich.text import Text

        bar = self

        class Rate(ProgressColumn):
            max_refresh = 0.5

            def render(self, task: Task) -> Text:
                if task.total is None:
                    return Text("")
                done, total = int(task.completed), int(task.total)
                text = f"{done:,}/{total:,}"
                if done - bar._done_before >= _FIRST_RATE:
                    text += f"  {bar._rate(done, total)}"
                return Text(text)

        return (Rate(table_column=Column(no_wrap=True)),)


class IndexBar(PhotoBar):
    """Shows the events of a run of `index`: its stages, its rate, failed photos and warnings.

    Parameters
    ----------
    out : Output
    work : str
        What is done with the photos.
    """

    def __init__(self, out: Output, work: str = "Indexing") -> None:
        super().__init__(out)
        self._work = work

    def on_event(self, event: Event) -> None:
        """Show one event."""
        from faceindex.pipeline.events import (  # here, as other bars start without the pipeline
            Clustering,
            Committed,
            ContentChanged,
            Hashing,
            Loaded,
            Loading,
            PhotoDone,
            PhotoFailed,
            PhotoUnfinished,
            Planned,
            Scanning,
            Warned,
            Watching,
        )

        match event:
            case Scanning(files):
                self.scan(files)
            case Planned(photos):
                self._total = photos
                self._begin(self._work, photos)
            case Hashing():
                self._begin("Reading photos of the same size and time", self._total)
            case Loading():
                self.show_loading()
            case Loaded():
                self._begin(self._work, self._total)
            case Watching(path, milliseconds, of):
                self._show_place(path, milliseconds, of)
            case PhotoDone(path, faces, note):
                self._text = self._work
                self._out.detail(f"{path}: {count(faces, 'face')}" + (f". {note}" if note else ""))
                self._advance()
            case PhotoFailed(error, known):
                if known:
                    self._out.detail(error.problem)
                else:
                    self._out.error(error.problem, error.remedy)
                self._advance()
            case PhotoUnfinished(path):
                self._out.detail(f"{path}: still being written; the next run tries it")
                self._advance()
            case ContentChanged(path, _):
                self._out.detail(f"{path}: other content, although size and time are unchanged")
            case Warned(message):
                self._out.warning(message)
            case Clustering():
                self._begin("Grouping the faces", None)
            case Committed():
                pass  # the summary has the total

    def _show_place(self, path: str, milliseconds: int, of: int) -> None:
        """Show how far the search of a video is."""
        from faceindex.images.moments import duration_text

        whole = f" of {duration_text(of)}" if of else ""
        self._text = f"{self._work}: {escaped(Path(path).name)} at {duration_text(milliseconds)}{whole}"
        self.update(self._done, self._total)


class IdentifyBar(PhotoBar):
    """Shows how many photos are identified, once that takes long."""

    def begin(self, total: int) -> None:
        """Begin to identify `total` photos; a bar that is drawn already stays."""
        self._total = total
        self._began = time.monotonic()
        self._enter("Identifying")

    def on_event(self, event: Event) -> None:
        """Leave the time in which models are loaded out of the rate."""
        from faceindex.pipeline.events import Loaded

        if isinstance(event, Loaded):
            self._enter("Identifying")

    def advance(self) -> None:
        """Show that one more photo is finished."""
        self._done += 1
        self._advanced_at = time.monotonic()
        if self._display is not None or self._advanced_at - self._began > _LONG_RUN:
            self.update(self._done, self._total)


@contextlib.contextmanager
def resumable(
    out: Output, remedy: str = "Finished files are kept; run the same command again to continue."
) -> Iterator[None]:
    """Report Ctrl-C with what becomes of the work.

    Parameters
    ----------
    out : Output
    remedy : str
        A sentence on what is kept and how to continue.

    Raises
    ------
    SystemExit
        If the work is interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        out.close()
        out.error("Interrupted.", remedy)
        raise SystemExit(INTERRUPTED) from None
