"""``faceindex clusters``: list the clusters, or show the faces of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceindex.cli.clusters_diff import diff
from faceindex.cli.commands import App, CommandWithSubcommands
from faceindex.cli.completion import complete_references
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.face_rows import print_faces
from faceindex.cli.newer import note_newer_faces
from faceindex.cli.options import (
    AbsoluteFlag,
    CsvFlag,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.pictures import (
    can_draw,
    check_files,
    draw,
    no_pictures,
    numbered_files,
    open_in_viewer,
    protocol,
    write_picture,
    write_temporary,
)
from faceindex.cli.references import cluster_or_person
from faceindex.cli.render import Output, columns, count, shell_quoted
from faceindex.errors import ImageError, UsageError
from faceindex.images.moments import at_moment

if TYPE_CHECKING:
    from faceindex.api import Cluster, Face, FaceIndex

__all__ = ["ClustersCommand", "clusters"]

_SCHEMA = "faceindex/clusters/1"
_CSV_HEADER = ("cluster", "faces", "photos", "cohesion", "example", "person")
_ROWS = 20  # in a table without --limit
_DRAWN = 48  # faces in a picture without --limit


_subcommands = App()
_subcommands.command("diff")(diff)


class ClustersCommand(CommandWithSubcommands):
    """Parses ``diff``, or the number of a cluster, which may follow ``--show`` or ``--open``."""

    subcommands = _subcommands

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept ``--open=5``, and -1 as a number, not as an option."""
        words = []
        for word in args:
            flag, equals, number = word.partition("=")
            words += [flag, number] if equals and flag in ("--open", "--show") else [word]
        ctx.ignore_unknown_options = any(re.fullmatch(r"-\d+", word) for word in words)
        return super().parse_args(ctx, words)


def _complete(ctx: Any, args: Sequence[str], incomplete: str) -> list[tuple[str, str]]:
    names = [("diff", "what changed")] if "diff".startswith(incomplete) else []
    return [*complete_references(ctx, args, incomplete), *names]


def clusters(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="CLUSTER",
            help="A cluster, or a person by name, to show the faces instead of the list.",
            autocompletion=_complete,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Only the N largest clusters, or the N most typical faces. Without it, {_ROWS} in a table, "
            f"{_DRAWN} in a picture, and all in CSV and JSON.",
        ),
    ] = None,
    as_csv: CsvFlag = False,
    show: Annotated[
        bool, typer.Option("--show", help="Draw the faces of the cluster on this terminal.")
    ] = False,
    viewer: Annotated[
        bool, typer.Option("--open", help="Show the faces of the cluster in the system's viewer.")
    ] = False,
    save: Annotated[
        str | None,
        typer.Option(
            "--save",
            metavar="FILE",
            callback=expand_home,
            help="Write the faces of the cluster as a picture, a .png or .jpg.",
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Whether the list includes a face of each cluster, on a terminal that can show pictures.",
        ),
    ] = True,
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the clusters, largest first, or show the faces of one.

    Cohesion is the mean similarity of a cluster's faces to its centre. The lower it is, the more likely the
    cluster mixes several people. The example is the photo of the best face near the centre. A terminal gets
    a table, and a face of each cluster below it if it can show pictures (kitty, iTerm2, sixel). A pipe or a
    file gets CSV with the columns cluster,faces,photos,cohesion,example,person.

    With CLUSTER, which may be the name of a person, the rows are its faces as `faceindex faces` lists them,
    the most typical first. `faceindex people name` gives clusters names.
    `faceindex clusters diff` shows what changed last. Exit code 1 if there are no clusters.

    Example: faceindex clusters 5 --open
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json exclude each other.", "Choose one.")
        if show or viewer or save is not None:
            if as_csv or json:
                raise UsageError("--show, --open and --save draw one cluster.", "Leave out --csv and --json.")
            if cluster is None:
                raise UsageError(
                    "--show, --open and --save need the number of one cluster, or a person.",
                    "Example: faceindex clusters 5 --open.",
                )
        how = None
        if show or (cluster is None and pictures and not as_csv and can_draw(out)):
            how = protocol() if out.terminal else None
        if show and how is None:
            raise no_pictures(f"`faceindex clusters --open {cluster}`, or --save FILE.png")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            if cluster is None:
                _list(out, found, limit, as_csv, absolute, how)
            else:
                chosen = cluster_or_person(found, cluster)
                if show or viewer or save is not None:
                    _draw_cluster(out, found, chosen, limit or _DRAWN, how if show else None, viewer, save)
                else:
                    _print_cluster(out, found, chosen, limit, as_csv, absolute)
            note_newer_faces(out, found.cluster.newer_faces())


