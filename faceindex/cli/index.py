"""``faceindex index``: its options. What it does is in `faceindex.cli.indexing`."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.indexing import run
from faceindex.cli.options import DebugFlag, DeviceOption, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.models import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, DEFAULT_MIN_FACE

__all__ = ["index"]


def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Folders, which are searched to any depth, and single photos."),
    ],
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What finds faces (see `faceindex models`). Chosen when the index is made; "
            f"{DEFAULT_DETECTOR} if not.",
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"What turns faces into vectors. Chosen when the index is made; {DEFAULT_EMBEDDER} if not.",
        ),
    ] = None,
    min_face: Annotated[
        float | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the smallest face that is looked for. Smaller finds more, and takes longer. "
            f"Chosen when the index is made; {DEFAULT_MIN_FACE:g} with {DEFAULT_DETECTOR} if not.",
        ),
    ] = None,
    upsample: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How often dlib's detectors double the photo first; each time finds faces half as large, "
            "in four times the time. Chosen when the index is made.",
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Whether facenet also looks at each face mirrored, in twice the time. Chosen when the index "
            "is made.",
        ),
    ] = None,
    half: Annotated[
        bool | None,
        typer.Option(
            "--half/--no-half",
            help="Whether faces are embedded in bfloat16 where the processor or GPU has instructions for it: "
            "half the time, nearly the same similarities. Chosen when the index is made.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try unreadable photos again although they are unchanged.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Take the photos of a folder out of the index even if all of them are gone. Without it "
            "they are kept then, in case a disk is not mounted.",
        ),
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Find the faces on photos and remember them. Run it again after changes: only those are looked at.

    Makes the index if there is none, in .faceindex in the current folder. Ctrl-C stops after the photos
    in hand, and nothing that was done is lost: the next run goes on from there.
    """
    run(
        paths,
        directory=index,
        detector=detector,
        embedder=embedder,
        min_face=min_face,
        options={"upsample": upsample, "flip": flip, "half": half},
        device=device,
        retry_failed=retry_failed,
        prune=prune,
        json=json,
        quiet=quiet,
        verbose=verbose,
        debug=debug,
    )
