"""What is known of a model before any heavy library is imported."""

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
    "Spec",
    "WeightFile",
]

Kind: TypeAlias = Literal["detector", "embedder", "clusterer"]

ALIGNMENTS = ("dlib", "facenet")
"""Names of the ways to cut a chip that `faceindex.align` knows."""


_MEASURED_UP_TO = 20_000  # faces; the prior that `Calibration.threshold` has was right for up to so many


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One published file of weights.

    Attributes
    ----------
    name : str
        File name.
    size : int
        Bytes.
    sha256 : str
        Lower-case hexadecimal digest of the whole file.
    package : str or None
        The PyPI distribution that ships the file, if one does.
    package_path : str or None
        Its path inside that distribution, with forward slashes.
    source : str
        Where it was published, for a reader.
    url : str or None
        Where `faceindex.models.fetch` gets it.
    also : tuple of WeightFile
        Other files that hold the same weights; each is as good as this one.
    """

    name: str
    size: int
    sha256: str
    source: str
    package: str | None = None
    package_path: str | None = None
    url: str | None = None
    also: tuple[WeightFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOption:
    """Something that can be chosen about a model when an index is made, and is then pinned.

    Attributes
    ----------
    name : str
        The keyword with which it is passed to the model's target.
    default : bool or int
    summary : str
    most : int
        The greatest value of a number; the least is 0.
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
        The method, one of `ALIGNMENTS`.
    size : int
        Side of the square chip in pixels.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class BoxShape:
    """Where a detector's boxes lie around a face, told by where dlib's own box would be.

    dlib's 5-point predictor starts from boxes like those of dlib's detectors; a face without
    landmarks gets its points from there.

    Attributes
    ----------
    x, y : float
        Centre of dlib's box less the centre of this one, in widths and heights of this one.
    side : float
        Side of dlib's box over the geometric mean of this one's width and height.
    source : str
        Where it was measured.
    """

    x: float
    y: float
    side: float
    source: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a similarity says about two faces showing the same person.

    The log-likelihood ratio of "same" to "different" is ``slope * (similarity - midpoint)``; a
    straight line fits the measured ratio well where it matters, from even odds to one in a
    hundred thousand.

    Attributes
    ----------
    slope : float
        Nats per unit of similarity.
    midpoint : float
        The similarity that is as likely between photos of one person as between strangers.
    source : str
        Where it was measured.
    consensus : float
        Nats that the mean similarity to three faces of a person is worth more than one similarity.
    blurred : float
        Sharpness (`faceindex.types.Faces`) below which a face resembles other blurred faces, whoever
        they are.
    """

    slope: float
    midpoint: float
    source: str
    consensus: float = 0.0
    blurred: float = 0.0

    def threshold(self, n: int) -> float:
        """The similarity at which "same" and "different" are equally probable.

        Given that a face is expected to have one match among `n`. It grows with the logarithm
        of `n`: the more strangers there are, the more alike the most alike of them looks. Beyond 20,000,
        where no collection with labels was measured, it grows half as fast: a collection gets that large by
        more photos of the same people as much as by more people, so that the matches to expect grow with
        the square root of its size (Heaps' law with the exponent 1/2). Of a million made-up faces
        (benchmarks/scale.py), half of them of people with 88 photos or more, clusters then have a B-cubed
        recall of 0.88 instead of 0.31, at a precision of 1.000.
        """
        known = min(max(n, 1), _MEASURED_UP_TO)
        return self.midpoint + (math.log(known) + 0.5 * math.log(max(n, known) / known)) / self.slope


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A face detector.

    Attributes
    ----------
    name : str
    target : str
        ``"module:Class"``, imported only when the detector is loaded, and then called with the spec,
        ``min_face=``, ``device=`` and the `options`.
    summary : str
    landmarks : bool
        Whether it finds five landmarks.
    threshold : float
        Least score of a face that is indexed.
    threshold_source : str
    licence : str
    min_face : float
        Side in pixels of the smallest face that is looked for if nothing else is asked for.
    decoded_face : float
        Side in pixels that the smallest wanted face must keep when a photo is decoded at reduced
        scale.
    window : float or None
        Of a detector with the option ``upsample``: side in pixels of the smallest face that it finds on a
        photo that is not doubled; each doubling finds faces half as large.
    pyramid : float or None
        Factor between the levels of its image pyramid, if it is worth looking between them at
        photos on which no face was found.
    box : BoxShape or None
        The shape of its boxes; None if they are like those of dlib's detectors. Only used for
        faces without landmarks.
    weights : tuple of WeightFile
    options : tuple of ModelOption
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
    box: BoxShape | None = None
    weights: tuple[WeightFile, ...] = ()
    options: tuple[ModelOption, ...] = ()
    kind: Literal["detector"] = "detector"


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A face embedder: chips in, vectors out.

    Attributes
    ----------
    name : str
    target : str
        As of `DetectorSpec`; called with the spec, ``device=`` and the `options`.
    summary : str
    dimension : int
        Length of its vectors.
    alignment : Alignment
    colour : {"RGB", "BGR"}
        Order of the channels that the network takes; chips are always RGB.
    normalisation : str
        What is done to grey levels, for a reader.
    threshold : float
        Similarity above which a pair is called the same person when nothing is known but the pair.
    threshold_source : str
        Where that was measured.
    calibration : Calibration
    licence : str
    weights : tuple of WeightFile
    options : tuple of ModelOption
    """

    name: str
    target: str
    summary: str
    dimension: int
    alignment: Alignment
    colour: Literal["RGB", "BGR"]
    normalisation: str
    threshold: float
    threshold_source: str
    calibration: Calibration
    licence: str
    weights: tuple[WeightFile, ...] = ()
    options: tuple[ModelOption, ...] = ()
    kind: Literal["embedder"] = "embedder"


@dataclass(frozen=True, slots=True)
class ClustererSpec:
    """A clusterer. `needs` says whether it is given a neighbour graph or the vectors."""

    name: str
    target: str
    summary: str
    needs: Literal["graph", "vectors"]
    source: str
    options: tuple[ModelOption, ...] = ()
    kind: Literal["clusterer"] = "clusterer"


Spec: TypeAlias = DetectorSpec | EmbedderSpec | ClustererSpec
