"""What the commands of ``faceindex import`` share: options, the run, and how its report is printed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

import typer

from faceindex.cli.completion import complete_from
from faceindex.cli.errors import INTERRUPTED, PARTIAL
from faceindex.cli.options import WAIT, expand_home
from faceindex.cli.render import Output, columns, count
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.import_results import ImportReport

__all__ = [
    "ImportDryRunFlag",
    "PhotosAtOption",
    "PreferOption",
    "WholePhotosFlag",
    "carry_out",
    "exit_code",
    "most",
    "print_import",
    "source_argument",
]

_SCHEMA: Final = "faceindex/import/1"
_SHOWN: Final = 5  # entries of each list; all with --verbose

PhotosAtOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--photos",
        metavar="DIR",
        callback=expand_home,
        help="The folder where the program's photos are here. Without it, photos are found by the ends of "
        "their paths.",
    ),
]
WholePhotosFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--whole-photos",
        help="A name without a place on the photo is that of the only face there.",
    ),
]
PreferOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--prefer",
        metavar="CHOICE",
        autocompletion=complete_from("file", "index"),
        help="Which counts where the program and the index contradict each other: file or index. Without "
        "it, contradictions are listed and left out.",
    ),
]
ImportDryRunFlag: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Print what would change. Opens no photo and stores nothing.")
]


def source_argument(text: str) -> object:
    """Return the argument of a command: what is read."""
    return typer.Argument(metavar="PATH", callback=expand_home, help=text)


def carry_out(
    out: Output,
    program: str,
    path: Path,
    *,
    photos: Path | None,
    whole_photos: bool,
    prefer: str | None,
    dry_run: bool,
    index: Path | None,
    **options: object,
) -> None:
    """Read a program's names, import them, and print the report.

    Parameters
    ----------
    out : Output
    program : str
        A key of `faceindex.api.album_sources.READERS`.
    path : Path
    photos, whole_photos, prefer, dry_run, index
        As the options of the command.
    **options
        Of the program's reader.
    """
    if prefer not in (None, "file", "index"):
        raise UsageError(f"--prefer is '{prefer}'.", "Choose file or index.")
    from faceindex.api import FaceIndex
    from faceindex.api.album_sources import read_album
    from faceindex.cli.progress import Bar
    from faceindex.cli.stopping import stoppable

    with contextlib.ExitStack() as stack:
        found = stack.enter_context(FaceIndex.open(index, write=True, wait=WAIT))
        album = read_album(program, path, **options)
        bar = stack.enter_context(Bar(out, "Adding faces"))
        should_stop = stack.enter_context(stoppable(out))

        def progress(what: str, done: int, total: int | None) -> None:
            if what == "faces" and total is not None:
                bar.update(done, total)

        report = found.people.import_album(
            album,
            photos_at=photos,
            whole_photos=whole_photos,
            prefer=cast(Literal["file", "index"] | None, prefer),
            dry_run=dry_run,
            progress=progress,
            should_stop=should_stop,
        )
        bar.close()
        out.exit_code = exit_code(report)
        if out.json:
            out.document(_SCHEMA, index=str(found.directory), path=str(path), **report.as_dict())
        elif not out.quiet:
            print_import(out, report, clustered=found.clustering is not None)


def exit_code(report: ImportReport) -> int:
    """Return the exit code of an import."""
    if report.stopped:
        return INTERRUPTED
    left_out = report.conflicts or report.ambiguous or report.unsure or report.unread or report.problems
    return PARTIAL if left_out or not report.found else 0


def _rows(report: ImportReport) -> list[tuple[str, int, str]]:
    """Return all numbers that are not zero, with a note on each."""
    unread = "their photos cannot be read, or have changed"
    if report.stopped:
        unread += ", or were not reached"
    rows = [
        ("photos found", report.found, f"{report.away:,} away" if report.away else ""),
        ("not in the index", report.absent, ""),
        ("several may be meant", report.ambiguous, "--photos DIR tells them apart"),
        ("only the name agrees", report.unsure, "a photo in another folder; --photos DIR says which"),
        ("cropped or turned", report.cropped, "after their regions were stored"),
        ("faces named", report.named, ""),
        ("known already", report.known + report.placeless_known, ""),
        ("faces added", report.added, "that no detector found"),
        ("faces to be added", report.waiting, "when their photos are indexed again"),
        ("named by the photo", report.placed, "its only face"),
        ("contradict the index", report.conflicting, "left out; see --prefer"),
        ("contradict each other", report.contradicting, "left out"),
        ("without own face", report.crowded, "another region fits the face there better"),
        ("too small", report.small, ""),
        ("forgotten here", report.forgotten, "people or faces; left out"),
        ("named twice", report.duplicate, "at one place"),
        ("unnamed", report.unnamed, ""),
        ("not confirmed", report.unconfirmed, ""),
        ("rejected", report.rejected, ""),
        ("unusable", report.unusable, ""),
        ("on other photos", report.not_found + report.on_cropped, "not found, or cropped"),
        ("unread", report.unread, unread),
        ("left open", report.undecided, "names of photos; which face it is, is not known"),
    ]
    return [row for row in rows if row[1]]


def print_import(out: Output, report: ImportReport, *, clustered: bool, photos: str = "") -> None:
    """Print what an import did; `photos` stands for the number of photos."""
    for conflict in report.conflicts[: most(out)]:
        out.warning(f"{conflict.photo}, {conflict.name}: {conflict.problem}")
    _more(out, len(report.conflicts), "conflict")
    for problem in report.problems[: most(out)]:
        out.warning(problem)
    _more(out, len(report.problems), "problem")
    for title, paths in (
        ("not in the index", report.absent_photos),
        ("several may be meant", report.ambiguous_photos),
        ("only the name agrees", report.unsure_photos),
        ("cropped or turned", report.cropped_photos),
    ):
        _list(out, title, paths)
    if report.stopped and report.decision is None:
        out.note("Stopped: nothing is stored.")
        return
    dry = "; dry run, nothing is stored" if report.dry_run else ""
    read = [photos or count(report.photos, "photo")]
    if report.regions or not report.placeless:
        read.append(count(report.regions, "marked face"))
    if report.placeless:
        read.append(count(report.placeless, "name of a photo", "names of photos"))
    out.answer(out.styled(f"{report.program}: {', '.join(read)}{dry}", "bold"))
    rows = [(title, f"{number:,}", note) for title, number, note in _rows(report)]
    for line in columns(rows, right=[1], indent=2, width=out.width):
        out.answer(line)
    if report.people:
        new = f", {len(report.new_people):,} of them new" if report.new_people else ""
        out.answer(f"{count(len(report.people), 'person', 'people')}{new}.")
    if report.stopped:
        out.note("Stopped before the end. What is finished is stored; the same command does the rest.")
    if report.decision is not None:
        out.hint("Undo it with: faceindex people undo")
        if not clustered:
            out.hint("Next: faceindex cluster")


def most(out: Output) -> int | None:
    """Return how many entries of a list are printed; None for all."""
    return None if out.verbose else _SHOWN


def _more(out: Output, number: int, what: str) -> None:
    if not out.verbose and number > _SHOWN:
        out.note(f"{count(number - _SHOWN, f'more {what}')}; --verbose lists all.")


def _list(out: Output, title: str, paths: Sequence[str]) -> None:
    if out.verbose:
        for path in paths:
            out.note(f"{title}: {path}")