def _list(
    out: Output, found: FaceIndex, limit: int | None, as_csv: bool, absolute: bool, how: str | None
) -> None:
    rows = found.clusters()
    if not rows:
        out.exit_code = PARTIAL
        out.note("There are no clusters: no two faces were similar enough.")
    if out.json:
        out.document(
            _SCHEMA,
            index=str(found.directory),
            total=len(rows),
            unclustered=len(found) - sum(row.faces for row in rows),
            newer_faces=found.cluster.newer_faces(),
            clusters=[
                {
                    "cluster": row.cluster,
                    "faces": row.faces,
                    "photos": row.photos,
                    "cohesion": round(row.cohesion, 6),
                    "example": {"face": row.example.face, "photo": _example(row, absolute)},
                    "person": row.person,
                }
                for row in rows[:limit]
            ],
        )
    elif as_csv or not out.terminal:
        writer = out.table()
        writer.writerow(_CSV_HEADER)
        writer.writerows(
            (
                *(row.cluster, row.faces, row.photos, f"{row.cohesion:.6f}"),
                *(_example(row, absolute), row.person or ""),
            )
            for row in rows[:limit]
        )
    elif rows:
        shown = rows[: limit or _ROWS]
        _print_table(out, shown, len(rows), absolute)
        if how is not None:
            _draw_examples(out, found, shown, how)
        unnamed = next((row.cluster for row in shown if row.person is None), None)
        name = f"people name {unnamed} NAME" if unnamed is not None else "people"
        out.hint(f"Next: faceindex clusters {shown[0].cluster}, or faceindex {name}")


def _print_table(out: Output, shown: Sequence[Cluster], total: int, absolute: bool) -> None:
    named = any(row.person for row in shown)
    cells = [
        (
            *(str(row.cluster), f"{row.faces:,}", f"{row.photos:,}", f"{row.cohesion:.3f}"),
            *([row.person or "-"] if named else []),
            at_moment(_example(row, absolute)),
        )
        for row in shown
    ]
    header = (*_CSV_HEADER[:4], *(["person"] if named else []), "example")
    for line in columns(cells, header=header, right=[0, 1, 2, 3]):
        out.answer(line)
    if len(shown) < total:
        out.answer(f"and {count(total - len(shown), 'smaller cluster')}; --limit {total} shows all")


def _example(row: Cluster, absolute: bool) -> str:
    return row.example.path if absolute else row.example.photo


def _draw_examples(out: Output, found: FaceIndex, shown: Sequence[Cluster], how: str) -> None:
    try:
        sheet = found.sheets.faces(
            [row.example.face for row in shown], [f"cluster {row.cluster}" for row in shown]
        )
    except ImageError as error:
        out.error(error.problem, error.remedy)
        out.exit_code = PARTIAL
        return
    draw(out, sheet, how)


def _print_cluster(
    out: Output, found: FaceIndex, cluster: int | str, limit: int | None, as_csv: bool, absolute: bool
) -> None:
    members = _members(found, cluster)
    as_table = out.terminal and not as_csv and not out.json
    if not members:
        out.note(f"{cluster} has no faces in this index.")
    elif as_table:
        photos = len({face.path for face in members})
        head = f"{_title(cluster, members)}: {count(len(members), 'face')} on {count(photos, 'photo')}"
        out.paragraph(out.styled(head, "bold"))
        limit = limit or _ROWS
    shown = members[:limit]
    print_faces(out, shown, as_csv=as_csv, absolute=absolute, names=found.people.names())
    if as_table and len(shown) < len(members):
        rest = count(len(members) - len(shown), "less typical face")
        out.answer(f"and {rest}; --limit {len(members)} shows all")
    if members:
        out.hint(f"Next: faceindex clusters {shell_quoted(str(cluster))} --open")


def _members(found: FaceIndex, cluster: int | str) -> list[Face]:
    """Return the faces of a cluster or a person, the most typical first."""
    faces = found.faces(cluster=cluster) if isinstance(cluster, int) else found.faces(person=cluster)
    return sorted(faces, key=lambda face: -(face.similarity or 0.0))


def _title(cluster: int | str, members: Sequence[Face]) -> str:
    if isinstance(cluster, int):
        person = members[0].person
        return f"Cluster {cluster}, {person}" if person else f"Cluster {cluster}"
    clusters = sorted({face.cluster for face in members if face.cluster is not None})
    if not clusters:
        return f"{cluster}, in no cluster"
    return f"{cluster}, cluster{'' if len(clusters) == 1 else 's'} {', '.join(map(str, clusters))}"


def _draw_cluster(
    out: Output,
    found: FaceIndex,
    cluster: int | str,
    most: int,
    how: str | None,
    viewer: bool,
    save: str | None,
) -> None:
    stem = f"cluster-{cluster}" if isinstance(cluster, int) else "person"
    files = [] if save is None else numbered_files(save, [stem])
    check_files(out, found, files)
    members = _members(found, cluster)
    if isinstance(cluster, int):
        sheet = found.sheets.cluster(cluster, most=most)
    else:
        best = members[:most]
        names = [Path(at_moment(face.photo)).name for face in best]
        sheet = found.sheets.faces([face.face for face in best], names)
    number = len(members)
    if number > most:
        out.note(f"The picture has the {most} most typical of {number:,} faces; --limit {number} draws all.")
    if how is not None:
        draw(out, sheet, how)
    for file in files:
        found.export.record_picture(file, [face.face for face in members])
        write_picture(file, sheet)
        out.note(f"Saved {file}.")
    if viewer:
        for file in files or write_temporary([(stem, sheet)]):
            open_in_viewer(file)
            out.note(f"Opened {file}.")
