"""Descriptions of models, available before any heavy library is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "ALIGNMENTS",
    "Alignment",
    "BoxShape",
    "Calibration",
    "ClustererSpec",
    "DetectorSpec",
    "EmbedderSpec",
    "Kind",
    "ModelOption",
    "NormScale",
    "PixelScale",
    "Spec",
    "WeightFile",
]

Kind: TypeAlias = Literal["detector", "embedder", "clusterer"]

ALIGNMENTS = ("dlib", "facenet", "arcface")
"""Alignment methods that `faceindex.align` implements."""

# `Calibration.threshold` was tested on labelled collections of up to this many faces.
_MEASURED_UP_TO = 20_000


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A published file of weights.

    Attributes
    ----------
    name : str
        File name.
    size : int
        Size in bytes.
    sha256 : str
        Lower-case hexadecimal digest of the whole file.
    package : str or None
        The PyPI distribution that ships the file, if one does.
    package_path : str or None
        Path of the file inside that distribution, with forward slashes.
    source : str
        Where the file was published, in words.
    url : str or None
        Address from which `faceindex.models.fetch` downloads the file.
    also : tuple of WeightFile
        Other files with the same weights; any of them can be used instead.
    elsewhere : tuple of str
        Where other programs keep the same file: paths that begin with ``~`` or an environment variable, or
        absolute ones. They are searched last.
    """

    name: str
    size: int
    sha256: str
    source: str
    package: str | None = None
    package_path: str | None = None
    url: str | None = None
    also: tuple[WeightFile, ...] = ()
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOption:
    """An option of a model. The index stores its value when it is created; later runs use the same value.

    Attributes
    ----------
    name : str
        Keyword argument of the model's target.
    default : bool or int
    summary : str
    most : int
        Largest value of a numeric option; the smallest is 0.
    """

    name: str
    default: bool | int
    summary: str
    most: int = 1


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the chip of a face is cut from its photo.

    Attributes
    ----------
    name : str
        Method, one of `ALIGNMENTS`.
    size : int
        Side of the square chip in pixels.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class PixelScale:
    """How pixel values from 0 to 255 become the input of a network: ``(x - mean) / divisor``.

    Attributes
    ----------
    mean : float
    divisor : float
        More than 0.
    """

    mean: float
    divisor: float


@dataclass(frozen=True, slots=True)
class BoxShape:
    """How to convert a detector's boxes to the boxes of dlib's detectors.

    dlib's 5-point predictor expects boxes of dlib's detectors. It places the landmarks of faces whose
    detector has none.

    Attributes
    ----------
    x, y : float
        Centre of dlib's box minus the centre of the detector's box, in widths and heights of the latter.
    side : float
        Side of dlib's box divided by the geometric mean of the width and height of the detector's box.
    source : str
        How this was measured.
    """

    x: float
    y: float
    side: float
    source: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """How an embedder's similarity translates into odds that two faces show the same person.

    The log-likelihood ratio of "same" to "different" is ``slope * (similarity - midpoint)``. A
    straight line fits the measured ratio well in the range that matters, from even odds to one in a
    hundred thousand.

    Attributes
    ----------
    slope : float
        Nats per unit of similarity.
    midpoint : float
        Similarity that is as likely between photos of one person as between strangers.
    source : str
        How this was measured.
    consensus : float
        Nats that the mean similarity to three faces of a person adds to the evidence of one similarity.
    blurred : float
        Sharpness (`faceindex.types.Faces`) below which faces of different people resemble each other
        because they are blurred.
    strangers, known : float
        Means of the normal distributions of the evidence for a person, in nats (`faceindex.evidence`): from
        strangers, fitted to their upper tail, and from faces of that person. The defaults are near those of
        the least favourable of dlib, facenet and mobilefacenet.
    poor : float
        Nats by which `known` is lower for poor faces (`faceindex.quality.POOR_QUALITY`).
    """

    slope: float
    midpoint: float
    source: str
    consensus: float = 0.0
    blurred: float = 0.0
    strangers: float = -10.5
    known: float = 12.0
    poor: float = 0.0

    def threshold(self, n: int) -> float:
        """Compute the similarity at which "same" and "different" are equally probable.

        A face is assumed to have one match among `n` faces. The threshold grows with the logarithm
        of `n`, because among more strangers the most similar one is more similar.

        Beyond 20,000 faces, where no labelled collection was measured, it grows half as fast. Collections
        of that size have more photos of the same people as well as more people, so the expected number of
        matches grows with the square root of the size (Heaps' law with exponent 1/2). On a million
        synthetic faces (benchmarks/scale.py), half of them of people with 88 photos or more, this raises
        the B-cubed recall of the clusters from 0.31 to 0.88, at a precision of 1.000.
        """
        measured = min(max(n, 1), _MEASURED_UP_TO)
        return self.midpoint + (math.log(measured) + 0.5 * math.log(max(n, measured) / measured)) / self.slope


