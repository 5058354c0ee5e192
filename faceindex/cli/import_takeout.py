"""``faceindex import takeout``: names of Google Photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from faceindex.cli.errors import session
from faceindex.cli.import_common import (
    ImportDryRunFlag,
    PhotosAtOption,
    PreferOption,
    WholePhotosFlag,
    carry_out,
    source_argument,
)
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag

__all__ = ["takeout"]


def takeout(
    path: Annotated[
        Path, source_argument("The folder that Google Takeout wrote, with a JSON file for each photo.")
    ],
    photos: PhotosAtOption = None,
    whole_photos: WholePhotosFlag = False,
    prefer: PreferOption = None,
    dry_run: ImportDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Import the names of Google Photos from Google Takeout.

    Google exports who is on a photo, but not where: see --whole-photos.

    Example: faceindex import takeout ~/Takeout --whole-photos
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "takeout",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
        )
