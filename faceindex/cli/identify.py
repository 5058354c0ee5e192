"""``faceindex identify``: its options. What it does is in `faceindex.cli.identifying`."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.identifying import NEIGHBOURS, run
from faceindex.cli.options import DebugFlag, DeviceOption, IndexOption, JsonFlag, QuietFlag, VerboseFlag

__all__ = ["identify"]


def identify(
    photos: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Photos; they need not be indexed.")],
    neighbours: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the most alike faces to list.")
    ] = NEIGHBOURS,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            metavar="SIMILARITY",
            help="Least similarity (-1..1) of a known person. Without it, a calibrated one that grows "
            "with the number of faces in the index.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    show: Annotated[
        bool,
        typer.Option("--show", help="Draw each face and the most alike ones here, on the terminal."),
    ] = False,
    viewer: Annotated[
        bool,
        typer.Option("--open", help="Show each face and the most alike ones with the system's viewer."),
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say who is on a photo.

    For each face the cluster that it belongs to, or "unknown", and the most alike faces of the index.
    Similarity is the mean of that to the three most alike faces of the cluster; the margin is by how much it
    is ahead of the next cluster. Exit code 1 if a photo could not be answered: unreadable, no face on it, or
    `cluster` has not run.
    """
    run(
        photos,
        neighbours=neighbours,
        threshold=threshold,
        device=device,
        show=show,
        viewer=viewer,
        directory=index,
        json=json,
        quiet=quiet,
        verbose=verbose,
        debug=debug,
    )
