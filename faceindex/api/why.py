"""Explain why a face shows whom it shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from faceindex import models
from faceindex.api.people_journal import named_marks
from faceindex.api.people_results import JournalEntry
from faceindex.api.question_results import Explanation
from faceindex.api.reader import faces_at, find_faces
from faceindex.api.results import Neighbour
from faceindex.identification import Judge, Representatives, identify
from faceindex.people.constraints import all_constraints
from faceindex.people.dates import moment_of
from faceindex.quality import POOR_QUALITY
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.clustering.constraints import Constraints
    from faceindex.people.view import PeopleView
    from faceindex.store import FaceTable
    from faceindex.types import F32, I64

__all__ = ["explain"]

_LINKS = 3  # faces that a sentence names


def explain(reader: Reader, face: int, neighbours: int) -> Explanation:
    """Explain a face; see `faceindex.api.people_questions.AskingPeople.why`."""
    with reader.store.snapshot():
        table, names = reader.faces_and_photos()
        view, vectors = reader.people(), reader.vectors()
        (at,) = find_faces(table, [face]).tolist()
        marks = reader.store.decisions.marks_of_faces([face])
        constraints = all_constraints(reader.store.decisions, table)
        decisions = _decisions(reader, set(marks.values()))
    # A person is one group, with all its clusters; an unnamed cluster is another one.
    people = 1 + max(view.roster.records, default=0)
    groups = np.where(view.person >= 0, view.person, np.where(table.cluster >= 0, people + table.cluster, -1))
    groups[at] = -1
    others = np.delete(np.arange(len(table)), at)

    def search(queries: F32, k: int) -> tuple[I64, F32]:
        values = (vectors[others] @ queries[0])[None]
        best = np.argsort(-values[0], kind="stable")[:k]
        return table.face[others[best]][None], values[:, best]

    def ranked(groups: I64) -> list[tuple[str, float, float, float, float, list[int], list[float]]]:
        judge = Judge(models.calibration_of(reader.embedder_spec), lambda positions: vectors[positions])
        found = identify(
            np.array(vectors[at])[None],
            search,
            faces=table.face,
            clusters=groups,
            judge=judge,
            quality=table.quality[at : at + 1],
            representatives=Representatives.of(groups),
            neighbours=neighbours,
        )
        return [
            (
                _title(view, people, match.nearest_cluster),
                match.similarity,
                match.needed,
                match.margin,
                match.probability,
                match.faces,
                match.similarities,
            )
            for match in found
        ]

    if not len(others):
        best, similarity, needed, margin, probability = "", math.nan, math.nan, math.nan, math.nan
        near: list[int] = []
        values: list[float] = []
    else:
        ((best, similarity, needed, margin, probability, near, values),) = ranked(groups)
    second = ""
    if best:
        rest = groups.copy()
        rest[[_title(view, people, int(g)) == best for g in groups.tolist()]] = -1
        ((second, *_),) = ranked(rest)
    positions = find_faces(table, near).tolist() if near else []
    (shown,) = faces_at(table, names, [at], view)
    nearest = zip(faces_at(table, names, positions, view), values, strict=True)
    rules = _rules(table, view, constraints, at)
    rejected = constraints.rejected[constraints.rejected[:, 0] == at, 1].tolist()
    rules += _placed(table, view, at, rejected, best, similarity, needed)
    return Explanation(
        face=shown,
        best=best or None,
        similarity=similarity,
        needed=needed,
        second=second or None,
        margin=margin,
        probability=probability,
        nearest=tuple(Neighbour(neighbour, float(value)) for neighbour, value in nearest),
        rules=tuple(rules),
        decisions=tuple(decisions),
    )


def _title(view: PeopleView, people: int, group: int | None) -> str:
    if group is None or group < 0:
        return ""
    return view.roster.title(group) if group < people else f"cluster {group - people}"


def _decisions(reader: Reader, marks: set[int]) -> list[JournalEntry]:
    if not marks:
        return []
    found = []
    for decision in reader.store.decisions.decisions():
        named = named_marks(decision.actions)
        if decision.undone_by is None and named & marks:
            found.append(JournalEntry(decision.number, decision.at, decision.command, None, len(named)))
    return found[::-1]


def _rules(table: FaceTable, view: PeopleView, constraints: Constraints, at: int) -> list[str]:
    """Return sentences about what the user said of a face."""
    label = int(view.label[at])
    person = "" if constraints.person[at] < 0 else view.roster.title(int(constraints.person[at]))
    said = {
        Label.NAMED: f"You named a cluster {person} that this face was in.",
        Label.CONFIRMED: f"You said that this face is {person}.",
        Label.STRANGER: "You said that this is a stranger, so it is in no cluster.",
        Label.NOT_A_FACE: "You said that this is not a face, so it is in no cluster.",
    }
    rules = [said[Label(label)]] if label != Label.NONE else []
    for face, other in constraints.rejected.tolist():
        if face == at:
            rules.append(f"You said that it is not {view.roster.title(other)}.")
    for pairs, word in (
        (constraints.same, "the same person as"),
        (constraints.different, "another person than"),
    ):
        linked = np.unique(np.concatenate([pairs[pairs[:, 0] == at, 1], pairs[pairs[:, 1] == at, 0]]))
        if len(linked):
            shown = ", ".join(f"f{face}" for face in table.face[linked[:_LINKS]].tolist())
            more = f" and {len(linked) - _LINKS} more" if len(linked) > _LINKS else ""
            rules.append(f"You said that it is {word} {shown}{more}.")
    taken = float(constraints.taken[at])
    for other, born in constraints.born.items():
        if taken < born:
            year = moment_of(int(taken)).year
            rules.append(f"It is not {view.roster.title(other)}, who was born after the photo ({year}).")
    return rules


def _placed(
    table: FaceTable,
    view: PeopleView,
    at: int,
    rejected: list[int],
    best: str,
    similarity: float,
    needed: float,
) -> list[str]:
    """Return sentences about the cluster of a face, or why it has none."""
    cluster = int(table.cluster[at])
    if cluster >= 0:
        members = table.cluster == cluster
        size = int(members.sum())
        rules = [
            f"It is in cluster {cluster} with {size - 1:,} other face{'' if size == 2 else 's'}; its"
            f" similarity to their centre is {float(table.similarity[at]):.4f}."
        ]
        person = view.of_cluster.get(cluster)
        if person is not None and view.label[at] not in (Label.NAMED, Label.CONFIRMED):
            named = int((members & np.isin(view.label, [Label.NAMED, Label.CONFIRMED])).sum())
            rules.append(
                f"So it is believed to be {view.roster.title(person)}: you named {named:,} of these."
            )
        elif person is None:
            rules.append("Nobody has named this cluster.")
        return rules
    if view.label[at] in (Label.STRANGER, Label.NOT_A_FACE):
        return []
    rules = ["It is in no cluster."]
    if best in {view.roster.title(p) for p in rejected}:
        rules.append(f"It resembles {best} most, whom it does not show.")
    elif best and similarity < needed:
        rules.append(
            f"It resembles {best} most, similarity {similarity:.4f}; {needed:.4f} is needed to name it."
        )
    elif best:
        rules.append(
            f"It resembles {best}, but clustering found too few faces that agree; answer a question."
        )
    if table.quality[at] < POOR_QUALITY:
        rules.append("Its quality is poor, and poor faces of all people resemble each other.")
    return rules
