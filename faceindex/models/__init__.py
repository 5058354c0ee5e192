"""Specs, the registry and weight files. Imports nothing heavy."""

from faceindex.models.plugins import GROUPS, Plugin
from faceindex.models.registry import (
    DEFAULT_DETECTOR,
    DEFAULT_EMBEDDER,
    DEFAULT_MIN_FACE,
    KINDS,
    get,
    load,
    names,
    register,
    unusable,
)
from faceindex.models.spec import (
    Alignment,
    BoxShape,
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Kind,
    ModelOption,
    Spec,
    WeightFile,
)
from faceindex.models.weights import (
    find_weights,
    read_weights,
    verify_weights,
    weight_identity,
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
    "Plugin",
    "Spec",
    "WeightFile",
    "find_weights",
    "get",
    "load",
    "names",
    "read_weights",
    "register",
    "unusable",
    "verify_weights",
    "weight_identity",
    "weight_locations",
    "weights_folder",
]
