"""Questions, splits and explanations, on an album of three people with four portraits each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from faceindex import FaceIndex
from faceindex.api.people_questions import Reply
from faceindex.api.question_results import Question
from faceindex.errors import NotClustered, UsageError


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    fake_models.make_album(tmp_path / "album")
    with FaceIndex.open_or_create(tmp_path / "index", detector="fake", embedder="fake") as found:
        found.add([tmp_path / "album"])
        found.cluster()
        yield found


def test_questions_until_everybody_has_a_name(index: FaceIndex) -> None:
    names = iter(["Anna", "Ben", "Carl"])
    for _ in range(3):
        question = index.people.suggest(1)[0]
        assert (question.kind, question.settles, len(question.faces)) == ("who", 4, 4)
        index.people.answer(question, name=next(names))
    progress = index.people.progress()
    assert (progress.named, progress.faces, progress.share) == (12, 12, 1.0)
    assert index.people.suggest() == []
    assert sorted(index.people.names()) == ["Anna", "Ben", "Carl"]
    index.people.undo()
    assert index.people.progress().named == 8
    assert index.people.suggest(1)[0].kind == "who"


def test_questions_follow_other_decisions_and_new_clusters(index: FaceIndex) -> None:
    cluster = index.clusters()[0].cluster
    assert len(index.people.suggest()) == 3
    index.people.ignore(clusters=[cluster])
    assert len(index.people.suggest()) == 2
    index.cluster(rebuild=True)
    assert len(index.people.suggest()) == 2
    assert index.people.count_questions() == 2


def test_questions_follow_what_is_undone_and_what_changes_nothing(index: FaceIndex) -> None:
    anna, ben, _ = [cluster.cluster for cluster in index.clusters()]
    index.people.name("Anna", clusters=[anna])
    index.people.name("Ben", clusters=[ben])
    index.people.suggest()
    index.people.same([1])  # says nothing: its number is never used again
    index.people.merge("Anna", "Ben")
    index.people.suggest()
    index.people.undo()
    index.people.suggest()
    shown = index.people._asking().people()
    assert np.array_equal(shown, index._reader.people().person)


def test_skip_asks_again_only_after_unskip(index: FaceIndex) -> None:
    first = index.people.suggest(1)[0]
    assert index.people.answer(first, "skip") is None
    assert first.cluster not in [question.cluster for question in index.people.suggest()]
    index.people.unskip(first)
    assert first.cluster in [question.cluster for question in index.people.suggest()]


def test_rejected_faces_and_a_face_that_belongs(index: FaceIndex) -> None:
    cluster = index.clusters()[0].cluster
    faces = [face.face for face in index.faces(cluster=cluster)]
    index.people.name("Anna", clusters=[cluster])
    index.people.reject(faces[:1], "Anna")
    for question in index.people.suggest(None):
        assert question.person != "Anna" or faces[0] not in [face.face for face in question.faces]


def test_answers_that_do_not_fit(index: FaceIndex) -> None:
    question = index.people.suggest(1)[0]
    with pytest.raises(UsageError, match="there are two"):
        index.people.answer(question, "yes", name="Anna")
    with pytest.raises(UsageError, match="missing"):
        index.people.answer(question)
    with pytest.raises(UsageError, match="who this is"):
        index.people.answer(question, "no")
    assert index.people.log() == []


def test_an_index_without_clusters_has_no_questions(tmp_path: Path, fake_models: ModuleType) -> None:
    fake_models.make_album(tmp_path / "album")
    with FaceIndex.open_or_create(tmp_path / "index", detector="fake", embedder="fake") as found:
        found.add([tmp_path / "album"])
        with pytest.raises(NotClustered):
            found.people.suggest()


def test_split_a_person_of_two_clusters(index: FaceIndex) -> None:
    one, other, _ = [row.cluster for row in index.clusters()]
    index.people.name("Anna", clusters=[one, other])
    before = {face.face: (face.person, face.cluster) for face in index.faces()}
    proposed = index.people.propose_split("Anna")
    assert sorted(map(len, (proposed.part, proposed.rest))) == [4, 4]
    assert len(proposed.clusters) == 1
    _, decided = index.people.split(proposed, name="Ben", dry_run=True)
    assert decided.number is None
    assert index.people.names() == ["Anna"]
    index.people.split(proposed, name="Ben")
    shown = {face.face: face.person for face in index.faces()}
    assert {shown[face] for face in proposed.part} == {"Ben"}
    assert {shown[face] for face in proposed.rest} == {"Anna"}
    index.people.undo()
    assert {face.face: (face.person, face.cluster) for face in index.faces()} == before


def test_split_an_unnamed_cluster_by_a_face(index: FaceIndex) -> None:
    clusters = [[face.face for face in index.faces(cluster=row.cluster)] for row in index.clusters()]
    index.people.same([clusters[0][0], clusters[1][0]])
    merged = next(row for row in index.clusters() if row.faces == 8)
    before = {face.face: face.cluster for face in index.faces()}
    split, _ = index.people.split(merged.cluster, [clusters[1][2]])
    assert set(split.part) == set(clusters[1])
    now = {face.face: face.cluster for face in index.faces()}
    assert len({now[face] for face in clusters[0]}) == len({now[face] for face in clusters[1]}) == 1
    assert now[clusters[0][0]] != now[clusters[1][0]]
    index.cluster(rebuild=True)
    again = {face.face: face.cluster for face in index.faces()}
    assert again[clusters[0][0]] != again[clusters[1][0]]
    index.people.undo()
    assert before.keys() == now.keys()


def test_a_cluster_of_one_person_is_not_split(index: FaceIndex) -> None:
    cluster = index.clusters()[0].cluster
    with pytest.raises(UsageError, match="cannot be divided"):
        index.people.split(cluster)
    stranger = next(face.face for face in index.faces() if face.cluster != cluster)
    with pytest.raises(UsageError, match="is not among the faces of cluster"):
        index.people.split(cluster, [stranger])
    assert index.people.log() == []


def test_why(index: FaceIndex) -> None:
    cluster = index.clusters()[0].cluster
    faces = [face.face for face in index.faces(cluster=cluster)]
    unnamed = index.people.why(faces[0])
    assert unnamed.best == f"cluster {cluster}"
    assert "Nobody has named this cluster." in unnamed.rules
    index.people.name("Anna", clusters=[cluster])
    index.people.reject(faces[:1])
    rejected = index.people.why(faces[0], 2)
    assert "You said that it is not Anna." in rejected.rules
    assert "It is in no cluster." in rejected.rules
    assert [entry.command for entry in rejected.decisions] == [
        f"people name {cluster} Anna",
        f"people reject f{faces[0]}",
    ]
    assert (rejected.best, len(rejected.nearest)) == ("Anna", 2)
    index.people.undo(2)
    assert index.people.why(faces[0]).decisions == ()
    with pytest.raises(UsageError, match="no face 999"):
        index.people.why(999)


def test_one_index_keeps_the_questions_while_another_decides(index: FaceIndex) -> None:
    """As a page does: the writer is open for one decision, and never ranks the questions."""
    index.close()

    def decide(question: Question, reply: Reply | None = None, name: str | None = None) -> None:
        with FaceIndex.open(index.directory, write=True) as writer:
            writer.people.answer(question, reply, name=name)
            assert writer.people._state is None

    with FaceIndex.open(index.directory) as asking:
        people = asking.people
        first, second, third = people.suggest()
        people.skip(first)
        assert [q.cluster for q in people.suggest()] == [second.cluster, third.cluster]
        decide(second, name="Anna")
        assert [q.cluster for q in people.suggest()] == [third.cluster]
        people.unskip(first)
        assert [q.cluster for q in people.suggest()] == [first.cluster, third.cluster]
        decide(first, "ignore")
        decide(third, name="Ben")
        assert people.suggest() == []
        assert people.progress().named == 8


def test_faces_are_sorted_out_where_the_questions_are_kept(index: FaceIndex) -> None:
    for cluster in [row.cluster for row in index.clusters()]:
        index.people.reject([next(index.faces(cluster=cluster)).face])
        index.people.ignore(clusters=[cluster])
    index.close()
    with FaceIndex.open(index.directory) as asking:
        people = asking.people
        (several,) = people.suggest()
        assert (several.kind, len(several.faces)) == ("anyone", 3)
        people.skip(several)
        assert people.suggest() == []
        people.unskip(several)
        with FaceIndex.open(index.directory, write=True) as writer:
            writer.people.answer(several, wrong=[several.faces[0].face])
        people.sort_out(several)
        assert {q.kind for q in people.suggest()} == {"who"}
        assert {f for q in people.suggest() for f in q.faces} == set(several.faces[1:])
        people.unskip(several)
        (rest,) = people.suggest()
        assert (rest.kind, len(rest.faces)) == ("anyone", 2)


def test_a_question_about_a_person_who_was_renamed_can_be_skipped(index: FaceIndex) -> None:
    question = index.people.suggest(1)[0]
    index.people.name("Anna", faces=[face.face for face in question.faces])
    about = replace(question, kind="is", person="Anna", cluster=None)
    index.people.rename("Anna", "Anne")
    index.people.skip(about)
    assert index.people.suggest(1)
