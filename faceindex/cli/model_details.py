"""Details of models, as lines and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from faceindex import models
from faceindex.cli.flags import as_flags
from faceindex.cli.render import size
from faceindex.documents import Json
from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import (
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    Kind,
    ModelOption,
    Plugin,
    Spec,
    WeightFile,
)
from faceindex.models.calibrations import stored_calibration
from faceindex.models.plugins import plugins
from faceindex.models.weights import find_acceptance

__all__ = [
    "TITLES",
    "WeightState",
    "as_json",
    "broken_as_json",
    "details",
    "headline",
    "provider",
    "weights_of",
]

TITLES: tuple[tuple[Kind, str], ...] = (
    ("detector", "Detectors find faces (index --detector NAME)"),
    ("embedder", "Embedders turn faces into vectors (index --embedder NAME)"),
    ("clusterer", "Clusterers group faces into people (cluster --algorithm NAME)"),
)


@dataclass(frozen=True, slots=True)
class WeightState:
    """A weight file, and its path or how to get it.

    Attributes
    ----------
    file : WeightFile
    path : str or None
    unverified : bool
        Whether the user accepted it although it is not the published file.
    problem : str or None
        Why it cannot be used: it is missing, or the record of the user's acceptance is damaged. The file
        itself is not read.
    remedy : str or None
        How to get or repair it.
    """

    file: WeightFile
    path: str | None
    unverified: bool
    problem: str | None
    remedy: str | None

    @classmethod
    def of(cls, file: WeightFile) -> WeightState:
        """Find a weight file, without reading it."""
        try:
            path = models.find_weights(file)
        except WeightsNotFound as error:
            return cls(file, None, False, as_flags(error.problem), as_flags(error.remedy))
        try:
            return cls(file, str(path), find_acceptance(path) is not None, None, None)
        except WeightsInvalid as error:
            return cls(file, str(path), True, as_flags(error.problem), as_flags(error.remedy))


def weights_of(spec: Spec) -> list[WeightState]:
    """Return the weight files of a model."""
    return [] if isinstance(spec, ClustererSpec) else [WeightState.of(file) for file in spec.weights]


def provider(spec: Spec) -> str:
    """Return the name of the package that provides a model."""
    plugin = plugins(spec.kind).get(spec.name)
    return plugin.distribution if plugin is not None and plugin.provides(spec) else "faceindex"


def headline(spec: Spec) -> list[str]:
    """Return the details for the short list."""
    if isinstance(spec, DetectorSpec):
        return ["five landmarks" if spec.landmarks else "no landmarks", f"licence {spec.licence}"]
    if isinstance(spec, EmbedderSpec):
        return [f"{spec.dimension} dimensions", f"licence {spec.licence}"]
    return []


def details(spec: Spec, states: list[WeightState]) -> list[tuple[str, str]]:
    """Return all details as rows of a label and a text; the label is empty if the row continues another."""
    rows = [*_rows_of(spec), ("target", spec.target)]
    for number, option in enumerate(spec.options):
        rows.append(("" if number else "options", _option(option)))
    if not isinstance(spec, ClustererSpec):
        rows.append(("licence", spec.licence))
        if not spec.run_by_us:
            rows.append(("tested", "not run by us"))
    rows.append(("package", provider(spec)))
    for number, state in enumerate(states):
        file = state.file
        rows.append(("" if number else "weights", f"{file.name}, {file.size:,} bytes, {size(file.size)}"))
        rows.append(("", f"SHA-256 {file.sha256}"))
        rows.extend(("", text) for text in _origin(file))
        for other in file.also:
            rows.append(("", f"or {other.name}, {other.size:,} bytes, SHA-256 {other.sha256}"))
            rows.extend(("", text) for text in _origin(other))
        if state.path is None:
            rows.append(("", f"missing. {state.remedy}"))
        else:
            rows.append(("", f"found: {state.path}{' (unverified)' if state.unverified else ''}"))
            if state.problem:
                rows.append(("", f"cannot be used: {state.problem} {state.remedy}"))
    return rows


def _origin(file: WeightFile) -> list[str]:
    lines = [f"from {file.source}"]
    if file.package:
        lines.append(f"part of the package {file.package}: {file.package_path}")
    if file.url:
        lines.append(f"downloaded from {file.url}")
    if file.elsewhere:
        lines.append(f"also found at {', '.join(file.elsewhere)}")
    return lines


def _rows_of(spec: Spec) -> list[tuple[str, str]]:
    if isinstance(spec, ClustererSpec):
        needs = "the neighbour graph" if spec.needs == "graph" else "the vectors"
        return [("input", needs), ("source", spec.source)]
    if isinstance(spec, DetectorSpec):
        rows = [
            ("landmarks", "five" if spec.landmarks else "none"),
            ("threshold", f"score {spec.threshold:g}"),
            ("", spec.threshold_source),
            (
                "smallest face",
                f"{spec.min_face:g} px; photos are reduced until it is {spec.decoded_face:g} px",
            ),
        ]
        if spec.pyramid is not None:
            rows.append(("pyramid", f"levels differ by a factor of {spec.pyramid:g}"))
        if spec.box is not None:
            shape = spec.box
            rows.append(
                (
                    "boxes",
                    f"a dlib box is {shape.side:g} times as large, and {shape.x:g} widths and "
                    f"{shape.y:g} heights away",
                )
            )
            rows.append(("", shape.source))
        return rows
    unknown = "unknown: it was not measured"
    return [
        ("dimension", f"{spec.dimension}"),
        ("chips", f"{spec.alignment.size} px, {spec.colour}, aligned as '{spec.alignment.name}'"),
        ("normalisation", spec.normalisation),
        ("threshold", unknown if spec.threshold is None else f"similarity {spec.threshold:g}"),
        ("", spec.threshold_source),
        *_calibration_rows(spec),
    ]


def _calibration_rows(spec: EmbedderSpec) -> list[tuple[str, str]]:
    calibration, stored = spec.calibration, stored_calibration(spec)
    rows: list[tuple[str, str]] = []
    if calibration is None:
        text = f"none; `faceindex models calibrate {spec.name}` measures it"
    else:
        text = (
            f"slope {calibration.slope:g}, midpoint {calibration.midpoint:g}, "
            f"consensus {calibration.consensus:g}, blurred below {calibration.blurred:g}, "
            f"strangers at {calibration.strangers:g}, known people at {calibration.known:g} "
            f"(poor faces {calibration.poor:g} lower)"
        )
        rows.append(("", calibration.source))
    if stored is not None:
        if stored.created is not None and not stored.problem:
            rows.append(("", f"calibrated by you on {stored.created.astimezone():%Y-%m-%d}: {stored.path}"))
        elif stored.problem:
            rows.append(("", f"not used: {stored.problem}"))
    return [("calibration", text), *rows]


def _option(option: ModelOption) -> str:
    flag = option.name.replace("_", "-")
    if isinstance(option.default, bool):
        return f"--{flag}, {'on' if option.default else 'off'} by default: {option.summary}"
    return f"--{flag} N, {option.default} by default, {option.most} at most: {option.summary}"


def as_json(spec: Spec) -> Json:
    """Return all details of a model."""
    states = weights_of(spec)
    document: dict[str, Json] = asdict(spec)
    document.pop("weights", None)
    first: dict[str, Json] = {"kind": spec.kind, "name": spec.name, "usable": True, "package": provider(spec)}
    if isinstance(spec, ClustererSpec):
        return {**first, **document}
    if isinstance(spec, EmbedderSpec):
        document["calibrated_by_user"] = _stored_as_json(spec)
    return {
        **first,
        **document,
        "ready": all(state.problem is None for state in states),
        "weights": [_state_as_json(state) for state in states],
    }


def _stored_as_json(spec: EmbedderSpec) -> Json:
    stored = stored_calibration(spec)
    if stored is None:
        return None
    return {
        "path": str(stored.path),
        "created": None if stored.created is None else stored.created.isoformat(),
        "problem": stored.problem or None,
    }


def broken_as_json(plugin: Plugin) -> Json:
    """Return the details of a model that cannot be used."""
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "usable": False,
        "package": plugin.distribution,
        "reason": plugin.reason,
    }


def _state_as_json(state: WeightState) -> Json:
    return {
        **_file_as_json(state.file),
        "also": [_file_as_json(other) for other in state.file.also],
        "path": state.path,
        "unverified": state.unverified,
        "problem": state.problem,
        "remedy": state.remedy,
    }


def _file_as_json(file: WeightFile) -> dict[str, Json]:
    return {
        "name": file.name,
        "bytes": file.size,
        "sha256": file.sha256,
        "source": file.source,
        "package": file.package,
        "package_path": file.package_path,
        "url": file.url,
        "elsewhere": file.elsewhere,
    }
