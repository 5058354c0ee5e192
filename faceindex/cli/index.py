"""``faceindex index``: bring the index up to date with folders of photos.

Most runs find little or nothing to do, so they must start fast: this module imports no typer, and
`faceindex.cli.start` calls `index` directly for a plain list of paths.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.render import Output, columns, count, duration
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.cli.options import (
        DebugFlag,
        DetectorOption,
        DeviceOption,
        EmbedderOption,
        FlipFlag,
        HalfFlag,
        IndexOption,
        JsonFlag,
        MinFaceOption,
        PathsArgument,
        PruneFlag,
        QuietFlag,
        RetryFailedFlag,
        UpsampleOption,
        VerboseFlag,
    )
    from faceindex.pipeline import Summary

__all__ = ["index"]

_SCHEMA = "faceindex/index/1"


def index(
    paths: PathsArgument,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    min_face: MinFaceOption = None,
    upsample: UpsampleOption = None,
    flip: FlipFlag = None,
    half: HalfFlag = None,
    device: DeviceOption = "auto",
    retry_failed: RetryFailedFlag = False,
    prune: PruneFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Find the faces on photos and store them. Later runs open only new and changed photos.

    Makes the index if there is none, as .faceindex in the current folder. Ctrl-C stops after the current
    photos; finished work is kept, and the next run continues from there.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        _check_paths(paths)  # before an index is made for a typing mistake
        from faceindex.api import FaceIndex
        from faceindex.cli.progress import IndexProgress

        options = {"upsample": upsample, "flip": flip, "half": half}
        with FaceIndex.open_or_create(
            index,
            detector=detector,
            embedder=embedder,
            min_face=min_face,
            settings={name: value for name, value in options.items() if value is not None},
            device=device,
        ) as found:
            if not found.roots():
                out.note(
                    f"Made a new index in {found.directory} ({found.pins.detector}, {found.pins.embedder})."
                )
            with IndexProgress(out) as progress, _stoppable(out) as should_stop:
                summary = found.add(
                    paths,
                    retry_failed=retry_failed,
                    prune=prune,
                    on_event=progress.on_event,
                    should_stop=should_stop,
                )
            _report(out, found.directory, summary)


def _check_paths(paths: Sequence[str]) -> None:
    for path in paths:
        if not _may_exist(path):
            raise UsageError(
                f"There is no file or folder '{path}'.", "Check the spelling and the current folder."
            )


def _may_exist(path: str) -> bool:
    try:
        os.lstat(path)
    except PermissionError:
        return True  # the run says what it could not read
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _stoppable(out: Output) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM end the run in order, and the second one at once."""
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            out.close()
            os._exit(128 + number)  # what is committed is safe, and threads are not waited for
        asked.set()
        again = "Ctrl-C again" if number == signal.SIGINT else "the signal again"
        with contextlib.suppress(RuntimeError):  # the signal came in the middle of another line
            out.note(f"Stopping: finishing the photos in hand; {again} to quit at once.")

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread may listen to signals
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(out: Output, directory: Path, summary: Summary) -> None:
    rate = summary.opened / summary.seconds if summary.opened and summary.seconds > 0 else None
    nothing = not summary.photos and not summary.gone
    if nothing or not summary.complete:
        out.exit_code = PARTIAL
    if out.json:
        out.document(
            _SCHEMA,
            index=str(directory),
            photos=summary.photos,
            new=summary.new,
            changed=summary.changed,
            moved=summary.moved,
            unchanged=summary.unchanged,
            gone=summary.gone,
            missing=summary.missing,
            unreadable=sum(summary.unreadable.values()),
            unreadable_by_reason=dict(summary.unreadable),
            known_unreadable=summary.known_unreadable,
            ignored=summary.ignored,
            without_face=summary.without_face,
            faces=summary.faces,
            opened=summary.opened,
            seconds=round(summary.seconds, 3),
            photos_per_second=None if rate is None else round(rate, 2),
            interrupted=summary.interrupted,
        )
    elif not out.quiet:
        _print_summary(out, summary, rate)
    if summary.interrupted:
        out.note("Stopped before the end; what was done is in the index. Run it again to go on.")
    elif nothing:
        out.warning("No photos were found there.")
    elif summary.new or summary.changed or summary.gone:
        out.hint("Next: faceindex cluster")


def _print_summary(out: Output, summary: Summary, rate: float | None) -> None:
    speed = f", {rate:.1f} photos/s" if rate is not None else ""
    out.answer(out.styled(f"{count(summary.photos, 'photo')} in {duration(summary.seconds)}{speed}", "bold"))
    unreadable = sum(summary.unreadable.values())
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in summary.unreadable.most_common())
    known = (
        f"; {summary.known_unreadable:,} known before, not tried again" if summary.known_unreadable else ""
    )
    # Counts that are rarely anything else than 0 are left out then; --json has all.
    always = [
        ("new", summary.new, ""),
        ("unchanged", summary.unchanged, ""),
        ("changed", summary.changed, ""),
        ("moved or renamed", summary.moved, ""),
        ("gone", summary.gone, ""),
        ("unreadable", unreadable, reasons + known),
        ("without a face", summary.without_face, ""),
        ("faces found", summary.faces, ""),
    ]
    rare = [
        ("missing, kept", summary.missing, "--prune takes them out"),
        ("ignored", summary.ignored, "files that are no photos"),
    ]
    rows = [
        (name, f"{number:,}", about) for name, number, about in [*always, *(row for row in rare if row[1])]
    ]
    for line in columns(rows, right=[1], indent=2):
        out.answer(line)
