"""Options of the commands.

Options of `index` and `identify` are here too, not beside their functions: these two commands start without
typer (`faceindex.cli.start`), and `faceindex.cli.app` resolves their annotations in this module.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from faceindex.cli.completion import complete_from, complete_models
from faceindex.cli.waiting import WAIT
from faceindex.models import AUTO, DEFAULT_MIN_FACE

__all__ = [
    "WAIT",
    "AbsoluteFlag",
    "ActorsOption",
    "AllVersionsFlag",
    "CheckContentFlag",
    "CsvFlag",
    "DebugFlag",
    "DetectorOption",
    "DeviceOption",
    "DryRunFlag",
    "EmbedderOption",
    "ExcludeOption",
    "FailOnOption",
    "FalseAlarmsOption",
    "FlipFlag",
    "FromListOption",
    "HalfFlag",
    "IdentifyThresholdOption",
    "IndexOption",
    "JsonFlag",
    "KeepGoneOption",
    "LogOption",
    "MinFaceOption",
    "NeighboursOption",
    "NewerThanOption",
    "NoVideosFlag",
    "OnOption",
    "OpenFlag",
    "PathsArgument",
    "PhotosArgument",
    "PruneFlag",
    "PublicFlag",
    "QuietFlag",
    "RetryFailedFlag",
    "SaveOption",
    "SearchOption",
    "ShowFlag",
    "StrictFlag",
    "UpsampleOption",
    "VerboseFlag",
    "VideoIntervalOption",
    "WithHiddenFlag",
    "YesFlag",
    "expand_home",
]


def expand_home(value: Any) -> Any:
    """Callback for paths: expand a leading ``~`` that the shell did not expand, as in quotes.

    Parameters
    ----------
    value : Path, str, list of these, or None

    Returns
    -------
    As `value`
        A path that exists as it is written stays.
    """
    if isinstance(value, (list, tuple)):
        return [expand_home(item) for item in value]
    if value is None or not os.fspath(value).startswith("~") or os.path.lexists(value):
        return value
    return type(value)(os.path.expanduser(value))  # noqa: PTH111 - Path.expanduser raises for unknown users


IndexOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        envvar="FACEINDEX_INDEX",
        show_envvar=False,
        callback=expand_home,
        help="The index to use. Without it, $FACEINDEX_INDEX; else .faceindex in the current folder or the "
        "nearest one above.",
    ),
]

DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        autocompletion=complete_from("auto", "cpu", "cuda", "mps"),
        help="Device for the networks: auto, cpu, cuda, cuda:N or mps. auto uses a GPU if there is one.",
    ),
]

JsonFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the answer as one JSON document.",
    ),
]

QuietFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print only answers and errors: no progress, notes or summaries.",
    ),
]

VerboseFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print more details."),
]
YesFlag: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not wait for an answer; needed without a terminal.")
]

DebugFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error."),
]

WithHiddenFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--with-hidden", help="Also the people that you have hidden."),
]

PublicFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--public",
        help="Let other users of this computer read it. Without it, only you can (modes 0600 and 0700).",
    ),
]

AbsoluteFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--absolute",
        help="Use absolute paths of photos. Without it, photos have the names given to `index`, which are "
        "valid paths only in the folder where it ran.",
    ),
]

CsvFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--csv", help="Print comma-separated values with a header, as in a pipe or a file."),
]

# index -----------------------------------------------------------------------------------------

PathsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        callback=expand_home,
        help="Folders, with all their subfolders, single photos, and archives (.zip, .tar); and addresses of "
        "folders and photos in object stores (s3://, gs://, az://, ...), and of photos on web servers.",
    ),
]

DetectorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        autocompletion=complete_models("detector"),
        help="Model that finds faces (see `faceindex models`). Fixed when the index is made. By default "
        f"{AUTO}: the most accurate whose weight files are there.",
    ),
]

EmbedderOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME",
        autocompletion=complete_models("embedder"),
        help=f"Model that turns faces into vectors. Fixed when the index is made. {AUTO} by default.",
    ),
]

MinFaceOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        metavar="PIXELS",
        help="Side of the smallest face to find. A smaller value finds more and takes longer. Fixed when the "
        f"index is made; {DEFAULT_MIN_FACE:g} by default, or what the detector is made for.",
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
        help="Average each face with its mirror image (facenet, mobilefacenet), in twice the time. Fixed "
        "when the index is made.",
    ),
]

HalfFlag: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--half/--no-half",
        help="Embed in bfloat16 (dlib, facenet) where the processor or GPU has instructions for it: half "
        "the time, nearly the same similarities. Fixed when the index is made.",
    ),
]

OnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ENGINE",
        autocompletion=complete_from("ray", "ray:auto"),
        help="Recognise photos in processes of Ray: ray starts it on this machine, ray:HOST:PORT or ray:auto "
        "joins a cluster, whose machines have the photos at the same paths. Needs the extra 'ray'.",
    ),
]

ActorsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--actors",
        metavar="N",
        help="How many processes recognise photos with --on; by default one for each core, or each GPU.",
    ),
]

SearchOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--search",
        metavar="WHERE",
        autocompletion=complete_from("auto", "hnsw", "milvus:milvus.db"),
        help="What searches the faces, from now on: auto or hnsw, which are built in; milvus:NAME.db, "
        "which is Milvus Lite in the index directory; or milvus:http://HOST:PORT, a Milvus server.",
    ),
]

RetryFailedFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--retry-failed", help="Try unreadable photos again, even if they have not changed."),
]

CheckContentFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--check-content",
        help="Read photos of unchanged size and time too, and compare their content with the indexed one. "
        "Finds files that were changed without a new time, and damaged ones.",
    ),
]

FromListOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from-list",
        metavar="FILE",
        callback=expand_home,
        help="Also the photos and addresses in a text file, one a line. FILE may be an address, such as "
        "https://host/list.txt; it must name addresses only then.",
    ),
]

ExcludeOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Leave out files and folders, by a pattern as in .gitignore, such as 'scans/' or '*.png'; "
        "can be repeated. Photos in the index that match leave it, as if they were deleted. Patterns for "
        "every run belong into a file .faceindexignore.",
    ),
]

NewerThanOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--newer-than",
        metavar="WHEN",
        help="Read only files that were modified since: a date such as 2024-01-31, or how long ago, as 7d or "
        "12h. Others are left for a later run; photos that are in the index stay.",
    ),
]

AllVersionsFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--all-versions",
        help="Index RAW files beside a JPEG or HEIC of the same name too, and the clips of Live Photos. By "
        "default, a shot counts once.",
    ),
]

NoVideosFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--no-videos", help="Leave videos out. Those that are in the index stay."),
]

VideoIntervalOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--video-interval",
        metavar="SECONDS",
        help="Search a frame of a video so often, and one of each scene; every second by default. Videos "
        "that are in the index are not read again.",
    ),
]

FailOnOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--fail-on",
        metavar="WHICH",
        autocompletion=complete_from("new", "any", "never"),
        help="Which unreadable photos make the exit code 1: those that are new or that you asked for (new), "
        "any, or never.",
    ),
]

PruneFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Remove the photos of a folder from the index even if all of them, or the folder, are missing, "
        "and their faces for good. Without it they are kept, in case a disk is not mounted.",
    ),
]

KeepGoneOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--keep-gone",
        min=0,
        metavar="DAYS",
        help="Keep the faces of photos that are gone for so many days, in case these return; 90 by default.",
    ),
]

DryRunFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Count what is new, changed and gone, and forecast time and disk. Opens no photo and changes "
        "nothing.",
    ),
]

MaxMemoryOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Memory for the whole run, such as 3G: a photo that needs more is left out. By default 1.8G, or "
        "less where the computer or container has less.",
    ),
]

LogOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        callback=expand_home,
        help="Append a line for each photo, failure, warning and commit to this file, and a summary: as JSON "
        "lines if its name ends in .jsonl, else as text.",
    ),
]

# identify --------------------------------------------------------------------------------------

PhotosArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO",
        callback=expand_home,
        help="Photos, and folders with all their subfolders; they need not be in the index. - is standard "
        "input: a list of these, one a line or separated by null bytes, or the bytes of one photo.",
    ),
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
        help="Name the best person from this similarity (-1..1) on, instead of by the probability.",
    ),
]

FalseAlarmsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--max-false-alarms",
        metavar="RATE",
        help="Share of strangers that may be named, such as 5% or 0.05. Without it, 1%.",
    ),
]

StrictFlag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict", help="Let one stranger in a thousand be named at most: --max-false-alarms 0.1%."
    ),
]

ShowFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--show", help="Draw the photo, its faces and the most similar ones on this terminal."),
]

OpenFlag: TypeAlias = Annotated[
    bool, typer.Option("--open", help="Show the same picture in the system's viewer.")
]

SaveOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--save",
        metavar="FILE",
        callback=expand_home,
        help="Write the same picture to FILE, a .png or .jpg. Several photos make FILE-1.png, FILE-2.png and "
        "so on, or a file each in FILE if it is a folder.",
    ),
]
