"""Calibrate an embedder on the faces of an index: with labels, or by the photos that show several people."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Literal

import numpy as np

from faceindex.errors import EmptyResultError
from faceindex.evaluation.labelled import Labelled
from faceindex.metrics.calibration import (
    Line,
    blur_limit,
    consensus,
    fit_line,
    fit_mixture,
    mislabelled,
    pairs_of_people,
)
from faceindex.metrics.strangers import evidence_of_known, evidence_of_strangers
from faceindex.models import Calibration
from faceindex.models.calibrations import in_range
from faceindex.store import FaceTable
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["Calibrated", "calibrate_with_labels", "calibrate_without_labels"]

# With labels. On people/ and lfw/ of benchmarks/calibrate.py, 300 pairs of one person and 3,000 of different
# people, drawn at random, give the slope with a standard deviation of 10 % and the midpoint of 0.0015.
LEAST_PEOPLE = 5
LEAST_SAME = 100
LEAST_DIFFERENT = 1_000

# Without labels. With 100 pairs on one photo (diverse/), the threshold was wrong by 0.1.
LEAST_ON_ONE_PHOTO = 400
LEAST_PHOTOS = 40
LEAST_FACES = 200
LEAST_FOUND = 200  # pairs of one person on different photos that the fit finds

_DISAGREE = 2.0  # nats between the thresholds of the two halves, from which they are said to disagree
_MOST_QUERIES = 2_500  # faces that are compared with all others without labels
_OVERLAP = 0.3  # of the smaller of two boxes, from which they are taken for one face found twice
_SEED = 0


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A measured calibration.

    Attributes
    ----------
    calibration : Calibration
    method : {"labels", "photos"}
        Whether it was measured with labels, or from pairs of faces on one photo.
    faces, people, photos : int
        What it was measured on; `people` is 0 without labels.
    same_pairs, different_pairs : int
        Pairs of one person, and of different people. Without labels, the pairs on one photo are the
        different ones, and the number of same pairs is an estimate.
    halves : tuple of (float, float)
        Slope and midpoint of two halves of the people, or of the photos; fewer if a half is too small.
    disagreement : float or None
        Nats between the thresholds of the two halves for this number of faces.
    warnings : list of str
        Reasons to doubt it.
    """

    calibration: Calibration
    method: Literal["labels", "photos"]
    faces: int
    people: int
    photos: int
    same_pairs: int
    different_pairs: int
    halves: tuple[tuple[float, float], ...]
    disagreement: float | None
    warnings: list[str]


def calibrate_with_labels(
    table: FaceTable, vectors: F32, labelled: Labelled, original: BoolArray, *, detector: str
) -> Calibrated:
    """Calibrate an embedder on labelled faces.

    Parameters
    ----------
    table : FaceTable
        n faces.
    vectors : (n, d) float32
        Their unit vectors.
    labelled : Labelled
    original : (n,) bool
        False for the faces on a copy of another photo, which are left out.
    detector : str
        For the text on how the calibration was measured.

    Raises
    ------
    EmptyResultError
        If there are too few people or pairs, or similarities do not tell people apart.
    """
    used = original[labelled.positions]
    at, people = labelled.positions[used], labelled.people[used]
    wrong = mislabelled(vectors[at], people)
    at, people = at[~wrong], people[~wrong]
    chosen, photos = vectors[at], table.photo[at]
    different, same, weights = pairs_of_people(chosen, people, photos, seed=_SEED)
    several = int((np.unique(people, return_counts=True)[1] > 1).sum())
    if several < LEAST_PEOPLE or len(same) < LEAST_SAME or len(different) < LEAST_DIFFERENT:
        raise EmptyResultError(
            f"There are too few labelled faces to calibrate with: {len(same):,} pairs of one person of "
            f"{several:,} people, and {len(different):,} pairs of different people.",
            f"It takes {LEAST_SAME:,} pairs of {LEAST_PEOPLE} people, such as 10 people with 6 photos each, "
            f"and {LEAST_DIFFERENT:,} pairs of different people.",
        )
    line = fit_line(different, same, weights)
    if line is None:
        raise EmptyResultError(
            "The similarities of one person are not above those of different people.",
            "Check that each folder has the photos of one person, or calibrate with other photos.",
        )
    blurred = blur_limit(chosen, people, table.sharpness[at], seed=_SEED)
    lines = []
    for half in _halves(people, labelled.names):
        found = fit_line(*pairs_of_people(chosen[half], people[half], photos[half], seed=_SEED))
        lines += [found] if found is not None else []
    warnings = list(labelled.warnings)
    if wrong.any():
        what = "1 face looks" if wrong.sum() == 1 else f"{int(wrong.sum()):,} faces look"
        warnings.append(f"{what} like another labelled person and was left out of the calibration.")
    disagreement = _disagreement(line, lines, len(at), "people", warnings)
    text = (
        f"measured on {datetime.now(timezone.utc):%Y-%m-%d} with {detector} on {len(at):,} labelled faces of "
        f"{len(np.unique(people)):,} people: {len(same):,} pairs of one person, {len(different):,} of "
        f"different people; {_agreement(lines, 'people')}"
        + ("; blur was not measured, which takes blurred faces of 30 people" if blurred is None else "")
    )
    made = _calibration(line, text, consensus(chosen, people, line.slope, seed=_SEED), blurred)
    return Calibrated(
        calibration=_with_evidence(made, different, chosen, people, table.quality[at]),
        method="labels",
        faces=len(at),
        people=len(np.unique(people)),
        photos=len(np.unique(photos)),
        same_pairs=len(same),
        different_pairs=len(different),
        halves=tuple((found.slope, found.midpoint) for found in lines),
        disagreement=disagreement,
        warnings=warnings,
    )


