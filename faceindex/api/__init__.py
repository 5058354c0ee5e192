"""The library: `FaceIndex` and its results. Submodules are imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.api.cluster_changes import (
        ClusterChanges,
        ClusterPart,
        MovedFace,
        RegroupedCluster,
        RenumberedCluster,
    )
    from faceindex.api.index import FaceIndex
    from faceindex.api.migration_results import MigrationPlan, MigrationResult, NewModels, NotMigrated
    from faceindex.api.opening import find_index
    from faceindex.api.results import (
        Cluster,
        ClusterResult,
        Face,
        Identification,
        IdentifiedFace,
        IndexPlan,
        Neighbour,
    )

__all__ = [
    "Cluster",
    "ClusterChanges",
    "ClusterPart",
    "ClusterResult",
    "Face",
    "FaceIndex",
    "Identification",
    "IdentifiedFace",
    "IndexPlan",
    "MigrationPlan",
    "MigrationResult",
    "MovedFace",
    "Neighbour",
    "NewModels",
    "NotMigrated",
    "RegroupedCluster",
    "RenumberedCluster",
    "find_index",
]

_HOMES = {
    **dict.fromkeys(__all__, "results"),
    **dict.fromkeys(
        ("ClusterChanges", "ClusterPart", "MovedFace", "RegroupedCluster", "RenumberedCluster"),
        "cluster_changes",
    ),
    **dict.fromkeys(("MigrationPlan", "MigrationResult", "NewModels", "NotMigrated"), "migration_results"),
    "FaceIndex": "index",
    "find_index": "opening",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"faceindex.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
