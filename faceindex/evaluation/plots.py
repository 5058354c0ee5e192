"""Plots of similarities and scores, as PNG or SVG. The only module that uses matplotlib."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex.errors import FaceIndexError, UsageError
from faceindex.files import write_durably
from faceindex.metrics import Sample, Similarities
from faceindex.types import F32

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_plot_file", "plot_similarities", "plot_sweep"]

_F64: TypeAlias = NDArray[np.float64]

_FORMATS = (".png", ".svg")
_BINS = 90
_LEAST_SHOWN = 0.0005  # share of the pairs of a kind that may lie beyond each end of the axis

# M. Okabe and K. Ito, "Color universal design", 2008: colour-blind readers can distinguish these too.
_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_INK, _FAINT = "#222222", "#777777"


def check_plot_file(path: str | os.PathLike[str]) -> None:
    """Check that a plot can be written, before the work for it begins.

    Raises
    ------
    UsageError
        If the suffix is neither ``.png`` nor ``.svg``, or the folder does not exist or is not writable.
    FaceIndexError
        If matplotlib is not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"`plot` is {target}, which ends in neither .png nor .svg.",
            "Choose a file name that ends in one of these.",
        )
    if target.is_dir():
        raise UsageError(f"`plot` is {target}, which is a folder.", "Choose a file in it.")
    if not target.parent.is_dir():
        raise UsageError(
            f"There is no folder {target.parent} to write {target.name} into.",
            "Create the folder, or choose another.",
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{target} cannot be written: Permission denied.", "Choose another file as `plot`.")
    _new_figure(1, 1)


def plot_similarities(
    similarities: Similarities,
    path: str | os.PathLike[str],
    *,
    threshold: float,
    title: str,
) -> None:
    """Draw histograms of the similarities of each kind of pair, one above the other on one scale.

    Parameters
    ----------
    similarities : Similarities
    path : path-like
        ``.png`` or ``.svg``. An existing file is replaced once the plot is complete.
    threshold : float
        Drawn as a line.
    title : str

    Raises
    ------
    UsageError, FaceIndexError
        As in `check_plot_file`, or if the file cannot be written.
    """
    check_plot_file(path)
    kinds: list[tuple[str, Sample | None, str]] = [
        (
            "Two faces on one photo\n(different people, barring\nmirrors and collages)",
            similarities.same_photo,
            _ORANGE,
        ),
        ("A face and the most similar\none on another photo", similarities.nearest, _PURPLE),
        ("Two faces in one cluster", similarities.within_cluster, _BLUE),
        ("Two faces with\nthe same label", similarities.same_person, _GREEN),
        ("Two faces with\ndifferent labels", similarities.different_person, _ORANGE),
    ]
    drawn = [(label, sample, colour) for label, sample, colour in kinds if sample is not None]
    edges = _edges([sample.values for _, sample, _ in drawn], threshold)
    figure = _new_figure(9.0, 1.3 + 1.25 * len(drawn))
    axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, sample, colour) in zip(axes, drawn, strict=True):
        _panel(axis, label, sample, colour, edges, threshold)
    axes[0].annotate(
        f"threshold {threshold:.4f}",
        (threshold, 1.0),
        (0, 4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=_INK,
        fontsize=9,
    )
    axes[-1].set_xlim(edges[0], edges[-1])
    axes[-1].set_xlabel("similarity (dot product of unit vectors; 1 is identical)")
    figure.supylabel(f"share of the pairs, % per {edges[1] - edges[0]:.2g} of similarity", fontsize=10)
    figure.suptitle(title, fontsize=12, color=_INK)
    _save(figure, Path(path))


def plot_sweep(
    path: str | os.PathLike[str],
    *,
    thresholds: Sequence[float],
    precision: Sequence[float],
    recall: Sequence[float],
    f: Sequence[float],
    clusters: Sequence[int],
    people: int,
    best: tuple[float, float],
    default: tuple[float, float],
    title: str,
) -> None:
    """Draw B-cubed scores and the number of clusters by constant threshold.

    Parameters
    ----------
    path : path-like
        As in `plot_similarities`.
    thresholds, precision, recall, f : sequence of float
        Constant thresholds, and the B-cubed scores at each.
    clusters : sequence of int
        Number of clusters at each threshold.
    people : int
        Number of people: the right number of clusters. Drawn as a line.
    best, default : (float, float)
        Threshold and F of the best constant threshold, and of the defaults.
    title : str

    Raises
    ------
    UsageError, FaceIndexError
        As in `plot_similarities`.
    """
    check_plot_file(path)
    figure = _new_figure(9.0, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for values, colour, style, label in (
        (precision, _ORANGE, "--", "precision"),
        (recall, _BLUE, "-.", "recall"),
        (f, _GREEN, "-", "F"),
    ):
        upper.plot(thresholds, values, style, color=colour, linewidth=2, label=label)
    upper.plot(
        *best,
        "o",
        color=_GREEN,
        markersize=8,
        label=f"best F of a constant, {best[1]:.4f} at {best[0]:.4f}",
    )
    upper.plot(*default, "D", color=_INK, markersize=7, label=f"defaults, F {default[1]:.4f}")
    upper.set_ylabel("B-cubed score (0 to 1)")
    upper.set_ylim(min(0.9, 0.1 * int(10 * min(*precision, *recall))), 1.005)
    upper.legend(loc="lower center", fontsize=9, facecolor="white", edgecolor="white", framealpha=1, ncols=2)
    lower.plot(thresholds, clusters, "-", color=_PURPLE, linewidth=2)
    lower.axhline(people, color=_FAINT, linewidth=1, linestyle=":")
    lower.annotate(
        f"{people:,} people",
        (1, people),
        (-4, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=_FAINT,
        fontsize=9,
    )
    lower.set_ylim(bottom=0)
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lower.set_ylabel("clusters, including faces\nin no cluster")
    lower.set_xlabel("constant threshold (similarity of two faces that are linked)")
    for axis in (upper, lower):
        axis.axvline(default[0], color=_INK, linewidth=1, linestyle=":")
        axis.grid(color="#e4e4e4", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12, color=_INK)
    _save(figure, Path(path))


def _panel(axis: Axes, label: str, sample: Sample, colour: str, edges: _F64, threshold: float) -> None:
    number = len(sample.values)
    if number:
        # The first and last bars contain the similarities beyond the ends of the axis.
        counts, _ = np.histogram(np.clip(sample.values, edges[0], edges[-1]), edges)
        axis.stairs(100 * counts / number, edges, fill=True, color=colour, alpha=0.75)
        axis.stairs(100 * counts / number, edges, color=colour, linewidth=1.2)
        pairs = (
            f"{sample.pairs:,} pairs" if number >= sample.pairs else f"{number:,} of {sample.pairs:,} pairs"
        )
        share = sample.share_above(threshold)
        assert share is not None
        text = f"{_percent(share)} at or above\nthe threshold\n{pairs}"
    else:
        text = "no such pair"
        axis.set_yticks([])
    axis.axvline(threshold, color=_INK, linewidth=1.4, linestyle="--")
    axis.set_ylim(bottom=0)
    axis.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.text(0.01, 0.95, label, transform=axis.transAxes, ha="left", va="top", fontsize=9.5, color=_INK)
    axis.text(1.01, 0.95, text, transform=axis.transAxes, ha="left", va="top", fontsize=9, color=_INK)


def _edges(samples: Sequence[F32], threshold: float) -> _F64:
    """Return edges of bins, in round steps, that cover the threshold and all but the rarest similarities."""
    ends = [np.quantile(values, (_LEAST_SHOWN, 1 - _LEAST_SHOWN)) for values in samples if len(values)]
    low = min([threshold - 0.01, *(float(end[0]) for end in ends)])
    high = max([threshold + 0.01, *(float(end[1]) for end in ends)])
    raw = (high - low) / _BINS
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = np.floor(low / step), np.ceil(high / step)
    edges: _F64 = np.minimum(np.arange(first, last + 1) * step, 1.0)
    return np.unique(edges)


def _percent(share: float) -> str:
    if not share:
        return "none"
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise FaceIndexError(
            "Plots need matplotlib, which is not installed.",
            'Install it with `pip install "faceindex[plot]"`.',
        ) from None
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _save(figure: Figure, target: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    suffix = target.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if suffix == "svg" else None

    def draw(file: BinaryIO) -> None:
        # Text in the SVG stays text, and equal plots are equal files.
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "faceindex"}):
            figure.savefig(file, format=suffix, dpi=150, metadata=metadata)

    try:
        write_durably(target, draw)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror or error}.", "Choose another file as `plot`."
        ) from error
