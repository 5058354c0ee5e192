"""``faceindex migrate``: move the index to other models."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.completion import complete_models
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import WAIT, DebugFlag, DeviceOption, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns, count, duration, size
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex, MigrationPlan, MigrationResult, MovedFace, NewModels, NotMigrated
    from faceindex.api.pins import Settings
    from faceindex.cli.progress import IndexBar
    from faceindex.pipeline import Event

__all__ = ["migrate"]

_SCHEMA = "faceindex/migrate/1"
_PLAN_SCHEMA = "faceindex/migrate-plan/1"
_CANCEL_SCHEMA = "faceindex/migrate-cancel/1"
_ROWS = 12  # in a table or list without -v


def migrate(
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="NAME",
            autocompletion=complete_models("embedder"),
            help="The new model that turns faces into vectors (see `faceindex models`).",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            autocompletion=complete_models("detector"),
            help="The new model that finds faces. Without it, the faces keep their boxes.",
        ),
    ] = None,
    min_face: Annotated[
        float | None,
        typer.Option(
            "--min-face",
            metavar="PIXELS",
            help="Side of the smallest face; finds the faces again if it changes.",
        ),
    ] = None,
    upsample: Annotated[
        int | None,
        typer.Option("--upsample", metavar="N", help="How many times dlib's detectors double the photo."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Average each face with its mirror image (facenet, mobilefacenet)."
        ),
    ] = None,
    half: Annotated[
        bool | None,
        typer.Option(
            "--half/--no-half",
            help="Embed in bfloat16 (dlib, facenet) where the hardware has instructions for it.",
        ),
    ] = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing",
            help="Remove photos that are missing, have changed or cannot be read from the index. Without it, "
            "the index does not switch while there are such photos.",
        ),
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Discard a migration that has begun. The index stays as it is.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be done. Opens no photo and changes nothing.")
    ] = False,
    device: DeviceOption = "auto",
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Move the index to another embedder, another detector, or both.

    Reads the photos again. Until all are done, the index keeps its models and can be used; then it switches
    at once. Faces keep their ids and clusters as far as they can. Ctrl-C stops after the current photos;
    `faceindex migrate` without options goes on. Exit code 1 if the index did not switch.

    Example: faceindex migrate --detector auto --embedder auto
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        options = {"upsample": upsample, "flip": flip, "half": half}
        settings: Settings = {name: value for name, value in options.items() if value is not None}
        if cancel:
            if dry_run or drop_missing or embedder or detector or min_face is not None or settings:
                raise UsageError("--cancel has no other options.", "Leave them out.")
            _cancel(out, index)
            return
        from faceindex.api import FaceIndex
        from faceindex.cli.progress import IndexBar
        from faceindex.cli.stopping import stoppable

        if dry_run:
            with FaceIndex.open(index, device=device) as opened:
                plan = opened.migrate.plan(embedder, detector, min_face=min_face, settings=settings)
                _report_plan(out, opened, plan)
            return
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(FaceIndex.open(index, write=True, wait=WAIT, device=device))
            bar = stack.enter_context(IndexBar(out, "Migrating"))
            should_stop = stack.enter_context(stoppable(out))
            result = opened.migrate(
                embedder,
                detector,
                min_face=min_face,
                settings=settings,
                drop_missing=drop_missing,
                on_event=_listener(bar),
                should_stop=should_stop,
            )
            bar.close()
            _report(out, opened, result, drop_missing=drop_missing)


def _listener(bar: IndexBar) -> Callable[[Event], None]:
    from faceindex.cli.host import HeapKeeper
    from faceindex.pipeline.events import Committed, Planned

    heap = HeapKeeper()

    def on_event(event: Event) -> None:
        match event:
            case Planned(photos) if photos:
                heap.start()
            case Committed():
                heap.on_commit()
        bar.on_event(event)

    return on_event


def _cancel(out: Output, index: Path | None) -> None:
    from faceindex.api import FaceIndex

    with FaceIndex.open(index, write=True, wait=WAIT) as opened:
        photos = opened.migrate.cancel()
        if out.json:
            out.document(_CANCEL_SCHEMA, index=str(opened.directory), photos=photos)
        else:
            out.answer(f"Discarded the migration; {count(photos, 'photo')} had been done.")


def _names(models: NewModels) -> str:
    before, after = (models.old_detector, models.old_embedder), (models.detector, models.embedder)
    return f"{' + '.join(before)} -> {' + '.join(after)}"


def _print_rows(out: Output, rows: Sequence[tuple[str, str, str]]) -> None:
    for line in columns(rows, right=[1], indent=2, width=out.width):
        out.answer(line)


# Dry runs ----------------------------------------------------------------------------------------


def _report_plan(out: Output, opened: FaceIndex, plan: MigrationPlan) -> None:
    if out.json:
        out.document(_PLAN_SCHEMA, index=str(opened.directory), dry_run=True, **plan.as_dict())
        return
    if out.quiet:
        return
    out.answer(out.styled(f"{_names(plan.models)}; dry run, nothing was changed", "bold"))
    missing = Counter(photo.reason for photo in plan.not_migrated)
    rows = [
        ("photos to read", f"{plan.photos - plan.done:,}", ""),
        ("done before", f"{plan.done:,}", ""),
        ("missing", f"{missing['missing']:,}", "not on the disk"),
        ("changed", f"{missing['changed']:,}", "perhaps: another size or time than in the index"),
        ("faces", f"{plan.faces:,}", "keep their boxes" if plan.models.boxes_kept else "to be found again"),
        ("new vectors", size(plan.bytes), "twice that, beside the old ones, until the index switches"),
        ("clusters", "", "to be made again" if plan.clusters_again else "none yet"),
    ]
    optional = ("done before", "missing", "changed")
    _print_rows(out, [row for row in rows if row[0] not in optional or row[1] != "0"])
    _list_photos(out, plan.not_migrated)
    if plan.not_migrated:
        out.hint("`faceindex index` on their folders updates them first; --drop-missing removes them.")


def _list_photos(out: Output, photos: Sequence[NotMigrated]) -> None:
    shown = photos if out.verbose else photos[:_ROWS]
    for photo in shown:
        out.answer(f"  {photo.photo}: {photo.reason}")
    if len(shown) < len(photos):
        out.answer(f"  and {count(len(photos) - len(shown), 'photo')} more; -v lists all")


# Results -----------------------------------------------------------------------------------------


def _report(out: Output, opened: FaceIndex, result: MigrationResult, *, drop_missing: bool) -> None:
    if not result.switched:
        out.exit_code = PARTIAL
    if out.json:
        out.document(
            _SCHEMA,
            index=str(opened.directory),
            **{**result.as_dict(), "seconds": round(result.seconds, 3)},
        )
    elif not out.quiet:
        _print_summary(out, result)
    if result.interrupted:
        out.note("Stopped before the end. Finished photos are kept; `faceindex migrate` goes on.")
    elif not result.switched:
        number = count(len(result.not_migrated), "photo")
        out.error(
            f"{number} could not be read as indexed, so the index still has its old models.",
            "Mount their disks or make them readable, then run `faceindex migrate`; `faceindex index "
            "--prune` on a folder removes its missing photos."
            if drop_missing
            else "Put them back or run `faceindex index` on their folders, then `faceindex migrate`; or run "
            "`faceindex migrate --drop-missing` to remove them from the index.",
        )
    elif result.dropped_threshold is not None:
        out.warning(
            f"The clusters were made with --threshold {result.dropped_threshold:g}, a similarity of the old "
            "vectors. Now the calibrated threshold of the new embedder was used."
        )
    if result.switched and not result.clustered:
        out.hint("Next: faceindex cluster")


def _print_summary(out: Output, result: MigrationResult) -> None:
    rate = f", {result.read / result.seconds:.1f} photos/s" if result.read and result.seconds > 0 else ""
    head = _names(result.models) if result.switched else f"{_names(result.models)}; not switched yet"
    out.answer(out.styled(f"{head} in {duration(result.seconds)}{rate}", "bold"))
    reasons = Counter(photo.reason for photo in result.not_migrated)
    about = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
    left = result.photos - result.done_before - result.read - len(result.not_migrated)
    rows = [
        ("photos read", result.read, ""),
        ("done before", result.done_before, ""),
        ("left", left, ""),
        ("removed" if result.switched else "failed", len(result.not_migrated), about),
        ("faces", result.faces, ""),
        ("new faces", result.new, "found by the new detector only"),
        ("gone faces", result.gone, "" if result.models.boxes_kept else "not found by the new detector"),
        ("in another cluster", len(result.moved), ""),
    ]
    always = ("photos read", "faces") + (("in another cluster",) if result.clustered else ())
    _print_rows(out, [(name, f"{number:,}", text) for name, number, text in rows if number or name in always])
    if result.moved:
        _print_moved(out, result.moved)


def _print_moved(out: Output, moved: Sequence[MovedFace]) -> None:
    """Print how many faces moved from which cluster to which, most first, with a photo of each."""
    groups = Counter((face.old_cluster, face.new_cluster) for face in moved)
    examples = {(face.old_cluster, face.new_cluster): face.photo for face in reversed(moved)}
    shown = groups.most_common(None if out.verbose else _ROWS)
    rows = [(f"{number:,}", _cluster(old), _cluster(new), examples[old, new]) for (old, new), number in shown]
    out.answer()
    header = ("faces", "from cluster", "to cluster", "for example")
    for line in columns(rows, header=header, right=[0, 1, 2], width=out.width):
        out.answer(line)
    if len(shown) < len(groups):
        out.answer(f"and {count(len(groups) - len(shown), 'smaller group')}; -v shows all")


def _cluster(number: int | None) -> str:
    return "none" if number is None else str(number)
