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
    doubtful = np.full(n, 0.7, np.float32)
    return SeenFrame(
        round(seconds * 1000), is_cut, Faces(boxes, none, doubtful, vectors, ones, ones, quality)
    )


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


def weak(*quality: float, angle: float = 0.3) -> list[SeenFrame]:
    """Return a shot of half a second a frame, in which a head turns by an angle from frame to frame."""
    frames = [seen(t / 2, (0, 0, q)) for t, q in enumerate(quality)]
    for t, frame in enumerate(frames):
        frame.faces.vectors[0] = np.cos(angle * t) * PEOPLE[0] + np.sin(angle * t) * PEOPLE[7]
    return frames


def test_a_weak_face_has_further_moments_in_a_short_shot_and_a_good_one_has_not() -> None:
    assert chosen(weak(0.9, 0.9, 0.9)) == [0]
    assert chosen(weak(0.3, 0.35, 0.1)) == [0, 1, 2]  # quality hardly tells which one is recognised
    assert chosen(weak(0.5, 0.5)) == [0, 1]


def test_moments_of_a_weak_face_end_when_they_hardly_leave_a_doubt() -> None:
    found = chosen(weak(0.6, 0.6, 0.6))  # a doubt of 0.4, and of 0.16 with another
    assert found == [0, 2]  # the second one is the most different


def test_a_weak_face_never_has_more_than_three_moments_nor_the_same_twice() -> None:
    assert len(chosen(weak(*[0.05] * 8, angle=0.15))) == 3
    assert chosen(weak(0.05, 0.05, 0.05, angle=0.0)) == [0]


def test_a_moment_for_one_person_counts_for_the_doubt_about_another() -> None:
    frames = [seen(0, (0, 0, 0.9), (1, 100, 0.5)), seen(0.5, (0, 0, 0.8), (1, 100, 0.4))]
    assert chosen(frames) == [0]  # identical vectors: the second frame adds nothing
    frames[1].faces.vectors[1] = 0.8 * PEOPLE[1] + 0.6 * PEOPLE[6]
    assert chosen(frames) == [0, 1]


def test_a_poor_face_that_is_seen_once_counts_if_the_detector_is_fairly_sure() -> None:
    frames = [seen(0, (0, 0, 0.02))]
    tracks = follow_faces(frames, 1.0, EVIDENCE)
    frames[0].faces.scores[0] = 0.8
    assert choose_moments(frames, tracks, EVIDENCE, alone=0.82) == []
    frames[0].faces.scores[0] = 0.85
    assert choose_moments(frames, tracks, EVIDENCE, alone=0.82) == [0]


def test_a_frame_that_was_chosen_for_another_person_is_not_chosen_again() -> None:
    frames = [seen(0, (0, 0, 0.9), (1, 100, 0.05)), seen(0.5, (1, 100, 0.2))]
    frames[0].faces.vectors[1] = 0.8 * PEOPLE[1] + 0.6 * PEOPLE[6]
    assert chosen(frames) == [0, 1]
