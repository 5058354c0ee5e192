"""Make the clusters agree with a decision at once: only the faces and clusters that it concerns change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from faceindex.clustering.centroids import similarity_to_centroid
from faceindex.clustering.enforcing import enforce
from faceindex.people.constraints import constraints_of_faces, people_by_links

if TYPE_CHECKING:
    from faceindex.people.roster import Roster
    from faceindex.store.decisions import DecisionTables
    from faceindex.types import F32, I64

__all__ = ["number_new_clusters", "settle"]


def settle(
    tables: DecisionTables,
    roster: Roster,
    marks: Iterable[int],
    vectors: Callable[[I64], F32],
    *,
    restored: Iterable[tuple[int, int | None, int | None]] = (),
    left: Iterable[int] = (),
) -> list[tuple[int, int | None, int | None]]:
    """Move faces between clusters so that these agree with decisions.

    Parameters
    ----------
    tables : DecisionTables
    roster : Roster
        The people, after the decisions.
    marks : iterable of int
        Those that the decisions changed.
    vectors : callable
        Returns the vectors of rows of the vector file.
    restored : iterable of (face, cluster, cluster)
        Faces that an earlier decision moved from the first cluster to the second one, None for none. They
        move back if they are still there.
    left : iterable of int
        Clusters that have lost a face.

    Returns
    -------
    list of (face, cluster, cluster)
        The faces that moved, from the first cluster to the second one, None for none.
    """
    touched = {face for faces in tables.faces_of_marks(sorted(marks)).values() for face in faces}
    moved = list(restored)
    where = tables.assigned([face for face, _, _ in moved])
    back = {face: before for face, before, after in moved if where.get(face) == after}
    concerned = sorted({*touched, *back})
    shrunk = {*left}
    if not concerned and not shrunk:
        return []
    now = tables.assigned(concerned)
    clusters = {*shrunk, *now.values(), *(cluster for cluster in back.values() if cluster is not None)}
    mark_of = tables.marks_of_faces(concerned)
    homeless = _people_without_cluster(tables, roster, concerned, mark_of, now)
    people = [member for person in sorted(homeless) for member in roster.members(person)]
    clusters |= {*tables.clusters_of_people(people)}
    rows = _with_linked_faces(tables, set(concerned), clusters)
    if not rows:
        return []
    faces = [face for face, _, _ in rows]
    before = np.array([cluster for _, _, cluster in rows], np.int64)
    start = before.copy()
    for i, face in enumerate(faces):
        if face in back:
            start[i] = -1 if (cluster := back[face]) is None else cluster
    own = vectors(np.array([row for _, row, _ in rows], np.int64))
    constraints = constraints_of_faces(tables, roster, faces)
    labels = enforce(start, own, constraints)
    labels, next_cluster = number_new_clusters(labels, start, tables.next_cluster_id())
    changed = np.flatnonzero(labels != before)
    affected = np.unique(np.concatenate([labels[changed], before[changed], np.array([*shrunk], np.int64)]))
    members = np.flatnonzero(np.isin(labels, affected[affected >= 0]))
    similarities = similarity_to_centroid(own, labels, np.intersect1d(affected[affected >= 0], labels))
    written = np.union1d(changed, members)
    tables.move_faces(
        np.array(faces, np.int64)[written], labels[written], similarities[written], next_cluster
    )
    changed_clusters = {*clusters, *before[before >= 0].tolist(), *labels[labels >= 0].tolist()}
    tables.update_cluster_people(changed_clusters, people_by_links(labels, constraints))
    return [(faces[i], _optional(before[i]), _optional(labels[i])) for i in changed.tolist()]


def _with_linked_faces(
    tables: DecisionTables, faces: set[int], clusters: set[int]
) -> list[tuple[int, int, int]]:
    """Return faces, the members of clusters, and all that is linked to these as the same person.

    Faces that are different from these need no change: no face comes into a cluster that is not among these.

    Returns
    -------
    list of (face, vector row, cluster)
        By face; -1 for no cluster.
    """
    seen: set[int] = set()
    while True:
        rows = tables.faces_of_clusters(sorted(clusters))
        members = faces.union(face for face, _, _ in rows)
        new = sorted(members - seen) if tables.has_links else []
        seen = members
        links = tables.links(sorted({*tables.marks_of_faces(new).values()}))
        linked = {mark for pair, (same, _) in links.items() if same for mark in pair}
        ends = tables.faces_of_marks(sorted(linked)).values()
        others = {face for found in ends for face in found} - members
        if not others:
            known = {face for face, _, _ in rows}
            return sorted([*rows, *((f, row, -1) for f, row in tables.rows_of_faces(sorted(faces - known)))])
        faces |= others
        clusters |= {*tables.assigned(sorted(others)).values()}


def _people_without_cluster(
    tables: DecisionTables,
    roster: Roster,
    faces: list[int],
    marks: dict[int, int],
    clusters: dict[int, int],
) -> set[int]:
    """Return the people of labelled faces that are in no cluster, or may be in one of another person."""
    roots = roster.roots
    states = tables.labels(sorted(set(marks.values())))
    others = {cluster: roots[person] for cluster, person in tables.people_of_clusters().items()}
    found: dict[int, set[int]] = {}
    homeless = set()
    for face in faces:
        state = states.get(marks.get(face, -1))
        if state is None or state.person is None:
            continue
        person = roots[state.person]
        cluster = clusters.get(face)
        if cluster is None or others.get(cluster, person) != person:
            homeless.add(person)
        else:
            found.setdefault(cluster, set()).add(person)
    return homeless.union(*(people for people in found.values() if len(people) > 1))


def number_new_clusters(labels: I64, start: I64, next_cluster: int) -> tuple[I64, int]:
    """Number the clusters that are not in `start` from `next_cluster` on; return the next number too."""
    new = np.setdiff1d(labels[labels >= 0], start)
    if len(new):
        at = np.minimum(np.searchsorted(new, labels), len(new) - 1)
        labels = np.where(np.isin(labels, new), next_cluster + at, labels)
    return labels, next_cluster + len(new)


def _optional(cluster: np.int64) -> int | None:
    return None if cluster < 0 else int(cluster)
