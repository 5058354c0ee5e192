"""``faceindex clusters diff``: what the last change of the clusters was."""

from __future__ import annotations

from faceindex.cli.cluster_changes import changes_as_json, print_changes
from faceindex.cli.errors import session
from faceindex.cli.newer import note_newer_faces
from faceindex.cli.options import AbsoluteFlag, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag

__all__ = ["diff"]

_SCHEMA = "faceindex/clusters-diff/1"


def diff(
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Compare the clusters with those before the last change.

    Lists the clusters that merged, split, are new or gone, and the faces that moved on their own: to
    another cluster, into one (joined) or out of one (left). -v shows all rows. Runs of `faceindex cluster`
    that changed nothing do not count. `faceindex cluster --restore` brings the earlier clusters back.

    Example: faceindex clusters diff
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as faces:
            changes, newer = faces.cluster.changes(), faces.cluster.newer_faces()
            if out.json:
                out.document(
                    _SCHEMA,
                    index=str(faces.directory),
                    newer_faces=newer,
                    changes=changes_as_json(changes, absolute),
                )
                return
            print_changes(out, changes, absolute)
            note_newer_faces(out, newer)
            out.hint("To bring the earlier clusters back: faceindex cluster --restore")
