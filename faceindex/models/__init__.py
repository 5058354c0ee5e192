"""Model specs, the registry and weight files. Imports no heavy library."""

from faceindex.models.builtin import DEFAULT_MIN_FACE
from faceindex.models.calibrations import (
    StoredCalibration,
    calibration_of,
    forget_calibration,
    save_calibration,
    stored_calibration,
)
from faceindex.models.choice import AUTO, Choice, choose, recommended
from faceindex.models.plugins import GROUPS, Plugin
from faceindex.models.registry import KINDS, get, load, names, original_embedder, register, unusable
from faceindex.models.spec import (
    Alignment,
    BoxShape,
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Kind,
    ModelOption,
    NormScale,
    PixelScale,
    Spec,
    WeightFile,
)
from faceindex.models.weights import (
    find_weights,
    pinned_sha256,
    read_weights,
    verify_weights,
    weight_locations,
    weights_folder,
)

__all__ = [
    "AUTO",
    "DEFAULT_MIN_FACE",
    "GROUPS",
    "KINDS",
    "Alignment",
    "BoxShape",
    "Calibration",
    "Choice",
    "ClustererSpec",
    "DetectorSpec",
    "EmbedderSpec",
    "Kind",
    "ModelOption",
    "NormScale",
    "PixelScale",
    "Plugin",
    "Spec",
    "StoredCalibration",
    "WeightFile",
    "calibration_of",
    "choose",
    "find_weights",
    "forget_calibration",
    "get",
    "load",
    "names",
    "original_embedder",
    "pinned_sha256",
    "read_weights",
    "recommended",
    "register",
    "save_calibration",
    "stored_calibration",
    "unusable",
    "verify_weights",
    "weight_locations",
    "weights_folder",
]