@dataclass(frozen=True, slots=True)
class NormScale:
    """How the length of an embedder's own output depends on the quality of a face; see `faceindex.quality`.

    Attributes
    ----------
    good : float
        Length from which faces are identified as well as any.
    step : float
        Shortfall that counts as one step.
    source : str
        How this was measured.
    """

    good: float
    step: float
    source: str


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A face detector.

    Attributes
    ----------
    name : str
    target : str
        ``"module:Class"``. The class is imported when the detector is loaded, and called with the spec,
        ``min_face=``, ``device=`` and the `options`.
    summary : str
    landmarks : bool
        Whether the detector finds five landmarks.
    threshold : float
        Lowest score of a face that is indexed.
    threshold_source : str
        How the threshold was measured.
    licence : str
    min_face : float
        Default side in pixels of the smallest face to find.
    decoded_face : float
        Side in pixels that the smallest face must keep when a photo is decoded at reduced scale.
    window : float or None
        For a detector with the option ``upsample``: side in pixels of the smallest face that it finds
        without doubling the photo. Each doubling halves it.
    pyramid : float or None
        Factor between the levels of the detector's image pyramid, if photos without a face are to be
        searched again at scales between the levels.
    turned : float or None
        Lowest score of a face that is found only when the photo is turned (`faceindex.second_looks`). None
        means half way from `threshold` to 1. If `sure` is known, photos whose faces all score lower are
        searched turned, too.
    sure : float or None
        Score from which a face is hardly ever a false one. Such a face on a turned photo replaces doubtful
        ones, and below it the quality of a face falls (`faceindex.quality`). None if it is unknown: then only
        photos without a face are searched again, and the quality does not depend on the score.
    box : BoxShape or None
        Shape of the boxes; None if they match those of dlib's detectors. Used only for faces without
        landmarks.
    weights : tuple of WeightFile
    options : tuple of ModelOption
    run_by_us : bool
        Whether the authors of faceindex ran these weights. If not, they tested the code with other weights.
    """

    name: str
    target: str
    summary: str
    landmarks: bool
    threshold: float
    threshold_source: str
    licence: str
    min_face: float = 30.0
    decoded_face: float = 24.0
    window: float | None = None
    pyramid: float | None = None
    turned: float | None = None
    sure: float | None = None
    box: BoxShape | None = None
    weights: tuple[WeightFile, ...] = ()
    options: tuple[ModelOption, ...] = ()
    run_by_us: bool = True
    kind: Literal["detector"] = "detector"

    @property
    def turned_threshold(self) -> float:
        """Lowest score of a face that is found only when the photo is turned."""
        return (1 + self.threshold) / 2 if self.turned is None else self.turned


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A face embedder: chips in, vectors out.

    Attributes
    ----------
    name : str
    target : str
        As in `DetectorSpec`, called with the spec, ``device=`` and the `options`.
    summary : str
    dimension : int
        Length of the vectors.
    alignment : Alignment
    colour : {"RGB", "BGR"}
        Channel order of the network's input; chips are always RGB.
    normalisation : str
        Formula that normalises pixel values, in words.
    threshold : float or None
        Similarity above which two faces, compared on their own, count as the same person; None if it was
        not measured.
    threshold_source : str
        How the threshold was measured.
    calibration : Calibration or None
        None if it was not measured: nothing is clustered or identified without a threshold then.
    licence : str
    norm : NormScale or None
        How the norm depends on the quality of a face; None if it does not, or if that is unknown.
    weights : tuple of WeightFile
    options : tuple of ModelOption
    scale : PixelScale or None
        `normalisation` in numbers, for targets that run any network (`faceindex.embed.onnx`); None if the
        target normalises in another way.
    run_by_us : bool
        As in `DetectorSpec`.
    """

    name: str
    target: str
    summary: str
    dimension: int
    alignment: Alignment
    colour: Literal["RGB", "BGR"]
    normalisation: str
    threshold: float | None
    threshold_source: str
    calibration: Calibration | None
    licence: str
    norm: NormScale | None = None
    weights: tuple[WeightFile, ...] = ()
    options: tuple[ModelOption, ...] = ()
    scale: PixelScale | None = None
    run_by_us: bool = True
    kind: Literal["embedder"] = "embedder"


@dataclass(frozen=True, slots=True)
class ClustererSpec:
    """A clusterer: a neighbour graph or vectors in, cluster labels out.

    Attributes
    ----------
    name : str
    target : str
        As in `DetectorSpec`, called with the spec and ``options=``.
    summary : str
    needs : {"graph", "vectors"}
        Input of the clusterer.
    source : str
        Publication or library that it comes from.
    options : tuple of ModelOption
        Only listed; every clusterer takes `faceindex.clustering.ClusterOptions`.
    """

    name: str
    target: str
    summary: str
    needs: Literal["graph", "vectors"]
    source: str
    options: tuple[ModelOption, ...] = ()
    kind: Literal["clusterer"] = "clusterer"


Spec: TypeAlias = DetectorSpec | EmbedderSpec | ClustererSpec
