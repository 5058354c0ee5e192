"""Clusterings in the catalog: which face is in which cluster, now and before the last change.

The clustering before is stored as differences from the active one: an incremental run costs a row for each
face whose cluster changed, not a copy of all clusters. A face that is deleted is deleted from both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import fields, integer, mapping, moment, natural, optional, parse, text
from faceindex.store.decisions import DecisionTables
from faceindex.store.migrations import WITH_PREVIOUS_CLUSTERING
from faceindex.store.records import Clustering, PreviousClustering
from faceindex.store.sqlite import IntegrityError

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.types import F32, I64, BoolArray

__all__ = ["active_clustering", "count_newer_faces", "previous_clustering", "write_clustering"]

_MOST = 2**63 - 1  # that SQLite stores
_CLUSTERING = fields(id=integer, algorithm=text, seed=integer, created=moment)


def write_clustering(
    catalog: Catalog,
    algorithm: str,
    params: Mapping[str, Json],
    seed: int,
    face_ids: I64,
    labels: I64,
    similarities: F32,
    changed: BoolArray | None = None,
    *,
    restored: datetime | None = None,
    linked: Mapping[int, int] | None = None,
) -> None:
    """Store the clusters of all faces, in place of the active ones; inside a transaction.

    The clustering that this replaces becomes the previous one, unless no face gets another cluster. Then the
    previous one stays: a run that changes nothing does not lose it.

    Parameters
    ----------
    algorithm, params, seed
        Name, parameters and seed of the clusterer, for the record.
    face_ids : (n,) int64
        Live faces. Faces that are left out are in no cluster.
    labels : (n,) int64
        Cluster ids, -1 for none. The id of a new cluster must be at least
        ``active_clustering(catalog).next_cluster_id`` (0 for the first clustering).
    similarities : (n,) float32
        Of each face to its cluster; ignored where the label is -1.
    changed : (n,) bool, optional
        True where the label or the similarity differs from the stored one. Only these faces are written,
        and faces that are left out stay as they are. None means to write all.
    restored : datetime, optional
        When the clustering was made, if it is the previous one, which is restored. The replaced one always
        becomes the previous one then.
    linked : mapping of int to int, optional
        People of clusters, as of `DecisionTables.update_cluster_people`.

    Raises
    ------
    UsageError
        If arrays differ in length, a similarity is missing, or a face is unknown.
    """
    import numpy as np

    face_ids, labels = np.asarray(face_ids, np.int64), np.asarray(labels, np.int64)
    similarities = np.asarray(similarities, np.float32)
    if not face_ids.shape == labels.shape == similarities.shape == (len(face_ids),):
        raise UsageError("Faces, labels and similarities differ in length.", "Pass one of each per face.")
    if not np.isfinite(similarities[labels >= 0]).all():
        raise UsageError("A face in a cluster has no similarity to it.", "Pass a finite number.")
    if changed is not None:
        if changed.shape != labels.shape:
            raise UsageError("Faces and changes differ in length.", "Pass one of each per face.")
        face_ids, labels, similarities = face_ids[changed], labels[changed], similarities[changed]
    used = np.unique(labels[labels >= 0])
    kept = np.flatnonzero(labels >= 0)
    active = active_clustering(catalog)
    moved = clusters = np.empty(0, np.int64)
    if active is not None:
        moved, clusters = _moved(catalog, face_ids, labels, everything=changed is None)
    if changed is None:
        catalog.execute("DELETE FROM assignments")
    else:
        catalog.executemany("DELETE FROM assignments WHERE face_id = ?", [(int(face),) for face in face_ids])
    catalog.executemany("INSERT OR IGNORE INTO clusters (id) VALUES (?)", [(int(c),) for c in used])
    try:
        catalog.executemany(
            "INSERT INTO assignments (face_id, cluster_id, similarity) VALUES (?, ?, ?)",
            zip(face_ids[kept].tolist(), labels[kept].tolist(), similarities[kept].tolist(), strict=True),
        )
    except IntegrityError as error:
        raise UsageError(
            "A clustering names a face twice, or one that is not in the index.",
            "Read the faces again and cluster those.",
        ) from error
    if active is not None and (len(moved) or restored is not None):
        previous_id: int | None = active.id
        catalog.execute("DELETE FROM previous_assignments")
        catalog.executemany(
            "INSERT INTO previous_assignments (face_id, cluster_id) VALUES (?, nullif(?, -1))",
            zip(moved.tolist(), clusters.tolist(), strict=True),
        )
    else:
        previous_id = _previous_id(catalog)
    catalog.execute(
        "INSERT INTO clusterings (algorithm, params, seed, created, previous_id) VALUES (?, ?, ?, ?, ?)",
        (
            algorithm,
            json.dumps(dict(params)),
            seed,
            (restored or datetime.now(timezone.utc)).isoformat(),
            previous_id,
        ),
    )
    catalog.execute(
        "DELETE FROM clusters WHERE NOT EXISTS (SELECT 1 FROM assignments WHERE cluster_id = clusters.id)"
    )
    DecisionTables(catalog).update_cluster_people(linked=linked)
    if len(used):
        catalog.set("next_cluster_id", max(catalog.get("next_cluster_id", natural), int(used[-1]) + 1))


def _moved(catalog: Catalog, face_ids: I64, labels: I64, *, everything: bool) -> tuple[I64, I64]:
    """Find the faces that are stored with another cluster than their new label.

    Parameters
    ----------
    face_ids, labels : (n,) int64
        The new labels, -1 for none.
    everything : bool
        Whether faces that are left out are in no cluster now; otherwise they stay as they are.

    Returns
    -------
    faces, clusters : (m,) int64
        Their ids, ascending, and the stored clusters, -1 for none.
    """
    import numpy as np

    from faceindex.store.columns import INTEGER

    stored_faces, stored_clusters = catalog.columns(
        "assignments", [("face_id", INTEGER), ("cluster_id", INTEGER)]
    )
    faces = np.union1d(face_ids, stored_faces) if everything else np.unique(face_ids)
    before = np.full(len(faces), -1, np.int64)
    now = before.copy()
    is_stored = np.isin(stored_faces, faces, assume_unique=True)
    before[np.searchsorted(faces, stored_faces[is_stored])] = stored_clusters[is_stored]
    now[np.searchsorted(faces, face_ids)] = labels
    moved = before != now
    return faces[moved], before[moved]


def active_clustering(catalog: Catalog) -> Clustering | None:
    """Return the newest clustering; None if there is none."""
    return _read(catalog, "ORDER BY id DESC LIMIT 1")


def previous_clustering(catalog: Catalog) -> PreviousClustering | None:
    """Return the clustering that the newest one replaced; None if there is none."""
    from faceindex.store.columns import INTEGER

    previous_id = _previous_id(catalog)
    clustering = None if previous_id is None else _read(catalog, f"WHERE id = {int(previous_id)}")
    if clustering is None:
        return None
    faces, clusters = catalog.columns(
        "previous_assignments p JOIN faces f ON f.id = p.face_id",
        [("f.id", INTEGER), ("max(coalesce(p.cluster_id, -1), -1)", INTEGER)],
    )
    return PreviousClustering(clustering, faces, clusters)


def count_newer_faces(catalog: Catalog) -> int:
    """Count the faces that were added after the newest clustering; 0 without a clustering."""
    clustering = active_clustering(catalog)
    last = None if clustering is None else clustering.params.get("last_face")
    if not isinstance(last, int) or not 0 <= last <= _MOST:
        return 0
    return int(catalog.query("SELECT count(*) FROM faces WHERE id > ?", (last,))[0][0])


def _previous_id(catalog: Catalog) -> int | None:
    """Return the id of the clustering that the newest one replaced."""
    if catalog.format_version < WITH_PREVIOUS_CLUSTERING:  # of an index that is open for reading only
        return None
    found = catalog.query("SELECT previous_id FROM clusterings ORDER BY id DESC LIMIT 1")
    with catalog.checked():
        previous_id: int | None = (
            optional(integer)(found[0][0], "a clustering.previous_id") if found else None
        )
    return previous_id


def _read(catalog: Catalog, which: str) -> Clustering | None:
    """Return a clustering; `which` is the end of the query."""
    found = catalog.query(f"SELECT id, algorithm, seed, created, params FROM clusterings {which}")
    if not found:
        return None
    *values, params = found[0]
    with catalog.checked():
        return Clustering(
            **_CLUSTERING(
                dict(zip(("id", "algorithm", "seed", "created"), values, strict=True)), "a clustering"
            ),
            params=parse(params, "the parameters of a clustering", mapping()),
            next_cluster_id=catalog.get("next_cluster_id", natural),
        )