def calibrate_without_labels(
    table: FaceTable, vectors: F32, original: BoolArray, *, detector: str
) -> Calibrated:
    """Calibrate an embedder on the faces of an album, by the photos that show several people.

    Two faces on one photo are different people. The similarities of faces on different photos, less those
    of different people, are of one person (`faceindex.metrics.calibration.fit_mixture`). The consensus of
    three faces and the effect of blur need labels; both are 0, which never adds evidence. What `identify`
    needs of strangers and known people has its defaults.

    Parameters are those of `calibrate_with_labels`.

    Raises
    ------
    EmptyResultError
        If too few photos show several people, or nobody is on several photos.
    """
    kept = np.flatnonzero(original)
    first, second = _pairs_on_one_photo(table.photo[kept])
    a, b = kept[first], kept[second]
    apart = _overlap(table.boxes[a], table.boxes[b]) < _OVERLAP
    a, b = a[apart], b[apart]
    photos = len(np.unique(table.photo[a]))
    if len(a) < LEAST_ON_ONE_PHOTO or photos < LEAST_PHOTOS or len(kept) < LEAST_FACES:
        raise EmptyResultError(
            f"There are too few photos of several people to calibrate without labels: {len(a):,} pairs of "
            f"faces on {photos:,} photos, and {len(kept):,} faces.",
            f"It takes {LEAST_ON_ONE_PHOTO:,} pairs on {LEAST_PHOTOS} photos, and {LEAST_FACES:,} faces; "
            "index more group photos, or calibrate with folders named after people.",
        )
    similarities = np.einsum("ij,ij->i", vectors[a], vectors[b]).astype(np.float64)
    between = _pairs_apart(vectors, table.photo, kept)
    line = fit_mixture(similarities, between)
    found = 0 if line is None else round(line.share * len(kept) * (len(kept) - 1) / 2)
    if line is None or found < LEAST_FOUND:
        raise EmptyResultError(
            "Hardly any faces on different photos are more similar than two people on one photo: about "
            f"{found:,} pairs; {LEAST_FOUND} are needed.",
            "Index more photos of the same people, or calibrate with folders named after people.",
        )
    warnings: list[str] = []
    lines = []
    for rest in (0, 1):
        half = np.array([zlib.crc32(str(photo).encode()) % 2 == rest for photo in table.photo[a].tolist()])
        part = fit_mixture(similarities[half], between) if half.any() else None
        lines += [part] if part is not None else []
    disagreement = _disagreement(line, lines, len(kept), "photos", warnings)
    text = (
        f"measured without labels on {datetime.now(timezone.utc):%Y-%m-%d} with {detector} on {len(kept):,} "
        f"faces: {len(a):,} pairs of faces on {photos:,} photos count as different people, about {found:,} "
        f"pairs on different photos as one person; {_agreement(lines, 'photos')}"
    )
    return Calibrated(
        calibration=_calibration(line, text, 0.0, None),
        method="photos",
        faces=len(kept),
        people=0,
        photos=len(np.unique(table.photo[kept])),
        same_pairs=found,
        different_pairs=len(a),
        halves=tuple((part.slope, part.midpoint) for part in lines),
        disagreement=disagreement,
        warnings=warnings,
    )


