"""``faceindex cluster``: group the faces into people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns, count, finite

if TYPE_CHECKING:
    from faceindex.api import ClusterResult, FaceIndex

__all__ = ["cluster"]

_SCHEMA = "faceindex/cluster/1"
_SHOWN = 10  # clusters in the table; --verbose shows all
_EXAMPLES = 2


def cluster(
    algorithm: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="chinese-whispers finds the number of people itself; kmeans makes as many clusters as --k.",
        ),
    ] = "chinese-whispers",
    k: Annotated[int | None, typer.Option("--k", metavar="N", help="Number of clusters, for kmeans.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SIMILARITY",
            help="Least similarity (-1..1) of two faces that are linked. Higher makes more and purer "
            "clusters. Without it, a calibrated one that grows with the number of faces.",
        ),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Faces of smaller clusters are in none. 2 if not given; 1 for kmeans.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Same faces and seed, same clusters.", show_default=True)
    ] = 0,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Start over. Without it, faces stay in the clusters they have, and new ones join them.",
        ),
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Group the faces of the index into people.

    Each cluster has a number, which stays with its faces when photos are added and it is run again.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True) as faces:
            with out.working("Grouping the faces"):
                result = faces.cluster(
                    algorithm, k=k, threshold=threshold, min_size=min_size, seed=seed, rebuild=rebuild
                )
            _tell(out, faces, result, seed)


def _tell(out: Output, faces: FaceIndex, result: ClusterResult, seed: int) -> None:
    if not result.sizes:
        out.exit_code = PARTIAL
    shown = list(result.sizes)
    if not out.json and not out.verbose:
        shown = shown[:_SHOWN]
    examples = _examples(faces, shown)
    if out.json:
        clustering = faces.clustering
        out.document(
            _SCHEMA,
            index=str(faces.directory),
            algorithm=result.algorithm,
            parameters=dict(clustering.params) if clustering is not None else {},
            seed=seed,
            threshold=finite(result.threshold),
            faces=result.faces,
            unclustered=result.unclustered,
            kept=result.kept,
            started_over=result.started_over,
            clusters=[
                {"cluster": which, "faces": number, "examples": examples[which]}
                for which, number in result.sizes.items()
            ],
        )
        return
    if not result.faces:
        out.warning("The index has no faces. Add photos with `faceindex index PATH...`.")
        return
    clustered = result.faces - result.unclustered
    out.answer(
        out.styled(
            f"{count(len(result.sizes), 'cluster')} of {count(clustered, 'face')}, "
            f"and {count(result.unclustered, 'face')} in none",
            "bold",
        )
    )
    about = [result.algorithm]
    if result.threshold is not None:
        about.append(f"two faces are linked from similarity {result.threshold:.4f}")
    if result.kept:
        about.append(f"{count(result.kept, 'face')} kept the cluster they had")
    out.answer(f"({'; '.join(about)})")
    if not result.sizes:
        return
    out.answer()
    rows = [(str(which), f"{result.sizes[which]:,}", ", ".join(examples[which])) for which in shown]
    for line in columns(rows, header=("cluster", "faces", "for example"), right=[0, 1]):
        out.answer(line)
    if len(shown) < len(result.sizes):
        out.answer(f"and {count(len(result.sizes) - len(shown), 'smaller cluster')}; -v shows all")
    out.hint("Next: faceindex identify PHOTO, or faceindex faces --cluster N")


def _examples(faces: FaceIndex, clusters: list[int]) -> dict[int, list[str]]:
    """For each cluster the photos of the faces most like it."""
    best: dict[int, list[tuple[float, str]]] = {which: [] for which in clusters}
    for row in faces.faces():
        if row.cluster is None or row.similarity is None or row.cluster not in best:
            continue
        leading = best[row.cluster]
        if len(leading) == _EXAMPLES and row.similarity <= leading[-1][0]:
            continue
        if all(photo != row.photo for _, photo in leading):
            leading.append((row.similarity, row.photo))
            leading.sort(key=lambda entry: (-entry[0], entry[1]))
            del leading[_EXAMPLES:]
    return {which: [photo for _, photo in leading] for which, leading in best.items()}
