"""``faceindex eval``: score clusters and identification on labelled photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.completion import complete_from
from faceindex.cli.errors import session
from faceindex.cli.eval_tables import print_evaluation, print_sweep
from faceindex.cli.options import (
    AbsoluteFlag,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.render import Output, count, finite
from faceindex.documents import Json
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import Face, FaceIndex
    from faceindex.evaluation.boxes import MatchedBoxes
    from faceindex.evaluation.labelled import Labelled
    from faceindex.evaluation.report import ClusterScores, Evaluation
    from faceindex.evaluation.sweep import Sweep
    from faceindex.metrics import Bin, Interval, OpenSet

__all__ = ["evaluate"]

_SCHEMA = "faceindex/eval/1"
_PEOPLE_SCHEMA = "faceindex/eval-people/1"


def evaluate(
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            callback=expand_home,
            help="A CSV file of people's names with the columns photo,label or face,label, or "
            "photo,x1,y1,x2,y2,label for boxes. Without it, a photo's label is the name of its folder.",
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            autocompletion=complete_from("largest", "center", "all"),
            help="The face of a photo that gets its label: largest, center or all. [default: largest]",
        ),
    ] = None,
    people: Annotated[
        bool,
        typer.Option(
            "--people",
            help="Score the index by your own decisions: the faces that you confirmed, and those that you "
            "said are nobody. They are compared with clusters made without any decision.",
        ),
    ] = False,
    named: Annotated[
        bool,
        typer.Option(
            "--named",
            help="With --people, also use the faces that you named with their cluster. They favour the "
            "clusters.",
        ),
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep", help="Also score the clusters at many constant thresholds. The stored clusters stay."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=expand_home,
            help="Plot the similarities of faces of one photo, cluster and person as .png or .svg; with "
            "--sweep, plot the scores by threshold instead.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Print all people and confusions, not only the worst, and the scores by size and quality of "
            "the face.",
        ),
    ] = False,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="N", help="Random draws of strangers for the open-set scores.", show_default=True
        ),
    ] = 10,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the draws.", show_default=True)] = 0,
    absolute: AbsoluteFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Score clusters and identification on labelled photos.

    For each person: the cluster with most of their photos, the share of their photos in it, and the number
    of other people's labelled faces in it. Overall: B-cubed, pairwise and V-measure scores, faces of one
    photo in one cluster, clusters of faces without a label, people who share a cluster, and how often
    identification is right, with and without strangers. Nothing is changed.

    Examples:
      faceindex eval --labels people.csv    the labels are in a file
      faceindex eval --people               your own decisions are the labels
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        others = (("labels", labels), ("face", face), ("sweep", sweep or None), ("plot", plot))
        _check_people(people, named, [name for name, value in others if value is not None])
        if people:
            with FaceIndex.open(index) as found:
                _print_by_decisions(out, found, named=named, seed=seed, every=every or verbose)
            return

        if plot is not None:
            from faceindex.evaluation.plots import check_plot_file

            check_plot_file(plot)
        with FaceIndex.open(index) as found:
            if plot is not None:
                found.check_writable(plot)
            with out.working("Comparing with the labels"):
                result = found.evaluation.score(
                    found.evaluation.labelled(labels, face=face), repeats=repeats, seed=seed
                )
            for warning in result.labelled.warnings:
                out.warning(warning)
            if result.unseen:
                were = "face was" if result.unseen == 1 else "faces were"
                out.warning(
                    f"{result.unseen:,} {were} added after the last `faceindex cluster`. Run it again."
                )
            curve = None
            if sweep:
                with out.working("Trying thresholds"):
                    curve = found.evaluation.sweep(result.labelled)
            if plot is not None:
                _plot(found, result.labelled, curve, plot, seed)
                out.note(f"Drawn: {plot}")
            faces = _named_faces(found, result, absolute)
            if json:
                _print_json(out, found, result, curve, faces)
            else:
                print_evaluation(out, result, faces, every=every or verbose)
                if curve is not None:
                    print_sweep(out, curve, len(result.people))


def _check_people(people: bool, named: bool, others: list[str]) -> None:
    """Check that options of labels and of decisions are not mixed."""
    if named and not people:
        raise UsageError("--named needs --people.", "Add --people, or leave out --named.")
    if people and others:
        raise UsageError(
            f"--people and --{others[0]} exclude each other.", "The labels are your decisions, or a file."
        )


def _print_by_decisions(out: Output, index: FaceIndex, *, named: bool, seed: int, every: bool) -> None:
    from faceindex.cli.eval_people import people_as_json, print_people

    with out.working("Comparing with your decisions"):
        result = index.evaluation.people(named=named, seed=seed)
    if out.json:
        out.document(_PEOPLE_SCHEMA, index=str(index.directory), **people_as_json(result))
    else:
        print_people(out, result, every=every)


def _named_faces(index: FaceIndex, result: Evaluation, absolute: bool) -> dict[int, Face]:
    """Return the faces that the answer names, by their position in the table of the index."""
    named = {int(i) for confusion in result.confusions for i in confusion.misplaced}
    named.update(int(result.labelled.positions[i]) for i in result.top_one.wrong)
    if result.labelled.boxes is not None:
        named.update(result.labelled.boxes.without_box)
    return {
        i: replace(face, photo=face.path) if absolute else face for i, face in enumerate(index) if i in named
    }


# JSON -----------------------------------------------------------------------------------------


def _print_json(
    out: Output, index: FaceIndex, result: Evaluation, curve: Sweep | None, faces: dict[int, Face]
) -> None:
    labelled, top = result.labelled, result.top_one
    clustering = result.clustering
    out.document(
        _SCHEMA,
        index=str(index.directory),
        labels=labelled.source,
        face=labelled.face,
        photos=result.photos,
        photos_without_face=sum(person.no_face for person in result.people),
        photos_unreadable=labelled.unreadable,
        faces=len(labelled.positions),
        boxes=None if labelled.boxes is None else _boxes_as_json(labelled.boxes, faces),
        warnings=labelled.warnings,
        faces_since_clustering=result.unseen,
        clustering={
            "algorithm": clustering.algorithm,
            "parameters": dict(clustering.params),
            "seed": clustering.seed,
            **_scores_as_json(result.scores),
            "bcubed_f_interval": _interval_as_json(result.interval),
            "people": len(result.people),
            "accuracy": result.accuracy,
            "accuracy_one_to_one": result.own_accuracy,
        },
        album={
            "faces": result.album.faces,
            "doubles": result.album.doubles,
            "junk": result.album.junk,
            "junk_clusters": result.album.junk_clusters,
            "people_per_cluster": result.album.people_per_cluster,
            "clusters_per_person": result.album.clusters_per_person,
        },
        by_size=[_bin_as_json(found) for found in result.by_size],
        by_quality=[_bin_as_json(found) for found in result.by_quality],
        people=[
            {
                "person": person.name,
                "photos": person.photos,
                "no_face": person.no_face,
                "faces": person.faces,
                "cluster": person.cluster,
                "cluster_person": _called(result, person.cluster),
                "in_cluster": person.in_cluster,
                "accuracy": person.accuracy,
                "others_in_cluster": person.others,
                "one_to_one_cluster": person.own_cluster,
                "one_to_one_cluster_person": _called(result, person.own_cluster),
                "in_one_to_one_cluster": person.in_own,
                "one_to_one_accuracy": person.own_accuracy,
            }
            for person in result.people
        ],
        confusions=[
            {
                "people": [confusion.owner, confusion.other],
                "astray": len(confusion.misplaced),
                "clusters": [
                    {"cluster": cluster, "cluster_person": _called(result, cluster), "faces": [x, y]}
                    for cluster, x, y in confusion.clusters
                ],
                "faces": [_face_as_json(faces[int(i)]) for i in confusion.misplaced],
            }
            for confusion in result.confusions
        ],
        identification={
            "leave_one_out": {
                "top1": top.rate,
                "right": top.right,
                "asked": top.searched,
                "no_other_photo": top.no_other_photo,
                "wrong": [
                    {
                        **_face_as_json(faces[int(labelled.positions[i])]),
                        "person": labelled.names[int(labelled.people[i])],
                        "taken_for": labelled.names[int(other)] if other >= 0 else None,
                    }
                    for i, other in zip(top.wrong, top.predicted, strict=True)
                ],
            },
            "open_set": None if result.open_set is None else _open_set_as_json(result.open_set),
        },
        sweep=None if curve is None else _sweep_as_json(curve),
    )


def _called(result: Evaluation, cluster: int | None) -> str | None:
    """Return what the user calls the person of a cluster."""
    return None if cluster is None else result.names.get(cluster)


def _face_as_json(row: Face) -> dict[str, Json]:
    return {"face": row.face, "photo": row.photo, "cluster": row.cluster}


def _scores_as_json(scores: ClusterScores) -> dict[str, Json]:
    v = scores.v_measure
    return {
        **{
            name: {"precision": score.precision, "recall": score.recall, "f": score.f}
            for name, score in (("bcubed", scores.bcubed), ("pairwise", scores.pairwise))
        },
        "v_measure": {"homogeneity": v.homogeneity, "completeness": v.completeness, "v": v.v},
        "clusters": scores.clusters,
        "singletons": scores.singletons,
        "unclustered": scores.unclustered,
    }


def _interval_as_json(interval: Interval | None) -> Json:
    return None if interval is None else [interval.low, interval.high]


def _bin_as_json(found: Bin) -> Json:
    score = found.bcubed
    return {
        "from": finite(found.low),
        "to": finite(found.high),
        "faces": found.faces,
        "people": found.people,
        "bcubed": {"precision": score.precision, "recall": score.recall, "f": score.f},
        "bcubed_f_interval": _interval_as_json(found.interval),
    }


def _boxes_as_json(matched: MatchedBoxes, faces: dict[int, Face]) -> Json:
    return {
        "boxes": len(matched.boxes),
        "photos": matched.photos,
        "without_face": [
            {"line": box.line, "photo": box.name, "label": box.label} for box in matched.without_face
        ],
        "faces_without_box": [_face_as_json(faces[i]) for i in matched.without_box],
    }


def _open_set_as_json(found: OpenSet) -> Json:
    return {
        "repeats": found.repeats,
        "seed": found.seed,
        "people_known": found.enrolled,
        "people_left_out": found.strangers,
        "gallery_faces": found.gallery,
        "mated_searches": found.mated,
        "non_mated_searches": found.non_mated,
        "points": [
            {
                "fpir_target": finite(point.target),
                "tpir": point.tpir,
                "tpir_std": point.tpir_std,
                "fpir": point.fpir,
                "fpir_std": point.fpir_std,
                "enough_strangers": point.resolved,
            }
            for point in found.points
        ],
        "reliability": [
            {
                "from": part.low,
                "to": part.high,
                "searches": part.searches,
                "probability": part.probability,
                "right": part.right,
            }
            for part in found.reliability
        ],
    }


def _sweep_as_json(curve: Sweep) -> Json:
    def point(threshold: float, scores: ClusterScores) -> dict[str, Json]:
        return {"threshold": threshold, **_scores_as_json(scores)}

    return {
        "points": [point(p.threshold, p.scores) for p in curve.points],
        "best": point(curve.best.threshold, curve.best.scores),
        "default": point(curve.default.threshold, curve.default.scores),
    }


# Plots ----------------------------------------------------------------------------------------


def _plot(index: FaceIndex, labelled: Labelled, curve: Sweep | None, file: Path, seed: int) -> None:
    from faceindex.evaluation.plots import plot_similarities, plot_sweep

    people = len(labelled.names)
    subject = f"{len(labelled.positions):,} labelled faces of {count(people, 'person', 'people')}"
    if curve is None:
        plot_similarities(
            index.evaluation.similarities(labelled, seed=seed),
            file,
            threshold=index.evaluation.threshold(),
            title=f"How alike are {subject}?",
        )
        return
    scores = [point.scores for point in curve.points]
    plot_sweep(
        file,
        thresholds=[point.threshold for point in curve.points],
        precision=[score.bcubed.precision for score in scores],
        recall=[score.bcubed.recall for score in scores],
        f=[score.bcubed.f for score in scores],
        clusters=[score.clusters + score.unclustered for score in scores],
        people=people,
        best=(curve.best.threshold, curve.best.scores.bcubed.f),
        default=(curve.default.threshold, curve.default.scores.bcubed.f),
        title=f"Clusters by threshold: {subject}",
    )
