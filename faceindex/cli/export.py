"""``faceindex export``: what people take away, as files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, cast

import typer

from faceindex.cli.bar import Bar, resumable
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, count
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.export.source import Exported

__all__ = ["app"]

_SCHEMA = "faceindex/export/1"
_SHOWN = 10  # files and photos that are told one by one; --verbose tells all

app = typer.Typer(rich_markup_mode=None, no_args_is_help=False)

FolderArgument = Annotated[str, typer.Argument(metavar="DEST", help="A folder; made if missing.")]
FileArgument = Annotated[str, typer.Argument(metavar="DEST", help="A file, or - for standard output.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Only say what would be written and removed.")]
AbsoluteFlag = Annotated[
    bool,
    typer.Option("--absolute", help="Absolute paths of photos, instead of as they were named for `index`."),
]
MarginOption = Annotated[
    float,
    typer.Option(metavar="SHARE", help="Added on each side of the box, as a share of its width and height."),
]
AlignedFlag = Annotated[
    bool,
    typer.Option("--aligned", help="Upright and scaled as the embedder sees the face, without a margin."),
]


@app.callback(invoke_without_command=True)
def program(context: typer.Context) -> None:
    """Write faces, boxes, embeddings or clusters to files.

    Run it again after changes: only what changed is written, what no longer belongs there is removed, and
    files that faceindex did not write, or that you changed, are left as they are and reported.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def crops(
    destination: FolderArgument,
    margin: MarginOption = 0.5,
    aligned: AlignedFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write every face as an image, named PHOTO_N.SUFFIX.

    The faces of a photo are numbered from 0, best score first. They are cut from the upright photo at full
    size, and carry no metadata. Of photos of the same name, the later ones get a few letters more.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found, Bar(out, "Cutting faces") as bar, resumable(out):
            done = found.export.crops(
                destination, margin=margin, aligned=aligned, dry_run=dry_run, on_progress=bar.update
            )
        _tell(out, "crops", done)


@app.command()
def clusters(
    destination: FolderArgument,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos", help="Whole photos instead of faces, with all their metadata, such as the place."
        ),
    ] = False,
    folders: Annotated[
        bool, typer.Option("--folders", help="A folder for each cluster: CLUSTER/PHOTO_N.SUFFIX.")
    ] = False,
    link: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="With --photos: copy, hardlink or symlink. A hard link shares the photo's bytes.",
        ),
    ] = "copy",
    min_size: Annotated[
        int, typer.Option(metavar="N", help="Only clusters with at least so many faces.")
    ] = 1,
    unclustered: Annotated[
        bool, typer.Option("--unclustered", help="Also faces in no cluster, as cluster 'unclustered'.")
    ] = False,
    margin: MarginOption = 0.5,
    aligned: AlignedFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the faces by cluster, named CLUSTER_PHOTO_N.SUFFIX.

    N is the number of the face on its photo, as in `export crops`. A photo with faces of several clusters is
    there once for each.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        doing = "Sorting photos" if photos else "Cutting faces"
        with FaceIndex.open(index) as found, Bar(out, doing) as bar, resumable(out):
            done = found.export.clusters(
                destination,
                photos=photos,
                folders=folders,
                link=cast(Literal["copy"], link),  # any other is refused with a list of the valid ones
                min_size=min_size,
                unclustered=unclustered,
                margin=margin,
                aligned=aligned,
                dry_run=dry_run,
                on_progress=bar.update,
            )
        _tell(out, "clusters", done)


@app.command()
def boxes(
    destination: FileArgument,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="csv (image_path,y_min,x_max,y_max,x_min in whole pixels), csv-full or json (with scores, "
            "landmarks, clusters). Without it, json for a DEST that ends in .json, else csv.",
        ),
    ] = None,
    absolute: AbsoluteFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write where the faces are, a row each, as CSV or JSON.

    Boxes are in pixels of the upright photo. Those of csv are rounded and clipped to the photo.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found, resumable(out, _one_file(destination)):
            done = found.export.boxes(
                _target(out, destination),
                format=cast(Literal["csv"] | None, format),
                absolute=absolute,
                dry_run=dry_run,
            )
        _tell(out, "boxes", done)


@app.command()
def embeddings(
    destination: FileArgument,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="npz, csv or parquet (needs pyarrow). Without it, what DEST ends in.",
        ),
    ] = None,
    absolute: AbsoluteFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the unit vector of each face and its norm, for NumPy, or as CSV or Parquet.

    Vector times norm is what the model gave. It is biometric data: mind where you put it.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        again = _one_file(destination)
        with FaceIndex.open(index) as found, Bar(out, "Writing vectors") as bar, resumable(out, again):
            done = found.export.embeddings(
                _target(out, destination),
                format=cast(Literal["npz"] | None, format),
                absolute=absolute,
                dry_run=dry_run,
                on_progress=bar.update,
            )
        _tell(out, "embeddings", done)


def _target(out: Output, destination: str) -> str | BinaryIO:
    if destination != "-":
        return destination
    if out.json:
        raise UsageError("--json and DEST - are two answers on standard output.", "Choose one.")
    out.flush()
    return sys.stdout.buffer


def _one_file(destination: str) -> str:
    return "" if destination == "-" else "The file is as it was before; run the same command again."


def _tell(out: Output, what: str, done: Exported) -> None:
    files = done.files
    if done.failed or files.kept or not done.faces:
        out.exit_code = PARTIAL
    shown = None if out.verbose else _SHOWN
    for error in done.failed[:shown]:
        out.error(error.problem, error.remedy)
    for name, reason in files.kept[:shown]:
        out.error(f"{name} is left as it is: {reason}.", "Move or delete it, or name another folder.")
    if shown and (more := len(done.failed[shown:]) + len(files.kept[shown:])):
        out.error(f"And {more:,} more of these.", "-v names them.")
    if out.json:
        out.document(
            _SCHEMA,
            export=what,
            destination=files.destination,
            dry_run=files.dry_run,
            faces=done.faces,
            photos=done.photos,
            written=files.written,
            unchanged=files.unchanged,
            removed=files.removed,
            kept=[{"file": name, "reason": reason} for name, reason in files.kept],
            failed=[
                {"photo": error.path, "reason": error.reason.value, "detail": error.detail}
                for error in done.failed
            ],
        )
        return
    if not done.faces:
        out.warning("There is no such face in the index.")
    would = "would be " if files.dry_run else ""
    summary = (
        f"{files.destination}: {count(done.faces, 'face')} of {count(done.photos, 'photo')}; "
        f"{count(files.written, 'file')} {would}written, {files.unchanged:,} unchanged, "
        f"{files.removed:,} {would}removed"
    )
    if files.kept:
        summary += f", {len(files.kept):,} of others left alone"
    if done.failed:
        summary += f"; {count(len(done.failed), 'photo')} could not be used"
    if files.destination == "-":
        out.detail(summary)
    elif not out.quiet:
        out.answer(summary)
