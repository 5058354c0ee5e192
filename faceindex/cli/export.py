"""``faceindex export``: write faces, boxes, embeddings or clusters to files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, cast

import typer

from faceindex.cli.commands import App
from faceindex.cli.completion import complete_clusters, complete_from, complete_people
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import (
    AbsoluteFlag,
    DebugFlag,
    FailOnOption,
    IndexOption,
    JsonFlag,
    PublicFlag,
    QuietFlag,
    VerboseFlag,
    WithHiddenFlag,
    expand_home,
)
from faceindex.cli.progress import Bar, resumable
from faceindex.cli.references import cluster_number
from faceindex.cli.render import Output, count
from faceindex.cli.unreadable import check_fail_on, is_news, report_unreadable, warn_of_readers
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.export.source import Exported, ExportedGroup
    from faceindex.store import Root

__all__ = ["app"]

_SCHEMA = "faceindex/export/1"

app = App()

FolderArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEST", callback=expand_home, help="A folder, created if missing; or a file ending in .zip."
    ),
]
FileArgument = Annotated[
    str, typer.Argument(metavar="DEST", callback=expand_home, help="A file, or - for standard output.")
]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Count what would be written and removed, and change nothing.")
]
MarginOption = Annotated[
    float,
    typer.Option(metavar="SHARE", help="Margin on each side of the box, as a share of its width and height."),
]
AlignedFlag = Annotated[
    bool,
    typer.Option("--aligned", help="Write the aligned face that the embedder gets, without a margin."),
]


@app.callback(invoke_without_command=True)
def program(context: typer.Context) -> None:
    """Write faces, boxes, embeddings or clusters to files.

    Run a command again after changes: it writes only what changed, and removes files that no longer belong to
    the export. Files that faceindex did not write, or that you changed, are left alone and reported.

    Example: faceindex export crops ~/faces
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def crops(
    destination: FolderArgument,
    margin: MarginOption = 0.5,
    aligned: AlignedFlag = False,
    public: PublicFlag = False,
    fail_on: FailOnOption = "new",
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write every face as an image, named PHOTO_N.SUFFIX.

    N numbers the faces of a photo from 0, best score first. The faces are cut from the upright photo at full
    size, and have no metadata. If photos have the same name, the names of the later ones get a few letters
    more.

    Example: faceindex export crops ~/faces --margin 0.2
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        check_fail_on(fail_on)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            with Bar(out, "Cutting faces") as bar, _resumable(out, destination):
                done = found.export.crops(
                    destination,
                    margin=margin,
                    aligned=aligned,
                    public=public,
                    dry_run=dry_run,
                    on_progress=bar.update,
                )
            _report(out, "crops", done, found.roots(), is_news(found, done.failed, fail_on))


@app.command()
def clusters(
    destination: FolderArgument,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos",
            help="Write whole photos instead of faces, with all their metadata, such as the place.",
        ),
    ] = False,
    folders: Annotated[
        bool, typer.Option("--folders", help="Make a folder for each person: PERSON/PHOTO_N.SUFFIX.")
    ] = False,
    link: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            autocompletion=complete_from("copy", "hardlink", "symlink"),
            help="With --photos: copy, hardlink or symlink. A hard link is the same file as the photo under "
            "another name. Photos in archives are always copied.",
        ),
    ] = "copy",
    min_size: Annotated[
        int, typer.Option(metavar="N", help="Only people and clusters with at least N faces.")
    ] = 1,
    unclustered: Annotated[
        bool, typer.Option("--unclustered", help="Also faces in no cluster, as cluster 'unclustered'.")
    ] = False,
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N", autocompletion=complete_clusters, help="Only cluster N, and others chosen so."
        ),
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_people,
            help="Only the person of this name, and others chosen so.",
        ),
    ] = None,
    with_hidden: WithHiddenFlag = False,
    margin: MarginOption = 0.5,
    aligned: AlignedFlag = False,
    public: PublicFlag = False,
    fail_on: FailOnOption = "new",
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the faces by person, named PERSON_PHOTO_N.SUFFIX.

    A cluster without a person has its number in place of the name; with --folders, the folder cluster-NUMBER.
    N is the number of the face on its photo, as in `export crops`. Whole photos keep their names, and a photo
    of several people is written once for each. --cluster and --person choose what DEST contains: what an
    earlier run wrote for others is removed from it.

    Example: faceindex export clusters ~/people --photos --folders
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        check_fail_on(fail_on)
        from faceindex.api import FaceIndex

        text = "Writing photos" if photos else "Cutting faces"
        with FaceIndex.open(index) as found:
            with Bar(out, text) as bar, _resumable(out, destination):
                done = found.export.clusters(
                    destination,
                    photos=photos,
                    folders=folders,
                    link=cast(Literal["copy"], link),  # the library checks it
                    min_size=min_size,
                    unclustered=unclustered,
                    clusters=[cluster_number(word) for word in cluster or ()],
                    people=person or (),
                    hidden=with_hidden,
                    margin=margin,
                    aligned=aligned,
                    public=public,
                    dry_run=dry_run,
                    on_progress=bar.update,
                )
            _report(out, "clusters", done, found.roots(), is_news(found, done.failed, fail_on))


