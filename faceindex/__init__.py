"""faceindex: find, group and recognise the people in a folder of photos.

`FaceIndex` is the library's main class; `Recogniser` finds and embeds faces without an index. Errors are
in `faceindex.errors`, array types in `faceindex.types`. Importing the package imports no heavy library.
"""

TYPE_CHECKING = False  # importing typing takes longer than the rest of this module

if TYPE_CHECKING:
    from faceindex.api import (
        Cluster,
        ClusterChanges,
        ClusterPart,
        ClusterResult,
        Face,
        FaceIndex,
        Identification,
        IdentifiedFace,
        IndexPlan,
        MigrationPlan,
        MigrationResult,
        MovedFace,
        Neighbour,
        NewModels,
        NotMigrated,
        RegroupedCluster,
        RenumberedCluster,
        find_index,
    )
    from faceindex.recognition import Recogniser

__version__ = "0.1.0"

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
    "Recogniser",
    "RegroupedCluster",
    "RenumberedCluster",
    "__version__",
    "find_index",
]


def __getattr__(name: str) -> object:
    if name == "Recogniser":
        from faceindex.recognition import Recogniser

        return Recogniser
    if name in __all__:
        from faceindex import api

        return getattr(api, name)
    raise AttributeError(f"module 'faceindex' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
