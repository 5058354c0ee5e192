"""Options that several commands have, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["DebugFlag", "DeviceOption", "IndexOption", "JsonFlag", "QuietFlag", "VerboseFlag"]

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
        help="Where networks compute: auto, cpu, cuda, cuda:N or mps. auto takes a GPU if there is one.",
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
    typer.Option("--verbose", "-v", help="Tell more."),
]

DebugFlag: TypeAlias = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error."),
]
