"""``faceindex import folders``: names of folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from faceindex.cli.errors import session
from faceindex.cli.import_common import (
    ImportDryRunFlag,
    PhotosAtOption,
    PreferOption,
    carry_out,
    source_argument,
)
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag

__all__ = ["folders"]


def folders(
    path: Annotated[Path, source_argument("A folder with one folder for each person.")],
    photos: PhotosAtOption = None,
    prefer: PreferOption = None,
    dry_run: ImportDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Import names from folders that are named for people.

    The name goes to the face of photos with a single face. On photos with several faces, which one it is
    stays open: `faceindex cluster` finds those that resemble the person.

    Example: faceindex import folders ~/Pictures/people
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "folders",
            path,
            photos=photos,
            whole_photos=True,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
        )