@app.command()
def boxes(
    destination: FileArgument,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_from("csv", "csv-full", "json", "coco", "voc"),
            help="csv (image_path,y_min,x_max,y_max,x_min in whole pixels), csv-full or json (both with "
            "scores, landmarks and more), coco (a file for COCO), or voc (DEST is a folder with a file of "
            "Pascal VOC for each photo). Without it, json for a DEST that ends in .json, else csv.",
        ),
    ] = None,
    absolute: AbsoluteFlag = False,
    public: PublicFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the boxes of all faces: CSV, JSON, COCO or Pascal VOC.

    Boxes are in pixels of the upright photo. Those of the format csv are rounded and clipped to the photo.

    Examples:
      faceindex export boxes boxes.csv
      faceindex export boxes faces.json --format coco
      faceindex export boxes annotations/ --format voc
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found, resumable(out, _unchanged(destination)):
            done = found.export.boxes(
                _target(out, destination),
                format=cast(Literal["csv"] | None, format),
                absolute=absolute,
                public=public,
                dry_run=dry_run,
            )
        _report(out, "boxes", done)


@app.command()
def embeddings(
    destination: FileArgument,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_from("npz", "csv", "jsonl", "parquet"),
            help="npz, csv, jsonl (JSON Lines) or parquet (needs pyarrow). Without it, the format that DEST "
            "ends in.",
        ),
    ] = None,
    absolute: AbsoluteFlag = False,
    public: PublicFlag = False,
    dry_run: DryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the vector of each face, for NumPy, FAISS and others.

    Vectors have unit length; a vector times its norm is the output of the model. They are biometric data:
    keep the file private.

    Example: faceindex export embeddings embeddings.npz
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        remedy = _unchanged(destination)
        with FaceIndex.open(index) as found, Bar(out, "Writing vectors") as bar, resumable(out, remedy):
            done = found.export.embeddings(
                _target(out, destination),
                format=cast(Literal["npz"] | None, format),
                absolute=absolute,
                public=public,
                dry_run=dry_run,
                on_progress=bar.update,
            )
        _report(out, "embeddings", done)


def _target(out: Output, destination: str) -> str | BinaryIO:
    if destination != "-":
        return destination
    if out.json:
        raise UsageError("--json and DEST - both write to standard output.", "Choose one.")
    out.flush()
    return sys.stdout.buffer


def _unchanged(destination: str) -> str:
    return "" if destination == "-" else "The file has not changed; run the same command again."


def _resumable(out: Output, destination: str) -> AbstractContextManager[None]:
    from faceindex.export.destination import is_archive

    return resumable(out, _unchanged(destination)) if is_archive(destination) else resumable(out)


def _report(out: Output, what: str, done: Exported, roots: Sequence[Root] = (), failed: bool = False) -> None:
    files = done.files
    if failed or files.kept or not done.faces:
        out.exit_code = PARTIAL
    report_unreadable(out, done.failed, roots, files.kept)
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
            withheld=done.withheld,
            kept=[{"file": name, "reason": reason} for name, reason in files.kept],
            failed=[
                {"photo": error.path, "reason": error.reason.value, "detail": error.detail}
                for error in done.failed
            ],
            **({"groups": [_group(group) for group in done.groups]} if what == "clusters" else {}),
        )
        return
    if done.withheld:
        out.note(f"{count(done.withheld, 'photo')} not copied: a forgotten face is on them.")
    if not done.faces:
        out.warning("No faces match." if what == "clusters" else "The index has no faces.")
    would = "would be " if files.dry_run else ""
    summary = (
        f"{files.destination}: {count(done.faces, 'face')} on {count(done.photos, 'photo')}; "
        f"{count(files.written, 'file')} {would}written, {files.unchanged:,} unchanged, "
        f"{files.removed:,} {would}removed"
    )
    if files.kept:
        summary += f", {count(len(files.kept), 'foreign or changed file')} left alone"
    if done.failed:
        summary += f"; {count(len(done.failed), 'photo')} could not be read"
    warn_of_readers(out, files)
    if files.destination == "-":
        out.detail(summary)
    elif not out.quiet:
        out.paragraph(summary, hang=2)


def _group(group: ExportedGroup) -> dict[str, Json]:
    return {
        "folder": group.folder,
        "person": group.person,
        "clusters": list(group.clusters),
        "faces": group.faces,
        "photos": group.photos,
    }
