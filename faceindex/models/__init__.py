"""Specs, the registry and weight files. Imports nothing heavy."""

from faceindex.models.registry import (
    DEFAULT_DETECTOR,
    DEFAULT_EMBEDDER,
    DEFAULT_MIN_FACE,
    get,
    load,
    names,
    register,
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
from faceindex.models.weights import find_weights, weight_identity, weight_locations

__all__ = [
    "DEFAULT_DETECTOR",
    "DEFAULT_EMBEDDER",
    "DEFAULT_MIN_FACE",
    "Alignment",
    "BoxShape",
    "Calibration",
    "ClustererSpec",
    "DetectorSpec",
    "EmbedderSpec",
    "Kind",
    "ModelOption",
    "Spec",
    "WeightFile",
    "find_weights",
    "get",
    "load",
    "names",
    "register",
    "weight_identity",
    "weight_locations",
]
