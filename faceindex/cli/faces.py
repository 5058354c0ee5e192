"""``faceindex faces``: list the faces of the index."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.completion import complete_people, complete_references
from faceindex.cli.errors import session
from faceindex.cli.face_rows import print_faces
from faceindex.cli.options import (
    AbsoluteFlag,
    CsvFlag,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
)
from faceindex.cli.references import cluster_or_person
from faceindex.errors import UsageError

__all__ = ["faces"]


def faces(
    as_csv: CsvFlag = False,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="N", help="Only the faces of this cluster.", autocompletion=complete_references),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only the faces of this person.", autocompletion=complete_people),
    ] = None,
    unclustered: Annotated[bool, typer.Option("--unclustered", help="Only faces in no cluster.")] = False,
    photo: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only photos with this text in the printed path.")
    ] = None,
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the faces, one per row.

    Each row has the photo, the box in pixels, the score of the detector, the quality of the face (0 to 1),
    the cluster, the similarity to the centre of the cluster, the person, and whether you confirmed the face
    or drew it. A terminal gets a table; a pipe or a file gets CSV with the columns
    face,photo,x1,y1,x2,y2,score,similarity_to_cluster,cluster,quality,turn,person,confirmed,by_hand. The turn
    is how many degrees the photo must be turned clockwise for the face to be upright. Exit code 1 if no faces
    match. Edit the column person, and `faceindex people name --from FILE` reads it back.

    Example: faceindex faces --cluster 5 --absolute
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json exclude each other.", "Choose one.")
        if unclustered and cluster is not None:
            raise UsageError("--cluster and --unclustered exclude each other.", "Choose one.")
        if cluster is not None and person is not None:
            raise UsageError("--cluster and --person exclude each other.", "Choose one.")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            chosen = None if cluster is None else cluster_or_person(found, cluster)
            number, name = (chosen, person) if isinstance(chosen, int) else (None, chosen or person)
            rows = found.faces(cluster=number, person=name, clustered=False if unclustered else None)
            if photo is not None:
                rows = (row for row in rows if photo in (row.path if absolute else row.photo))
            if not print_faces(out, rows, as_csv=as_csv, absolute=absolute, names=found.people.names()):
                out.note("No faces match." if len(found) else "The index has no faces.")
