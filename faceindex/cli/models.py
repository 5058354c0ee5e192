"""``faceindex models``: what can be chosen, and whether its weights are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faceindex import models
from faceindex.cli.errors import session
from faceindex.cli.options import DebugFlag, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Json, Output, size
from faceindex.errors import WeightsNotFound
from faceindex.models import ClustererSpec, DetectorSpec, Spec, WeightFile

__all__ = ["list_models"]

_SCHEMA = "faceindex/models/1"
_TITLES: tuple[tuple[Literal["detector", "embedder", "clusterer"], str], ...] = (
    ("detector", "Detectors find faces (index --detector NAME)"),
    ("embedder", "Embedders turn faces into vectors (index --embedder NAME)"),
    ("clusterer", "Clusterers group faces into people (cluster --algorithm NAME)"),
)


@dataclass(frozen=True, slots=True)
class _Weight:
    file: WeightFile
    path: str | None
    remedy: str | None


def list_models(
    json: JsonFlag = False, quiet: QuietFlag = False, verbose: VerboseFlag = False, debug: DebugFlag = False
) -> None:
    """List the models, and whether their weights are there.

    With -v, where each weight file lies.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        specs = [models.get(kind, name) for kind, _ in _TITLES for name in models.names(kind)]
        if json:
            out.document(_SCHEMA, models=[_as_json(spec) for spec in specs])
            return
        for number, (kind, title) in enumerate(_TITLES):
            if number:
                out.answer()
            out.answer(out.styled(title, "bold"))
            for spec in specs:
                if spec.kind == kind:
                    _print_model(out, spec)


def _print_model(out: Output, spec: Spec) -> None:
    out.answer(f"  {spec.name}")
    out.answer(f"      {spec.summary}")
    if isinstance(spec, ClustererSpec):
        return
    kind = "five landmarks" if isinstance(spec, DetectorSpec) and spec.landmarks else "no landmarks"
    about = kind if isinstance(spec, DetectorSpec) else f"{spec.dimension} dimensions"
    weights = _weights(spec)
    missing = [weight for weight in weights if weight.path is None]
    if missing:
        state = out.styled("weights missing", "error")
    else:
        state = out.styled("weights found", "good") if weights else "no weight files"
    out.answer(f"      {about}; licence {spec.licence}; {state}")
    for weight in weights:
        if weight.path is None:
            out.answer(f"      missing: {weight.file.name} ({size(weight.file.size)}). {weight.remedy}")
        elif out.verbose:
            out.answer(f"      {weight.path}")


def _weights(spec: Spec) -> list[_Weight]:
    return [] if isinstance(spec, ClustererSpec) else [_weight(file) for file in spec.weights]


def _weight(file: WeightFile) -> _Weight:
    try:
        return _Weight(file, str(models.find_weights(file)), None)
    except WeightsNotFound as error:
        return _Weight(file, None, error.remedy)


def _as_json(spec: Spec) -> Json:
    document: dict[str, Json] = {"kind": spec.kind, "name": spec.name, "summary": spec.summary}
    if isinstance(spec, ClustererSpec):
        return {**document, "needs": spec.needs, "source": spec.source}
    if isinstance(spec, DetectorSpec):
        document["landmarks"] = spec.landmarks
    else:
        document["dimension"] = spec.dimension
    weights = _weights(spec)
    return {
        **document,
        "threshold": spec.threshold,
        "threshold_source": spec.threshold_source,
        "licence": spec.licence,
        "ready": all(weight.path is not None for weight in weights),
        "weights": [
            {
                "name": weight.file.name,
                "bytes": weight.file.size,
                "sha256": weight.file.sha256,
                "source": weight.file.source,
                "package": weight.file.package,
                "path": weight.path,
                "remedy": weight.remedy,
            }
            for weight in weights
        ],
    }
