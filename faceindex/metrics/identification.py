"""Accuracy of identification: how often a face gets the right person, and how often a stranger gets one.

Here, a person is all faces with one label, not a cluster. Similarities follow the rule of
`faceindex.identification`: the similarity of a person is the mean over their three most similar faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from faceindex.evidence import Ranking, evidence, rivals
from faceindex.models.spec import Calibration
from faceindex.types import F32, I64

__all__ = ["BLOCK_BYTES", "TopOne", "leave_one_out", "rank_people", "weigh_people"]

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
    photos = None if probe_photos is None or gallery_photos is None else (probe_photos, gallery_photos)
    for line, mean, group in _by_person(probes, gallery, people, photos, top_faces, consensus):
        nearest = mean.argmax(axis=1)
        value = mean[np.arange(len(mean)), nearest]
        better = value > similarity[line]
        similarity[line] = np.where(better, value, similarity[line])
        best[line] = np.where(better, group.people[nearest], best[line])
    return best, similarity


def weigh_people(probes: F32, gallery: F32, people: I64, calibration: Calibration) -> tuple[I64, Ranking]:
    """Find the person of a gallery with the most evidence for each probe (`faceindex.evidence`).

    Parameters
    ----------
    probes : (m, d) float32
        Unit vectors.
    gallery : (n, d) float32
        Unit vectors, one at least.
    people : (n,) int64
        The person on each face of the gallery, 0 and above.
    calibration : Calibration

    Returns
    -------
    best : (m,) int64
        The person.
    ranking : Ranking
        The evidence for that person and for the second best.
    """
    counts = np.bincount(people)
    enrolled = np.flatnonzero(counts)
    of = np.zeros(len(counts))
    numbers = counts[enrolled].astype(np.float64)
    of[enrolled] = rivals(numbers, numbers)
    best, runner_up = (np.full(len(probes), enrolled[0]) for _ in range(2))
    first, second = (np.full(len(probes), -np.inf) for _ in range(2))
    for line, mean, group in _by_person(probes, gallery, people, None, _TOP_FACES, 0.0):
        found = evidence(
            mean.astype(np.float64),
            (probes[line] @ group.centroids.T).astype(np.float64),
            float(group.size),
            calibration,
        )
        rows = np.arange(len(found))
        for _ in range(min(2, found.shape[1])):  # the best two of this group
            nearest = found.argmax(axis=1)
            value, person = found[rows, nearest], group.people[nearest]
            found[rows, nearest] = -np.inf
            is_first = value > first[line]
            is_second = ~is_first & (value > second[line])
            second[line] = np.where(is_first, first[line], np.where(is_second, value, second[line]))
            runner_up[line] = np.where(is_first, best[line], np.where(is_second, person, runner_up[line]))
            first[line] = np.where(is_first, value, first[line])
            best[line] = np.where(is_first, person, best[line])
    return best, Ranking(first, second, of[best], of[runner_up], len(enrolled))


@dataclass(frozen=True, slots=True)
class _Group:
    """People with the same number of faces, and the centroids of these."""

    people: I64
    size: int
    centroids: F32


def _by_person(
    probes: F32,
    gallery: F32,
    people: I64,
    photos: tuple[I64, I64] | None,
    top_faces: int,
    consensus: float,
) -> Iterator[tuple[slice, F32, _Group]]:
    """Yield some of the probes, their similarities (rows, p) to p people, and these people."""
    if not len(gallery) or not len(probes):
        return
    # Sort the gallery by the number of faces of the person. Within one number, put the first faces of all
    # people first, then all second faces, and so on: then their similarities are one
    # (rows, faces, people) array.
    counts = np.bincount(people)
    order = np.lexsort((people, counts[people]))
    rank = np.arange(len(order)) - np.searchsorted(counts[people[order]], counts[people[order]])
    order = order[np.lexsort((rank % counts[people[order]], counts[people[order]]))]
    gallery, people = gallery[order], people[order]
    sizes, starts = np.unique(counts[people], return_index=True)
    stops = [*starts[1:].tolist(), len(people)]
    groups = []
    for size, start, stop in zip(sizes.tolist(), starts.tolist(), stops, strict=True):
        number = (stop - start) // size
        centroids = gallery[start:stop].reshape(size, number, -1).mean(axis=0)
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
        groups.append((slice(start, stop), _Group(people[start : start + number], size, centroids)))
    rows = max(1, BLOCK_BYTES // (4 * len(gallery)))
    for begin in range(0, len(probes), rows):
        block = probes[begin : begin + rows] @ gallery.T
        if photos is not None:
            block[photos[0][begin : begin + rows, None] == photos[1][order]] = -np.inf
        line = slice(begin, begin + len(block))
        for columns, group in groups:
            similarities = block[:, columns].reshape(len(block), group.size, -1)
            yield line, _mean_of_best(similarities, top_faces, consensus), group


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
