"""B-cubed scores of parts of the faces, with intervals by bootstrap over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from faceindex.metrics.scores import Scores
from faceindex.types import F32, F64, I64

__all__ = ["Bin", "Interval", "bootstrap_f", "score_bins"]

_BLOCK = 1_000_000  # random numbers in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes
    ----------
    low, high : float
        0..1.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """B-cubed scores of the faces whose value is in a range, within the whole clustering.

    Attributes
    ----------
    low, high : float
        The range, without `high`; infinite at the ends.
    faces, people : int
        Faces in it, and the people on them.
    bcubed : Scores
        Means of the precision and the recall of these faces.
    interval : Interval or None
        Of their F, as in `bootstrap_f`.
    """

    low: float
    high: float
    faces: int
    people: int
    bcubed: Scores
    interval: Interval | None


def bootstrap_f(
    precision: F64, recall: F64, people: I64, *, level: float = 0.95, repeats: int = 1_000, seed: int = 0
) -> Interval | None:
    """Compute a confidence interval of B-cubed F by bootstrap over people.

    As many people as there are are drawn with replacement, each with all faces, because the faces of a
    person are not independent of each other. F is computed from the means of the faces' precision and
    recall. These are not computed again for the people drawn: the clusters stay as they are. The interval
    is that of the percentiles (B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", 1993,
    section 13.3). With ten people or fewer, it is too narrow.

    Parameters
    ----------
    precision, recall : (n,) float64
        Of each face, from `bcubed_of_faces`.
    people : (n,) int64
        The person on each face; any numbers.
    level : float
        Probability that the interval covers F, 0..1.
    repeats : int
        Number of draws.
    seed : int

    Returns
    -------
    Interval or None
        None for fewer than two people: their spread is unknown.
    """
    _, codes = np.unique(people, return_inverse=True)
    n = int(codes.max(initial=-1)) + 1
    if n < 2:
        return None
    sums = np.stack(
        [np.bincount(codes, weights=weights) for weights in (np.ones(len(codes)), precision, recall)], axis=1
    )
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    drawn = []
    for start in range(0, repeats, rows):
        chosen = rng.integers(n, size=(min(rows, repeats - start), n))
        drawn.append(sums[chosen].sum(axis=1))
    faces, p, r = np.concatenate(drawn).T
    p, r = p / faces, r / faces
    f = 2 * p * r / (p + r)
    low, high = np.quantile(f, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def score_bins(
    values: F32 | F64,
    edges: Sequence[float],
    precision: F64,
    recall: F64,
    people: I64,
    *,
    least: int = 20,
    seed: int = 0,
) -> list[Bin]:
    """Score the faces by a value such as their size, each within the whole clustering.

    A bin with fewer than `least` faces is joined to the one above, the last one to the one below, so that
    each face is in one bin.

    Parameters
    ----------
    values : (n,) float
        Value of each face; not NaN.
    edges : sequence of float
        Where a new bin begins, in ascending order. The first and the last bin have no limit on one side.
    precision, recall, people
        As in `bootstrap_f`.
    least : int
        Fewest faces of a bin, unless there are fewer in all.
    seed : int

    Returns
    -------
    list of Bin
        In ascending order; empty without faces.
    """
    limits = [-np.inf, *edges, np.inf]
    counts = np.histogram(values, limits)[0].tolist()
    kept, waiting = [limits[0]], 0
    for count, upper in zip(counts, limits[1:], strict=True):
        waiting += count
        if waiting >= least:
            kept.append(upper)
            waiting = 0
    if len(kept) == 1:
        kept.append(np.inf)
    kept[-1] = np.inf  # the rest, if it is too small, belongs to the last bin
    found = []
    for low, high in pairwise(kept):
        inside = (values >= low) & (values < high)
        if inside.any():
            p, r, who = precision[inside], recall[inside], people[inside]
            found.append(
                Bin(
                    low=float(low),
                    high=float(high),
                    faces=int(inside.sum()),
                    people=len(np.unique(who)),
                    bcubed=Scores(float(p.mean()), float(r.mean())),
                    interval=bootstrap_f(p, r, who, seed=seed),
                )
            )
    return found
