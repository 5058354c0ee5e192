"""``faceindex import digikam``: names of digiKam."""

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

__all__ = ["digikam"]


def digikam(
    path: Annotated[Path, source_argument("digikam4.db, or the folder with it.")],
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
    """Import the names of digiKam.

    The database is only read; digiKam may be open.

    Example: faceindex import digikam ~/Pictures/digikam4.db
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "digikam",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
        )
