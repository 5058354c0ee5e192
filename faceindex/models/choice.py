"""Choose the models of a new index: the most accurate ones whose weights are at hand."""

from __future__ import annotations

from dataclasses import dataclass

from faceindex.errors import FaceIndexError
from faceindex.models import registry
from faceindex.models.spec import DetectorSpec, EmbedderSpec, WeightFile
from faceindex.models.weights import find_weights

__all__ = ["AUTO", "Choice", "choose", "recommended"]

AUTO = "auto"
"""Name that stands for the most accurate detector or embedder whose weights are at hand."""

# The most accurate first, as measured by benchmarks/models.py. Only models that benchmarks of faceindex have
# run, whose licence allows any use, and which need no GPU. The last of each comes with the packages that pip
# installs.
_DETECTORS = ("yunet", "mtcnn")
_EMBEDDERS = ("mobilefacenet", "dlib")


@dataclass(frozen=True, slots=True)
class Choice:
    """The models of a new index.

    Attributes
    ----------
    detector, embedder : str
        Names in the registry.
    reason : str
        Why these were chosen, as a phrase; empty if both were requested by name.
    better : tuple of str
        Models that would have been chosen if their weight files were there, the most accurate first.
    missing : tuple of WeightFile
        The weight files of the models in `better` that are missing.
    """

    detector: str
    embedder: str
    reason: str = ""
    better: tuple[str, ...] = ()
    missing: tuple[WeightFile, ...] = ()


def choose(detector: str | None = AUTO, embedder: str | None = AUTO) -> Choice:
    """Choose a detector and an embedder.

    Parameters
    ----------
    detector, embedder : str or None
        A name, which is kept as it is, or `AUTO`, which None stands for too. Weight files are searched, but
        not opened.

    Returns
    -------
    Choice
    """
    better: list[str] = []
    missing: list[WeightFile] = []
    chosen: list[str] = []
    for requested, candidates in ((detector, _detectors()), (embedder, _embedders())):
        if requested not in (AUTO, None):
            chosen.append(requested)
            continue
        for spec in candidates:
            lacking = _missing(spec)
            if not lacking or spec is candidates[-1]:
                chosen.append(spec.name)
                break
            better.append(spec.name)
            missing += lacking
    automatic = [
        what for what, name in (("detector", detector), ("embedder", embedder)) if name in (AUTO, None)
    ]
    reason = ""
    if automatic:
        among = " of those whose weight files are here" if better else ""
        models = "models" if len(automatic) == 2 else automatic[0]
        reason = f"the most accurate {models}{among}"
    return Choice(chosen[0], chosen[1], reason, tuple(better), tuple(missing))


def recommended() -> list[DetectorSpec | EmbedderSpec]:
    """Return the specs of the most accurate detector and embedder, whether or not their weights are here."""
    return [_detectors()[0], _embedders()[0]]


def _detectors() -> list[DetectorSpec]:
    known = registry.names("detector")
    return [registry.get("detector", name) for name in _DETECTORS if name in known]


def _embedders() -> list[EmbedderSpec]:
    known = registry.names("embedder")
    return [registry.get("embedder", name) for name in _EMBEDDERS if name in known]


def _missing(spec: DetectorSpec | EmbedderSpec) -> list[WeightFile]:
    missing = []
    for weight in spec.weights:
        try:
            find_weights(weight)
        except FaceIndexError:  # noqa: PERF203 - one or two files
            missing.append(weight)
    return missing
