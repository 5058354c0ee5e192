"""The clustering before the current one: what has changed since, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from faceindex.api.cluster_changes import (
    ClusterChanges,
    ClusterPart,
    MovedFace,
    RegroupedCluster,
    RenumberedCluster,
)
from faceindex.api.results import ClusterResult
from faceindex.clustering.changes import Part, Regrouped, compare
from faceindex.clustering.enforcing import enforce
from faceindex.clustering.incremental import update_similarities
from faceindex.clustering.overview import clusters_by_size
from faceindex.errors import UsageError
from faceindex.people.constraints import all_constraints, people_by_links
from faceindex.people.settling import number_new_clusters

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.clustering.constraints import Constraints
    from faceindex.store import Assignments, Clustering, PreviousClustering, Store
    from faceindex.types import I64

__all__ = ["changes_between", "changes_since_previous", "cluster_sizes", "restore_previous"]


def changes_since_previous(reader: Reader) -> ClusterChanges:
    """Compare the current clustering with the one before; see `index_clustering.IndexClustering.changes`."""
    store = reader.store
    with store.snapshot():
        now, previous = reader.clustering(), _previous(store)
        faces = store.assignments()
        return changes_between(
            reader,
            faces,
            previous.labels(faces),
            faces.cluster,
            before=previous.clustering,
            after=now.created,
        )


def restore_previous(reader: Reader, *, dry_run: bool) -> ClusterResult:
    """Bring the previous clustering back; see `index_clustering.IndexClustering.restore`."""
    store = reader.store
    changes = None
    with store.snapshot():
        now, previous = reader.clustering(), _previous(store)
        faces = store.assignments()
        constraints = all_constraints(store.decisions, faces)
        labels = _enforced(store, faces, previous.labels(faces), constraints)
        if dry_run:
            made = previous.clustering.created
            changes = changes_between(reader, faces, faces.cluster, labels, before=now, after=made)
    if not dry_run:
        _save(store, faces, labels, previous, people_by_links(labels, constraints))
    is_kept = labels == faces.cluster
    return ClusterResult(
        algorithm=previous.clustering.algorithm,
        sizes=cluster_sizes(labels),
        faces=len(faces),
        unclustered=int((labels < 0).sum()),
        kept=int((is_kept & (faces.cluster >= 0)).sum()),
        started_over=False,
        threshold=None,
        seed=previous.clustering.seed,
        parameters=previous.clustering.params,
        moved=int((~is_kept & (faces.cluster >= 0)).sum()),
        changes=changes,
    )


def _enforced(store: Store, faces: Assignments, labels: I64, constraints: Constraints) -> I64:
    """Return earlier clusters, changed where they contradict a decision of the user."""
    if constraints.is_empty:
        return labels
    enforced = enforce(labels, store.vectors(faces.row), constraints)
    return number_new_clusters(enforced, labels, store.decisions.next_cluster_id())[0]


def _save(
    store: Store, faces: Assignments, labels: I64, previous: PreviousClustering, linked: dict[int, int]
) -> None:
    """Store the labels of the previous clustering.

    Similarities are not kept: the vectors may be those of another embedder since. They are computed for the
    clusters that gain or lose a face.
    """
    similarities, changed = update_similarities(store.vectors(faces.row), labels, faces, tolerance=0.0)
    made = previous.clustering
    store.save_clustering(
        made.algorithm,
        made.params,
        made.seed,
        faces.face,
        labels,
        similarities,
        changed=changed,
        restored=made.created,
        linked=linked,
    )


def _previous(store: Store) -> PreviousClustering:
    previous = store.previous_clustering()
    if previous is None:
        raise UsageError(
            "The index has no earlier clusters: the clusters have not changed since the first run.",
            "Run `faceindex cluster` after adding photos, or with other options.",
        )
    return previous


def cluster_sizes(labels: I64) -> dict[int, int]:
    """Return the number of faces of each cluster, the largest first."""
    ids, sizes = clusters_by_size(labels)
    return dict(zip(ids.tolist(), sizes.tolist(), strict=True))


def changes_between(
    reader: Reader,
    faces: Assignments,
    old: I64,
    new: I64,
    *,
    before: Clustering | None,
    after: datetime | None,
) -> ClusterChanges:
    """Compare two clusterings of the faces of an index.

    Parameters
    ----------
    reader : Reader
    faces : Assignments
        n faces, all that are in the index.
    old, new : (n,) int64
        The clusters of both, -1 for none.
    before : Clustering or None
        The earlier clustering.
    after : datetime or None
        When the later one was made; None if it is not stored.
    """
    found = compare(old, new)
    last = -1 if before is None else before.params.get("last_face")
    newer = faces.face > last if isinstance(last, int) else np.zeros(len(faces), bool)
    joined = found.joined[~newer[found.joined]]
    of_faces = iter(_moved_faces(reader, faces, old, new, np.concatenate([found.moved, joined, found.left])))

    def take(number: int) -> tuple[MovedFace, ...]:
        return tuple(next(of_faces) for _ in range(number))

    return ClusterChanges(
        before=None if before is None else before.created,
        after=after,
        old_clusters=len(np.unique(old[old >= 0])),
        new_clusters=len(np.unique(new[new >= 0])),
        merged=tuple(map(_regrouped, found.merged)),
        split=tuple(map(_regrouped, found.split)),
        renumbered=tuple(RenumberedCluster(*each) for each in found.renumbered),
        new=tuple(map(_part, found.new)),
        gone=tuple(map(_part, found.gone)),
        moved=take(len(found.moved)),
        joined=take(len(joined)),
        left=take(len(found.left)),
        newer_faces=int(newer.sum()),
        newer_unclustered=int((newer & (new < 0)).sum()),
    )


def _part(part: Part) -> ClusterPart:
    return ClusterPart(part.cluster, part.faces)


def _regrouped(each: Regrouped) -> RegroupedCluster:
    return RegroupedCluster(each.cluster, each.faces, tuple(map(_part, each.parts)))


def _moved_faces(
    reader: Reader, faces: Assignments, old: I64, new: I64, positions: I64
) -> Iterator[MovedFace]:
    if not len(positions):
        return  # without reading the names of all photos
    table, names = reader.faces_and_photos()
    photos = table.photo[np.searchsorted(table.face, faces.face[positions])]
    for i, photo in zip(positions.tolist(), photos.tolist(), strict=True):
        record = names.by_id[photo]
        yield MovedFace(
            face=int(faces.face[i]),
            photo=names.name(record),
            path=names.path(record),
            old_cluster=None if old[i] < 0 else int(old[i]),
            new_cluster=None if new[i] < 0 else int(new[i]),
        )
