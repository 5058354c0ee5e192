"""How often the right person is named, and how often somebody is who should not be.

People are the labelled ones here, not clusters, and similarities follow the rule of
`faceindex.identification`: a person is as similar as the mean of their three most alike faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["OpenSet", "OperatingPoint", "TopOne", "leave_one_out", "open_set", "rank_people"]

_BLOCK_BYTES = 64 << 20
_FEW = 64  # faces of a person; more are partitioned
_VOICES = 3  # as in faceindex.identification; a test holds the two together


@dataclass(frozen=True, slots=True)
class TopOne:
    """The result of `leave_one_out`.

    Attributes
    ----------
    right : int
        Faces whose most similar person is the right one.
    asked : int
        Faces of people who are on another photo as well.
    alone : int
        Faces that could not ask: there is no other photo of the person.
    wrong : (m,) int64
        Positions of the faces that got a wrong answer.
    taken_for : (m,) int64
        The person that each of them was taken for.
    """

    right: int
    asked: int
    alone: int
    wrong: I64
    taken_for: I64

    @property
    def rate(self) -> float | None:
        """Share of right answers; None if nobody could ask."""
        return self.right / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """True and false positive identification rates at one threshold, over all repetitions.

    Attributes
    ----------
    target : float or None
        The false positive rate that the threshold was chosen for; None for the default threshold.
    tpir, tpir_std : float
        Mean and standard deviation of the share of known people who are named, and rightly.
    fpir, fpir_std : float
        Mean and standard deviation of the share of strangers who are taken for somebody.
    resolved : bool
        Whether there are so many strangers that at least one of them may pass.
    """

    target: float | None
    tpir: float
    tpir_std: float
    fpir: float
    fpir_std: float
    resolved: bool


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The result of `open_set`; numbers of faces are means over the repetitions.

    Attributes
    ----------
    repeats, seed : int
    enrolled, strangers : int
        People who are known, and who are left out.
    gallery : float
        Faces of known people that are in the gallery.
    mated, non_mated : float
        Searches by known people and by strangers.
    points : list of OperatingPoint
        One per target rate; then the default threshold, if one was given.
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
    voices: int = _VOICES,
    consensus: float = 0.0,
) -> tuple[I64, F32]:
    """The person of a gallery who is most like each probe.

    Memory is bounded by blocks of 64 MB of similarities, whatever the numbers.

    Parameters
    ----------
    probes : (m, d) float32
        Unit vectors.
    gallery : (n, d) float32
        Unit vectors.
    people : (n,) int64
        Who each face of the gallery is, 0 and above.
    probe_photos, gallery_photos : (m,) and (n,) int64, optional
        Faces of the gallery on the probe's own photo are not heard.
    voices : int
        A person is as similar as the mean of this many of their most alike faces, or of all if there
        are fewer.
    consensus : float
        Added to the similarity of people with that many faces.

    Returns
    -------
    best : (m,) int64
        -1 if nobody is left.
    similarity : (m,) float32
        With `consensus`; -inf if nobody is left.
    """
    best = np.full(len(probes), -1, np.int64)
    similarity = np.full(len(probes), -np.inf, np.float32)
    if not len(gallery) or not len(probes):
        return best, similarity
    # People with equally many faces side by side, first all their first faces, then all their second
    # ones: their similarities are one (rows, faces, people) array.
    counts = np.bincount(people)
    order = np.lexsort((people, counts[people]))
    rank = np.arange(len(order)) - np.searchsorted(counts[people[order]], counts[people[order]])
    order = order[np.lexsort((rank % counts[people[order]], counts[people[order]]))]
    gallery, people = gallery[order], people[order]
    if gallery_photos is not None:
        gallery_photos = gallery_photos[order]
    sizes, starts = np.unique(counts[people], return_index=True)
    stops = [*starts[1:].tolist(), len(people)]
    rows = max(1, _BLOCK_BYTES // (4 * len(gallery)))
    for begin in range(0, len(probes), rows):
        block = probes[begin : begin + rows] @ gallery.T
        if probe_photos is not None and gallery_photos is not None:
            block[probe_photos[begin : begin + rows, None] == gallery_photos] = -np.inf
        line = slice(begin, begin + len(block))
        every = np.arange(len(block))
        for size, start, stop in zip(sizes.tolist(), starts.tolist(), stops, strict=True):
            mean = _mean_of_best(block[:, start:stop].reshape(len(block), size, -1), voices, consensus)
            nearest = mean.argmax(axis=1)
            value = mean[every, nearest]
            better = value > similarity[line]
            similarity[line] = np.where(better, value, similarity[line])
            best[line] = np.where(better, people[start + nearest], best[line])
    return best, similarity


def leave_one_out(
    vectors: F32, people: I64, photos: I64, *, voices: int = _VOICES, consensus: float = 0.0
) -> TopOne:
    """Each face asks all those on other photos who it is.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
        0 and above.
    photos : (n,) int64
        Photo that each is on.
    voices, consensus
        As of `rank_people`.

    Returns
    -------
    TopOne
    """
    pairs = np.unique(np.stack([people, photos]), axis=1)[0]
    asking = np.flatnonzero(np.bincount(pairs, minlength=people.max(initial=0) + 1)[people] > 1)
    best, _ = rank_people(
        vectors[asking],
        vectors,
        people,
        probe_photos=photos[asking],
        gallery_photos=photos,
        voices=voices,
        consensus=consensus,
    )
    wrong = best != people[asking]
    return TopOne(
        right=int((~wrong).sum()),
        asked=len(asking),
        alone=len(people) - len(asking),
        wrong=asking[wrong],
        taken_for=best[wrong],
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
    voices: int = _VOICES,
    consensus: float = 0.0,
    threshold: Callable[[int], float] | None = None,
) -> OpenSet | None:
    """Identify known people among strangers.

    In each repetition some people, drawn at random, are left out of the gallery, and all their faces
    ask: the non-mated searches. Of every other person with two photos or more, some photos ask, the
    mated searches; the gallery is what is left. At a threshold, FPIR is the share of non-mated
    searches that return anybody, and TPIR the share of mated searches that return the right person
    at rank 1. TPIR at an FPIR is that of the lowest threshold whose FPIR is no greater.

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
        FPIRs in 0..1.
    left_out : float
        Share of the people who are strangers.
    probes : float
        Share of the photos of each known person that ask; at least one does.
    repeats, seed : int
    voices, consensus
        As of `rank_people`.
    threshold : callable, optional
        The default threshold for a gallery of so many faces.

    Returns
    -------
    OpenSet or None
        None if there is nobody to leave out or nobody with two photos.
    """
    rng = np.random.default_rng(seed)
    everybody = np.unique(people)
    # One photo of one person; its faces ask or are known together.
    shots, shot = np.unique(np.stack([people, photos]), axis=1, return_inverse=True)
    shot = shot.reshape(-1)
    strangers = min(max(1, round(left_out * len(everybody))), len(everybody) - 1)
    if strangers < 1:
        return None
    trials = []
    for _ in range(repeats):
        stranger = np.isin(people, rng.permutation(everybody)[:strangers])
        asking = _draw(shots[0], probes, rng)[shot] & ~stranger
        known = ~stranger & ~asking
        if not asking.any():
            continue  # all who are left have one photo
        best, similarity = rank_people(
            vectors[~known], vectors[known], people[known], voices=voices, consensus=consensus
        )
        outside = stranger[~known]
        right = (best == people[~known])[~outside]
        default = None if threshold is None else threshold(int(known.sum()))
        trials.append(
            _Trial(
                right=np.where(right, similarity[~outside], -np.inf).astype(np.float32),
                stranger=np.sort(similarity[outside])[::-1],
                gallery=int(known.sum()),
                default=default,
            )
        )
    if not trials:
        return None
    points = [_point(trials, rate) for rate in rates]
    if threshold is not None:
        points.append(_point(trials, None))
    return OpenSet(
        repeats=len(trials),
        seed=seed,
        enrolled=len(everybody) - strangers,
        strangers=strangers,
        gallery=float(np.mean([trial.gallery for trial in trials])),
        mated=float(np.mean([len(trial.right) for trial in trials])),
        non_mated=float(np.mean([len(trial.stranger) for trial in trials])),
        points=points,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    right: F32  # similarities of mated searches, -inf where somebody else came first
    stranger: F32  # similarities of non-mated searches, falling
    gallery: int
    default: float | None


def _point(trials: Sequence[_Trial], target: float | None) -> OperatingPoint:
    tpir, fpir, resolved = [], [], True
    for trial in trials:
        if target is None:
            assert trial.default is not None
            passed, let_in = trial.right >= trial.default, trial.stranger >= trial.default
        else:
            allowed = int(target * len(trial.stranger) + 1e-9)
            resolved &= allowed > 0
            # The lowest threshold is just above the first stranger who must not pass.
            bar = trial.stranger[allowed] if allowed < len(trial.stranger) else -np.inf
            passed, let_in = trial.right > bar, trial.stranger > bar
        tpir.append(float(passed.mean()))
        fpir.append(float(let_in.mean()))
    spread = [float(np.std(values, ddof=1)) if len(trials) > 1 else 0.0 for values in (tpir, fpir)]
    return OperatingPoint(target, float(np.mean(tpir)), spread[0], float(np.mean(fpir)), spread[1], resolved)


def _draw(person: I64, share: float, rng: np.random.Generator) -> BoolArray:
    """Some shots of each person who has two or more; never all, and never none."""
    order = np.lexsort((rng.random(len(person)), person))
    _, starts, counts = np.unique(person[order], return_index=True, return_counts=True)
    rank = np.arange(len(person)) - np.repeat(starts, counts)
    wanted = np.minimum(np.maximum(1, np.rint(share * counts)), counts - 1)
    drawn = np.zeros(len(person), bool)
    drawn[order] = rank < np.repeat(wanted, counts)
    return drawn


def _mean_of_best(similarities: F32, voices: int, consensus: float) -> F32:
    """(m, faces, people) to (m, people); -inf is a face that is not heard."""
    faces = similarities.shape[1]
    if faces > _FEW:
        similarities = np.partition(similarities, faces - voices, axis=1)[:, faces - voices :]
    elif faces > voices:
        similarities = _best_of_few(similarities, voices)
    heard = np.isfinite(similarities)
    number = heard.sum(axis=1)
    mean = np.where(heard, similarities, 0).sum(axis=1) / np.maximum(number, 1)
    mean += np.where(number == voices, np.float32(consensus), np.float32(0))
    return np.where(number > 0, mean, -np.inf).astype(np.float32)


def _best_of_few(similarities: F32, voices: int) -> F32:
    """The greatest `voices` along the second axis, by insertion."""
    best = np.full((len(similarities), voices, similarities.shape[2]), -np.inf, np.float32)
    for i in range(similarities.shape[1]):
        rising = similarities[:, i]
        for j in range(voices - 1, -1, -1):
            # The greater stays in place j, the lesser goes on to the places below.
            lesser = np.minimum(best[:, j], rising)
            np.maximum(best[:, j], rising, out=best[:, j])
            rising = lesser
    return best
