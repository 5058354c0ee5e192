"""The table of models: what exists, and how a name becomes an object."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from faceindex.errors import UnknownModel, UsageError
from faceindex.models.spec import (
    Alignment,
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Kind,
    Spec,
    WeightFile,
)

__all__ = [
    "BUILTIN",
    "DEFAULT_DETECTOR",
    "DEFAULT_EMBEDDER",
    "DEFAULT_MIN_FACE",
    "get",
    "load",
    "names",
    "register",
]

DEFAULT_DETECTOR = "mtcnn"
DEFAULT_EMBEDDER = "dlib"

# Measured with mtcnn and dlib (benchmarks/lfw_pairs.py --by-size, benchmarks/min_face.py): pairs of LFW with
# one face of 30 px and one of full size are still told right in 98.1 %, of 20 px in 95.7 %; 30 px finds
# a face on each of 800 web photos, 40 px on all but one; and it takes two thirds of the time of 20 px.
DEFAULT_MIN_FACE = 30.0

_FACENET_PYTORCH = "https://github.com/timesler/facenet-pytorch (data/)"
_DLIB_MODELS = "https://github.com/davisking/dlib-models"

SHAPE_PREDICTOR = WeightFile(
    name="shape_predictor_5_face_landmarks.dat",
    size=9_150_489,
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    source=_DLIB_MODELS,
    package="face_recognition_models",
    package_path="face_recognition_models/models/shape_predictor_5_face_landmarks.dat",
)

BUILTIN: tuple[Spec, ...] = (
    DetectorSpec(
        name="mtcnn",
        target="faceindex.detect.mtcnn:MTCNN",
        summary="Multi-task cascaded CNNs (Zhang et al. 2016): fast, five landmarks",
        landmarks=True,
        threshold=0.9,
        threshold_source=(
            "shared/data people/ and lfw/: of 6,031 labelled faces 1 scored less, of 203 other detections "
            "below it nearly all were no faces or slivers of one"
        ),
        licence="MIT",
        min_face=DEFAULT_MIN_FACE,
        decoded_face=24.0,  # what R-Net looks at, so nothing that the cascade needs is lost
        pyramid=0.709,
        weights=tuple(
            WeightFile(
                name=f"{net}.pt",
                size=size,
                sha256=sha256,
                source=_FACENET_PYTORCH,
                package="facenet-pytorch",
                package_path=f"facenet_pytorch/data/{net}.pt",
            )
            for net, size, sha256 in (
                ("pnet", 28_570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
                ("rnet", 403_147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
                ("onet", 1_559_269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
            )
        ),
    ),
    EmbedderSpec(
        name="dlib",
        target="faceindex.embed.dlib_resnet:DlibResNet",
        summary="dlib's 29-layer ResNet, the encodings of face_recognition",
        dimension=128,
        alignment=Alignment(name="dlib", size=150),
        colour="RGB",
        normalisation="(x - (122.782, 117.001, 104.298)) / 256",
        threshold=0.91,
        threshold_source="3,000 pairs of LFW with mtcnn, 98.9 % right (benchmarks/lfw_pairs.py)",
        calibration=Calibration(
            slope=210.0,
            midpoint=0.905,
            source=(
                "benchmarks/calibrate.py; half of the people of shared/data people/ and lfw/ give slopes 192 "
                "and 204, midpoints 0.900 and 0.907"
            ),
            consensus=1.6,
            blurred=0.14,
        ),
        licence="CC0-1.0",
        weights=(
            WeightFile(
                name="dlib_face_recognition_resnet_model_v1.dat",
                size=22_466_066,
                sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                source=_DLIB_MODELS,
                package="face_recognition_models",
                package_path="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            ),
            SHAPE_PREDICTOR,  # its alignment needs it
        ),
    ),
    ClustererSpec(
        name="chinese-whispers",
        target="faceindex.cluster.chinese_whispers:ChineseWhispers",
        summary="Label propagation on the neighbour graph; finds the number of people itself",
        needs="graph",
        source="Biemann 2006, https://aclanthology.org/W06-3812",
    ),
    ClustererSpec(
        name="kmeans",
        target="faceindex.cluster.kmeans:KMeans",
        summary="k-means++ with several starts; for a known number of people",
        needs="vectors",
        source="scikit-learn",
    ),
)

_registry: dict[tuple[Kind, str], Spec] = {(spec.kind, spec.name): spec for spec in BUILTIN}


def register(spec: Spec, *, replace: bool = False) -> None:
    """Add a model to the table.

    Parameters
    ----------
    spec : DetectorSpec, EmbedderSpec or ClustererSpec
    replace : bool
        Whether a model of the same kind and name may be replaced.

    Raises
    ------
    UsageError
        If the name is taken and `replace` is false.
    """
    key = (spec.kind, spec.name)
    if key in _registry and not replace:
        raise UsageError(
            f"There is already a {spec.kind} named '{spec.name}'.",
            "Choose another name, or pass replace=True.",
        )
    _registry[key] = spec


def names(kind: Kind) -> list[str]:
    """Names of all models of a kind, in the order in which they were registered."""
    return [name for registered_kind, name in _registry if registered_kind == kind]


def get(kind: Kind, name: str) -> Spec:
    """The spec of one model.

    Raises
    ------
    UnknownModel
        If there is none of that name; the message lists the valid ones.
    """
    try:
        return _registry[kind, name]
    except KeyError:
        raise UnknownModel(f"There is no {kind} named '{name}'.", _suggest(name, names(kind))) from None


def load(spec: Spec, /, **options: Any) -> Any:
    """Import a model's target and build it.

    Parameters
    ----------
    spec : Spec
    **options
        Passed to ``target(spec, **options)``; each target documents its own.
    """
    module, _, attribute = spec.target.partition(":")
    return getattr(importlib.import_module(module), attribute)(spec, **options)


def _suggest(name: str, valid: Iterable[str]) -> str:
    valid = list(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid names: {', '.join(valid)}."
