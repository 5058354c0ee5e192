"""Accuracy of identification: how often a face gets the right person, and how often a stranger gets one.

Here, a person is all faces with one label, not a cluster. Similarities follow the rule of
`faceindex.identification`: the similarity of a person is the mean over their three most similar faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["BLOCK_BYTES", "OpenSet", "OperatingPoint", "TopOne", "leave_one_out", "open_set", "rank_people"]

BLOCK_BYTES = 64 << 20  # similarities in memory at a time
_FEW = 64  # up to this number of faces of a person, the best are found by insertion; else by partition
_TOP_FACES = 3  # as in faceindex.identification; a test compares the two


@dataclass(frozen=True, slots=True)
class TopOne:
    """The result of `leave_one_out`.

    Attributes
    ----------
    right : int
        Faces whose most similar person is the right one.
    searched : int
        Faces that were identified: those of people who are on another photo too.
    no_other_photo : int
        Faces that cannot be identified, because there is no other photo of the person.
    wrong : (m,) int64
        Positions of the faces whose most similar person is another one.
    predicted : (m,) int64
        The most similar person of each of these; -1 for none.
    """

    right: int
    searched: int
    no_other_photo: int
    wrong: I64
    predicted: I64

    @property
    def rate(self) -> float | None:
        """Share of the searched faces that are identified correctly; None if there are none."""
        return self.right / self.searched if self.searched else None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """True and false positive identification rates (TPIR, FPIR) at one threshold, over all repetitions.

    Attributes
    ----------
    target : float or None
        The FPIR for which the threshold was chosen; None for the default threshold.
    tpir, tpir_std : float
        Mean and standard deviation of the share of mated searches that return the right person.
    fpir, fpir_std : float
        Mean and standard deviation of the share of non-mated searches that return anybody.
    resolved : bool
        Whether there are enough non-mated searches that `target` allows at least one to return somebody.
    """

    target: float | None
    tpir: float
    tpir_std: float
    fpir: float
    fpir_std: float
    resolved: bool


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The result of `open_set`. Numbers of faces are means over the repetitions.

    The gallery is the set of faces that are searched. A search for a face is *mated* if its person has
    faces in the gallery, and *non-mated* if not (the terms of NISTIR 8271).

    Attributes
    ----------
    repeats, seed : int
    enrolled, strangers : int
        People in the gallery, and people left out of it.
    gallery : float
        Faces in the gallery.
    mated, non_mated : float
        Searches for faces of enrolled people, and of strangers.
    points : list of OperatingPoint
        One per target rate; then the default threshold, if one was passed.
    """

    repeats: int
    seed: int
    enrolled: int
    strangers: int
    gallery: float
    mated: float
    non_mated: float
    points: list[OperatingPoint]


