from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faceindex.pipeline.tracks import (
    MOST_MOMENTS,
    Evidence,
    SeenFrame,
    choose_moments,
    follow_faces,
)
from faceindex.types import Faces

EVIDENCE = Evidence(0.4, 30.0)
PEOPLE = np.linalg.qr(np.random.default_rng(4).standard_normal((8, 8)))[0].astype(np.float32)


def seen(
    seconds: float, *faces: tuple[int, float, float], is_cut: bool = False, side: float = 40
) -> SeenFrame:
    """Return a frame with faces, each a person, the left edge of its box, and its quality."""
    n = len(faces)
    left = np.array([x for _, x, _ in faces], np.float32).reshape(n)
    boxes = np.stack([left, np.zeros(n), left + side, np.full(n, side)], axis=1).astype(np.float32)
    quality = np.array([q for *_, q in faces], np.float32).reshape(n)
    vectors = PEOPLE[[person for person, *_ in faces]].reshape(n, 8)
    ones = np.ones(n, np.float32)
    none = np.full((n, 5, 2), np.nan, np.float32)
    return SeenFrame(round(seconds * 1000), is_cut, Faces(boxes, none, ones, vectors, ones, ones, quality))


def lengths(frames: Sequence[SeenFrame]) -> list[int]:
    return sorted(len(track.frames) for track in follow_faces(frames, 1.0, EVIDENCE))


def test_faces_that_overlap_or_are_clearly_one_person_are_a_track() -> None:
    assert lengths([seen(t, (0, 10 * t, 0.9), (1, 300, 0.9)) for t in range(4)]) == [4, 4]
    assert lengths([seen(t, (0, 200 * t, 0.9)) for t in range(4)]) == [4]  # a quick head
    assert lengths([seen(0, (0, 0, 0.9)), seen(1, (1, 5, 0.9))]) == [1, 1]  # another person in the same place
    assert lengths([seen(t, (0, 100 * (t % 2), 0.9), (1, 100 - 100 * (t % 2), 0.9)) for t in range(4)]) == [
        4,
        4,
    ]


def test_tracks_end_at_cuts_and_gaps() -> None:
    assert lengths([seen(t, (0, 0, 0.9), is_cut=t == 2) for t in range(4)]) == [2, 2]
    assert lengths([seen(t, (0, 0, 0.9)) for t in (0, 1, 3, 4)]) == [4]
    assert lengths([seen(t, (0, 0, 0.9)) for t in (0, 1, 9)]) == [1, 2]


def test_two_faces_of_a_frame_are_never_one_track() -> None:
    assert lengths([seen(0, (0, 0, 0.9)), seen(1, (0, 0, 0.9), (0, 4, 0.9))]) == [1, 2]


def chosen(frames: Sequence[SeenFrame]) -> list[int]:
    return choose_moments(frames, follow_faces(frames, 1.0, EVIDENCE), EVIDENCE)


def test_the_best_moment_of_a_track() -> None:
    assert chosen([seen(t, (0, 0, q)) for t, q in enumerate((0.5, 0.9, 0.6))]) == [1]


def test_a_frame_that_shows_all_people_well_serves_all() -> None:
    frames = [
        seen(0, (0, 0, 0.9), (1, 100, 0.4)),
        seen(1, (0, 0, 0.85), (1, 100, 0.85)),
        seen(2, (1, 100, 0.9)),
    ]
    assert chosen(frames) == [1]


def test_long_tracks_have_several_moments_if_these_differ() -> None:
    frames = [seen(t, (0, 0, 0.9)) for t in range(9)]
    assert chosen(frames) == [0]
    for t, frame in enumerate(frames):  # the head turns away: similarities down to 0.7
        angle = 0.1 * t
        frame.faces.vectors[0] = np.cos(angle) * PEOPLE[0] + np.sin(angle) * PEOPLE[7]
    found = chosen(frames)
    assert 2 <= len(found) <= 3
    assert min(np.diff(found)) >= 4


def test_single_poor_faces_have_none() -> None:
    assert chosen([seen(0, (0, 0, 0.1))]) == []
    assert chosen([seen(0, (0, 0, 0.1)), seen(1, (0, 0, 0.12))]) == [1]
    assert chosen([]) == []


def test_many_shots_of_one_person_share_a_limit() -> None:
    frames = [seen(t, (0, 0, 0.9), is_cut=True) for t in range(40)]
    frames[20] = seen(20, (1, 0, 0.9), is_cut=True)
    found = chosen(frames)
    assert len(found) == 13
    assert 20 in found


def test_no_video_has_more_than_the_limit() -> None:
    frames = [seen(3 * t, *((p, 60 * p, 0.9) for p in range(8)), is_cut=True, side=40) for t in range(4)]
    crowd = [seen(20 + t, (t % 8, 0, 0.9), is_cut=True) for t in range(300)]
    assert len(chosen(frames + crowd)) <= min(MOST_MOMENTS, 8 * 12)
