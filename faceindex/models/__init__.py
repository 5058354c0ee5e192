"""Model specs, the registry and weight files. Imports no heavy library."""

from faceindex.models.builtin import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, DEFAULT_MIN_FACE
from faceindex.models.plugins import GROUPS, Plugin
from faceindex.models.registry import KINDS, get, load, names, register, unusable
from faceindex.models.spec import (
    Alignment,
    BoxShape,
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Kind,
    ModelOption,
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
    "DEFAULT_DETECTOR",
    "DEFAULT_EMBEDDER",
    "DEFAULT_MIN_FACE",
    "GROUPS",
    "KINDS",
    "Alignment",
    "BoxShape",
    "Calibration",
    "ClustererSpec",
    "DetectorSpec",
    "EmbedderSpec",
    "Kind",
    "ModelOption",
    "PixelScale",
    "Plugin",
    "Spec",
    "WeightFile",
    "find_weights",
    "get",
    "load",
    "names",
    "pinned_sha256",
    "read_weights",
    "register",
    "unusable",
    "verify_weights",
    "weight_locations",
    "weights_folder",
]
