"""``faceindex import csv``: names in a table."""

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

__all__ = ["import_csv"]


def import_csv(
    path: Annotated[Path, source_argument("A CSV file with the columns photo and name.")],
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
    """Import names from a table.

    The columns photo and name are needed. x1, y1, x2 and y2 say where the face is, in pixels of the upright
    photo; left, top, right and bottom say it in fractions of its sides. Without them, see --whole-photos.

    Example: faceindex import csv names.csv
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "csv",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
        )