def _calibration(line: Line, source: str, consensus: float, blurred: float | None) -> Calibration:
    """Round to what the data can show, so that the numbers can be read."""
    return Calibration(
        slope=float(f"{line.slope:.4g}"),
        midpoint=round(line.midpoint, 4),
        source=source,
        consensus=round(consensus, 2),
        blurred=round(blurred or 0.0, 3),
    )


def _with_evidence(made: Calibration, different: F64, vectors: F32, people: I64, quality: F32) -> Calibration:
    """Add the evidence of strangers and of known people, where there are enough of them.

    Of an embedder that separates people very well or badly, it may be more than a document may have. The
    nearest number that it may have is kept: no calibration fails because of these.
    """
    strangers = evidence_of_strangers(different, len(np.unique(people)), made)
    known, poor = evidence_of_known(vectors, people, quality, made) or (made.known, made.poor)
    return replace(
        made,
        strangers=round(in_range("strangers", made.strangers if strangers is None else strangers), 1),
        known=round(in_range("known", known), 1),
        poor=round(in_range("poor", poor), 1),
    )


def _halves(people: I64, names: list[str]) -> list[BoolArray]:
    """Split the faces in two halves by person, in an order that does not depend on other people."""
    present = np.unique(people).tolist()
    order = sorted(present, key=lambda person: zlib.crc32(names[person].encode()))
    return [np.isin(people, order[start::2]) for start in (0, 1)]


def _disagreement(line: Line, lines: list[Line], n: int, what: str, warnings: list[str]) -> float | None:
    """Return how many nats the thresholds of two halves are apart; add a warning if these are many."""
    if len(lines) < 2:
        warnings.append(f"One half of the {what} alone is too little to compare with the other.")
        return None
    apart = abs(lines[0].threshold(n) - lines[1].threshold(n))
    nats = apart * line.slope
    if nats > _DISAGREE:
        warnings.append(
            f"The two halves of the {what} disagree: {n:,} faces need a similarity of "
            f"{lines[0].threshold(n):.3f} by one, and of {lines[1].threshold(n):.3f} by the other."
        )
    return float(nats)


def _agreement(lines: list[Line], what: str) -> str:
    if len(lines) < 2:
        return f"the two halves of the {what} are too small to compare"
    slopes = " and ".join(f"{line.slope:.4g}" for line in lines)
    midpoints = " and ".join(f"{line.midpoint:.3f}" for line in lines)
    return f"the two halves of the {what} give slopes {slopes}, midpoints {midpoints}"


def _pairs_on_one_photo(photos: I64) -> tuple[I64, I64]:
    order = np.argsort(photos, kind="stable")
    _, starts, counts = np.unique(photos[order], return_index=True, return_counts=True)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        if count > 1:
            i, j = np.triu_indices(count, 1)
            first.append(order[start + i])
            second.append(order[start + j])
    return np.concatenate(first), np.concatenate(second)


def _pairs_apart(vectors: F32, photos: I64, kept: I64) -> F64:
    """Return the similarities of some of the kept faces to others on other photos."""
    rng = np.random.default_rng(_SEED)
    some = kept[np.sort(rng.choice(len(kept), min(len(kept), _MOST_QUERIES), replace=False))]
    others = kept[np.sort(rng.choice(len(kept), min(len(kept), 4 * _MOST_QUERIES), replace=False))]
    similarities = vectors[some] @ vectors[others].T
    found: F64 = similarities[photos[some, None] != photos[others]].astype(np.float64)
    return found


def _overlap(first: F32, second: F32) -> F32:
    """Return the shared area of pairs of boxes, as a share of the smaller box."""
    corner = np.maximum(first[:, :2], second[:, :2])
    shared = (np.minimum(first[:, 2:], second[:, 2:]) - corner).clip(0).prod(axis=1)
    areas = np.minimum(*((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (first, second)))
    result: F32 = shared / np.maximum(areas, 1e-6)
    return result
