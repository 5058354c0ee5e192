"""The tables of ``faceindex eval``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf
from typing import TYPE_CHECKING

from faceindex.cli.render import Output, columns, count

if TYPE_CHECKING:
    from faceindex.api import Face
    from faceindex.evaluation.report import ClusterScores, Evaluation
    from faceindex.evaluation.sweep import Sweep
    from faceindex.metrics import Bin, Interval, OperatingPoint, Person, Reliability

__all__ = ["print_evaluation", "print_sweep"]

_PEOPLE = 20  # rows of people without --all
_CONFUSIONS = 5
_PHOTOS = 3  # of each confusion

_LABELLED = {
    "largest": "the largest face of each photo",
    "center": "the face nearest the middle of each photo",
    "all": "every face of each photo",
    None: "each labelled face",
}
_IN_BOXES = "the face in each labelled box"


def print_evaluation(out: Output, result: Evaluation, faces: Mapping[int, Face], *, every: bool) -> None:
    """Print the scores of people, clusters and identification.

    Parameters
    ----------
    out : Output
    result : Evaluation
    faces : mapping of int to Face
        The misplaced faces, by their position in the table of the index.
    every : bool
        Print all people and confusions, not only the worst, and the scores by size and quality of the face.
    """
    labelled = result.labelled
    source = "folder names" if labelled.source == "folders" else labelled.source
    no_face = sum(person.no_face for person in result.people)
    head = f"{count(result.photos, 'photo')} of {count(len(result.people), 'person', 'people')}"
    if labelled.boxes is not None:
        head = f"{count(len(labelled.boxes.boxes), 'box', 'boxes')} of "
        head += f"{count(len(result.people), 'person', 'people')} on {count(labelled.boxes.photos, 'photo')}"
    out.answer(out.styled(head, "bold"))
    left_out = f"; {count(labelled.unreadable, 'unreadable photo')} left out" if labelled.unreadable else ""
    where, rest = _LABELLED[labelled.face], f"{count(no_face, 'photo')} without one"
    if labelled.boxes is not None:
        where = _IN_BOXES
        rest = f"{count(len(labelled.boxes.without_face), 'box', 'boxes')} without a face, "
        rest += f"{count(len(labelled.boxes.without_box), 'face')} on these photos without a box"
    out.paragraph(
        f"(labels from {source}, on {where}: {count(len(labelled.positions), 'face')}; {rest}{left_out})"
    )
    out.answer()
    _print_people(out, result, every=every)
    out.answer()
    _print_scores(out, result)
    out.answer()
    _print_album(out, result)
    if every:
        _print_bins(out, "By face size, the side of the box", result.by_size, "{:g} px")
        _print_bins(out, "By face quality", result.by_quality, "{:g}")
    _print_confusions(out, result, faces, every=every)
    out.answer()
    _print_identification(out, result)


def _print_people(out: Output, result: Evaluation, *, every: bool) -> None:
    people = result.people
    if not every and len(people) > _PEOPLE:
        people = result.worst[:_PEOPLE]
        out.paragraph(
            f"The {_PEOPLE} worst of {len(result.people):,} people, by photos outside a cluster of their "
            "own; --all shows all"
        )
    cells: list[tuple[str, ...]] = [
        (
            person.name,
            f"{person.photos:,}",
            f"{person.no_face:,}" if person.no_face else "-",
            "none" if person.cluster is None else str(person.cluster),
            f"{person.in_cluster:,}",
            f"{person.accuracy:.1%}",
            f"{person.others:,}" if person.others else "-",
            _own(result, person),
        )
        for person in people
    ]
    header: tuple[str, ...] = (
        *("person", "photos", "no face", "cluster", "in it", "accuracy", "others in it", "one to one"),
    )
    right = [*range(1, 7)]
    if result.names:
        header = (*header[:4], "your name", *header[4:])
        right = [1, 2, 3, 5, 6, 7]
        cells = [
            (*row[:4], _called(result, person.cluster) or "-", *row[4:])
            for row, person in zip(cells, people, strict=True)
        ]
    for i, line in enumerate(columns(cells, header=header, right=right)):
        out.answer(line if i else out.styled(line, "bold"))


def _called(result: Evaluation, cluster: int | None) -> str | None:
    return None if cluster is None else result.names.get(cluster)


def _own(result: Evaluation, person: Person) -> str:
    """Return the cluster that a person gets if no two people may have the same."""
    if (person.own_cluster, person.in_own) == (person.cluster, person.in_cluster):
        return "the same"
    if not person.in_own:
        return "no cluster left"
    where = "single face" if person.own_cluster is None else f"cluster {person.own_cluster}"
    if name := _called(result, person.own_cluster):
        where += f" ({name})"
    return f"{where}, {person.own_accuracy:.1%}"


def _print_scores(out: Output, result: Evaluation) -> None:
    scores = result.scores
    b, pairs, v = scores.bcubed, scores.pairwise, scores.v_measure
    rows = [
        ("", "precision", "recall", "F", "" if result.interval is None else "95 % interval"),
        ("B-cubed", f"{b.precision:.4f}", f"{b.recall:.4f}", f"{b.f:.4f}", _interval(result.interval)),
        ("pairwise", f"{pairs.precision:.4f}", f"{pairs.recall:.4f}", f"{pairs.f:.4f}", ""),
        ("", "homogeneity", "completeness", "V", ""),
        ("V-measure", f"{v.homogeneity:.4f}", f"{v.completeness:.4f}", f"{v.v:.4f}", ""),
    ]
    out.answer(out.styled(f"Clusters ({result.clustering.algorithm})", "bold"))
    for line in columns(rows, right=[1, 2, 3], indent=2):
        out.answer(line)
    out.paragraph(
        f"{count(scores.clusters, 'cluster')} for {count(len(result.people), 'person', 'people')}; "
        f"{count(scores.singletons, 'single face')} ({scores.unclustered:,} in no cluster)",
        indent=2,
        hang=4,
    )
    out.paragraph(
        f"{result.accuracy:.1%} of the photos in their person's cluster; "
        f"{result.own_accuracy:.1%} if no two people may have the same",
        indent=2,
        hang=4,
    )


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _print_album(out: Output, result: Evaluation) -> None:
    """Print the scores of all faces, with and without a label."""
    album = result.album
    unlabelled = album.faces - len(result.labelled.positions)
    title = f"The whole album ({count(album.faces, 'face')}, {unlabelled:,} without a label)"
    out.answer(out.styled(title, "bold"))
    per_cluster = "-" if album.people_per_cluster is None else f"{album.people_per_cluster:.2f}"
    per_person = "-" if album.clusters_per_person is None else f"{album.clusters_per_person:.2f}"
    junk = count(album.junk_clusters, "cluster")
    cells = [
        ("people per cluster", per_cluster, "among the labelled faces"),
        ("clusters per person", per_person, "each face in no cluster counts as one"),
        ("doubles", f"{album.doubles:,}", "further faces of one photo in one cluster"),
        ("junk", f"{album.junk:,}", f"faces in {junk} with few labelled faces"),
    ]
    for line in columns(cells, right=[1], indent=2):
        out.answer(line)


def _print_bins(out: Output, title: str, bins: list[Bin], unit: str) -> None:
    cells = [
        (
            _range(found, unit),
            f"{found.faces:,}",
            f"{found.people:,}",
            f"{found.bcubed.precision:.4f}",
            f"{found.bcubed.recall:.4f}",
            f"{found.bcubed.f:.4f}",
            _interval(found.interval),
        )
        for found in bins
    ]
    out.answer()
    out.answer(out.styled(title, "bold"))
    header = ("", "faces", "people", "precision", "recall", "B-cubed F", "95 % interval")
    for line in columns(cells, header=header, right=range(1, 6), indent=2):
        out.answer(line)


def _range(found: Bin, unit: str) -> str:
    if isinf(found.low) and isinf(found.high):
        return "all"
    if isinf(found.low):
        return f"below {unit.format(found.high)}"
    if isinf(found.high):
        return f"{unit.format(found.low)} and more"
    return f"{found.low:g} to {unit.format(found.high)}"


def _print_confusions(out: Output, result: Evaluation, faces: Mapping[int, Face], *, every: bool) -> None:
    confusions = result.confusions
    if not confusions:
        return
    out.answer()
    shown = confusions if every else confusions[:_CONFUSIONS]
    title = "People who share a cluster"
    if len(shown) < len(confusions):
        title += f": the worst {len(shown)} of {count(len(confusions), 'pair')}"
    out.answer(out.styled(title, "bold"))
    for confusion in shown:
        misplaced = len(confusion.misplaced)
        clusters = ", ".join(
            " ".join([str(cluster), *filter(None, [_called(result, cluster)]), f"({x} + {y})"])
            for cluster, x, y in confusion.clusters[:_PHOTOS]
        )
        more = ", ..." if len(confusion.clusters) > _PHOTOS else ""
        word = "cluster" if len(confusion.clusters) == 1 else "clusters"
        who = f"{confusion.owner} + {confusion.other}"
        out.paragraph(
            f"{who}: {count(misplaced, 'face')} misplaced in {word} {clusters}{more}", indent=2, hang=4
        )
        photos = [faces[int(i)].photo for i in confusion.misplaced]
        for photo in photos if every else photos[:_PHOTOS]:
            out.answer(f"      {photo}")
        if not every and misplaced > _PHOTOS:
            out.answer(f"      and {misplaced - _PHOTOS:,} more")


def _print_identification(out: Output, result: Evaluation) -> None:
    out.answer(out.styled("Identification", "bold"))
    top = result.top_one
    if top.rate is None:
        out.answer("  No person is on two photos, so identification cannot be scored.")
    else:
        rest = f"; {count(top.no_other_photo, 'face')} have no other photo" if top.no_other_photo else ""
        out.paragraph(
            f"each face, searched on the other photos: {top.rate:.2%} right "
            f"({top.right:,} of {top.searched:,}{rest})",
            indent=2,
            hang=4,
        )
    found = result.open_set
    if found is None:
        out.answer("  with strangers: too few people or photos to leave some out")
        return
    out.paragraph(
        f"with strangers: {count(found.enrolled, 'person', 'people')} enrolled with "
        f"{_faces(found.gallery)}; searched for {_faces(found.mated, 'other ')} of them, and "
        f"{_faces(found.non_mated)} of {count(found.strangers, 'person', 'people')} left out",
        indent=2,
        hang=4,
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
        cells, header=("", "known people named correctly", "strangers named"), right=[1, 2], indent=4
    ):
        out.answer(line)
    if any(not point.resolved for point in found.points):
        out.answer("    * too few strangers for this rate: not one of them may be named")
    if found.reliability:
        _print_reliability(out, found.reliability)


def _print_reliability(out: Output, parts: Sequence[Reliability]) -> None:
    """Print how often answers of some probability are right."""
    out.paragraph(
        "probabilities, and how many of these answers are right (as many known people as strangers):",
        indent=2,
        hang=4,
    )
    cells = [
        (
            f"{100 * part.low:g} to {100 * part.high:g} %",
            f"{part.searches:,}",
            f"{part.probability:.1%}",
            f"{part.right:.1%}",
        )
        for part in parts
    ]
    header = ("", "searches", "mean probability", "right")
    for line in columns(cells, header=header, right=[1, 2, 3], indent=4):
        out.answer(line)


def _faces(number: float, kind: str = "") -> str:
    return count(round(number), f"{kind}face")  # a mean over the draws


def _point_name(point: OperatingPoint) -> str:
    if point.target is None:
        return "identify"
    return f"TPIR at FPIR {100 * point.target:g} %{'' if point.resolved else ' *'}"


def print_sweep(out: Output, curve: Sweep, people: int) -> None:
    """Print the scores at each threshold, the best one marked."""
    out.answer()
    out.answer(out.styled(f"Clusters by constant threshold ({count(people, 'person', 'people')})", "bold"))
    best = curve.best
    cells = [
        (*_sweep_cells(f"{point.threshold:.4f}", point.scores), "best" if point is best else "")
        for point in curve.points
    ]
    higher = (i for i, point in enumerate(curve.points) if point.threshold > curve.default.threshold)
    note = f"calibrated, even odds at {curve.default.threshold:.4f}"
    cells.insert(next(higher, len(cells)), (*_sweep_cells("defaults", curve.default.scores), note))
    header = ("threshold", "precision", "recall", "B-cubed F", "clusters", "in none", "")
    for line in columns(cells, header=header, right=range(6), indent=2, width=out.width):
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
