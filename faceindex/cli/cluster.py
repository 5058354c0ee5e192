"""``faceindex cluster``: group the faces into people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.cluster_changes import changes_as_json, print_changes
from faceindex.cli.completion import complete_from, complete_models
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.newer import note_newer_faces
from faceindex.cli.options import (
    WAIT,
    AbsoluteFlag,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
)
from faceindex.cli.render import Output, columns, count, finite
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import ClusterResult, FaceIndex

__all__ = ["cluster"]

_SCHEMA = "faceindex/cluster/1"
_ALGORITHM = "album"
_SHOWN = 10  # clusters in the table; --verbose shows all
_EXAMPLES = 2
_FEW = 20_000  # faces that are searched in this process: `faceindex.clustering.neighbours.EXACT_UP_TO`


def cluster(
    algorithm: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models("clusterer"),
            help="album and chinese-whispers find the number of people; kmeans makes exactly --k clusters.",
        ),
    ] = _ALGORITHM,
    k: Annotated[int | None, typer.Option("--k", metavar="N", help="Number of clusters, for kmeans.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SIMILARITY",
            help="Least similarity (-1..1) of two faces that are linked. A higher one makes more and purer "
            "clusters. Without it, a calibrated one that grows with the number of faces.",
        ),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Dissolve smaller clusters: their faces are in no cluster. 2 by default; 1 for kmeans.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Random seed: the same faces and seed give the same clusters.",
            show_default=True,
        ),
    ] = 0,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Cluster all faces afresh, even if none was added or removed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and store nothing.")
    ] = False,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            help="Bring back the clusters before the last change, which `faceindex clusters diff` shows. "
            "A second --restore undoes the first.",
        ),
    ] = False,
    part_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Group at most N faces at a time, so that the links between all of them need not fit into "
            "memory. Faces of one person come into one part. Without it, all faces are grouped together.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            autocompletion=complete_from("ray", "ray:auto"),
            help="Search for similar faces, if they are more than 20,000 or --part-size, and group each "
            "part, in processes of Ray: ray starts it on this machine, ray:HOST:PORT or ray:auto joins a "
            "cluster, whose machines have the index directory at the same path. The clusters "
            "are the same. Needs the extra 'ray'.",
        ),
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many processes search with --on; by default one for each core."),
    ] = None,
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Group the faces of the index into people.

    Each cluster has a number, which it keeps when you add photos and run this again. The clusters before
    the last change are kept too: `faceindex clusters diff` compares the two, --restore brings the earlier
    ones back. Exit code 1 if there are no clusters.

    Example: faceindex cluster
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if restore and (
            algorithm != _ALGORITHM or seed or rebuild or {k, threshold, min_size, part_size} != {None}
        ):
            raise UsageError(
                "--restore brings the earlier clusters back with their own options.",
                "Leave out --algorithm, --k, --threshold, --min-size, --seed, --part-size and --rebuild.",
            )
        if restore and not (on is None and actors is None):
            raise UsageError("--restore searches for no faces.", "Leave out --on and --actors.")
        if on is not None or actors is not None:
            from faceindex.api.extraction import check_place

            check_place(on, actors)  # before anything is opened
        from faceindex.api import FaceIndex
        from faceindex.cli.stopping import terminable

        with FaceIndex.open(index, write=not dry_run, wait=WAIT) as faces:
            if restore:
                result = faces.cluster.restore(dry_run=dry_run)
            else:
                with terminable(), out.working("Grouping the faces"):
                    result = faces.cluster(
                        algorithm,
                        k=k,
                        threshold=threshold,
                        min_size=min_size,
                        seed=seed,
                        rebuild=rebuild,
                        dry_run=dry_run,
                        part_size=part_size,
                        on=on,
                        actors=actors,
                    )
                if on is not None and not result.distributed:
                    out.detail(
                        "Ray was not started: it searches among more than 20,000 faces, if many are new."
                        if part_size is None
                        else "Ray was not started: nothing has changed, or at most "
                        f"{min(part_size, _FEW):,} faces had to be grouped anew."
                    )
            if not result.sizes:
                out.exit_code = PARTIAL
            if out.json:
                _print_json(out, faces, result, restore, absolute)
            else:
                _print_result(out, faces, result, restore, absolute)


def _print_json(out: Output, faces: FaceIndex, result: ClusterResult, restored: bool, absolute: bool) -> None:
    changes = result.changes
    examples = _examples(faces, list(result.sizes), absolute) if changes is None else {}
    out.document(
        _SCHEMA,
        index=str(faces.directory),
        algorithm=result.algorithm,
        parameters=dict(result.parameters),
        seed=result.seed,
        threshold=finite(result.threshold),
        faces=result.faces,
        unclustered=result.unclustered,
        newer_faces=faces.cluster.newer_faces(),
        kept=result.kept,
        moved=result.moved,
        started_over=result.started_over,
        restored=restored,
        dry_run=changes is not None,
        changes=None if changes is None else changes_as_json(changes, absolute),
        clusters=[
            {"cluster": which, "faces": number, "examples": examples.get(which, [])}
            for which, number in result.sizes.items()
        ],
    )


def _print_result(
    out: Output, faces: FaceIndex, result: ClusterResult, restored: bool, absolute: bool
) -> None:
    if not result.faces:
        out.warning("The index has no faces. Add photos with `faceindex index PATH...`.")
        return
    head = (
        f"{count(len(result.sizes), 'cluster')} of {count(result.faces - result.unclustered, 'face')}, "
        f"and {count(result.unclustered, 'face')} in none"
    )
    if result.changes is not None:
        out.answer(f"This would make {head}. Nothing was stored.")
        print_changes(out, result.changes, absolute)
        return
    if restored:
        head = f"Restored: {head}"
    out.answer(out.styled(head, "bold"))
    details = [result.algorithm]
    if result.threshold is not None:
        details.append(f"faces are linked at similarity {result.threshold:.4f} or more")
    if result.kept:
        details.append(f"{count(result.kept, 'face')} kept their cluster")
    if result.moved:
        details.append(f"{count(result.moved, 'face')} left theirs: see `faceindex clusters diff`")
    out.paragraph(f"({'; '.join(details)})")
    if not result.sizes:
        return
    shown = list(result.sizes) if out.verbose else list(result.sizes)[:_SHOWN]
    examples = _examples(faces, shown, absolute)
    out.answer()
    rows = [(str(which), f"{result.sizes[which]:,}", ", ".join(examples[which])) for which in shown]
    for line in columns(rows, header=("cluster", "faces", "for example"), right=[0, 1], width=out.width):
        out.answer(line)
    if len(shown) < len(result.sizes):
        out.answer(f"and {count(len(result.sizes) - len(shown), 'smaller cluster')}; -v shows all")
    note_newer_faces(out, faces.cluster.newer_faces())
    out.hint(f"Next: faceindex people suggest, or faceindex clusters {shown[0]}")


def _examples(faces: FaceIndex, clusters: list[int], absolute: bool) -> dict[int, list[str]]:
    """Return the photos of each cluster's most typical faces."""
    best: dict[int, list[tuple[float, str]]] = {which: [] for which in clusters}
    for face in faces:
        if face.cluster is None or face.similarity is None or face.cluster not in best:
            continue
        nearest = best[face.cluster]
        if len(nearest) == _EXAMPLES and face.similarity <= nearest[-1][0]:
            continue
        photo = face.path if absolute else face.photo
        if all(other != photo for _, other in nearest):
            nearest.append((face.similarity, photo))
            nearest.sort(key=lambda entry: (-entry[0], entry[1]))
            del nearest[_EXAMPLES:]
    return {which: [photo for _, photo in nearest] for which, nearest in best.items()}
