"""``faceindex status``: what is in the index, where it is and how large."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.addresses import is_address
from faceindex.cli.errors import session
from faceindex.cli.flags import as_flags
from faceindex.cli.newer import newer_faces
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, expand_home
from faceindex.cli.render import Output, columns, count, size

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.documents import Json
    from faceindex.locks import Holder
    from faceindex.store import Clustering, Counts

__all__ = ["status"]

_SCHEMA = "faceindex/status/1"


def status(
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=expand_home,
            help="Plot the similarities of faces on one photo, of nearest faces and of faces in one cluster, "
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

    With -v, also each unreadable photo with its reason, and each photo that was read with a note.

    Example: faceindex status
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        if plot is not None:
            from faceindex.evaluation.plots import check_plot_file

            check_plot_file(plot)
        with FaceIndex.open(index) as found:
            if plot is not None:
                _plot(out, found, plot)
            if json:
                _status_as_json(out, found)
            else:
                _print_status(out, found)


def _plot(out: Output, index: FaceIndex, file: Path) -> None:
    from faceindex.evaluation.plots import plot_similarities

    index.check_writable(file)
    plot_similarities(
        index.evaluation.similarities(),
        file,
        threshold=index.evaluation.threshold(),
        title=f"How alike are {count(index.counts().faces, 'face')}?",
    )
    out.note(f"Plotted: {file}")


def _print_status(out: Output, index: FaceIndex) -> None:
    counts, pins, writer = index.counts(), index.pins, _writer(index)
    settings = ", ".join(_setting(name.replace("_", "-"), value) for name, value in pins.settings.items())
    rows = [("index", str(index.directory)), ("models", f"{pins.detector}, {pins.embedder} ({settings})")]
    rows.extend(("", f"missing: {as_flags(str(error))}") for error in index.missing_models())
    for number, root in enumerate(index.roots()):
        rows.append(("" if number else "folders", root.path + _absence(root.path)))
    rows.append(("photos", _photos(counts)))
    rows.append(("faces", f"{counts.faces:,}"))
    if counts.away_since is not None:
        since = f"{counts.away_since.astimezone():%Y-%m-%d}"
        kept = f"{count(counts.away_faces, 'face')} kept in case they return"
        rows.append(("gone", f"{count(counts.away_photos, 'photo')} since {since}; {kept}"))
    rows.extend(_clusters(index.clustering, counts))
    rows.extend(_people(index))
    if (begun := index.migrate.begun()) is not None:
        what = (
            f"to {begun.models.detector}, {begun.models.embedder}: {begun.done:,} of {begun.photos:,} photos"
        )
        rows.append(("migration", f"{what}; `faceindex migrate` goes on"))
    if writer is not None:
        rows.append(("writer", str(writer)))
    if (last := counts.last_run) is not None:
        rows.append(("last run", f"{last.kind}, {last.at.astimezone():%Y-%m-%d %H:%M}"))
    parts = ", ".join(f"{name} {size(number)}" for name, number in counts.bytes.items() if number)
    rows.append(("on disk", f"{size(sum(counts.bytes.values()))} ({parts})"))
    for line in columns(rows, width=out.width):
        name, gap, rest = line.partition("  ")
        out.answer(out.styled(name, "bold") + gap + rest if name else line)
    if out.verbose and (remarks := index.unreadable() + index.notes()):
        out.answer()
        for photo, remark in remarks:
            out.answer(f"{photo}: {remark}")


def _setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _absence(folder: str) -> str:
    from faceindex.api.roots import state_of_root

    match state_of_root(folder):
        case "missing" if is_address(folder):
            return " (cannot be reached)"
        case "empty" if is_address(folder):
            return " (has no objects)"
        case "missing":
            return " (does not exist: its disk may not be mounted, or it was moved or deleted)"
        case "empty":
            return " (is empty: its disk may not be mounted)"
    return ""


def _writer(index: FaceIndex) -> Holder | None:
    """Return the process that is writing; None if there is none, or the file system has no locks."""
    try:
        return index.writer()
    except OSError:
        return None


def _photos(counts: Counts) -> str:
    photos = {state.value: number for state, number in counts.photos.items()}
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.reasons.items())
    unreadable = f", {photos['unreadable']:,} unreadable ({reasons})" if photos["unreadable"] else ""
    ignored = f", {count(photos['ignored'], 'other file')} ignored" if photos["ignored"] else ""
    number = photos["ok"] - counts.videos - counts.moments
    videos = (
        f", {count(counts.videos, 'video')} with {count(counts.moments, 'moment')}" if counts.videos else ""
    )
    return f"{number:,} indexed{videos}{unreadable}{ignored}"


def _clusters(clustering: Clustering | None, counts: Counts) -> list[tuple[str, str]]:
    if clustering is None:
        return [("clusters", "none yet; run `faceindex cluster`")]
    options = ", ".join(
        f"{name.replace('_', '-')} {value}"
        for name, value in clustering.params.items()
        if value is not None and name not in ("last_face", "last_whole", "faces", "calibration")
    )
    rows = [
        ("clusters", f"{counts.clusters:,}; {count(counts.faces - counts.clustered, 'face')} in none"),
        ("", f"{clustering.algorithm}, {options}, seed {clustering.seed}"),
        ("", f"on {clustering.created.astimezone():%Y-%m-%d %H:%M}"),
    ]
    if newer := counts.newer_faces:
        rows.append(("", newer_faces(newer)))
    return rows


def _people(index: FaceIndex) -> list[tuple[str, str]]:
    people, decisions = len(index.people.names()), index.people.count_decisions()
    if people or decisions:
        named = f"{people:,}" if people else "none"
        return [("people", f"{named} named, {count(decisions, 'decision')}")]
    return [] if index.clustering is None else [("people", "none named; see `faceindex people`")]


def _status_as_json(out: Output, index: FaceIndex) -> None:
    from faceindex.api.roots import state_of_root

    counts, pins, clustering, writer = index.counts(), index.pins, index.clustering, _writer(index)
    begun = index.migrate.begun()
    last: Json = None
    if (run := counts.last_run) is not None:
        last = {"command": run.kind, "at": run.at.isoformat(), "detail": dict(run.detail)}
    out.document(
        _SCHEMA,
        index=str(index.directory),
        detector=pins.detector,
        embedder=pins.embedder,
        dimension=pins.dimension,
        settings=dict(pins.settings),
        weights=dict(pins.weights),
        missing=[
            {
                "type": type(error).__name__,
                "problem": as_flags(error.problem),
                "remedy": as_flags(error.remedy),
            }
            for error in index.missing_models()
        ],
        roots=[
            {"path": root.path, "given": root.given, "exists": state_of_root(root.path) != "missing"}
            for root in index.roots()
        ],
        photos={state.value: number for state, number in counts.photos.items()},
        videos=counts.videos,
        moments=counts.moments,
        unreadable_by_reason=dict(counts.reasons),
        unreadable=[{"photo": photo, "reason": reason} for photo, reason in index.unreadable()],
        notes=[{"photo": photo, "note": note} for photo, note in index.notes()],
        gone={
            "photos": counts.away_photos,
            "faces": counts.away_faces,
            "since": None if counts.away_since is None else counts.away_since.isoformat(),
        },
        faces=counts.faces,
        clustered=counts.clustered,
        clusters=counts.clusters,
        newer_faces=counts.newer_faces,
        clustering=None
        if clustering is None
        else {
            "algorithm": clustering.algorithm,
            "parameters": dict(clustering.params),
            "seed": clustering.seed,
            "at": clustering.created.isoformat(),
        },
        people=len(index.people.names()),
        decisions=index.people.count_decisions(),
        migration=None if begun is None else begun.as_dict(),
        writer=None if writer is None else {"pid": writer.pid, "host": writer.host},
        last_run=last,
        bytes=dict(counts.bytes),
    )
