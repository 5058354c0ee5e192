"""``faceindex eval``: how well clusters and identification agree with labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Json, Output, columns, count, finite

if TYPE_CHECKING:
    from faceindex.api import Face, FaceIndex
    from faceindex.evaluation.report import ClusterScores, Evaluation, Labelled, Sweep
    from faceindex.metrics import Confusion, OpenSet, OperatingPoint, Person

__all__ = ["evaluate"]

_SCHEMA = "faceindex/eval/1"
_SHOWN = 20  # people in the table; --all shows all
_CONFUSIONS = 5
_PHOTOS = 3  # of each confusion

_CARRIERS = {
    "largest": "the largest face of each photo",
    "center": "the face nearest the middle of each photo",
    "all": "every face of each photo",
    None: "each labelled face",
}


def evaluate(
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Who is who: a CSV file with the columns photo,label or face,label. Without it, the name "
            "of the folder that holds a photo.",
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="The face that a photo's label is about: largest, center or all. [default: largest]",
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep", help="Also score Chinese Whispers at many thresholds. The clusters stay as they are."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the similarities of faces of one photo, cluster and person as .png or .svg; with "
            "--sweep, the curve instead.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all people and confusions, not only the worst.")
    ] = False,
    repeats: Annotated[
        int, typer.Option(metavar="N", help="Draws of strangers for the open-set figures.", show_default=True)
    ] = 10,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the draws.", show_default=True)] = 0,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Score clusters and identification on labelled photos.

    For each person: the cluster with most of their photos, the share of their photos that is in it, and
    how many labelled faces of others are. Overall: B-cubed, pairwise and V-measure, who is taken for whom,
    and how often identification is right, with and without strangers. Nothing is changed.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        if plot is not None:
            from faceindex.evaluation.plots import check_plot_file

            check_plot_file(plot)
        with FaceIndex.open(index) as found:
            if plot is not None:
                found.evaluation.check_writable(plot)
            with out.working("Comparing with the labels"):
                result = found.evaluation.score(
                    found.evaluation.labelled(labels, face=face), repeats=repeats, seed=seed
                )
            for warning in result.labelled.warnings:
                out.warning(warning)
            if result.unseen:
                out.warning(
                    f"{count(result.unseen, 'face')} came after the last `faceindex cluster`. Run it again."
                )
            curve = None
            if sweep:
                with out.working("Trying thresholds"):
                    curve = found.evaluation.sweep(result.labelled)
            if plot is not None:
                _draw(found, result.labelled, curve, plot, seed)
                out.note(f"Drawn: {plot}")
            rows = _rows(found, result)
            if json:
                _as_json(out, found, result, curve, rows)
            else:
                _print(out, found, result, rows, every=every or verbose)
                if curve is not None:
                    _print_sweep(out, curve, len(result.people))


def _rows(index: FaceIndex, result: Evaluation) -> dict[int, Face]:
    """The faces that the answer names, by position."""
    named = {int(i) for confusion in result.confusions for i in confusion.astray}
    named.update(int(result.labelled.positions[i]) for i in result.top_one.wrong)
    return {i: row for i, row in enumerate(index.faces()) if i in named}


# Text -----------------------------------------------------------------------------------------


def _print(out: Output, index: FaceIndex, result: Evaluation, rows: dict[int, Face], *, every: bool) -> None:
    labelled = result.labelled
    source = "folder names" if labelled.source == "folders" else labelled.source
    no_face = sum(person.no_face for person in result.people)
    head = f"{count(result.photos, 'photo')} of {count(len(result.people), 'person', 'people')}"
    out.answer(out.styled(head, "bold"))
    left_out = f"; {count(labelled.unreadable, 'unreadable photo')} left out" if labelled.unreadable else ""
    out.answer(
        f"(labels from {source}, on {_CARRIERS[labelled.face]}: {count(len(labelled.positions), 'face')}; "
        f"{count(no_face, 'photo')} without one{left_out})"
    )
    out.answer()
    _print_people(out, result, every=every)
    out.answer()
    _print_scores(out, index, result)
    _print_confusions(out, result.confusions, rows, every=every)
    out.answer()
    _print_identification(out, result)


def _print_people(out: Output, result: Evaluation, *, every: bool) -> None:
    people = result.people
    if not every and len(people) > _SHOWN:
        people = result.worst[:_SHOWN]
        out.answer(
            f"The {_SHOWN} worst of {len(result.people):,} people, by photos outside a cluster of their own; "
            "--all shows all"
        )
    cells = [
        (
            person.name,
            f"{person.photos:,}",
            f"{person.no_face:,}" if person.no_face else "-",
            "none" if person.cluster is None else str(person.cluster),
            f"{person.in_cluster:,}",
            f"{person.accuracy:.1%}",
            f"{person.others:,}" if person.others else "-",
            _own(person),
        )
        for person in people
    ]
    header = ("person", "photos", "no face", "cluster", "in it", "accuracy", "others in it", "one to one")
    for i, line in enumerate(columns(cells, header=header, right=range(1, 7))):
        out.answer(line if i else out.styled(line, "bold"))


def _own(person: Person) -> str:
    """The cluster that is this person's alone."""
    if (person.own_cluster, person.in_own) == (person.cluster, person.in_cluster):
        return "the same"
    if not person.in_own:
        return "no cluster left"
    where = "alone" if person.own_cluster is None else f"cluster {person.own_cluster}"
    return f"{where}, {person.own_accuracy:.1%}"


