"""How ``faceindex eval --people`` prints its scores: as tables, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceindex.cli.render import Output, columns, count
from faceindex.documents import Json

if TYPE_CHECKING:
    from faceindex.evaluation.decisions import DecidedIdentification, PeopleEvaluation

__all__ = ["people_as_json", "print_people"]

_PEOPLE = 20  # rows without --all


def print_people(out: Output, result: PeopleEvaluation, *, every: bool) -> None:
    """Print the scores.

    Parameters
    ----------
    out : Output
    result : PeopleEvaluation
    every : bool
        Print all people, not only the worst.
    """
    decided = result.decided
    head = f"{count(decided.confirmed, 'confirmed face')}"
    if decided.named:
        head += f" and {count(decided.named, 'face')} named with their cluster,"
    out.answer(out.styled(f"{head} of {count(len(decided.names), 'person', 'people')}", "bold"))
    out.paragraph(
        f"(by your decisions; {count(len(decided.strangers), 'face')} of strangers, "
        f"{len(decided.not_faces):,} that are not faces)"
    )
    if decided.named:
        out.paragraph(
            "Named faces agree with the clusters that you named, so they make the scores of clusters too "
            "good."
        )
    out.answer()
    _print_clusters(out, result, every=every)
    out.answer()
    _print_identification(out, result.identification)


def _print_clusters(out: Output, result: PeopleEvaluation, *, every: bool) -> None:
    out.answer(out.styled(f"Clusters without your decisions ({result.algorithm})", "bold"))
    out.paragraph(
        "All faces were clustered afresh in memory, as if you had decided nothing, and compared with what "
        "you decided.",
        indent=2,
    )
    b, pairs, interval = result.scores.bcubed, result.scores.pairwise, result.interval
    between = "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"
    rows = [
        ("B-cubed", f"{b.precision:.4f}", f"{b.recall:.4f}", f"{b.f:.4f}", between),
        ("pairwise", f"{pairs.precision:.4f}", f"{pairs.recall:.4f}", f"{pairs.f:.4f}", ""),
    ]
    header = ("", "precision", "recall", "F", "" if interval is None else "95 % interval")
    for line in columns(rows, header=header, right=[1, 2, 3], indent=2):
        out.answer(line)
    out.paragraph(
        "Precision: how far the labelled faces of a cluster are of one person. Recall: how far those of a "
        "person are in one cluster.",
        indent=2,
    )
    people, nobody = len(result.people), result.nobody
    lines = [
        f"{result.split:,} of {count(people, 'person', 'people')} in several clusters, or with faces in none",
        f"{count(result.mixed, 'cluster')} with faces of several people",
    ]
    if nobody.faces:
        lines.append(
            f"{count(nobody.faces, 'face')} of nobody: {nobody.with_people:,} among the faces of people, "
            f"{nobody.in_clusters:,} in other clusters"
        )
    for line in lines:
        out.paragraph(line, indent=2, hang=4)
    shown = sorted(
        zip(result.people, result.clusters_of, strict=True),
        key=lambda pair: (pair[0].in_cluster - pair[0].photos, -pair[0].others, pair[0].name),
    )
    if not every:
        shown = shown[:_PEOPLE]
    cells = [
        (
            person.name,
            f"{person.faces:,}",
            f"{clusters:,}",
            f"{person.accuracy:.1%}",
            f"{person.others or '-'}",
        )
        for person, clusters in shown
    ]
    out.answer()
    header = ("person", "faces", "clusters", "photos in the largest", "others in it")
    for line in columns(cells, header=header, right=range(1, 5), indent=2):
        out.answer(line)
    if len(shown) < people:
        out.paragraph(f"(the worst {len(shown)} of {people:,}; --all shows all)", indent=2)


def _print_identification(out: Output, found: DecidedIdentification | None) -> None:
    out.answer(out.styled("Identification", "bold"))
    if found is None:
        out.paragraph("The embedder is not calibrated, so identification cannot be scored.", indent=2)
        return
    out.paragraph(
        "Each of these faces was identified as if its picture were new, in the clusters as they are.",
        indent=2,
    )
    if found.searched + found.alone < found.drawn_from:
        drawn = found.searched + found.alone
        out.paragraph(f"({drawn:,} of {found.drawn_from:,} labelled faces, drawn at random)", indent=2)
    if found.searched:
        missed = found.searched - found.right - found.wrong - found.unnamed
        parts = f"{found.wrong:,} named wrong, {missed:,} not named"
        if found.unnamed:
            parts += f", {found.unnamed:,} in a cluster without a name"
        out.paragraph(
            f"known people named right: {found.right / found.searched:.2%} "
            f"({found.right:,} of {found.searched:,}; {parts})",
            indent=2,
            hang=4,
        )
    if found.alone:
        out.paragraph(
            f"not searched: {count(found.alone, 'face')} of people who are on no other picture",
            indent=2,
            hang=4,
        )
    if found.nobody:
        out.paragraph(
            f"faces of nobody that got a name: {found.nobody_named / found.nobody:.2%} "
            f"({found.nobody_named:,} of {found.nobody:,})",
            indent=2,
            hang=4,
        )
    if found.reliability:
        out.paragraph("probabilities, and how many of these answers are right:", indent=2, hang=4)
        cells = [
            (
                f"{100 * part.low:g} to {100 * part.high:g} %",
                f"{part.searches:,}",
                f"{part.probability:.1%}",
                f"{part.right:.1%}",
            )
            for part in found.reliability
        ]
        header = ("", "faces", "mean probability", "right")
        for line in columns(cells, header=header, right=[1, 2, 3], indent=4):
            out.answer(line)


def people_as_json(result: PeopleEvaluation) -> dict[str, Json]:
    """Return the scores as JSON values."""
    decided, scores, nobody, found = result.decided, result.scores, result.nobody, result.identification
    return {
        "faces": len(decided.positions),
        "confirmed": decided.confirmed,
        "named": decided.named,
        "strangers": len(decided.strangers),
        "not_faces": len(decided.not_faces),
        "clustering": {
            "algorithm": result.algorithm,
            **{
                name: {"precision": score.precision, "recall": score.recall, "f": score.f}
                for name, score in (("bcubed", scores.bcubed), ("pairwise", scores.pairwise))
            },
            "bcubed_f_interval": None
            if result.interval is None
            else [result.interval.low, result.interval.high],
            "clusters": scores.clusters,
            "unclustered": scores.unclustered,
            "people": len(result.people),
            "people_split": result.split,
            "clusters_mixed": result.mixed,
            "nobody": {
                "faces": nobody.faces,
                "with_people": nobody.with_people,
                "in_other_clusters": nobody.in_clusters,
            },
        },
        "people": [
            {
                "person": person.name,
                "faces": person.faces,
                "photos": person.photos,
                "clusters": clusters,
                "in_largest": person.in_cluster,
                "others_in_largest": person.others,
            }
            for person, clusters in zip(result.people, result.clusters_of, strict=True)
        ],
        "identification": None
        if found is None
        else {
            "searched": found.searched,
            "right": found.right,
            "wrong": found.wrong,
            "cluster_without_name": found.unnamed,
            "on_no_other_picture": found.alone,
            "nobody": found.nobody,
            "nobody_named": found.nobody_named,
            "drawn_from": found.drawn_from,
            "reliability": [
                {
                    "from": part.low,
                    "to": part.high,
                    "faces": part.searches,
                    "probability": part.probability,
                    "right": part.right,
                }
                for part in found.reliability
            ],
        },
    }
