"""Clusterings in the catalog: which face is in which cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import fields, integer, mapping, moment, natural, parse, text
from faceindex.store.records import Clustering
from faceindex.store.sqlite import IntegrityError

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.types import F32, I64, BoolArray

__all__ = ["active_clustering", "save_clustering", "write_clustering"]

_CLUSTERING = fields(id=integer, algorithm=text, seed=integer, created=moment)


def save_clustering(
    catalog: Catalog,
    algorithm: str,
    params: Mapping[str, Json],
    seed: int,
    face_ids: I64,
    labels: I64,
    similarities: F32,
    changed: BoolArray | None,
) -> None:
    """Replace the clusters of faces, in one transaction; arguments as of `Store.save_clustering`."""
    with catalog.transaction(keep_scans=True):
        write_clustering(catalog, algorithm, params, seed, face_ids, labels, similarities, changed)


def write_clustering(
    catalog: Catalog,
    algorithm: str,
    params: Mapping[str, Json],
    seed: int,
    face_ids: I64,
    labels: I64,
    similarities: F32,
    changed: BoolArray | None = None,
) -> None:
    """As `save_clustering`, inside a transaction."""
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
    catalog.execute(
        "INSERT INTO clusterings (algorithm, params, seed, created) VALUES (?, ?, ?, ?)",
        (algorithm, json.dumps(dict(params)), seed, datetime.now(timezone.utc).isoformat()),
    )
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
    # An empty cluster with a person stays, so that a later clustering can use it again.
    catalog.execute(
        "DELETE FROM clusters WHERE person_id IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM assignments WHERE cluster_id = clusters.id)"
    )
    if len(used):
        catalog.set("next_cluster_id", max(catalog.get("next_cluster_id", natural), int(used[-1]) + 1))


def active_clustering(catalog: Catalog) -> Clustering | None:
    """Return the newest clustering; None if there is none."""
    found = catalog.query(
        "SELECT id, algorithm, seed, created, params FROM clusterings ORDER BY id DESC LIMIT 1"
    )
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