def _print_scores(out: Output, index: FaceIndex, result: Evaluation) -> None:
    scores = result.scores
    rows = [("", "precision", "recall", "F")]
    for name, score in (("B-cubed", scores.bcubed), ("pairwise", scores.pairwise)):
        rows.append((name, f"{score.precision:.4f}", f"{score.recall:.4f}", f"{score.f:.4f}"))
    v = scores.v_measure
    rows.append(("", "homogeneity", "completeness", "V"))
    rows.append(("V-measure", f"{v.homogeneity:.4f}", f"{v.completeness:.4f}", f"{v.v:.4f}"))
    out.answer(out.styled(f"Clusters ({result.algorithm})", "bold"))
    for line in columns(rows, right=[1, 2, 3], indent=2):
        out.answer(line)
    out.answer(
        f"  {count(scores.clusters, 'cluster')} for {count(len(result.people), 'person', 'people')}; "
        f"{count(scores.singletons, 'face')} alone ({scores.unclustered:,} in no cluster)"
    )
    out.answer(
        f"  {result.accuracy:.1%} of the photos in their person's cluster; "
        f"{result.own_accuracy:.1%} if no two people may have the same"
    )


def _print_confusions(
    out: Output, confusions: list[Confusion], rows: dict[int, Face], *, every: bool
) -> None:
    if not confusions:
        return
    out.answer()
    shown = confusions if every else confusions[:_CONFUSIONS]
    title = "Who is taken for whom"
    if len(shown) < len(confusions):
        title += f": the worst {len(shown)} of {count(len(confusions), 'pair')}"
    out.answer(out.styled(title, "bold"))
    for confusion in shown:
        astray = len(confusion.astray)
        clusters = ", ".join(f"{cluster} ({x} + {y})" for cluster, x, y in confusion.clusters[:_PHOTOS])
        more = ", ..." if len(confusion.clusters) > _PHOTOS else ""
        word = "cluster" if len(confusion.clusters) == 1 else "clusters"
        who = f"{confusion.owner} + {confusion.other}"
        out.answer(f"  {who}: {count(astray, 'face')} astray in {word} {clusters}{more}")
        photos = [rows[int(i)].photo for i in confusion.astray]
        for photo in photos if every else photos[:_PHOTOS]:
            out.answer(f"      {photo}")
        if not every and astray > _PHOTOS:
            out.answer(f"      and {astray - _PHOTOS:,} more")


def _print_identification(out: Output, result: Evaluation) -> None:
    out.answer(out.styled("Identification, by the mean of a person's three most alike faces", "bold"))
    top = result.top_one
    if top.rate is None:
        out.answer("  Nobody is on two photos, so nobody can be recognised.")
    else:
        alone = f"; {count(top.alone, 'face')} have no other photo" if top.alone else ""
        out.answer(
            f"  each face asks the other photos: {top.rate:.2%} right ({top.right:,} of {top.asked:,}{alone})"
        )
    found = result.open_set
    if found is None:
        out.answer("  with strangers: too few people or photos to leave some out")
        return
    out.answer(
        f"  with strangers: {count(found.enrolled, 'person', 'people')} known by {found.gallery:,.0f} faces; "
        f"{found.mated:,.0f} other faces of them ask, and {found.non_mated:,.0f} of "
        f"{count(found.strangers, 'person', 'people')} left out"
    )
    out.answer(f"  (mean ± standard deviation of {count(found.repeats, 'draw')})")
    cells = [
        (
            _point_name(point),
            f"{point.tpir:.2%} ± {point.tpir_std:.2%}",
            f"{point.fpir:.2%} ± {point.fpir_std:.2%}",
        )
        for point in found.points
    ]
    for line in columns(
        cells, header=("", "known, and named rightly", "strangers let in"), right=[1, 2], indent=4
    ):
        out.answer(line)
    if any(not point.resolved for point in found.points):
        out.answer("    * so few strangers asked that not one may be let in")


