"""``faceindex status`` and ``faceindex faces``: what is in the index."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Json, Output, columns, count, size
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import Face, FaceIndex

__all__ = ["faces", "status"]

_STATUS_SCHEMA = "faceindex/status/1"
_FACES_SCHEMA = "faceindex/faces/1"

_CSV_HEADER = ("face", "photo", "x1", "y1", "x2", "y2", "score", "similarity_to_cluster", "cluster")
_PAGE = 200  # rows of the table that are aligned together, so that it can stream


def status(
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the similarities of faces of one photo, of nearest faces and of faces of one cluster, "
            "with the threshold, as .png or .svg.",
        ),
    ] = None,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Show what is in the index, where it is and how large.

    With -v, also each unreadable photo with its reason.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        if plot is not None:
            from faceindex.evaluation.plots import check_plot_file, plot_similarities

            check_plot_file(plot)
        with FaceIndex.open(index) as found:
            if plot is not None:
                found.evaluation.check_writable(plot)
                plot_similarities(
                    found.evaluation.similarities(),
                    plot,
                    threshold=found.evaluation.threshold(),
                    title=f"How alike are {count(found.counts().faces, 'face')}?",
                )
                out.note(f"Drawn: {plot}")
            if json:
                _status_as_json(out, found)
            else:
                _print_status(out, found)


def _setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _print_status(out: Output, index: FaceIndex) -> None:
    counts, pins, clustering = index.counts(), index.pins, index.clustering
    photos = {state.value: number for state, number in counts.photos.items()}
    settings = ", ".join(_setting(name.replace("_", "-"), value) for name, value in pins.settings.items())
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.reasons.items())
    unreadable = f", {photos['unreadable']:,} unreadable ({reasons})" if photos["unreadable"] else ""
    ignored = f", {count(photos['ignored'], 'file')} ignored" if photos["ignored"] else ""
    rows = [("index", str(index.directory)), ("models", f"{pins.detector}, {pins.embedder} ({settings})")]
    rows.extend(("", f"missing: {error}") for error in index.missing_models())
    for number, root in enumerate(index.roots()):
        rows.append(("" if number else "folders", root.path))
    rows.append(("photos", f"{photos['ok']:,} indexed{unreadable}{ignored}"))
    rows.append(("faces", f"{counts.faces:,}"))
    if clustering is None:
        rows.append(("clusters", "none yet; run `faceindex cluster`"))
    else:
        options = ", ".join(
            f"{name.replace('_', '-')} {value}"
            for name, value in clustering.params.items()
            if value is not None and name != "last_face"
        )
        loose = counts.faces - counts.clustered
        rows.append(("clusters", f"{counts.clusters:,}; {count(loose, 'face')} in none"))
        rows.append(("", f"{clustering.algorithm}, {options}, seed {clustering.seed}"))
        rows.append(("", f"on {clustering.created.astimezone():%Y-%m-%d %H:%M}"))
    if (last := counts.last_run) is not None:
        rows.append(("last run", f"{last.kind}, {last.at.astimezone():%Y-%m-%d %H:%M}"))
    parts = ", ".join(f"{name} {size(number)}" for name, number in counts.bytes.items() if number)
    rows.append(("on disk", f"{size(sum(counts.bytes.values()))} ({parts})"))
    for line in columns(rows):
        name, gap, rest = line.partition("  ")
        out.answer(out.styled(name, "bold") + gap + rest if name else line)
    if out.verbose and photos["unreadable"]:
        out.answer()
        for photo, reason in index.unreadable():
            out.answer(f"{photo}: {reason}")


def _status_as_json(out: Output, index: FaceIndex) -> None:
    counts, pins, clustering = index.counts(), index.pins, index.clustering
    last: Json = None
    if (run := counts.last_run) is not None:
        last = {"command": run.kind, "at": run.at.isoformat(), "detail": dict(run.detail)}
    out.document(
        _STATUS_SCHEMA,
        index=str(index.directory),
        detector=pins.detector,
        embedder=pins.embedder,
        dimension=pins.dimension,
        settings=dict(pins.settings),
        weights=dict(pins.weights),
        missing=[
            {"type": type(error).__name__, "problem": error.problem, "remedy": error.remedy}
            for error in index.missing_models()
        ],
        roots=[{"path": root.path, "given": root.given} for root in index.roots()],
        photos={state.value: number for state, number in counts.photos.items()},
        unreadable_by_reason=dict(counts.reasons),
        unreadable=[{"photo": photo, "reason": reason} for photo, reason in index.unreadable()],
        faces=counts.faces,
        clustered=counts.clustered,
        clusters=counts.clusters,
        clustering=None
        if clustering is None
        else {
            "algorithm": clustering.algorithm,
            "parameters": dict(clustering.params),
            "seed": clustering.seed,
            "at": clustering.created.isoformat(),
        },
        last_run=last,
        bytes=dict(counts.bytes),
    )


def faces(
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv", help="Comma-separated values with a header; what a pipe or a file gets anyway."
        ),
    ] = False,
    cluster: Annotated[int | None, typer.Option(metavar="N", help="Only the faces of this cluster.")] = None,
    unclustered: Annotated[bool, typer.Option("--unclustered", help="Only faces in no cluster.")] = False,
    photo: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only photos with this in their path.")
    ] = None,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the faces, a row each.

    With photo, box in pixels, score of the detector, cluster and similarity to its centre. A table on a
    terminal; CSV in a pipe or a file, with the columns
    face,photo,x1,y1,x2,y2,score,similarity_to_cluster,cluster. Exit code 1 if there is no such face.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json are two answers.", "Choose one.")
        if unclustered and cluster is not None:
            raise UsageError("--cluster and --unclustered exclude each other.", "Choose one.")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            rows = (
                row
                for row in found.faces()
                if (cluster is None or row.cluster == cluster)
                and not (unclustered and row.cluster is not None)
                and (photo is None or photo in row.photo)
            )
            if json:
                written = out.array(_FACES_SCHEMA, "faces", map(_row_as_json, rows))
            elif as_csv or not out.terminal:
                written = _write_csv(out, rows)
            else:
                written = _write_table(out, rows)
        if not written:
            out.exit_code = PARTIAL
            narrowed = cluster is not None or unclustered or photo is not None
            out.note("No face is like that." if narrowed else "The index has no faces.")


def _row_as_json(row: Face) -> Json:
    x1, y1, x2, y2 = row.box
    return {
        "face": row.face,
        "photo": row.photo,
        "path": row.path,
        "x1": round(x1, 1),
        "y1": round(y1, 1),
        "x2": round(x2, 1),
        "y2": round(y2, 1),
        "score": round(row.score, 4),
        "similarity_to_cluster": None if row.similarity is None else round(row.similarity, 6),
        "cluster": row.cluster,
    }


def _write_csv(out: Output, rows: Iterator[Face]) -> int:
    writer = csv.writer(out.raw(), lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    written = 0
    for row in rows:
        written += 1
        similarity = "" if row.similarity is None else f"{row.similarity:.6f}"
        cluster = "" if row.cluster is None else row.cluster
        box = (f"{value:.1f}" for value in row.box)
        writer.writerow((row.face, row.photo, *box, f"{row.score:.4f}", similarity, cluster))
    return written


def _write_table(out: Output, rows: Iterator[Face]) -> int:
    written = 0
    while page := list(islice(rows, _PAGE)):
        cells = [
            (
                f"{row.face:>6}",
                "-" if row.cluster is None else str(row.cluster),
                "-" if row.similarity is None else f"{row.similarity:.4f}",
                f"{row.score:.3f}",
                f"{','.join(f'{value:.0f}' for value in row.box):<21}",
                row.photo,
            )
            for row in page
        ]
        header = ("face", "cluster", "similarity", "score", "box", "photo")
        # The header takes part in every page, so that all are as wide, and is shown once.
        lines = columns([header, *cells], right=[0, 1, 2, 3])
        for line in lines[written > 0 :]:
            out.answer(line)
        written += len(page)
    return written
