"""``faceindex import apple-photos``: names of Apple Photos."""

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

__all__ = ["apple_photos"]


def apple_photos(
    path: Annotated[Path, source_argument("JSON that osxphotos wrote: a file, or a folder with some.")],
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
    """Import the names of Apple Photos.

    The program osxphotos writes them as JSON on a Mac: osxphotos query --json > photos.json

    Example: faceindex import apple-photos photos.json --photos ~/Pictures
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "apple-photos",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
        )