def _point_name(point: OperatingPoint) -> str:
    if point.target is None:
        return "default threshold"
    return f"TPIR at FPIR {100 * point.target:g} %{'' if point.resolved else ' *'}"


def _print_sweep(out: Output, curve: Sweep, people: int) -> None:
    out.answer()
    out.answer(
        out.styled(f"Chinese Whispers by constant threshold ({count(people, 'person', 'people')})", "bold")
    )
    best = curve.best
    cells = [
        (*_sweep_cells(f"{point.threshold:.4f}", point.scores), "best" if point is best else "")
        for point in curve.points
    ]
    near = next(
        (i for i, point in enumerate(curve.points) if point.threshold > curve.default.threshold), len(cells)
    )
    note = f"calibrated, even odds at {curve.default.threshold:.4f}"
    cells.insert(near, (*_sweep_cells("defaults", curve.default.scores), note))
    header = ("threshold", "precision", "recall", "B-cubed F", "clusters", "in none", "")
    for line in columns(cells, header=header, right=range(6), indent=2):
        out.answer(line)


def _sweep_cells(name: str, scores: ClusterScores) -> tuple[str, ...]:
    b = scores.bcubed
    return (
        name,
        f"{b.precision:.4f}",
        f"{b.recall:.4f}",
        f"{b.f:.4f}",
        f"{scores.clusters:,}",
        f"{scores.unclustered:,}",
    )


# JSON -----------------------------------------------------------------------------------------


def _as_json(
    out: Output, index: FaceIndex, result: Evaluation, curve: Sweep | None, rows: dict[int, Face]
) -> None:
    labelled, top = result.labelled, result.top_one
    clustering = index.require_clusters()
    out.document(
        _SCHEMA,
        index=str(index.directory),
        labels=labelled.source,
        face=labelled.face,
        photos=result.photos,
        photos_without_face=sum(person.no_face for person in result.people),
        photos_unreadable=labelled.unreadable,
        faces=len(labelled.positions),
        warnings=labelled.warnings,
        faces_since_clustering=result.unseen,
        clustering={
            "algorithm": clustering.algorithm,
            "parameters": dict(clustering.params),
            "seed": clustering.seed,
            **_scores_as_json(result.scores),
            "people": len(result.people),
            "accuracy": result.accuracy,
            "accuracy_one_to_one": result.own_accuracy,
        },
        people=[
            {
                "person": person.name,
                "photos": person.photos,
                "no_face": person.no_face,
                "faces": person.faces,
                "cluster": person.cluster,
                "in_cluster": person.in_cluster,
                "accuracy": person.accuracy,
                "others_in_cluster": person.others,
                "one_to_one_cluster": person.own_cluster,
                "in_one_to_one_cluster": person.in_own,
                "one_to_one_accuracy": person.own_accuracy,
            }
            for person in result.people
        ],
        confusions=[
            {
                "people": [confusion.owner, confusion.other],
                "astray": len(confusion.astray),
                "clusters": [{"cluster": cluster, "faces": [x, y]} for cluster, x, y in confusion.clusters],
                "faces": [_face_as_json(rows[int(i)]) for i in confusion.astray],
            }
            for confusion in result.confusions
        ],
        identification={
            "leave_one_out": {
                "top1": top.rate,
                "right": top.right,
                "asked": top.asked,
                "no_other_photo": top.alone,
                "wrong": [
                    {
                        **_face_as_json(rows[int(labelled.positions[i])]),
                        "person": labelled.names[int(labelled.people[i])],
                        "taken_for": labelled.names[int(other)] if other >= 0 else None,
                    }
                    for i, other in zip(top.wrong, top.taken_for, strict=True)
                ],
            },
            "open_set": None if result.open_set is None else _open_set_as_json(result.open_set),
        },
        sweep=None if curve is None else _sweep_as_json(curve),
    )


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


def _draw(index: FaceIndex, labelled: Labelled, curve: Sweep | None, file: Path, seed: int) -> None:
    from faceindex.evaluation.plots import plot_similarities, plot_sweep

    people = len(labelled.names)
    about = f"{len(labelled.positions):,} labelled faces of {count(people, 'person', 'people')}"
    if curve is None:
        plot_similarities(
            index.evaluation.similarities(labelled, seed=seed),
            file,
            threshold=index.evaluation.threshold(),
            title=f"How alike are {about}?",
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
        title=f"Chinese Whispers by threshold: {about}",
    )
