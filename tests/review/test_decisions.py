"""Decisions of a page: each verb, what others decide meanwhile, and what is sent twice."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_client import Answer, Browser, serving

from faceindex import FaceIndex
from faceindex.api.question_results import Question
from faceindex.errors import StoreError
from faceindex.review.album import LiveAlbum
from faceindex.review.decisions import person_of
from faceindex.review.fields import Fields
from faceindex.review.questions import Questions
from faceindex.review.threads import IndexThread


@pytest.fixture
def other(directory: Path) -> Iterator[FaceIndex]:
    """The index as the command line sees it; for reading."""
    with FaceIndex.open(directory) as index:
        yield index


def _faces(index: FaceIndex, cluster: int) -> list[int]:
    return [face.face for face in index.faces(cluster=cluster)]


def _good(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.document


def _people(browser: Browser) -> dict[str, int]:
    return {person["name"]: person["id"] for person in browser.album()["people"]}


def test_every_verb(browser: Browser, other: FaceIndex) -> None:
    clusters = [_faces(other, cluster) for cluster in range(3)]
    seen = browser.generation()

    def act(do: str, **fields: Any) -> Any:
        nonlocal seen
        answer = _good(browser.act(do, seen, **fields))
        assert answer["decided"]["number"] is not None, do
        assert answer["changes"]["generation"] > seen
        seen = answer["changes"]["generation"]
        return answer

    named = act("name", name="Anna", clusters=[0])
    assert sorted(named["changes"]["faces"]["face"]) == clusters[0]
    anna = {person["name"]: person["id"] for person in named["changes"]["people"]}["Anna"]
    assert named["changes"]["cluster_person"] == [[0, anna]]
    act("name", name="Ben", faces=clusters[1][:2])
    ben = _people(browser)["Ben"]
    act("confirm", faces=clusters[0][:1])
    act("confirm", faces=clusters[1][2:3], person=ben)
    rejected = act("reject", faces=clusters[0][1:2])
    assert rejected["changes"]["faces"]["person"] == [-1]
    act("reject", faces=clusters[2][:1], person=anna)
    act("ignore", faces=clusters[2][1:2])
    act("not_a_face", faces=clusters[2][2:3])
    act("same", faces=clusters[0][2:4])
    act("different", one=clusters[0][2:3], other=clusters[1][3:4])
    act("rename", person=anna, name="Anne")
    act("born", person=anna, date="1950-06")
    act("died", person=anna, date="2001")
    act("hide", person=anna, hidden=True)
    act("note", person=anna, note="a note")
    (record,) = [person for person in browser.album()["people"] if person["id"] == anna]
    assert (record["name"], record["born"], record["died"]) == ("Anne", "1950-06", "2001")
    assert (record["hidden"], record["note"]) == (True, "a note")
    act("note", person=anna, note=None)
    act("born", person=anna, date=None)
    act("merge", into=anna, others=[ben])
    assert set(_people(browser)) == {"Anne"}
    undone = act("undo", number=browser.album()["decision"])
    assert undone["changes"]["undo_number"] == browser.album()["undo_number"]
    assert set(_people(browser)) == {"Anne", "Ben"}
    assert [entry.command.split()[1] for entry in other.people.log()][-3:] == ["confirm", "name", "name"]


@pytest.mark.parametrize(
    ("do", "fields"),
    [
        ("fly", {}),
        ("name", {"name": "Anna"}),
        ("name", {"name": "", "faces": [1]}),
        ("name", {"name": 5, "faces": [1]}),
        ("name", {"name": "Anna", "faces": ["1"]}),
        ("name", {"name": "Anna", "faces": [1.0]}),
        ("name", {"name": "Anna", "faces": [True]}),
        ("name", {"name": "Anna", "faces": [-1]}),
        ("name", {"name": "Anna", "faces": [2**63]}),
        ("name", {"name": "Anna", "faces": {"1": 1}}),
        ("name", {"name": "Anna", "faces": [1], "person": 1}),
        ("name", {"name": "x" * 30_000, "faces": [1]}),
        ("name", {"name": "\ud800", "faces": [1]}),
        ("confirm", {"faces": []}),
        ("confirm", {"faces": [1], "person": 99}),
        ("same", {"faces": [1]}),
        ("split", {"faces": [1]}),
        ("split", {"faces": [1], "person": 1, "cluster": 1}),
        ("merge", {"into": 1, "others": []}),
        ("rename", {"person": 99, "name": "Anna"}),
        ("born", {"person": 99, "date": "1950"}),
        ("hide", {"person": 99, "hidden": 1}),
        ("undo", {}),
        ("answer", {"question": "x", "reply": "yes"}),
        ("skip", {"question": "x"}),
        ("add_face", {"photo": 1, "box": [1, 2, 3]}),
        ("add_face", {"photo": 1, "box": [1, 2, 3, "4"]}),
    ],
)
def test_what_does_not_fit_is_refused(read_only: Browser, do: str, fields: dict[str, Any]) -> None:
    answer = read_only.act(do, read_only.generation(), **fields)
    assert answer.status == 400, answer.body
    assert answer.document["problem"]


@pytest.fixture(scope="module")
def read_only(made: Path) -> Iterator[Browser]:
    with serving(made) as review:
        browser = Browser(review.address)
        yield browser
        browser.close()
    with FaceIndex.open(made) as index:
        assert index.people.count_decisions() == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"id":' * 50_000, b"[" * 100_000, b'{"seen":1e999}', b"\xff", b"9" * 6000],
)
def test_what_is_no_document_is_refused(read_only: Browser, body: bytes) -> None:
    assert read_only.post("api/act", body).status == 400


def test_a_decision_that_is_sent_again_is_made_once(directory: Path) -> None:
    with serving(directory) as review, serving(directory) as later:
        browser, second = Browser(review.address), Browser(later.address)
        id, seen = uuid.uuid4().hex, browser.generation()
        assert second.generation() == seen
        first = _good(browser.act("name", seen, id=id, name="Anna", clusters=[0]))
        for again in (browser, second):  # also by a server that was started anew
            repeated = _good(again.act("name", seen, id=id, name="Anna", clusters=[0]))
            assert repeated["decided"] == first["decided"]
            assert repeated["changes"] == first["changes"]
        with FaceIndex.open(directory) as index:
            assert index.people.count_decisions() == 1
        browser.close()
        second.close()


def test_an_error_after_a_decision_was_stored_is_none(
    browser: Browser, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = FaceIndex.close

    def fail(index: FaceIndex) -> None:
        close(index)
        if index._store.writable:
            raise StoreError("The disk failed.", "Try again.")

    seen = browser.generation()
    with monkeypatch.context() as patch:
        patch.setattr(FaceIndex, "close", fail)
        stored = browser.act("name", seen, name="Anna", clusters=[0])
        refused = browser.act("split", seen, cluster=0, faces=[])
    assert _good(stored)["decided"]["people"] == ["Anna"]
    assert refused.status in (400, 409)
    with FaceIndex.open(directory) as index:
        assert index.people.count_decisions() == 1


def test_decisions_of_the_command_line_and_the_page_are_kept(browser: Browser, directory: Path) -> None:
    seen = browser.generation()
    first = _good(browser.act("name", seen, name="Anna", clusters=[0]))
    with FaceIndex.open(directory, write=True) as index:
        index.people.name("Ben", clusters=[1])
        others = _faces(index, 1)
    # The page has not seen it; its next decision is about other faces.
    second = _good(browser.act("name", first["changes"]["generation"], name="Carl", clusters=[2]))
    assert set(others) <= set(second["changes"]["faces"]["face"])
    assert {person["name"] for person in second["changes"]["people"]} == {"Anna", "Ben", "Carl"}


def test_a_decision_about_what_somebody_else_changed_is_a_conflict(browser: Browser, directory: Path) -> None:
    seen = browser.generation()
    with FaceIndex.open(directory, write=True) as index:
        index.people.name("Ben", clusters=[1])
        faces = _faces(index, 1)
        (ben,) = (person.id for person in index.people.list())
    for answer in (
        browser.act("name", seen, name="Carl", clusters=[1]),
        browser.act("ignore", seen, faces=faces[:1]),
        browser.act("rename", seen, person=ben, name="Bernd"),
        browser.act("undo", seen, number=0),
    ):
        assert answer.status == 409, answer.body
        assert "meanwhile" in answer.document["problem"] or "since" in answer.document["problem"]
        assert answer.document["changes"]["faces"]["face"] == faces
    with FaceIndex.open(directory) as index:
        assert index.people.count_decisions() == 1
    # Once the page has shown it, it may decide.
    now = answer.document["changes"]["generation"]
    assert _good(browser.act("rename", now, person=ben, name="Bernd"))["decided"]["people"] == ["Bernd"]


def test_what_the_page_decided_itself_is_no_conflict(browser: Browser, directory: Path) -> None:
    seen = browser.generation()
    first = _good(browser.act("name", seen, name="Anna", clusters=[0]))
    with FaceIndex.open(directory, write=True) as index:
        index.people.name("Ben", clusters=[1])
    faces, own = first["changes"]["faces"]["face"], [first["decided"]["number"]]
    assert browser.act("ignore", seen, faces=faces[:1]).status == 409
    assert browser.act("ignore", seen, faces=faces[:1], own=own).status == 200
    assert browser.act("rename", seen, person=_people(browser)["Ben"], name="Bob", own=own).status == 409


def test_while_another_process_writes_its_name_is_answered(browser: Browser, directory: Path) -> None:
    seen = browser.generation()
    with FaceIndex.open(directory, write=True):
        answer = browser.act("name", seen, name="Anna", clusters=[0])
        assert answer.status == 423
        assert answer.document["holder"].startswith("process ")
        assert "being written" in answer.document["problem"]
    assert browser.act("name", seen, name="Anna", clusters=[0]).status == 200


def test_two_pages_decide_at_once_and_nothing_is_lost(directory: Path) -> None:
    with serving(directory) as review, serving(directory) as other:
        browsers = [Browser(review.address), Browser(other.address)]
        results: dict[str, int] = {}

        def decide(browser: Browser, prefix: str) -> None:
            for number in range(5):
                while True:  # as the page does while somebody else writes
                    answer = browser.act("name", browser.generation(), name=f"{prefix}{number}", faces=[1])
                    if answer.status == 200:
                        break
                    assert answer.status in (409, 423)
                results[f"{prefix}{number}"] = answer.document["decided"]["number"]

        threads = [
            threading.Thread(target=decide, args=(browser, prefix))
            for browser, prefix in zip(browsers, ("Anna", "Ben"), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results.values()) == list(range(1, 11))
        for browser in browsers:
            browser.close()


# Changes ---------------------------------------------------------------------------------------


def _waiting(review_address: str, path: str) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []

    def wait() -> None:
        browser = Browser(review_address)
        started = time.monotonic()
        answer = browser.get(path)
        found.extend([answer.status, answer.document if answer.body else None, time.monotonic() - started])
        browser.close()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, found


def test_changes_of_anybody_arrive_at_once(directory: Path) -> None:
    with serving(directory) as review:
        browser = Browser(review.address)
        seen = browser.generation()
        waiter, found = _waiting(review.address, f"api/changes?since={seen}&wait=20")
        with FaceIndex.open(directory, write=True) as index:  # the command line
            index.people.name("Ben", clusters=[1])
        waiter.join()
        assert found[0] == 200
        assert found[1]["people"][0]["name"] == "Ben"
        assert found[2] < 10
        waiter, found = _waiting(review.address, f"api/changes?since={found[1]['generation']}&wait=20")
        _good(browser.act("name", browser.generation(), name="Anna", clusters=[0]))  # another page
        waiter.join()
        assert {person["name"] for person in found[1]["people"]} == {"Anna", "Ben"}
        browser.close()


def test_changes_without_any_come_when_the_time_is_up(browser: Browser) -> None:
    answer = browser.get(f"api/changes?since={browser.generation()}&wait=0").document
    assert answer["faces"]["face"] == []
    assert answer["busy"] is None
    assert not answer["reload"]
    assert browser.get("api/changes?since=999999").document["generation"] == browser.generation()


def test_new_photos_make_the_page_load_again(browser: Browser, directory: Path) -> None:
    import fakes

    seen = browser.generation()
    with FaceIndex.open(directory, write=True) as index:
        album = fakes.make_photo(directory.parent / "more" / "new.png", fakes.colour_of(1), mark=99)
        index.add(album)
    answer = browser.get(f"api/changes?since={seen}&wait=20").document
    assert answer["reload"]
    assert browser.album()["faces"] == 13


def test_the_end_of_the_server_answers_those_that_wait(directory: Path) -> None:
    with serving(directory) as review:
        browser = Browser(review.address)
        waiter, found = _waiting(review.address, f"api/changes?since={browser.generation()}&wait=30")
        started = time.monotonic()
    waiter.join()
    assert time.monotonic() - started < 3
    assert found == [] or found[0] == 200
    browser.close()


# Questions -------------------------------------------------------------------------------------


def test_questions_and_answers(browser: Browser, directory: Path) -> None:
    seen = 0

    def questions() -> Any:
        for _ in range(30):
            found = browser.get(f"api/questions?limit=5&seen={seen}").document
            if found["state"] != "preparing":
                return found
        raise AssertionError("no questions")

    first = questions()
    assert first["state"] == "ready"
    assert [question["kind"] for question in first["questions"]] == ["who"] * 3
    assert first["progress"] == {"faces": 12, "named": 0, "questions": 3, "share": 0.0}
    question = first["questions"][0]
    answer = browser.act("answer", browser.generation(), question=question["id"], name="Anna")
    seen = _good(answer)["changes"]["generation"]
    after = questions()
    assert question["id"] not in {each["id"] for each in after["questions"]}
    assert after["progress"]["named"] == 4
    skipped = after["questions"][0]["id"]
    assert _good(browser.act("skip", seen, question=skipped))["decided"] is None
    assert skipped not in {each["id"] for each in questions()["questions"]}
    _good(browser.act("unskip", seen, question=skipped))
    assert skipped in {each["id"] for each in questions()["questions"]}
    assert browser.act("answer", seen, question=skipped).status == 400
    assert browser.act("answer", seen, question=skipped, reply="maybe").status == 400
    seen = _good(browser.act("answer", seen, question=skipped, reply="ignore"))["changes"]["generation"]
    last = questions()["questions"]
    seen = _good(browser.act("answer", seen, question=last[0]["id"], name="Ben"))["changes"]["generation"]
    assert questions()["state"] == "none"
    again = browser.act("answer", seen, question=question["id"], name="Carl")
    assert again.status == 200  # the page may have shown it all the time
    with FaceIndex.open(directory) as index:
        assert sorted(index.people.names()) == ["Anna", "Ben", "Carl"]


def test_the_answer_to_a_question_is_about_the_person_not_about_the_name(directory: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        index.people.name("Anna", clusters=[0])
        index.people.name("Ben", clusters=[1])
        ids = {record.name: record.id for record in index.album.load().people}
        index.people.rename("Anna", "Carl")
        index.people.rename("Ben", "Anna")
        face = next(iter(index.faces(cluster=2)))
        questions = Questions(IndexThread("", directory), LiveAlbum(IndexThread("", directory)))
        asked = Question("same", "Anna", 2, 0, (face,), (), settles=1, expected=1, probability=0.5)
        questions._known["q"] = asked, ids["Anna"]
        act = questions.read_answer(Fields({"question": "q", "reply": "yes"}), uuid.uuid4().hex, 0)
        assert act.people == (ids["Anna"],)  # a conflict, for a page that has not shown the new name
        decided = act.decide(index, lambda id: person_of(index.album.load(), id))
        assert decided is not None
        assert decided.people == ("Carl",)


def test_another_index_comes_into_the_place_of_the_first(directory: Path, made: Path) -> None:
    with serving(directory) as review:
        browser = Browser(review.address)
        for name in ("Anna", "Ben"):
            seen = _good(browser.act("name", browser.generation(), name=name, clusters=[0]))["changes"]
        shutil.rmtree(directory)
        answers = browser.get("api/album"), browser.act("undo", seen["generation"], number=2)
        assert [answer.status for answer in answers] == [400, 400]
        assert "There is no index" in answers[0].document["problem"]
        shutil.copytree(made, directory)
        late = browser.act("name", seen["generation"], name="Carl", faces=[1])
        assert late.status == 409
        assert late.document["changes"]["reload"] is True
        album = browser.album()
        assert album["people"] == []
        assert (
            _good(browser.act("name", album["generation"], name="Carl", faces=[1]))["decided"]["number"] == 1
        )
        browser.close()


def test_an_index_without_clusters(tmp_path: Path, made: Path) -> None:
    import fakes

    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(fakes.make_photo(tmp_path / "one.png", fakes.colour_of(1)))
    with serving(tmp_path / "index") as review:
        assert not review.clustered
        browser = Browser(review.address)
        assert not browser.album()["clustered"]
        questions = browser.get("api/questions").document
        assert questions["state"] in ("unavailable", "preparing")
        answer = browser.act("name", browser.generation(), name="Anna", faces=[1])
        assert (answer.status, answer.document["remedy"]) == (400, "Run `faceindex cluster`.")
        browser.close()


def test_a_face_is_drawn_by_hand(browser: Browser, directory: Path) -> None:
    id, seen = uuid.uuid4().hex, browser.generation()
    drawn = {"photo": 1, "box": [2, 2, 20, 20], "name": "Anna"}
    found = [_good(browser.act("add_face", seen, id=id, **drawn)) for _ in range(2)]
    assert found[0]["face"] == found[1]["face"] == 13  # sent again, it is added once
    assert browser.album()["faces"] == 13
    assert [person["name"] for person in browser.album()["people"]] == ["Anna"]
    seen = browser.generation()
    assert browser.act("add_face", seen, photo=1, box=[90, 90, 200, 200]).status == 400
    assert browser.act("add_face", seen, photo=99, box=[2, 2, 20, 20]).status == 400
    assert len(browser.get("api/photo?id=1").document["faces"]) == 2


# Details ---------------------------------------------------------------------------------------


def test_details_of_photos_and_faces(read_only: Browser) -> None:
    photo = read_only.get("api/photo?id=1").document
    assert (photo["width"], photo["height"], len(photo["faces"])) == (96, 96, 1)
    assert read_only.get("api/search?words=person1&limit=3").document["photos"] == [5, 6, 7]
    why = read_only.get("api/why?face=1").document
    assert why["best"] == "cluster 0"
    split = read_only.get("api/split?cluster=0&faces=1")
    assert split.status in (200, 400)
    jpeg = read_only.get("photo?id=1").body
    assert jpeg.startswith(b"\xff\xd8")


def test_who_is_on_a_picture(read_only: Browser, made: Path) -> None:
    picture = (made.parent / "album" / "person1" / "0.png").read_bytes()
    answer = read_only.post("api/identify", picture, "application/octet-stream")
    found = _good(answer)
    assert (found["width"], found["height"]) == (96, 96)
    (face,) = found["faces"]
    assert face["cluster"] == 1
    assert len(face["box"]) == 4
    assert 5 in face["near"]
    refused = read_only.post("api/identify", b"not a picture", "application/octet-stream")
    assert refused.status in (400, 404)
    assert refused.document["problem"]
    json.dumps(found, allow_nan=False)
