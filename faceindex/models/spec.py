"""What is known of a model before any heavy library is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Alignment", "Calibration", "ClustererSpec", "DetectorSpec", "EmbedderSpec", "Spec", "WeightFile"]


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
        Where it was published.
    """

    name: str
    size: int
    sha256: str
    source: str
    package: str | None = None
    package_path: str | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the chip of a face is cut from its photo.

    Attributes
    ----------
    name : str
        The method; `faceindex.align` knows each.
    size : int
        Side of the square chip in pixels.
    """

    name: str
    size: int


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
        of `n`: the more strangers there are, the more alike the most alike of them looks.
        """
        return self.midpoint + math.log(max(n, 1)) / self.slope


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A face detector. `target` is ``"module:Class"``, imported only when it is loaded."""

    name: str
    target: str
    summary: str
    landmarks: bool
    threshold: float
    threshold_source: str
    licence: str
    weights: tuple[WeightFile, ...] = ()
    kind: Literal["detector"] = "detector"


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A face embedder: chips in, vectors out.

    `threshold` is the similarity above which a pair is called the same person when nothing is
    known but the pair; `threshold_source` says where it was measured.
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
    kind: Literal["embedder"] = "embedder"


@dataclass(frozen=True, slots=True)
class ClustererSpec:
    """A clusterer. `needs` says whether it is given a neighbour graph or the vectors."""

    name: str
    target: str
    summary: str
    needs: Literal["graph", "vectors"]
    source: str
    kind: Literal["clusterer"] = "clusterer"


Spec: TypeAlias = DetectorSpec | EmbedderSpec | ClustererSpec