def rank_people(
    probes: F32,
    gallery: F32,
    people: I64,
    *,
    probe_photos: I64 | None = None,
    gallery_photos: I64 | None = None,
    top_faces: int = _TOP_FACES,
    consensus: float = 0.0,
) -> tuple[I64, F32]:
    """Find the most similar person of a gallery for each probe.

    Similarities are computed in blocks of 64 MB, which bounds the memory.

    Parameters
    ----------
    probes : (m, d) float32
        Unit vectors.
    gallery : (n, d) float32
        Unit vectors.
    people : (n,) int64
        The person on each face of the gallery, 0 and above.
    probe_photos, gallery_photos : (m,) and (n,) int64, optional
        The photo of each face. Faces of the gallery on the photo of the probe are ignored.
    top_faces : int
        The similarity of a person is the mean over this many of their most similar faces, or over all if
        there are fewer.
    consensus : float
        Amount added to the similarity of people with `top_faces` or more faces.

    Returns
    -------
    best : (m,) int64
        The most similar person; -1 if all faces are ignored.
    similarity : (m,) float32
        Including `consensus`; -inf if all faces are ignored.
    """
    best = np.full(len(probes), -1, np.int64)
    similarity = np.full(len(probes), -np.inf, np.float32)
    if not len(gallery) or not len(probes):
        return best, similarity
    # Sort the gallery by the number of faces of the person. Within one number, put the first faces of all
    # people first, then all second faces, and so on: then their similarities are one
    # (rows, faces, people) array.
    counts = np.bincount(people)
    order = np.lexsort((people, counts[people]))
    rank = np.arange(len(order)) - np.searchsorted(counts[people[order]], counts[people[order]])
    order = order[np.lexsort((rank % counts[people[order]], counts[people[order]]))]
    gallery, people = gallery[order], people[order]
    if gallery_photos is not None:
        gallery_photos = gallery_photos[order]
    sizes, starts = np.unique(counts[people], return_index=True)
    stops = [*starts[1:].tolist(), len(people)]
    rows = max(1, BLOCK_BYTES // (4 * len(gallery)))
    for begin in range(0, len(probes), rows):
        block = probes[begin : begin + rows] @ gallery.T
        if probe_photos is not None and gallery_photos is not None:
            block[probe_photos[begin : begin + rows, None] == gallery_photos] = -np.inf
        line = slice(begin, begin + len(block))
        rows_of_block = np.arange(len(block))
        for size, start, stop in zip(sizes.tolist(), starts.tolist(), stops, strict=True):
            mean = _mean_of_best(block[:, start:stop].reshape(len(block), size, -1), top_faces, consensus)
            nearest = mean.argmax(axis=1)
            value = mean[rows_of_block, nearest]
            better = value > similarity[line]
            similarity[line] = np.where(better, value, similarity[line])
            best[line] = np.where(better, people[start + nearest], best[line])
    return best, similarity


def leave_one_out(
    vectors: F32, people: I64, photos: I64, *, top_faces: int = _TOP_FACES, consensus: float = 0.0
) -> TopOne:
    """Identify each face by the faces on other photos.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
        The person on each face, 0 and above.
    photos : (n,) int64
        The photo of each face.
    top_faces, consensus
        As in `rank_people`.

    Returns
    -------
    TopOne
    """
    pairs = np.unique(np.stack([people, photos]), axis=1)[0]
    searched = np.flatnonzero(np.bincount(pairs, minlength=people.max(initial=0) + 1)[people] > 1)
    best, _ = rank_people(
        vectors[searched],
        vectors,
        people,
        probe_photos=photos[searched],
        gallery_photos=photos,
        top_faces=top_faces,
        consensus=consensus,
    )
    wrong = best != people[searched]
    return TopOne(
        right=int((~wrong).sum()),
        searched=len(searched),
        no_other_photo=len(people) - len(searched),
        wrong=searched[wrong],
        predicted=best[wrong],
    )


def open_set(
    vectors: F32,
    people: I64,
    photos: I64,
    *,
    rates: Sequence[float] = (0.01, 0.001),
    left_out: float = 0.5,
    probes: float = 0.2,
    repeats: int = 10,
    seed: int = 0,
    top_faces: int = _TOP_FACES,
    consensus: float = 0.0,
    threshold: Callable[[int], float] | None = None,
) -> OpenSet | None:
    """Measure identification of known people among strangers.

    Each repetition leaves some people, drawn at random, out of the gallery. Searches for their faces are
    the non-mated searches. Of every other person with two or more photos, some photos are drawn;
    searches for the faces on them are the mated searches. All other faces are the gallery.

    At a threshold, FPIR is the share of non-mated searches that return anybody, and TPIR the share of
    mated searches that return the right person at rank 1. TPIR at an FPIR is that of the lowest
    threshold whose FPIR is no greater.

    P. Grother, M. Ngan, K. Hanaoka, "Face Recognition Vendor Test (FRVT) Part 2: Identification",
    NISTIR 8271, 2019, "Performance metrics" (TPIR is 1 - FNIR at rank 1).

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
        0 and above.
    photos : (n,) int64
        Photo that each is on.
    rates : sequence of float
        Target FPIRs in 0..1.
    left_out : float
        Share of the people who are strangers.
    probes : float
        Share of the photos of each known person that are drawn; at least one is.
    repeats, seed : int
    top_faces, consensus
        As in `rank_people`.
    threshold : callable, optional
        Maps the number of faces in the gallery to the default threshold.

    Returns
    -------
    OpenSet or None
        None if there is only one person, or no enrolled person has two photos.
    """
    rng = np.random.default_rng(seed)
    everybody = np.unique(people)
    # Faces of one person on one photo are drawn together.
    pairs, pair_of = np.unique(np.stack([people, photos]), axis=1, return_inverse=True)
    pair_of = pair_of.reshape(-1)
    strangers = min(max(1, round(left_out * len(everybody))), len(everybody) - 1)
    if strangers < 1:
        return None
    trials = []
    for _ in range(repeats):
        stranger = np.isin(people, rng.permutation(everybody)[:strangers])
        probe = _draw_photos(pairs[0], probes, rng)[pair_of] & ~stranger
        gallery = ~stranger & ~probe
        if not probe.any():
            continue  # all enrolled people have one photo
        best, similarity = rank_people(
            vectors[~gallery], vectors[gallery], people[gallery], top_faces=top_faces, consensus=consensus
        )
        non_mated = stranger[~gallery]
        right = (best == people[~gallery])[~non_mated]
        default = None if threshold is None else threshold(int(gallery.sum()))
        trials.append(
            _Trial(
                mated=np.where(right, similarity[~non_mated], -np.inf).astype(np.float32),
                non_mated=np.sort(similarity[non_mated])[::-1],
                gallery=int(gallery.sum()),
                default=default,
            )
        )
    if not trials:
        return None
    points = [_operating_point(trials, rate) for rate in rates]
    if threshold is not None:
        points.append(_operating_point(trials, None))
    return OpenSet(
        repeats=len(trials),
        seed=seed,
        enrolled=len(everybody) - strangers,
        strangers=strangers,
        gallery=float(np.mean([trial.gallery for trial in trials])),
        mated=float(np.mean([len(trial.mated) for trial in trials])),
        non_mated=float(np.mean([len(trial.non_mated) for trial in trials])),
        points=points,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    mated: F32  # similarities of mated searches; -inf if another person is at rank 1
    non_mated: F32  # similarities of non-mated searches, highest first
    gallery: int  # faces
    default: float | None  # threshold


def _operating_point(trials: Sequence[_Trial], target: float | None) -> OperatingPoint:
    tpir, fpir, resolved = [], [], True
    for trial in trials:
        if target is None:
            assert trial.default is not None
            true_positive, false_positive = trial.mated >= trial.default, trial.non_mated >= trial.default
        else:
            allowed = int(target * len(trial.non_mated) + 1e-9)
            resolved &= allowed > 0
            # The lowest threshold is just above the most similar stranger who must not be named.
            bar = trial.non_mated[allowed] if allowed < len(trial.non_mated) else -np.inf
            true_positive, false_positive = trial.mated > bar, trial.non_mated > bar
        tpir.append(float(true_positive.mean()))
        fpir.append(float(false_positive.mean()))
    spread = [float(np.std(values, ddof=1)) if len(trials) > 1 else 0.0 for values in (tpir, fpir)]
    return OperatingPoint(target, float(np.mean(tpir)), spread[0], float(np.mean(fpir)), spread[1], resolved)


def _draw_photos(person: I64, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw some photos of each person who has two or more: at least one, and never all.

    `person` is the person of each pair of a person and one of their photos; the result is a mask of these.
    """
    order = np.lexsort((rng.random(len(person)), person))
    _, starts, counts = np.unique(person[order], return_index=True, return_counts=True)
    rank = np.arange(len(person)) - np.repeat(starts, counts)
    wanted = np.minimum(np.maximum(1, np.rint(share * counts)), counts - 1)
    drawn = np.zeros(len(person), bool)
    drawn[order] = rank < np.repeat(wanted, counts)
    return drawn


def _mean_of_best(similarities: F32, top_faces: int, consensus: float) -> F32:
    """Average the best similarities of each person: (m, faces, people) to (m, people).

    Similarities of -inf are ignored.
    """
    faces = similarities.shape[1]
    if faces > _FEW:
        similarities = np.partition(similarities, faces - top_faces, axis=1)[:, faces - top_faces :]
    elif faces > top_faces:
        similarities = _best_of_few(similarities, top_faces)
    used = np.isfinite(similarities)
    number = used.sum(axis=1)
    mean = np.where(used, similarities, 0).sum(axis=1) / np.maximum(number, 1)
    mean += np.where(number == top_faces, np.float32(consensus), np.float32(0))
    return np.where(number > 0, mean, -np.inf).astype(np.float32)


def _best_of_few(similarities: F32, top_faces: int) -> F32:
    """Return the greatest `top_faces` values along the second axis, by insertion."""
    best = np.full((len(similarities), top_faces, similarities.shape[2]), -np.inf, np.float32)
    for i in range(similarities.shape[1]):
        moving = similarities[:, i]
        for j in range(top_faces - 1, -1, -1):
            # The greater value stays at position j, the smaller one moves on to position j - 1.
            lesser = np.minimum(best[:, j], moving)
            np.maximum(best[:, j], moving, out=best[:, j])
            moving = lesser
    return best
