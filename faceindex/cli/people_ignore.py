"""``faceindex people ignore``: say that faces are of strangers."""

from __future__ import annotations

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, ReferencesArgument, moved_text, print_decided
from faceindex.cli.render import count

__all__ = ["ignore"]


def ignore(
    references: ReferencesArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that faces are of strangers.

    They are in no cluster from now on. Naming one ends that.

    Example: faceindex people ignore 12 f123
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            chosen = found.people.select(references)
            decided = found.people.ignore(clusters=chosen.all_clusters, faces=chosen.faces, dry_run=dry_run)
            what = count(decided.faces, "face is of a stranger", "faces are of strangers")
            text = f"{what}{moved_text(decided)}"
            if not decided.faces:
                text = "Nothing changes: the faces are ignored already."
            print_decided(out, "ignore", decided, text, dry_run=dry_run, unchanged=text)
