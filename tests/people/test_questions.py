from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from synthetic_faces import CALIBRATION, unit

from faceindex.people.asked import Asked
from faceindex.people.board import Board, BoardState
from faceindex.people.questions import Questions
from faceindex.store.decisions import Label
from faceindex.types import F32, I64


def make_faces(sizes: list[int], *, spread: float = 0.09, seed: int = 0) -> tuple[F32, I64]:
    """Make faces of people with these numbers of faces; return also the person of each."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((len(sizes), 64)))
    people = np.repeat(np.arange(len(sizes)), sizes)
    return unit(centres[people] + spread * rng.standard_normal((len(people), 64))), people


def make_said(cluster: I64) -> BoardState:
    n = len(cluster)
    none = np.empty((0, 2), np.int64)
    return BoardState(
        cluster.astype(np.int32), np.zeros(n, np.uint8), np.full(n, -1, np.int32), {}, none, none, {}
    )


def make_board(
    vectors: F32, said: BoardState, photos: I64 | None = None, taken: np.ndarray | None = None
) -> Board:
    n = len(vectors)
    return Board(
        vectors,
        np.arange(n) if photos is None else photos,
        np.ones(n, np.float32),
        np.full(n, np.nan) if taken is None else taken,
        CALIBRATION,
        said,
    )


def ask(board: Board) -> list[Asked]:
    return Questions(board).ranked(None)


def name(said: BoardState, cluster: int, person: int) -> None:
    said.of_cluster = {**said.of_cluster, cluster: person}
    members = said.cluster == cluster
    said.person[members], said.label[members] = person, Label.NAMED


def test_the_largest_cluster_comes_first() -> None:
    vectors, people = make_faces([3, 9, 6])
    asked = [a for a in ask(make_board(vectors, make_said(people))) if a.kind == "who"]
    assert [a.settles for a in asked] == [9, 6, 3]
    assert all(people[list(a.faces)].tolist() == [a.slot] * len(a.faces) for a in asked)
    assert max(len(a.faces) for a in asked) == 4


def test_a_second_cluster_of_a_person_is_asked_with_yes_or_no() -> None:
    vectors, _ = make_faces([12])
    said = make_said(np.repeat([0, 1], 6))
    name(said, 0, 5)
    (same,) = [a for a in ask(make_board(vectors, said)) if a.slot == 1]
    assert (same.kind, same.person, same.settles) == ("same", 5, 6)
    assert same.probability > 0.9


@pytest.mark.parametrize("why", ["photo", "rejected", "different", "birth"])
def test_what_cannot_be_is_not_asked(why: str) -> None:
    vectors, _ = make_faces([12])
    said, photos, taken = make_said(np.repeat([0, 1], 6)), np.arange(12), np.full(12, 50.0)
    name(said, 0, 5)
    if why == "photo":
        photos[6] = photos[0]
    elif why == "rejected":
        said.rejected = np.array([[7, 5]])
    elif why == "different":
        said.different = np.array([[0, 8]])
    else:
        said.born, taken[9] = {5: 40.0}, 30.0
    (only,) = [a for a in ask(make_board(vectors, said, photos, taken)) if a.slot == 1]
    assert only.kind == "who"


def test_copies_on_one_photo_do_not_count() -> None:
    vectors, _ = make_faces([12])
    said, photos = make_said(np.repeat([0, 1], 6)), np.arange(12)
    name(said, 0, 5)
    vectors[6], photos[6] = vectors[0], photos[0]
    assert "same" in {a.kind for a in ask(make_board(vectors, said, photos)) if a.slot == 1}


def test_faces_in_no_cluster_near_a_person_are_asked_together() -> None:
    vectors, _ = make_faces([12])
    said = make_said(np.repeat([0, -1], [6, 6]))
    name(said, 0, 5)
    asked = ask(make_board(vectors, said))
    groups = [a for a in asked if a.kind == "is" and set(a.faces) <= set(range(6, 12))]
    assert sorted(len(a.faces) for a in groups) == [2, 4]
    assert {a.person for a in groups} == {5}
    said.rejected = np.array([[face, 5] for face in range(6, 12)])
    said.label[6:] = Label.STRANGER
    assert not [a for a in ask(make_board(vectors, said)) if set(a.faces) & set(range(6, 12))]


def test_the_face_of_another_person_is_doubted_first() -> None:
    vectors, people = make_faces([20, 20])
    said = make_said(people)
    said.cluster[20] = 0  # a face of person 1
    name(said, 0, 0)
    name(said, 1, 1)
    first = ask(make_board(vectors, said))[0]
    assert (first.kind, first.person, first.faces[0]) == ("is", 0, 20)
    said.label[20] = Label.CONFIRMED
    assert all(20 not in a.faces for a in ask(make_board(vectors, said)))


def test_unknown_single_faces_are_asked_four_at_a_time() -> None:
    vectors, _ = make_faces([1] * 9)
    board = make_board(vectors, make_said(np.full(9, -1)))
    assert Counter(a.kind for a in ask(board)) == {"anyone": 2, "who": 1}
    known = Questions(board).ranked(None, {("sorted", 0, 1, 2, 3)})
    assert {a.faces for a in known[:4]} == {(0,), (1,), (2,), (3,)}


def test_strangers_make_single_faces_less_worth_asking() -> None:
    vectors, _ = make_faces([1] * 30)
    said = make_said(np.full(30, -1))
    before = ask(make_board(vectors, said))[0].expected
    said.label[:20] = Label.STRANGER
    assert ask(make_board(vectors, said))[0].expected < before


def test_the_faces_of_a_skipped_question_stay_away() -> None:
    vectors, _ = make_faces([1] * 9)
    questions = Questions(make_board(vectors, make_said(np.full(9, -1))))
    first = questions.ranked(1)[0]
    left = questions.ranked(None, {questions.key(first)})
    assert {face for asked in left for face in asked.faces} == set(range(9)) - set(first.faces)


def test_skipped_questions_stay_away() -> None:
    vectors, people = make_faces([5, 4])
    questions = Questions(make_board(vectors, make_said(people)))
    first, second = questions.ranked(2)
    (left,) = questions.ranked(1, {questions.key(first)})
    assert (left.kind, left.slot) == ("who", second.slot)


def test_a_limit_returns_the_same_first_questions() -> None:
    vectors, people = make_faces([8, 5, 3, 2, 1, 1, 1], spread=0.2)
    said = make_said(np.where(people > 3, -1, people))
    name(said, 0, 0)
    questions = Questions(make_board(vectors, said))
    first = [(a.kind, a.faces, a.expected) for a in questions.ranked(3)]
    assert first == [(a.kind, a.faces, a.expected) for a in questions.ranked(None)[:3]]


@pytest.mark.parametrize("all_clusters", [1024, 0])
def test_the_size_of_the_blocks_changes_no_question(
    all_clusters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceindex.people.board._ALL_CLUSTERS", all_clusters)
    rng = np.random.default_rng(1)
    vectors, people = make_faces([30, 20, 12, 9, 4, 3, 2, 1, 1, 1], spread=0.3)
    said = make_said(np.where(rng.random(len(people)) < 0.3, -1, people))
    name(said, 0, 0)
    name(said, 1, 1)
    said.born, said.rejected = {0: 1e9, 1: 5e8}, np.array([[3, 1], [40, 0]])
    said.different = np.array([[0, 60], [2, 70]])
    photos, taken = rng.integers(0, 30, len(people)), rng.uniform(0, 2e9, len(people))

    def answers() -> list[list[tuple[object, ...]]]:
        now = BoardState(
            said.cluster.copy(), said.label, said.person, said.of_cluster, said.rejected, said.different,
            said.born,
        )  # fmt: skip
        board = make_board(vectors, now, photos, taken)
        first = ask(board)
        moved = np.array([1, 5, 33, 50])
        now.cluster[moved] = [1, -1, 0, 30]
        board.update(moved, now)
        return [
            [(a.kind, a.faces, a.others, a.slot, a.other, pytest.approx(a.expected, abs=1e-6)) for a in each]
            for each in (first, ask(board))
        ]

    whole = answers()
    assert {kind for kind, *_ in whole[0]} >= {"who", "is"}
    for size in ("_PRODUCTS", "_COMPARED", "_SORTED", "_VECTORS", "_PAIRS"):
        monkeypatch.setattr(f"faceindex.people.board.{size}", 3)
    assert answers() == whole


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("all_clusters", [1024, 0])
def test_an_updated_board_is_a_new_board(
    seed: int, all_clusters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 0, faces in no cluster are compared only with people, as in an album of many clusters."""
    monkeypatch.setattr("faceindex.people.board._ALL_CLUSTERS", all_clusters)
    rng = np.random.default_rng(seed)
    vectors, people = make_faces([7, 6, 5, 4, 3, 2, 1, 1], spread=0.3, seed=seed)
    said = make_said(np.where(rng.random(len(people)) < 0.2, -1, people))
    photos = rng.integers(0, 20, len(people))
    board = make_board(vectors, said, photos)
    for step in range(6):
        moved = np.unique(rng.integers(0, len(people), 3))
        said.cluster[moved] = rng.choice([-1, 0, 1, 2, 20 + step], len(moved))
        name(said, int(rng.integers(0, 3)), step % 3)
        board.update(moved, said)
        fresh = make_board(vectors, said, photos)
        assert np.array_equal(board.loose, fresh.loose)
        alive = [board.slot(cluster) for cluster in fresh.ids]
        assert np.allclose(board.sums[alive], fresh.sums, atol=1e-5)
        for old, new in zip(Questions(board).ranked(None), Questions(fresh).ranked(None), strict=True):
            assert old.expected == pytest.approx(new.expected, abs=0.01)
