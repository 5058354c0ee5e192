"""``faceindex clusters``: what the clusters are, and what they look like."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.pictures import can_draw, draw, no_pictures, open_in_viewer, protocol, write_pictures
from faceindex.cli.render import Output, columns, count
from faceindex.errors import ImageError, UsageError

if TYPE_CHECKING:
    from faceindex.api import Cluster, FaceIndex

__all__ = ["clusters"]

_SCHEMA = "faceindex/clusters/1"
_CSV_HEADER = ("cluster", "faces", "photos", "cohesion", "example")
_SHOWN = 20  # in the table, without --limit


def clusters(
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"Only the N largest. Without it {_SHOWN} on a terminal, else all."
        ),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv", help="Comma-separated values with a header; what a pipe or a file gets anyway."
        ),
    ] = False,
    show: Annotated[
        int | None,
        typer.Option("--show", metavar="N", help="Draw the faces of cluster N here, on the terminal."),
    ] = None,
    viewer: Annotated[
        int | None,
        typer.Option("--open", metavar="N", help="Show the faces of cluster N with the system's viewer."),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Whether a terminal that can show pictures shows a face of each cluster.",
        ),
    ] = True,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the clusters, largest first, or look at one.

    Cohesion is the mean similarity of a cluster's faces to its centre: the lower, the likelier several
    people are in it. The example is the photo of the face most alike to the centre. A table on a
    terminal, with a face of each cluster below if it can show pictures (kitty, iTerm2, sixel); CSV in a pipe
    or a file, with the columns cluster,faces,photos,cohesion,example. Exit code 1 if there is none.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json are two answers.", "Choose one.")
        if (show is not None or viewer is not None) and (as_csv or json or limit):
            raise UsageError(
                "--show and --open are about one cluster.", "Leave out --csv, --json and --limit."
            )
        how = None
        if show is not None or (pictures and not as_csv and can_draw(out)):
            how = protocol() if out.terminal else None
        if show is not None and how is None:
            raise no_pictures(f"`faceindex clusters --open {show}`")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            if viewer is not None:
                (path,) = write_pictures([(f"cluster {viewer}", found.sheets.cluster(viewer))])
                open_in_viewer(path)
                out.note(f"Opened {path}.")
            if show is not None and how is not None:
                draw(out, found.sheets.cluster(show), how)
            if show is None and viewer is None:
                _list(out, found, limit, as_csv, how)


def _list(out: Output, found: FaceIndex, limit: int | None, as_csv: bool, how: str | None) -> None:
    rows = found.clusters()
    if not rows:
        out.exit_code = PARTIAL
        out.note("There is no cluster.")
    if out.json:
        out.document(
            _SCHEMA,
            index=str(found.directory),
            total=len(rows),
            unclustered=found.counts().faces - sum(row.faces for row in rows),
            clusters=[
                {
                    "cluster": row.cluster,
                    "faces": row.faces,
                    "photos": row.photos,
                    "cohesion": round(row.cohesion, 6),
                    "example": {"face": row.example.face, "photo": row.example.photo},
                }
                for row in rows[:limit]
            ],
        )
    elif as_csv or not out.terminal:
        writer = csv.writer(out.raw(), lineterminator="\n")
        writer.writerow(_CSV_HEADER)
        writer.writerows(
            (row.cluster, row.faces, row.photos, f"{row.cohesion:.6f}", row.example.photo)
            for row in rows[:limit]
        )
    elif rows:
        shown = rows[: limit or _SHOWN]
        _print_table(out, shown, len(rows))
        if how is not None:
            _draw_examples(out, found, shown, how)
        out.hint(f"Next: faceindex clusters --open {shown[0].cluster}, or faceindex gallery FOLDER")


def _print_table(out: Output, shown: Sequence[Cluster], total: int) -> None:
    cells = [
        (str(row.cluster), f"{row.faces:,}", f"{row.photos:,}", f"{row.cohesion:.3f}", row.example.photo)
        for row in shown
    ]
    for line in columns(cells, header=_CSV_HEADER, right=[0, 1, 2, 3]):
        out.answer(line)
    if len(shown) < total:
        out.answer(f"and {count(total - len(shown), 'smaller cluster')}; --limit {total} shows all")


def _draw_examples(out: Output, found: FaceIndex, shown: Sequence[Cluster], how: str) -> None:
    try:
        sheet = found.sheets.faces([row.example.face for row in shown])
    except ImageError as error:
        out.error(error.problem, error.remedy)
        out.exit_code = PARTIAL
        return
    draw(out, sheet, how)
