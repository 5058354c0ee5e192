"""``faceindex index``: bring the index up to date with folders of photos.

Most runs find little or nothing to do, so they must start fast: this module imports no typer, and
`faceindex.cli.start` calls `index` directly for a plain list of paths.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.addresses import is_address
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.host import HeapKeeper, collection_paused
from faceindex.cli.render import Output, columns, count, duration, size
from faceindex.cli.stopping import stoppable
from faceindex.cli.waiting import WAIT
from faceindex.errors import ImageError, UsageError
from faceindex.paths import stat

if TYPE_CHECKING:
    from faceindex.api import FaceIndex, IndexPlan
    from faceindex.cli.log import RunLog
    from faceindex.cli.options import (
        ActorsOption,
        AllVersionsFlag,
        CheckContentFlag,
        DebugFlag,
        DetectorOption,
        DeviceOption,
        DryRunFlag,
        EmbedderOption,
        ExcludeOption,
        FailOnOption,
        FlipFlag,
        FromListOption,
        HalfFlag,
        IndexOption,
        JsonFlag,
        KeepGoneOption,
        LogOption,
        MaxMemoryOption,
        MinFaceOption,
        NewerThanOption,
        NoVideosFlag,
        OnOption,
        PathsArgument,
        PruneFlag,
        QuietFlag,
        RetryFailedFlag,
        SearchOption,
        UpsampleOption,
        VerboseFlag,
        VideoIntervalOption,
    )
    from faceindex.cli.progress import IndexBar
    from faceindex.documents import Json
    from faceindex.pipeline import Event, Selection, Summary

__all__ = ["index"]

_SCHEMA = "faceindex/index/1"
_PLAN_SCHEMA = "faceindex/index-plan/1"


def index(
    paths: PathsArgument = None,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    min_face: MinFaceOption = None,
    upsample: UpsampleOption = None,
    flip: FlipFlag = None,
    half: HalfFlag = None,
    device: DeviceOption = "auto",
    on: OnOption = None,
    actors: ActorsOption = None,
    search: SearchOption = None,
    retry_failed: RetryFailedFlag = False,
    check_content: CheckContentFlag = False,
    from_list: FromListOption = None,
    exclude: ExcludeOption = None,
    newer_than: NewerThanOption = None,
    all_versions: AllVersionsFlag = False,
    no_videos: NoVideosFlag = False,
    video_interval: VideoIntervalOption = None,
    prune: PruneFlag = False,
    keep_gone: KeepGoneOption = None,
    fail_on: FailOnOption = "new",
    dry_run: DryRunFlag = False,
    log: LogOption = None,
    max_memory: MaxMemoryOption = None,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Find the faces on photos and store them. Later runs open only new and changed photos.

    Creates the index if there is none, as .faceindex in the current folder. Ctrl-C stops after the current
    photos; finished work is kept, and the next run continues from there.

    Exit code 1 if it was stopped, if there are no photos, or if photos cannot be read: by default only photos
    that earlier runs could read or did not see, or that you named or asked for by --retry-failed, or that are
    still being written.

    Examples:
      faceindex index ~/Pictures
      faceindex index s3://bucket/photos
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api.opening import existing_index, index_to_create
        from faceindex.cli.progress import IndexBar
        from faceindex.images.limits import limit_memory

        if fail_on != "new":  # the default needs no check, and this module starts fast
            from faceindex.cli.unreadable import check_fail_on

            check_fail_on(fail_on)
        if on is not None or actors is not None:
            from faceindex.api.extraction import check_place

            check_place(on, actors, device)  # before an index is created
        options = {"min_face": min_face, "upsample": upsample, "flip": flip, "half": half}
        settings = {name: value for name, value in options.items() if value is not None}
        selection = None
        if exclude or newer_than or all_versions or no_videos or video_interval is not None:
            from faceindex.pipeline import select

            selection = select(
                exclude or (), newer_than, all_versions, videos=not no_videos, video_interval=video_interval
            )
        paths = _all_paths(paths, from_list)
        found = existing_index(index)
        if found is None:
            _check_paths(paths)  # before an index is created for a misspelled path
        directory = found or index_to_create(index)
        if search is not None:
            from faceindex.engine.milvus_address import parse_search

            parse_search(search, directory)  # before an index is created
        if dry_run:
            if log is not None:
                raise UsageError("--log and --dry-run exclude each other.", "Choose one.")
            with IndexBar(out) as bar:
                scan = (retry_failed, prune, check_content)
                plan = _plan(directory, paths, detector, embedder, settings, scan, selection, bar)
            _report_plan(out, directory, plan)
            return
        with contextlib.ExitStack() as stack:
            stack.enter_context(limit_memory(max_memory))
            run_log = None
            if log is not None:
                from faceindex.cli.log import RunLog

                run_log = stack.enter_context(RunLog(log, directory, out))
            bar = stack.enter_context(IndexBar(out))
            on_event = _listener(bar, run_log, stack.enter_context(collection_paused()))
            if found is None:
                bar.show_loading()

            from faceindex.api import FaceIndex

            opened = stack.enter_context(
                FaceIndex.open_or_create(
                    index,
                    detector=detector,
                    embedder=embedder,
                    settings=settings,
                    device=device,
                    wait=WAIT,
                    load_models=on is None,  # on an engine, its workers load them
                )
            )
            if found is None:
                _note_creation(out, opened, detector, embedder)
            if search is not None and (left := opened.searching.choose(search)) is not None:
                out.warning(left)
            with stoppable(out) as should_stop:
                summary = opened.add(
                    paths,
                    retry_failed=retry_failed,
                    prune=prune,
                    **({} if keep_gone is None else {"keep_days": keep_gone}),
                    check_content=check_content,
                    exclude=[] if log is None else [log],
                    selection=selection,
                    on=on,
                    actors=actors,
                    on_event=on_event,
                    should_stop=should_stop,
                )
            bar.close()
            _report(out, opened.directory, summary, run_log, fail_on)


def _note_creation(out: Output, opened: FaceIndex, detector: str | None, embedder: str | None) -> None:
    """Print the models of a new index, why they were chosen, and what would be more accurate."""
    from faceindex.models import AUTO, choose, names

    choice = choose(detector, embedder)
    reason = f": {choice.reason}" if choice.reason else ""
    out.note(
        f"Created an index in {opened.directory} ({opened.pins.detector}, {opened.pins.embedder}{reason})."
    )
    if choice.better:
        download = size(sum(weight.size for weight in choice.missing))
        requested = {"--detector": detector, "--embedder": embedder}
        flags = " ".join(f"{flag} {AUTO}" for flag, name in requested.items() if name in (None, AUTO))
        people = not {*choice.better}.isdisjoint(names("embedder"))
        gain = "far fewer people are mixed up" if people else "more faces are found"
        out.note(
            f"With {' and '.join(choice.better)}, {gain}. "
            f"`faceindex models fetch` downloads {download}, once. "
            f"Then `faceindex migrate {flags}` moves this index to them."
        )
    _note_if_uncalibrated(out, opened.pins.embedder)


def _note_if_uncalibrated(out: Output, embedder: str) -> None:
    """Say once, when an index is made, what `cluster` and `identify` will need."""
    from faceindex import models
    from faceindex.errors import Uncalibrated

    try:
        models.calibration_of(models.get("embedder", embedder))
    except Uncalibrated as error:
        out.note(f"{error.problem} `cluster` and `identify` need that, or a --threshold. {error.remedy}")


def _all_paths(paths: Sequence[str] | None, from_list: str | None) -> list[str]:
    """Return the given paths and those of a list, after checking the addresses among them.

    Raises
    ------
    UsageError
        If there are none, or one is an address that cannot be used: before anything is created.
    """
    found = list(paths or ())
    for path in filter(is_address, found):
        from faceindex.images.remote import connect

        with contextlib.suppress(ImageError):  # the store is away: reported by the run
            connect(path)
    if from_list is not None:
        from faceindex.images.remote_listing import read_list

        found += read_list(from_list)
    if not found:
        raise UsageError("`faceindex index` needs PATH.", "Example: `faceindex index ~/Pictures`.")
    return found


def _check_paths(paths: Sequence[str]) -> None:
    for path in paths:
        if not _may_exist(path):
            raise UsageError(
                f"There is no file or folder '{path}'.", "Check the spelling and the current directory."
            )


def _may_exist(path: str) -> bool:
    if is_address(path):
        return True  # its store is asked by the run
    try:
        stat(path, follow=False)
    except PermissionError:
        return True  # the run reports what it cannot read
    except (OSError, ValueError):
        return False
    return True


def _listener(
    bar: IndexBar, log: RunLog | None, resume_collection: Callable[[], None]
) -> Callable[[Event], None]:
    """Return a function that passes the events of a run to the bar and the log, and tunes this process."""
    from faceindex.pipeline.events import Committed, Loaded, Planned

    heap = HeapKeeper()

    def on_event(event: Event) -> None:
        match event:
            case Planned(photos) if photos:
                heap.start()
            case Loaded():
                resume_collection()
            case Committed():
                heap.on_commit()
        bar.on_event(event)
        if log is not None:
            log.on_event(event)

    return on_event


# The summary of a run ----------------------------------------------------------------------------


def _report(out: Output, directory: Path, summary: Summary, log: RunLog | None, fail_on: str) -> None:
    rate = summary.opened / summary.seconds if summary.opened and summary.seconds > 0 else None
    nothing = not (summary.photos or summary.gone or summary.unfinished or summary.older)
    unreadable, unfinished = sum(summary.unreadable.values()), summary.unfinished
    failures = {"new": summary.new_unreadable + unfinished, "any": unreadable + unfinished, "never": 0}
    if nothing or summary.missing or summary.interrupted or failures[fail_on]:
        out.exit_code = PARTIAL
    document: dict[str, Json] = {
        "index": str(directory),
        "photos": summary.photos,
        "new": summary.new,
        "changed": summary.changed,
        "moved": summary.moved,
        "new_metadata": summary.new_metadata,
        "unchanged": summary.unchanged,
        "returned": summary.returned,
        "gone": summary.gone,
        "kept_until": summary.kept_until,
        "missing": summary.missing,
        "excluded": summary.excluded,
        "unreadable": unreadable,
        "unreadable_by_reason": dict(summary.unreadable),
        "known_unreadable": summary.known_unreadable,
        "new_unreadable": summary.new_unreadable,
        "unfinished": unfinished,
        "partial": summary.partial,
        "older": summary.older,
        "raw_companions": summary.raw_companions,
        "clips": summary.clips,
        "in_stores": summary.in_stores,
        "videos": summary.videos,
        "moments": summary.moments,
        "video_seconds": round(summary.video_seconds, 3),
        "videos_left_out": summary.videos_left_out,
        "ignored": summary.ignored,
        "without_face": summary.without_face,
        "with_note": summary.with_note,
        "faces": summary.faces,
        "by_hand": summary.by_hand,
        "read_once": summary.read_once,
        "compared": summary.compared,
        "altered": summary.altered,
        "opened": summary.opened,
        "seconds": round(summary.seconds, 3),
        "photos_per_second": None if rate is None else round(rate, 2),
        "interrupted": summary.interrupted,
    }
    if log is not None:
        log.write_summary(document)
    if out.json:
        out.document(_SCHEMA, **document)
    elif not out.quiet:
        _print_summary(out, summary, rate)
    if summary.interrupted:
        out.note("Stopped before the end. Finished photos are in the index; run it again to continue.")
    elif nothing and not summary.missing:
        out.warning("No photos were found there.")
    elif summary.new or summary.changed or summary.gone:
        out.hint("Next: faceindex cluster")


def _print_summary(out: Output, summary: Summary, rate: float | None) -> None:
    speed = f", {rate:.1f} photos/s" if rate is not None else ""
    out.answer(out.styled(f"{count(summary.photos, 'photo')} in {duration(summary.seconds)}{speed}", "bold"))
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in summary.unreadable.most_common())
    known = f"; known before {summary.known_unreadable:,}" if summary.known_unreadable else ""
    watched = f"{duration(summary.video_seconds)}, {count(summary.moments, 'moment')} kept"
    from faceindex.images.moments import videos_are_readable

    about_videos = "" if videos_are_readable() else "`pip install 'faceindex[video]'` reads them"
    rows = [
        ("new", summary.new, ""),
        ("changed", summary.changed, ""),
        ("moved or renamed", summary.moved, ""),
        ("new metadata", summary.new_metadata, "same picture: faces and clusters kept"),
        ("unchanged", summary.unchanged, ""),
        ("read once", summary.read_once, "unchanged; their pictures and dates are now in the index"),
        ("returned", summary.returned, "were gone or changed; faces and clusters are back"),
        (
            "gone",
            summary.gone,
            f"their faces are kept until {summary.kept_until}" if summary.kept_until else "",
        ),
        ("  left out", summary.excluded, "of these; they match a pattern"),
        ("compared", summary.compared, "unchanged; read to compare their content"),
        ("altered", summary.altered, "other content, although size and time are unchanged"),
        ("missing, kept", summary.missing, "--prune removes them"),
        ("unreadable", sum(summary.unreadable.values()), reasons + known),
        ("being written", summary.unfinished, "left for the next run"),
        ("not complete", summary.partial, "downloads or copies in progress, by their names"),
        ("older", summary.older, "new or changed, but modified before --newer-than"),
        ("RAW files", summary.raw_companions, "beside their JPEG or HEIC, which counts"),
        ("clips", summary.clips, "of Live Photos, beside their picture"),
        ("videos", summary.videos, watched),
        ("videos left out", summary.videos_left_out, about_videos),
        ("not read", summary.in_stores, "archives and videos in an object store; copy them to this machine"),
        ("without a face", summary.without_face, ""),
        ("with a note", summary.with_note, "damaged metadata, or several pages; see `faceindex status -v`"),
        ("ignored", summary.ignored, "files that are not photos"),
        ("new faces", summary.faces, ""),
        ("drawn by hand", summary.by_hand, "faces that you drew, embedded now"),
    ]
    _print_rows(
        out,
        [(name, f"{number:,}", about) for name, number, about in rows if number or name == "new faces"],
    )


def _print_rows(out: Output, rows: Sequence[tuple[str, str, str]]) -> None:
    for line in columns(rows, right=[1], indent=2, width=out.width):
        out.answer(line)


# Dry runs ----------------------------------------------------------------------------------------


def _plan(
    directory: Path,
    paths: Sequence[str],
    detector: str | None,
    embedder: str | None,
    settings: dict[str, bool | int | float],
    scan: tuple[bool, bool, bool],
    selection: Selection | None,
    bar: IndexBar,
) -> IndexPlan:
    """Plan a run on the index in `directory`, or on a new one, after checking models and settings."""
    from faceindex.api.opening import existing_index
    from faceindex.api.pins import check_pins, make_pins

    if existing_index(directory) is None:
        from faceindex.api.planning import plan_photos
        from faceindex.models import choose

        choice = choose(detector, embedder)
        make_pins(choice.detector, choice.embedder, settings)
        return plan_photos(None, paths, selection=selection, on_event=bar.on_event)
    from faceindex.api import FaceIndex

    with FaceIndex.open(directory) as opened:
        check_pins(opened.pins, opened.directory, detector, embedder, settings)
        retry_failed, prune, check_content = scan
        return opened.plan(
            paths,
            retry_failed=retry_failed,
            prune=prune,
            check_content=check_content,
            selection=selection,
            on_event=bar.on_event,
        )


def _report_plan(out: Output, directory: Path, plan: IndexPlan) -> None:
    nothing = not plan.photos and not plan.gone
    if nothing:
        out.exit_code = PARTIAL
    if out.json:
        out.document(
            _PLAN_SCHEMA, index=str(directory.absolute()), dry_run=True, photos=plan.photos, **plan.as_dict()
        )
    elif not out.quiet:
        _print_plan(out, plan)
    if nothing:
        out.warning("No photos were found there.")


def _print_plan(out: Output, plan: IndexPlan) -> None:
    out.answer(out.styled(f"{count(plan.photos, 'photo')}; dry run, nothing was changed", "bold"))
    counts = [
        ("new", plan.new, ""),
        ("changed", plan.changed, "faces are kept if only metadata are new"),
        ("to compare", plan.to_compare, "perhaps moved, renamed or only touched"),
        ("tried again", plan.retried, "unreadable before"),
        ("unchanged", plan.unchanged, ""),
        ("read once", plan.read_once, "unchanged, for their pictures and dates"),
        ("compared", plan.to_check, "unchanged, to compare their content"),
        ("older", plan.older, "new or changed, but modified before --newer-than"),
        ("gone", plan.gone, "to leave the index" + (", unless they were moved" if plan.to_compare else "")),
        ("missing, kept", plan.missing, "--prune removes them"),
        ("unreadable", plan.known_unreadable, "known before, not tried again"),
        ("unreachable", plan.unreachable, "cannot be read"),
        ("other files", plan.other_files, "not named like photos; opened once"),
    ]
    rows = [(name, f"{number:,}", about) for name, number, about in counts if number or name == "new"]
    if plan.new + plan.changed + plan.retried:
        rows += _forecasts(plan)
    _print_rows(out, rows)


def _forecasts(plan: IndexPlan) -> list[tuple[str, str, str]]:
    rows = []
    if plan.seconds is None or plan.photos_per_second is None or plan.measured_at is None:
        rows.append(("time", "unknown", "no earlier run to measure by"))
    else:
        when = plan.measured_at.astimezone()
        rate = f"at {plan.photos_per_second:.1f} photos/s, as on {when:%Y-%m-%d %H:%M}"
        rows.append(("time", duration(plan.seconds), rate))
    if plan.bytes is None:
        rows.append(("disk", "unknown", "no earlier run to measure by"))
    else:
        rows.append(("disk", size(plan.bytes), "as much for each photo as in the index now"))
    return rows
