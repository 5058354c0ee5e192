"""Options of the commands.

Options of `index` and `identify` are here too, not beside their functions: these two commands start without
typer (`faceindex.cli.start`), and `faceindex.cli.app` resolves their annotations in this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from faceindex.models import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, DEFAULT_MIN_FACE

__all__ = [
    "DebugFlag",
    "DetectorOption",
    "DeviceOption",
    "EmbedderOption",
    "FlipFlag",
    "HalfFlag",
    "IdentifyThresholdOption",
    "IndexOption",
    "JsonFlag",
    "MinFaceOption",
    "NeighboursOption",
    "OpenFlag",
    "PathsArgument",
    "PhotosArgument",
    "PruneFlag",
    "QuietFlag",
    "RetryFailedFlag",
    "ShowFlag",
    "UpsampleOption",
    "VerboseFlag",
]

IndexOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        envvar="FACEINDEX_INDEX",
        help="The index to use. Without it, .faceindex in the current folder or the nearest one above.",
    ),
]

DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device for the networks: auto, cpu, cuda, cuda:N or mps. auto uses a GPU if there is one.",
    ),
]

JsonFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Answer with one JSON document on standard output.",
    ),
]

QuietFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Only answers and errors: no progress, notes or summaries.",
    ),
]

VerboseFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print more details."),
]

DebugFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error."),
]

# index -----------------------------------------------------------------------------------------

PathsArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Folders, searched at any depth, and single photos."),
]

DetectorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="Model that finds faces (see `faceindex models`). Fixed when the index is made; "
        f"{DEFAULT_DETECTOR} by default.",
    ),
]

EmbedderOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME",
        help="Model that turns faces into vectors. Fixed when the index is made; "
        f"{DEFAULT_EMBEDDER} by default.",
    ),
]

MinFaceOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        metavar="PIXELS",
        help="Side of the smallest face to find. A smaller value finds more and takes longer. Fixed when the "
        f"index is made; {DEFAULT_MIN_FACE:g} by default with {DEFAULT_DETECTOR}.",
    ),
]

UpsampleOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--upsample",
        metavar="N",
        help="How many times dlib's detectors double the photo. Each doubling finds faces half as large, in "
        "four times the time. Fixed when the index is made.",
    ),
]

FlipFlag: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Let facenet average each face with its mirror image, in twice the time. Fixed when the index "
        "is made.",
    ),
]

HalfFlag: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--half/--no-half",
        help="Embed in bfloat16 where the processor or GPU has instructions for it: half the time, nearly "
        "the same similarities. Fixed when the index is made.",
    ),
]

RetryFailedFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--retry-failed", help="Try unreadable photos again even if they have not changed."),
]

PruneFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Remove the photos of a folder from the index even if all of them are missing. Without it they "
        "are kept, in case a disk is not mounted.",
    ),
]

# identify --------------------------------------------------------------------------------------

PhotosArgument: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="IMAGE", help="Photos; they need not be in the index.")
]

NeighboursOption: TypeAlias = Annotated[
    int, typer.Option("--neighbours", min=0, metavar="N", help="Number of most similar faces to list.")
]

IdentifyThresholdOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=-1,
        max=1,
        metavar="SIMILARITY",
        help="Least similarity (-1..1) of a known person. Without it, a calibrated one that grows with the "
        "number of faces in the index.",
    ),
]

ShowFlag: TypeAlias = Annotated[
    bool, typer.Option("--show", help="Draw each face and the most similar ones on this terminal.")
]

OpenFlag: TypeAlias = Annotated[
    bool, typer.Option("--open", help="Show each face and the most similar ones in the system's viewer.")
]
