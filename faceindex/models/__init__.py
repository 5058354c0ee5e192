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
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Spec,
    WeightFile,
)
from faceindex.models.weights import find_weights, weight_locations

__all__ = [
    "DEFAULT_DETECTOR",
    "DEFAULT_EMBEDDER",
    "DEFAULT_MIN_FACE",
    "Alignment",
    "Calibration",
    "ClustererSpec",
    "DetectorSpec",
    "EmbedderSpec",
    "Spec",
    "WeightFile",
    "find_weights",
    "get",
    "load",
    "names",
    "register",
    "weight_locations",
]
