"""``faceindex models calibrate``: measure from which similarity two faces show one person."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex import models
from faceindex.cli.completion import complete_from, complete_models
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import (
    DebugFlag,
    DeviceOption,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.render import Output, columns, finite
from faceindex.errors import UsageError
from faceindex.models import EmbedderSpec
from faceindex.models.calibrations import check_replaceable

if TYPE_CHECKING:
    from faceindex.evaluation.calibration import Calibrated

__all__ = ["calibrate"]

_SCHEMA = "faceindex/models-calibrate/1"


def calibrate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An embedder.", autocompletion=complete_models("embedder"))
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            callback=expand_home,
            help="Photos in one folder for each person. Without it, the photos of an index.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=expand_home,
            help="A CSV file of who is on which photo, as for `faceindex eval`.",
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(
            metavar="CHOICE",
            autocompletion=complete_from("largest", "center", "all"),
            help="The face of a photo that its label applies to: largest (the default), center or all.",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models("detector"),
            help="Model that finds the faces in FOLDER; the most accurate whose weight files are there by "
            "default.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the calibration that the embedder has.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete your calibration of the embedder, and stop.")
    ] = False,
    device: DeviceOption = "auto",
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measure which similarity means one person.

    `cluster` and `identify` need this calibration of the embedder. With FOLDER, it is measured by labelled
    photos: the folder of a photo is named after the person. Without FOLDER and --labels, it is measured by
    the photos of an index that show several people, who are different people; that is less exact. The
    result is stored in your user folder, for these weights only. Exit code 1 if the photos are too few.

    Example: faceindex models calibrate facenet ~/people --replace
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        spec = models.get("embedder", name)
        if forget:
            _forget(out, name, folder)
            return
        check_replaceable(spec, replace=replace)  # before minutes of work
        for weight in spec.weights:
            models.find_weights(weight)
        if folder is None:
            found = _on_index(out, name, index, labels, face, detector)
        else:
            found = _on_folder(out, name, folder, labels, face, detector, device)
        path = models.save_calibration(spec, found.calibration, replace=replace)
        _report(out, spec, found, path)


def _forget(out: Output, name: str, folder: Path | None) -> None:
    if folder is not None:
        raise UsageError("--forget takes no FOLDER.", "Leave it out.")
    path = models.calibrations.calibration_path(name)
    forgotten = models.forget_calibration(name)
    if not forgotten:
        out.exit_code = PARTIAL
        out.note(f"You have not calibrated {name}.")
    else:
        out.answer(f"deleted: {path}")
    if out.json:
        out.document(_SCHEMA, embedder=name, path=str(path), forgotten=forgotten)


def _on_folder(
    out: Output,
    name: str,
    folder: Path,
    labels: Path | None,
    face: str | None,
    detector: str | None,
    device: str,
) -> Calibrated:
    import shutil
    import tempfile

    from faceindex.api.calibration import calibrate_on_folder
    from faceindex.cli.progress import IndexBar
    from faceindex.cli.stopping import stoppable

    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="faceindex-"))
        bar = stack.enter_context(IndexBar(out))
        should_stop = stack.enter_context(
            stoppable(out, before_quitting=lambda: shutil.rmtree(temporary, ignore_errors=True))
        )
        return calibrate_on_folder(
            name,
            folder,
            labels=labels,
            face=face,
            detector=detector,
            device=device,
            temporary=temporary,
            on_event=bar.on_event,
            should_stop=should_stop,
        )


def _on_index(
    out: Output,
    name: str,
    directory: Path | None,
    labels: Path | None,
    face: str | None,
    detector: str | None,
) -> Calibrated:
    from faceindex.api import FaceIndex

    if face is not None and labels is None:
        raise UsageError("`face` chooses among the faces of labelled photos.", "Pass `labels` or a folder.")
    with FaceIndex.open(directory) as index:
        pins = index.pins
        wanted = f"the embedder {name}" if detector is None else f"{detector} and {name}"
        if pins.embedder != name or detector not in (None, pins.detector):
            raise UsageError(
                f"The index {index.directory} was made with {pins.detector} and {pins.embedder}.",
                f"Pass an index made with {wanted} as `directory`, or a folder with one subfolder a person.",
            )
        with out.working("Comparing the faces"):
            if labels is not None:
                return index.evaluation.calibrate(labels, face=face)
            return index.evaluation.calibrate_without_labels()


def _report(out: Output, spec: EmbedderSpec, found: Calibrated, path: Path) -> None:
    measured = found.calibration
    for warning in found.warnings:
        out.warning(warning)
    if out.json:
        before = spec.calibration
        out.document(
            _SCHEMA,
            embedder=spec.name,
            path=str(path),
            forgotten=False,
            method=found.method,
            slope=measured.slope,
            midpoint=measured.midpoint,
            consensus=measured.consensus,
            blurred=measured.blurred,
            strangers=measured.strangers,
            known=measured.known,
            poor=measured.poor,
            source=measured.source,
            threshold=finite(measured.threshold(found.faces)),
            faces=found.faces,
            people=found.people,
            photos=found.photos,
            same_pairs=found.same_pairs,
            different_pairs=found.different_pairs,
            halves=[{"slope": slope, "midpoint": midpoint} for slope, midpoint in found.halves],
            disagreement=None if found.disagreement is None else finite(found.disagreement),
            before=None if before is None else {"slope": before.slope, "midpoint": before.midpoint},
            warnings=list(found.warnings),
        )
        return
    out.answer(out.styled(f"{spec.name} is calibrated", "bold"))
    rows = [("slope", f"{measured.slope:g} nats for each unit of similarity")]
    rows.append(("midpoint", f"{measured.midpoint:g}, as likely one person as two"))
    needed = ", ".join(f"{measured.threshold(n):.3f} among {n:,} faces" for n in (100, 1_000, 10_000))
    rows.append(("needed", needed))
    if found.method == "labels":
        blurred = f"below {measured.blurred:g}" if measured.blurred else "no limit found"
        rows += [("consensus", f"{measured.consensus:g} nats"), ("blurred", blurred)]
    rows.append(("identify", f"strangers at {measured.strangers:g} nats, known people at {measured.known:g}"))
    rows += [("source", measured.source), ("stored", str(path))]
    for line in columns(rows, indent=2, width=out.width):
        out.answer(line)
    out.hint("Next: faceindex cluster")
