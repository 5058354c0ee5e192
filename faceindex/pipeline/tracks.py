"""Follow faces through the frames of a video, and choose the moments that show them best.

A track is one face from frame to frame. Two faces of neighbouring frames belong to one track if they overlap
and are not clearly different people, or if they are clearly one person: a head may move far in a second. A
track ends where a scene ends. Two faces of one frame are never in one track.

Few moments are chosen, so that every track is seen at its best. A frame that shows several people well
serves all of their tracks. Tracks that clearly show one person share a limit: in a talk, every change of the
camera begins a track.

One moment is enough for a good face: the next one in the same light gives nearly the same vector. A weak one,
in profile or cut off, may be recognised in one frame and not in the next, and its quality hardly tells which.
So a track whose moments are all weak has further ones, the most different first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from faceindex.matching import overlaps
from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, Faces

__all__ = ["MOST_MOMENTS", "Evidence", "SeenFrame", "Track", "choose_moments", "follow_faces"]

MOST_MOMENTS = 120
"""Moments of one video."""

MOST_OF_PERSON = 12
"""Moments of one video for tracks that clearly show one person."""

_OF_TRACK = 3
_SECONDS_EACH = 2.0  # a second moment of a track needs so many seconds of it, a third twice as many
_APART = 1.0  # seconds between two moments of a track
_ALIKE = 0.85  # of the way from even odds to the same vector: a second moment that is more alike adds nothing
_NEARLY_BEST = 0.8  # of the best quality of a track: what a moment may have
_DOUBT = 0.3  # probability that nobody is recognised on the moments of a track, above which it is weak
_SAME = 0.99  # as `_ALIKE`, for the moments of a weak track: only those of a still picture add nothing
_HARDLY_A_FACE = 0.15  # quality, half of `faceindex.quality.POOR_QUALITY`
_OVERLAP = 0.3
_NOT_OTHER = -3.0  # nats for one person: 1 to 20
_CLEARLY_ONE = 4.0  # 50 to 1
_SURELY_ONE = 8.0  # 3,000 to 1, as tracks have no place in common
_SIZES = 2.0  # ratio of the sides of two boxes of one track
_GAP = 3.0  # intervals that a face may be missing
_USUAL_SLOPE = 20.0  # nats per unit of similarity, between those of the built-in embedders


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """The faces of a frame.

    Attributes
    ----------
    milliseconds : int
    is_cut : bool
        Whether another scene has begun since the frame before.
    faces : Faces
    """

    milliseconds: int
    is_cut: bool
    faces: Faces


@dataclass(slots=True)
class Track:
    """One face in several frames.

    Attributes
    ----------
    frames, faces : list of int
        Positions of the frames, ascending, and of the face in each.
    """

    frames: list[int] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How similarities become log-odds for one person: those of the embedder, or its threshold alone."""

    midpoint: float
    slope: float

    @classmethod
    def of(cls, spec: EmbedderSpec) -> Evidence:
        """Return the evidence of an embedder; one that was not measured is taken for a usual one."""
        if spec.calibration is not None:
            return cls(spec.calibration.midpoint, spec.calibration.slope)
        return cls(0.5 if spec.threshold is None else spec.threshold, _USUAL_SLOPE)

    def odds(self, similarity: float) -> float:
        """Return the log-odds in nats."""
        return self.slope * (similarity - self.midpoint)


def follow_faces(frames: Sequence[SeenFrame], interval: float, evidence: Evidence) -> list[Track]:
    """Link the faces of successive frames.

    Parameters
    ----------
    frames : sequence of SeenFrame
        In the order of their times.
    interval : float
        Seconds from one frame to the next.
    evidence : Evidence

    Returns
    -------
    list of Track
        In the order of their beginnings.
    """
    tracks: list[Track] = []
    active: list[Track] = []
    for number, frame in enumerate(frames):
        if frame.is_cut:
            active = []
        latest = frame.milliseconds - _GAP * interval * 1000
        active = [track for track in active if frames[track.frames[-1]].milliseconds >= latest]
        taken = _links(frames, active, frame.faces, evidence)
        for face in range(len(frame.faces)):
            if face in taken:
                track = active[taken[face]]
            else:
                track = Track()
                tracks.append(track)
                active.append(track)
            track.frames.append(number)
            track.faces.append(face)
    return tracks


def _links(
    frames: Sequence[SeenFrame], active: Sequence[Track], faces: Faces, evidence: Evidence
) -> dict[int, int]:
    """Return the track of each face that continues one; the surest pairs first."""
    if not active or not len(faces):
        return {}
    last = [(frames[track.frames[-1]].faces, track.faces[-1]) for track in active]
    boxes = np.stack([seen.boxes[i] for seen, i in last])
    similarities = np.stack([seen.vectors[i] for seen, i in last]) @ faces.vectors.T
    shared = overlaps(boxes, faces.boxes)
    sides, others = (np.sqrt(np.maximum(_areas(each), 1)) for each in (boxes, faces.boxes))
    ratios = sides[:, None] / others
    odds = evidence.slope * (similarities - evidence.midpoint)
    same_size = (ratios <= _SIZES) & (ratios >= 1 / _SIZES)
    linked = same_size & (((shared >= _OVERLAP) & (odds >= _NOT_OTHER)) | (odds >= _CLEARLY_ONE))
    pairs = sorted(
        (-(float(similarities[t, f]) + float(shared[t, f])), int(t), int(f)) for t, f in np.argwhere(linked)
    )
    found: dict[int, int] = {}
    used: set[int] = set()
    for _, track, face in pairs:
        if track not in used and face not in found:
            found[face] = track
            used.add(track)
    return found


