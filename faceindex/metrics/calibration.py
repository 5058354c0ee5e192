"""Calibration of similarities: how much more often one person than two people have a similarity.

The log-likelihood ratio of "same person" to "different people" is close to a straight line where it matters
(`faceindex.models.Calibration`). Each density is fitted in its tail that meets the other one: the upper tail
of strangers, the lower half of one person. A tail is fitted by Lindsey's method (B. Efron and R. Tibshirani,
"Using specially designed exponential families for density estimation", Annals of Statistics 24, 1996): a
Poisson regression of the histogram, here with a log-density that is a concave parabola. The difference of
the two parabolas is the log-likelihood ratio; a line is fitted to it (on likelihood ratios of similarities:
N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech and
Language 20, 2006).

Without labels, two faces on one photo are strangers, and pairs on different photos are a mixture of
strangers and of one person. Their excess over the strangers' tail is fitted by expectation maximisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.metrics.identification import rank_people
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["Line", "blur_limit", "consensus", "fit_line", "fit_mixture", "mislabelled", "pairs_of_people"]

_Curve: TypeAlias = Callable[[F64], F64]

# The line is fitted from this log-likelihood ratio on: below it, the ratio levels off.
_LEAST = -2.0
# Up to here where there are data, and up to `_UNSEEN` beyond them. `Calibration` is used up to this ratio:
# one match among 100,000 faces.
_MOST, _UNSEEN = 11.5, 4.0
_TOP = 0.1  # share of the strangers' similarities that is fitted; more if that is fewer than:
_LEAST_FITTED = 300
_FEW = 10  # similarities; where fewer are above, there are no data
_BINS = 40

# Without labels. One in a hundred pairs on one photo may be one person: mirrors, collages, faces found
# twice.
_TRIMMED = 0.01
_UPPER = 0.5
_MIXTURE_MOST = 8.0  # log-likelihood ratio; few pairs share a photo, so the tail is known less far
_STEPS = 500

_ALIKE = 1e-4  # share of the pairs of sharp strangers that count as similar
_TIMES = 10.0  # how much more often blurred strangers are similar, to count as blurred
_BLURRED_SHARES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2)
_LEAST_HITS = 5
_LEAST_PEOPLE = 30
_FALSE_ALARMS = 0.01
_MOST_FACES = 5_000
_MOST_SIMILARITIES = 1 << 22  # in memory at once, in `mislabelled`


@dataclass(frozen=True, slots=True)
class Line:
    """A log-likelihood ratio: ``slope * (similarity - midpoint)`` nats.

    Attributes
    ----------
    slope, midpoint : float
        As in `faceindex.models.Calibration`.
    low, high : float
        The range of similarities of the fit.
    share : float
        Without labels: share of the pairs that show one person; NaN with labels.
    """

    slope: float
    midpoint: float
    low: float
    high: float
    share: float = math.nan

    def threshold(self, n: int) -> float:
        """Return the similarity of even odds for one match among `n` faces."""
        return self.midpoint + math.log(max(n, 1)) / self.slope


def pairs_of_people(vectors: F32, people: I64, photos: I64, *, seed: int = 0) -> tuple[F64, F64, F64]:
    """Return the similarities of all pairs of labelled faces on different photos.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors. Of more than 5,000, that many are drawn.
    people, photos : (n,) int64
        The person on each face, and its photo.
    seed : int

    Returns
    -------
    different, same : (a,) and (b,) float64
        Similarities of faces of different people, and of one person.
    weights : (b,) float64
        One divided by the number of other faces of the person: each person counts by the number of faces,
        not of pairs.
    """
    if len(vectors) > _MOST_FACES:
        some = np.sort(np.random.default_rng(seed).choice(len(vectors), _MOST_FACES, replace=False))
        vectors, people, photos = vectors[some], people[some], photos[some]
    _, codes, counts = np.unique(people, return_inverse=True, return_counts=True)
    weight = 1 / np.maximum(counts[codes] - 1, 1)
    different, same, weights = [np.empty(0, np.float32)], [np.empty(0, np.float32)], [np.empty(0)]
    for i in range(len(vectors) - 1):
        similarities = vectors[i + 1 :] @ vectors[i]
        is_same = people[i + 1 :] == people[i]
        apart = photos[i + 1 :] != photos[i]
        different.append(similarities[~is_same])
        same.append(similarities[is_same & apart])
        weights.append(np.full(len(same[-1]), weight[i]))
    return (
        np.concatenate(different).astype(np.float64),
        np.concatenate(same).astype(np.float64),
        np.concatenate(weights),
    )


def fit_line(different: F64, same: F64, weights: F64) -> Line | None:
    """Fit the log-likelihood ratio to the similarities of labelled pairs.

    Parameters
    ----------
    different, same : (a,) and (b,) float64
    weights : (b,) float64
        Weights of the pairs of one person.

    Returns
    -------
    Line or None
        None if the similarities of one person are not above those of different people.
    """
    if len(different) < 2 * _FEW or len(same) < 2 * _FEW:
        return None
    ones = np.ones(len(different))
    low = _quantile(different, ones, 1 - max(_TOP, min(0.5, _LEAST_FITTED / len(different))))
    most = float(different.max())
    seen = _quantile(different, ones, 1 - min(0.5, _FEW / len(different)))
    # Bins without a pair count too: they say that the tail has ended.
    strangers = _log_density(different, ones, low, most + (most - low) / 3)
    high = min(max(_quantile(same, weights, 0.5), seen), _quantile(same, weights, 0.98))
    first = min(_quantile(same, weights, 0.002), low)
    if strangers is None or high <= low or (person := _log_density(same, weights, first, high)) is None:
        return None
    grid = np.linspace(low, high, 400)
    ratio = person(grid) - strangers(grid)
    used = (ratio >= _LEAST) & (ratio <= _MOST) & ((grid <= seen) | (ratio <= _UNSEEN))
    return _line(grid, ratio, used)


def fit_mixture(on_one_photo: F64, apart: F64) -> Line | None:
    """Fit the log-likelihood ratio without labels.

    Parameters
    ----------
    on_one_photo : (a,) float64
        Similarities of two faces on one photo. All but one in a hundred are of different people.
    apart : (b,) float64
        Similarities of pairs of faces on different photos, drawn at random.

    Returns
    -------
    Line or None
        None if there are no pairs of one person that stand out from the strangers: most of them must be
        more similar than 99 % of the pairs on one photo.
    """
    ones = np.ones(len(on_one_photo))
    low = _quantile(on_one_photo, ones, 1 - _UPPER)
    high = _quantile(on_one_photo, ones, 1 - _TRIMMED)
    if high <= low or (fitted := _log_density(on_one_photo, ones, low, high, bins=_BINS // 2)) is None:
        return None
    edges = np.linspace(low, max(1.0, float(apart.max())), 401)
    middle = (edges[1:] + edges[:-1]) / 2
    found = np.histogram(apart, edges)[0] / len(apart)
    log_strangers = fitted(middle)
    share, mean, variance = 0.05, (edges[-1] + high) / 2, ((edges[-1] - high) / 4) ** 2
    for _ in range(_STEPS):
        log_person = _log_normal(middle, mean, variance)
        odds = log_person - log_strangers + math.log(share / (1 - share))
        posterior = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        # A normal density falls again above its mean; more similar faces are not less likely one person.
        top = middle >= mean
        if top.any():
            posterior[top] = np.maximum.accumulate(posterior[top])
        weights = found * posterior
        before = (share, mean, variance)
        share = float(weights.sum())
        if not 0 < share < 1:
            return None
        share = min(share, 0.9)
        mean = float((weights * middle).sum() / weights.sum())
        variance = max(float((weights * (middle - mean) ** 2).sum() / weights.sum()), (edges[1] - low) ** 2)
        if max(abs(a - b) for a, b in zip(before, (share, mean, variance), strict=True)) < 1e-9:
            break
    if mean <= high:  # what was fitted is a part of the strangers' tail
        return None
    ratio = _log_normal(middle, mean, variance) - log_strangers
    used = (middle < mean) & (ratio >= _LEAST) & (ratio <= _MIXTURE_MOST)
    line = _line(middle, ratio, used)
    return None if line is None else Line(line.slope, line.midpoint, line.low, line.high, share)


def consensus(vectors: F32, people: I64, slope: float, *, seed: int = 0) -> float:
    """Measure how many nats the mean similarity to three faces of a person adds to one similarity.

    Strangers are compared with all people with three faces or more. The similarity that one in a hundred
    of them has to the most similar face of anybody, less the same for the mean of the three most similar
    faces of a person, is what the evidence of three is worth.

    Returns
    -------
    float
        In nats, 0 or more; 0 if there are fewer than two such people.
    """
    _, codes, counts = np.unique(people, return_inverse=True, return_counts=True)
    known = np.flatnonzero(counts[codes] >= 3)
    if len(np.unique(codes[known])) < 2:
        return 0.0
    rng = np.random.default_rng(seed)
    if len(known) > _MOST_FACES:
        known = np.sort(rng.choice(known, _MOST_FACES, replace=False))
    probes = np.sort(rng.choice(len(vectors), min(len(vectors), _MOST_FACES // 2), replace=False))
    codes = codes.astype(np.int64)
    highest = []
    for faces in (1, 3):
        # The person counts as the photo: nobody is compared with their own faces.
        _, found = rank_people(
            vectors[probes],
            vectors[known],
            codes[known],
            probe_photos=codes[probes],
            gallery_photos=codes[known],
            top_faces=faces,
        )
        highest.append(float(np.quantile(found[np.isfinite(found)], 1 - _FALSE_ALARMS)))
    return max(0.0, slope * (highest[0] - highest[1]))


def blur_limit(vectors: F32, people: I64, sharpness: F32, *, seed: int = 0) -> float | None:
    """Find the sharpness below which strangers resemble each other ten times as often as sharp faces.

    Parameters
    ----------
    vectors : (n, d) float32
    people : (n,) int64
    sharpness : (n,) float32
        As in `faceindex.types.Faces`.
    seed : int

    Returns
    -------
    float or None
        The greatest such limit among some quantiles; 0 if there is none; None if too few pairs of strangers
        are there to see.
    """
    if len(vectors) > _MOST_FACES:
        some = np.sort(np.random.default_rng(seed).choice(len(vectors), _MOST_FACES, replace=False))
        vectors, people, sharpness = vectors[some], people[some], sharpness[some]
    sharp = sharpness >= np.quantile(sharpness, _BLURRED_SHARES[-1])
    of_sharp = _strangers(vectors[sharp], people[sharp])
    if len(of_sharp) * _ALIKE < _LEAST_HITS:
        return None
    similar = float(np.quantile(of_sharp, 1 - _ALIKE))
    limit, measured = 0.0, False
    before = (0, 0)
    for share in _BLURRED_SHARES:
        candidate = float(np.quantile(sharpness, share))
        blurred: BoolArray = sharpness < candidate
        pairs = _strangers(vectors[blurred], people[blurred])
        hits = int((pairs > similar).sum())
        # Pairs of few people are not independent, and of few pairs none is expected.
        if len(np.unique(people[blurred])) < _LEAST_PEOPLE or len(pairs) * _ALIKE * _TIMES < 1:
            continue
        measured = True
        more, out_of = hits - before[0], len(pairs) - before[1]  # pairs with a face that is less blurred
        if hits >= _LEAST_HITS and more >= _TIMES * _ALIKE * out_of:
            limit = candidate
        before = (hits, len(pairs))
    return limit if measured else None


def mislabelled(vectors: F32, people: I64) -> BoolArray:
    """Find faces that are ordinary faces of another person than their label.

    One photo in the wrong folder makes as many similar pairs of "different people" as that person has
    photos, and the tail of the strangers is then theirs. A face is found if the mean similarity to the
    three most similar faces of another person is higher than that of a tenth of their own faces, and
    than the same for its label. Only people with four faces or more count as the other person.

    Returns
    -------
    (n,) bool
    """
    _, codes, counts = np.unique(people, return_inverse=True, return_counts=True)
    wrong = np.zeros(len(vectors), bool)
    own = np.full(len(vectors), np.inf, np.float32)
    everyone = np.arange(len(vectors))
    for code in np.flatnonzero(counts >= 2).tolist():
        at = np.flatnonzero(codes == code)
        own[at] = _mean_of_three(vectors, at, at, min(3, len(at) - 1))
    for code in np.flatnonzero(counts >= 4).tolist():
        at = np.flatnonzero(codes == code)
        found = _mean_of_three(vectors, everyone, at, 3)
        found[at] = -np.inf
        wrong |= (found > np.quantile(own[at], 0.1)) & (found > own)
    return wrong


def _mean_of_three(vectors: F32, rows: I64, columns: I64, number: int) -> F32:
    """Return the mean of the `number` highest similarities of each row to the columns except itself.

    Rows are compared in blocks, so that memory does not grow with the product of their numbers.
    """
    found = np.empty(len(rows), np.float32)
    others = vectors[columns].T
    block = max(1, _MOST_SIMILARITIES // len(columns))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        similarities = vectors[some] @ others
        similarities[some[:, None] == columns] = -np.inf
        found[start : start + block] = np.partition(similarities, -number, axis=1)[:, -number:].mean(axis=1)
    return found


def _strangers(vectors: F32, people: I64) -> F32:
    """Return the similarities of all pairs of faces of different people."""
    upper = np.triu_indices(len(vectors), 1)
    found: F32 = (vectors @ vectors.T)[upper][people[upper[0]] != people[upper[1]]]
    return found


def _line(grid: F64, ratio: F64, used: BoolArray) -> Line | None:
    """Fit a line to a ratio; None if it does not rise."""
    if used.sum() < 3:
        return None
    slope, intercept = np.polyfit(grid[used], ratio[used], 1)
    if not (math.isfinite(slope) and slope > 0 and -1 < -intercept / slope < 1):
        return None
    low, high = grid[used][[0, -1]]
    return Line(float(slope), float(-intercept / slope), float(low), float(high))


def _log_normal(x: F64, mean: float, variance: float) -> F64:
    result: F64 = -((x - mean) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
    return result


def _quantile(values: F64, weights: F64, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(len(values) - 1, int(np.searchsorted(total, share * total[-1])))])


def _log_density(values: F64, weights: F64, low: float, high: float, *, bins: int = _BINS) -> _Curve | None:
    """Fit the log-density of weighted values in a range by Lindsey's method; None if it is not defined.

    The density integrates to the share of the values that are in the range.
    """
    if not high > low:
        return None
    edges = np.linspace(low, high, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    # Weighted counts are scaled to the number of values that would be as informative.
    scale = weights.sum() / (weights**2).sum()
    counts = np.histogram(values, edges, weights=weights)[0] * scale
    if not counts.any():
        return None
    z = (middle - middle.mean()) / middle.std()
    coefficients = _poisson_regression(z, counts, 2)
    if coefficients[2] > 0:  # a density that rises towards its end
        coefficients = np.append(_poisson_regression(z, counts, 1), 0.0)
    offset = math.log(weights.sum() * scale * (edges[1] - edges[0]))
    centre, unit = float(middle.mean()), float(middle.std())

    def log_density(x: F64) -> F64:
        u = (x - centre) / unit
        result: F64 = coefficients[0] + coefficients[1] * u + coefficients[2] * u**2 - offset
        return result

    return log_density


def _poisson_regression(x: F64, counts: F64, degree: int) -> F64:
    """Fit ``log(mean count)`` as a polynomial, by iteratively reweighted least squares."""
    powers = np.stack([x**k for k in range(degree + 1)], axis=1)
    mean = counts + 0.5
    eta = np.log(mean)
    coefficients = np.zeros(degree + 1)
    for _ in range(100):
        working = eta + (counts - mean) / mean
        normal = powers.T @ (mean[:, None] * powers) + 1e-9 * np.eye(degree + 1)
        coefficients = np.linalg.solve(normal, powers.T @ (mean * working))
        new = np.clip(powers @ coefficients, -40.0, 40.0)
        done = np.abs(new - eta).max() < 1e-9
        eta, mean = new, np.exp(new)
        if done:
            break
    return coefficients
