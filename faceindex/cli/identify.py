"""``faceindex identify``: find the people on photos.

Each call starts a new process, so it must start fast: this module imports no typer, and
`faceindex.cli.start` calls `identify` directly for a plain list of photos.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from faceindex.addresses import absolute_path
from faceindex.cli.answers import answer_as_json, print_answer
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.host import HeapKeeper, collection_paused
from faceindex.cli.newer import note_newer_faces
from faceindex.cli.queries import STANDARD_INPUT, Query, find_queries, with_moments
from faceindex.cli.render import Output, count, duration
from faceindex.errors import FaceIndexError, ImageError, NoFaceFound, Reason, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from faceindex.api import FaceIndex, Identification
    from faceindex.cli.options import (
        AbsoluteFlag,
        DebugFlag,
        DeviceOption,
        FalseAlarmsOption,
        IdentifyThresholdOption,
        IndexOption,
        JsonFlag,
        MaxMemoryOption,
        NeighboursOption,
        OpenFlag,
        PhotosArgument,
        QuietFlag,
        SaveOption,
        ShowFlag,
        StrictFlag,
        VerboseFlag,
    )
    from faceindex.cli.progress import IdentifyBar
    from faceindex.types import Image

    _Answer: TypeAlias = Identification | FaceIndexError

__all__ = ["identify"]

_SCHEMA = "faceindex/identify/3"
_TRIM_AFTER = 64  # photos, as many as `index` commits
_SUMMARY_FROM = 17  # photos; fewer answers need no summary


def identify(
    photos: PhotosArgument,
    neighbours: NeighboursOption = 5,
    strict: StrictFlag = False,
    max_false_alarms: FalseAlarmsOption = None,
    threshold: IdentifyThresholdOption = None,
    device: DeviceOption = "auto",
    show: ShowFlag = False,
    viewer: OpenFlag = False,
    save: SaveOption = None,
    absolute: AbsoluteFlag = False,
    max_memory: MaxMemoryOption = None,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Identify the people on photos.

    For each face, prints the person, or the cluster of a person without a name, with the probability that it
    is this person, or "unknown". The most similar faces of the index follow. At most 1 % of strangers are
    named, whatever the size of the index. What you said of a face on this picture holds, whatever the
    similarity. The similarity to a person is the mean over the three most similar faces of a cluster; the
    margin is the lead over the next person. Exit code 1 if a photo has no answer: it is unreadable, has no
    face, or `faceindex cluster` has not run.

    Example: faceindex identify party.jpg --save party-faces.png
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        how, files = None, []
        if strict and threshold is not None:
            raise UsageError("--strict and --threshold exclude each other.", "Choose one.")
        options = _Options(neighbours, threshold, _rate(max_false_alarms, strict=strict))
        if show:
            from faceindex.cli.pictures import no_pictures, protocol

            how = protocol() if out.terminal else None
            if how is None:
                raise no_pictures("--open, or --save FILE.png")
        from faceindex.api import FaceIndex
        from faceindex.cli.progress import IdentifyBar
        from faceindex.evidence import FALSE_ALARMS
        from faceindex.images.limits import limit_memory

        with (
            limit_memory(max_memory),
            FaceIndex.open(index, device=device) as faces,
            IdentifyBar(out) as bar,
        ):
            queries, origins = find_queries(photos, exclude=[faces.directory], on_files=bar.scan)
            queries = with_moments(queries, faces.moments)
            if save is not None:
                from faceindex.cli.pictures import check_files, numbered_files

                files = numbered_files(save, list(map(_stem, queries)))
                check_files(out, faces, files, [query.name for query in queries if _is_path(query)])
                for file in files:
                    faces.export.record_picture(file)
            clustered, newer = faces.clustering is not None, faces.cluster.newer_faces()
            rate = options.max_false_alarms or FALSE_ALARMS
            if not clustered:
                out.error(
                    "The faces have not been grouped into people yet.",
                    "Run `faceindex cluster`. Until then, only the most similar faces are listed.",
                )
                out.exit_code = PARTIAL
            if not len(faces):
                out.error("The index has no faces.", "Add photos with `faceindex index PATH...`.")
                out.exit_code = PARTIAL
            run = _Run(out, faces, options, bar, absolute, how, keep=bool(files) or viewer)
            with contextlib.closing(run.answers(queries)) as answers:
                if json:
                    out.array(
                        _SCHEMA,
                        "photos",
                        (
                            answer_as_json(run.name(query), answer, absolute)
                            for query, answer in _once_models_work(answers)
                        ),
                        indent=2,
                        index=str(faces.directory),
                        clustered=clustered,
                        newer_faces=newer,
                        max_false_alarms=None if threshold is not None else rate,
                    )
                    out.flush()
                else:
                    for _ in answers:
                        pass  # printed one by one
            bar.close()
            run.report(len(queries), origins)
            note_newer_faces(out, newer)
            # Pictures come last, so that the answer is complete even if one of them fails.
            if files:
                _save(out, faces, run.kept, files)
            if viewer:
                _open(out, faces, run.kept, files)


def _rate(text: str | None, *, strict: bool) -> float | None:
    """Read a share of strangers: a number, or a percentage."""
    if strict:
        if text is not None:
            raise UsageError("--strict and --max-false-alarms exclude each other.", "Choose one.")
        from faceindex.evidence import STRICT_FALSE_ALARMS

        return STRICT_FALSE_ALARMS
    if text is None:
        return None
    number = text.strip()
    try:
        rate = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        rate = math.nan
    if not math.isfinite(rate):
        raise UsageError(
            f"--max-false-alarms is {text!r}, which is not a share.", "Write it like 1% or 0.01."
        )
    return rate


@dataclass(frozen=True, slots=True)
class _Options:
    """How to identify; parameters of `faceindex.FaceIndex.identify`."""

    neighbours: int
    threshold: float | None
    max_false_alarms: float | None


@dataclass(slots=True)
class _Run:
    """Identifies photos, prints the answers, and counts them.

    Parameters
    ----------
    out : Output
    faces : FaceIndex
    options : _Options
    bar : IdentifyBar
    absolute : bool
        Print absolute paths.
    how : str or None
        How to draw each answer on the terminal; None if not.
    keep : bool
        Keep the answers, for pictures.

    Attributes
    ----------
    kept : list of (int, Query, Identification)
        The answers with a face and their numbers, if they are kept.
    """

    out: Output
    faces: FaceIndex
    options: _Options
    bar: IdentifyBar
    absolute: bool
    how: str | None
    keep: bool
    kept: list[tuple[int, Query, Identification]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _done: int = 0
    _by_origin: Counter[str] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)

    def answers(self, queries: Sequence[Query]) -> Generator[tuple[Query, _Answer], None, None]:
        """Yield each photo with its answer, or the error, after printing it.

        Files in folders that are not photos are left out.
        """
        self._began = time.monotonic()
        with contextlib.closing(self._identified(queries)) as answers:
            for number, (query, answer) in enumerate(answers):
                self._done += 1
                if len(queries) > 1:
                    self.bar.advance()
                if query.origin is not None and isinstance(answer, ImageError) and _no_photo(query, answer):
                    self.out.detail(f"{query.name}: left out, not a photo")
                    self._counts["other"] += 1
                    continue
                if query.origin is not None:
                    self._by_origin[query.origin] += 1
                self._print(query, answer)
                if self.keep and not isinstance(answer, FaceIndexError):
                    self.kept.append((number, query, answer))
                yield query, answer
                self.out.flush()  # what the consumer has written

    def _identified(self, queries: Sequence[Query]) -> Generator[tuple[Query, _Answer], None, None]:
        photos = [query.photo for query in queries if query.error is None]
        self.bar.begin(len(queries))
        with contextlib.ExitStack() as stack:
            resume_collection = stack.enter_context(collection_paused())  # while models are loaded
            if len(photos) == 1:
                found: Iterator[_Answer] = self._identify_one(photos[0])
            else:
                from faceindex.cli.stopping import stoppable
                from faceindex.pipeline.events import Event, Loaded

                def on_event(event: Event) -> None:
                    if isinstance(event, Loaded):
                        resume_collection()
                    self.bar.on_event(event)

                trim = _heap_keeper()
                should_stop = stack.enter_context(stoppable(self.out))
                many = self.faces.identify_many(
                    photos,
                    neighbours=self.options.neighbours,
                    threshold=self.options.threshold,
                    max_false_alarms=self.options.max_false_alarms,
                    on_event=on_event,
                    should_stop=should_stop,
                )
                found = stack.enter_context(contextlib.closing(many))
            for query in queries:
                answer = query.error or next(found, None)
                if answer is None:
                    break  # stopped
                yield query, _checked(query, answer)
                if len(photos) > 1:
                    trim()

    def _identify_one(self, photo: str | bytes) -> Generator[_Answer, None, None]:
        """Identify a single photo on all cores, which is faster than in a batch."""
        try:
            yield self.faces.identify(
                photo,
                neighbours=self.options.neighbours,
                threshold=self.options.threshold,
                max_false_alarms=self.options.max_false_alarms,
            )
        except ImageError as error:
            yield error

    def _print(self, query: Query, answer: _Answer) -> None:
        if isinstance(answer, FaceIndexError):
            self._counts["faceless" if isinstance(answer, NoFaceFound) else "unreadable"] += 1
            self.out.error(answer.problem, answer.remedy)
            self.out.exit_code = PARTIAL
            return
        if answer.note is not None:
            self.out.detail(f"{query.name}: {answer.note}")
        for face in answer.faces:
            doubtful = "doubtful" if face.confidence == "doubtful" else "unknown"
            known = face.cluster is not None or face.person is not None
            self._counts["known" if known else doubtful] += 1
        with self.out.aside():
            if not self.out.json:
                print_answer(self.out, self.name(query), answer, self.absolute)
            if self.how is not None:
                from faceindex.cli.pictures import draw

                draw(self.out, _picture(self.faces, query, answer), self.how)

    def name(self, query: Query) -> str:
        """Return the name of a photo in its answer."""
        return absolute_path(query.name) if self.absolute and _is_path(query) else query.name

    def report(self, total: int, origins: Sequence[str]) -> None:
        """Print what is missing, and a summary of many photos."""
        left = total - self._done
        if left:
            self.out.error(
                f"Stopped: {left:,} of {count(total, 'photo')} were left.", "Run it again to identify them."
            )
            self.out.exit_code = PARTIAL
        for origin in origins:
            if not left and not self._by_origin[origin]:
                if origin == STANDARD_INPUT:
                    self.out.error(f"The list on {origin} is empty.", "Check the command that writes it.")
                else:
                    self.out.error(f"No photo was found in {origin}.", "Check the path.")
                self.out.exit_code = PARTIAL
        photos = self._done - self._counts["other"]
        if photos < _SUMMARY_FROM or self.out.json:
            return
        seconds = time.monotonic() - self._began
        rate = f", {self._done / seconds:.1f} photos/s" if seconds > 0 else ""
        kinds = (
            ("known", "face", "of known people"),
            ("doubtful", "face", "doubtful"),
            ("unknown", "face", "unknown"),
            ("faceless", "photo", "without a face"),
            ("unreadable", "photo", "unreadable"),
        )
        parts = [
            f"{count(self._counts[kind], noun)} {text}" for kind, noun, text in kinds if self._counts[kind]
        ]
        self.out.note(f"{count(photos, 'photo')} in {duration(seconds)}{rate}: {', '.join(parts)}")


def _once_models_work(answers: Iterator[tuple[Query, _Answer]]) -> Iterator[tuple[Query, _Answer]]:
    """Hold unreadable photos back until the models were used: their error is a document of its own."""
    held = []
    for pair in answers:
        held.append(pair)
        if not isinstance(pair[1], ImageError):
            break
    yield from held
    yield from answers


def _heap_keeper() -> Callable[[], None]:
    """Keep the C heap from growing over many photos; return a function to call after each."""
    heap = HeapKeeper()
    heap.start()
    done = 0

    def on_photo() -> None:
        nonlocal done
        done += 1
        if done % _TRIM_AFTER == 0:
            heap.on_commit()

    return on_photo


def _no_photo(query: Query, error: ImageError) -> bool:
    """Return whether a file is not a photo and not named like one; `index` ignores these too."""
    from faceindex.images import IMAGE_SUFFIXES

    suffix = os.path.splitext(query.name)[1].lower()  # noqa: PTH122
    return error.reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY, Reason.VIDEO) and suffix not in IMAGE_SUFFIXES


def _checked(query: Query, answer: _Answer) -> _Answer:
    """Return an answer with a face, or the error that explains why there is none."""
    error = answer if isinstance(answer, ImageError) else None
    if not isinstance(answer, FaceIndexError):
        error = answer.error
        if error is None and not answer.faces:
            return NoFaceFound(
                f"{query.name}: no face was found.", "Try a photo on which the face is larger."
            )
    if error is not None and not _is_path(query):
        return ImageError(query.name, error.reason, error.detail, error.remedy)
    return error or answer


def _is_path(query: Query) -> bool:
    return isinstance(query.photo, str)


def _picture(faces: FaceIndex, query: Query, answer: Identification) -> Image:
    return faces.sheets.identification(answer, query.photo)


def _save(
    out: Output, faces: FaceIndex, kept: Sequence[tuple[int, Query, Identification]], files: Sequence[Path]
) -> None:
    from faceindex.cli.pictures import write_picture

    for number, query, answer in kept:
        write_picture(files[number], _picture(faces, query, answer))
        out.note(f"Saved {files[number]}.")


def _open(
    out: Output, faces: FaceIndex, kept: Sequence[tuple[int, Query, Identification]], files: Sequence[Path]
) -> None:
    """Open a picture of each photo: the saved one, or a temporary file."""
    from faceindex.cli.pictures import open_in_viewer, write_temporary

    if files:
        pictures = [files[number] for number, _, _ in kept]
    else:
        # All in one folder, so that a viewer for albums can leaf through them.
        pictures = write_temporary(
            (f"{number + 1}-{_stem(query)}", _picture(faces, query, answer)) for number, query, answer in kept
        )
    for picture in pictures:
        open_in_viewer(picture)
        out.note(f"Opened {picture}.")


def _stem(query: Query) -> str:
    return os.path.splitext(os.path.basename(query.name))[0]  # noqa: PTH119, PTH122 - pathlib starts more slowly