def _areas(boxes: F32) -> F32:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas: F32 = sides[:, 0] * sides[:, 1]
    return areas


def choose_moments(
    frames: Sequence[SeenFrame], tracks: Sequence[Track], evidence: Evidence, *, alone: float = 1.0
) -> list[int]:
    """Choose the frames that show the tracks best.

    A track of one frame with a face of hardly any quality is left out, unless the detector is fairly sure.

    Parameters
    ----------
    frames : sequence of SeenFrame
    tracks : sequence of Track
        As `follow_faces` returns them.
    evidence : Evidence
    alone : float
        Score from which a poor face counts although it is seen once.

    Returns
    -------
    list of int
        Positions of frames, ascending.
    """
    wanted = [want for track in tracks if (want := _Wanted.of(frames, track, evidence, alone)) is not None]
    people = _people([want.vector for want in wanted], evidence)
    left = dict.fromkeys(people, MOST_OF_PERSON)
    chosen: list[int] = []
    while len(chosen) < MOST_MOMENTS:
        gains: dict[int, float] = {}
        for want, person in zip(wanted, people, strict=True):
            if left[person] > 0:
                for position, gain in want.gains(frames):
                    gains[position] = gains.get(position, 0.0) + gain
        if not gains:
            break
        best = min(gains, key=lambda position: (-gains[position], position))
        chosen.append(best)
        for want, person in zip(wanted, people, strict=True):
            if want.take(best):
                left[person] -= 1
    return sorted(chosen)


@dataclass(slots=True)
class _Wanted:
    """The moments of a track that are wanted: how many, and which frames will do."""

    number: int
    quality: dict[int, float]  # by position of the frame
    vectors: dict[int, F32]
    best: int  # position of the best frame
    midpoint: float  # of the similarities of one person and of two
    chosen: list[int] = field(default_factory=list)
    taken: int = 0  # of the chosen, those that show this track well enough

    @property
    def vector(self) -> F32:
        """The vector of the best face."""
        return self.vectors[self.best]

    @classmethod
    def of(
        cls, frames: Sequence[SeenFrame], track: Track, evidence: Evidence, alone: float
    ) -> _Wanted | None:
        seen = list(zip(track.frames, track.faces, strict=True))
        quality = {at: float(frames[at].faces.quality[face]) for at, face in seen}
        best = max(quality, key=lambda at: quality[at])
        if len(seen) == 1 and quality[best] <= _HARDLY_A_FACE:
            at, face = seen[0]
            if frames[at].faces.scores[face] < alone:
                return None
        seconds = (frames[track.frames[-1]].milliseconds - frames[track.frames[0]].milliseconds) / 1000
        return cls(
            min(_OF_TRACK, 1 + int(seconds / _SECONDS_EACH)),
            quality,
            {at: frames[at].faces.vectors[face] for at, face in seen},
            best,
            evidence.midpoint,
        )

    def gains(self, frames: Sequence[SeenFrame]) -> list[tuple[int, float]]:
        """Return what each frame would add. The first moment of any track counts more than all others."""
        if not self.taken:
            return [(at, 10.0 * self._share(at)) for at in self.quality if self._is_good(at)]
        if self.taken < _OF_TRACK and self._is_weak():
            nearest = {at: self._nearest(at) for at in self.quality if at not in self.chosen}
            return [(at, 1 - alike) for at, alike in nearest.items() if alike < self._alike(_SAME)]
        if self.taken >= self.number:
            return []
        return [
            (at, self._share(at))
            for at in self.quality
            if self._is_good(at)
            and self._nearest(at) < self._alike(_ALIKE)
            and all(self._are_apart(frames, at, other) for other in self.chosen)
        ]

    def take(self, position: int) -> bool:
        """Count a chosen frame, if it shows this track well enough."""
        if position not in self.quality:
            return False
        counts = self._is_good(position) or self._is_weak()
        self.chosen.append(position)
        self.taken += counts
        return counts

    def _share(self, at: int) -> float:
        """Return the quality of a moment, relative to the best."""
        return self.quality[at] / max(self.quality[self.best], 1e-6)

    def _is_good(self, at: int) -> bool:
        return self.quality[at] >= _NEARLY_BEST * self.quality[self.best]

    def _is_weak(self) -> bool:
        """Return whether moments are taken, but all of them may fail to show who it is."""
        return self.taken > 0 and math.prod(1 - self.quality[at] for at in self.chosen) > _DOUBT

    def _nearest(self, at: int) -> float:
        """Return the greatest similarity of a moment to those that are chosen."""
        return max(float(self.vectors[at] @ self.vectors[other]) for other in self.chosen)

    def _alike(self, share: float) -> float:
        """Return the similarity from which two moments are too much alike."""
        return self.midpoint + share * (1 - self.midpoint)

    @staticmethod
    def _are_apart(frames: Sequence[SeenFrame], at: int, other: int) -> bool:
        return abs(frames[at].milliseconds - frames[other].milliseconds) >= _APART * 1000


def _people(vectors: Sequence[F32], evidence: Evidence) -> list[int]:
    """Return a number for each track; tracks that clearly show one person have the same."""
    numbers: list[int] = []
    for i, vector in enumerate(vectors):
        found = i
        if i:
            similarities = np.stack(vectors[:i]) @ vector
            nearest = int(np.argmax(similarities))
            if evidence.odds(float(similarities[nearest])) >= _SURELY_ONE:
                found = numbers[nearest]
        numbers.append(found)
    return numbers
