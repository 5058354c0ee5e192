"""``faceindex people not-a-face``: say that the detector was wrong."""

from __future__ import annotations

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, ReferencesArgument, moved_text, print_decided
from faceindex.cli.render import count

__all__ = ["not_a_face"]


def not_a_face(
    references: ReferencesArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that faces are no faces: the detector was wrong.

    They are in no cluster from now on. Naming one ends that.

    Example: faceindex people not-a-face f123 f124
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            chosen = found.people.select(references)
            decided = found.people.not_a_face(
                clusters=chosen.all_clusters, faces=chosen.faces, dry_run=dry_run
            )
            text = f"{count(decided.faces, 'box is not a face', 'boxes are no faces')}{moved_text(decided)}"
            if not decided.faces:
                text = "Nothing changes: you have said so already."
            print_decided(out, "not-a-face", decided, text, dry_run=dry_run, unchanged=text)
