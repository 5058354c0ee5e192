"""Decisions in a gallery: kept in the browser, saved as a file, and applied to the index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest

from faceindex import FaceIndex
from faceindex.api.question_results import Split


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Six people with eight photos each, clustered; one of them is Ada."""
    folder = tmp_path_factory.mktemp("gallery")
    with fakes.clustered_album(folder, people=6, photos=8) as directory:
        with FaceIndex.open(directory, write=True) as index:
            index.people.name("Ada", clusters=[0])
            index.export.gallery(folder / "page")
        yield folder


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "index", tmp_path / "index"))


@pytest.fixture
def shown(tab, made: Path) -> Any:
    """The page of the gallery, with its `App` as ``app``."""
    tab.open(made / "page" / "index.html")
    tab.page.evaluate("APP.then((app) => { window.app = app; })")
    yield tab.page
    tab.page.evaluate("localStorage.clear()")


def do(page, action: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = page.evaluate("(action) => app.actions.do(action)", action)
    assert result is not None, (action, page.inner_text("#message"))
    return result


def save(page, path: Path) -> list[dict[str, Any]]:
    """Press the button; return the lines of the file."""
    with page.expect_download() as download:
        page.click("#save-decisions")
    assert download.value.suggested_filename == "decisions.jsonl"
    download.value.save_as(path)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def groups(index: FaceIndex) -> tuple[set[frozenset[int]], dict[int, Any], list[Any]]:
    """Return the clusters, what each face shows, and the people."""
    album = index.album.load()
    names = {record.id: record.name for record in album.people}
    faces = {
        int(face): (names.get(int(person)), int(label), cluster >= 0)
        for face, person, label, cluster in zip(
            album.face, album.person, album.label, album.cluster, strict=True
        )
    }
    clusters = {
        frozenset(album.face[album.cluster == cluster].tolist())
        for cluster in {*album.cluster.tolist()} - {-1}
    }
    people = [(p.name, p.born, p.died, p.hidden, p.note) for p in album.people]
    return clusters, faces, sorted(people)


def members(directory: Path) -> list[list[int]]:
    with FaceIndex.open(directory) as index:
        album = index.album.load()
        return [album.face[album.cluster == cluster].tolist() for cluster in range(6)]


def split_of(person: str | None, cluster: int | None, part, rest, faces=None) -> Split:
    """Return the split of some faces, whatever the index would propose."""
    samples = [tuple(faces[face] for face in side[:3]) if faces else () for side in (part, rest)]
    return Split(person, cluster, tuple(part), tuple(rest), (), 0.0, True, 0, (), samples[0], samples[1])


def test_decisions_of_the_page_are_those_of_the_library(shown, index: Path, tmp_path: Path) -> None:
    a, b, c, d, e, f = members(index)
    other = Path(shutil.copytree(index, tmp_path / "other"))
    page = shown

    def person(name: str) -> int:
        found: int = page.evaluate("(name) => app.album.byName.get(nameKey(name)).id", name)
        return found

    do(page, {"do": "name", "name": "Ben", "clusters": [1], "faces": []})
    do(page, {"do": "name", "name": "Cleo", "clusters": [], "faces": c[:2]})
    do(page, {"do": "name", "name": "cleo", "clusters": [2], "faces": []})
    do(page, {"do": "confirm", "faces": b[:1]})
    do(page, {"do": "reject", "faces": a[7:], "person": person("Ada")})
    do(page, {"do": "ignore", "faces": a[6:7], "clusters": []})
    do(page, {"do": "not_a_face", "faces": b[7:], "clusters": []})
    do(page, {"do": "reject", "faces": d[6:7]})
    do(page, {"do": "different", "one": c[5:6], "other": e[7:]})
    do(page, {"do": "same", "faces": [d[0], e[0]]})
    do(page, {"do": "split", "person": person("Ben"), "faces": b[4:7], "name": "Dora"})
    do(page, {"do": "split", "person": person("Ada"), "faces": a[3:5]})
    do(page, {"do": "split", "cluster": 5, "faces": f[4:]})
    do(page, {"do": "merge", "into": person("Ada"), "others": [person("Cleo")]})
    do(page, {"do": "rename", "person": person("Ben"), "name": "Benjamin"})
    do(page, {"do": "born", "person": person("Ada"), "date": "1950-6"})
    do(page, {"do": "died", "person": person("Ada"), "date": "2001"})
    do(page, {"do": "note", "person": person("Ada"), "note": "my aunt"})
    do(page, {"do": "hide", "person": person("Dora"), "hidden": True})
    do(page, {"do": "hide", "person": person("Ada"), "hidden": True})
    page.keyboard.press("u")
    assert page.inner_text("#decision-count") == "19 decisions, not saved"

    lines = save(page, tmp_path / "decisions.jsonl")
    assert len(lines) == 1 + 19
    assert "faceindex people apply decisions.jsonl --dry-run" in page.inner_text("#saved-dialog")
    assert page.inner_text("#decision-count") == "19 decisions, saved"

    with FaceIndex.open(other, write=True) as found:
        people = found.people
        people.name("Ben", clusters=[1])
        people.name("Cleo", faces=c[:2])
        people.name("Cleo", clusters=[2])
        people.confirm(b[:1])
        people.reject(a[7:], "Ada")
        people.ignore(faces=a[6:7])
        people.not_a_face(faces=b[7:])
        people.reject(d[6:7])
        people.different(c[5:6], e[7:])
        people.same([d[0], e[0]])
        people.split(split_of("Ben", None, b[4:7], ()), name="Dora")
        people.split(split_of("Ada", None, a[3:5], ()))
        of = {face.face: face for face in found.faces()}
        people.split(split_of(None, 5, f[4:], f[:4], of))
        people.merge("Ada", "Cleo")
        people.rename("Ben", "Benjamin")
        people.born("Ada", "1950-06")
        people.died("Ada", "2001")
        people.note("Ada", "my aunt")
        people.hide("Dora")
        expected = groups(found)

    with FaceIndex.open(index, write=True) as found:
        before = groups(found)
        planned = found.people.apply(tmp_path / "decisions.jsonl", dry_run=True)
        assert (planned.decisions, planned.conflicts, planned.unmatched) == (19, (), 0)
        assert groups(found) == before
        assert found.people.apply(tmp_path / "decisions.jsonl").conflicts == ()
        assert groups(found) == expected
        assert [entry.command for entry in found.people.log(3)] == [
            "people hide Dora", "people note Ada 'my aunt'", "people died Ada 2001",
        ]  # fmt: skip


def test_decisions_are_kept_and_a_saved_one_is_undone_by_a_line(shown, index: Path, tmp_path: Path) -> None:
    page = shown
    do(page, {"do": "name", "name": "Ben", "clusters": [1], "faces": []})
    do(page, {"do": "name", "name": "Cleo", "clusters": [2], "faces": []})
    first = save(page, tmp_path / "first.jsonl")
    do(page, {"do": "name", "name": "Dora", "clusters": [3], "faces": []})

    warned: list[str] = []

    def leave(dialog) -> None:
        warned.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.keyboard.press("Escape")
    page.reload()
    assert warned == ["beforeunload"]
    page.wait_for_selector(".card")
    page.evaluate("APP.then((app) => { window.app = app; })")
    assert page.inner_text("#decision-count") == "1 decision, not saved"
    names = page.evaluate("[...app.album.people.values()].map(({ name }) => name)")
    assert names == ["Ada", "Ben", "Cleo", "Dora"]
    for _ in range(2):  # that is not saved, and one that is
        page.evaluate("app.undo()")
    lines = save(page, tmp_path / "second.jsonl")
    assert [line["command"] for line in lines[1:]] == [
        "people name 1 Ben",
        "people name 2 Cleo",
        "people undo  # people name 2 Cleo",
    ]
    assert lines[1:3] == first[1:] and lines[3]["actions"] == [{"do": "undo", "decision": first[2]["id"]}]
    assert page.evaluate("app.album.title('c2')") == "Cluster 2"

    for applied in (["second.jsonl"], ["first.jsonl", "second.jsonl"]):
        copy = Path(shutil.copytree(index, tmp_path / f"index-{len(applied)}"))
        with FaceIndex.open(copy, write=True) as found:
            for name in applied:
                assert found.people.apply(tmp_path / name).conflicts == ()
            assert {p.name: p.faces for p in found.people.list()} == {"Ada": 8, "Ben": 8}


def test_two_tabs_make_people_at_the_same_time(shown, made: Path) -> None:
    other = shown.context.new_page()
    other.goto(shown.url)
    other.evaluate("APP.then((app) => { window.app = app; })")
    for page, cluster, name in ((shown, 1, "Ben"), (other, 2, "Carl")):
        do(page, {"do": "name", "name": name, "clusters": [cluster]})
        person = page.evaluate(f"app.album.byName.get('{name.lower()}').id")
        assert person == 2  # in both
        do(page, {"do": "rename", "person": person, "name": f"{name}a"})
    other.close()
    shown.once("dialog", lambda dialog: dialog.accept())
    shown.reload()
    shown.evaluate("APP.then((app) => { window.app = app; })")
    names = "app.album.list().filter((it) => it.isPerson).map((it) => app.album.title(it.key)).sort()"
    assert shown.evaluate(names) == ["Ada", "Bena", "Carla"]


def test_what_the_index_would_refuse_is_refused(shown, index: Path) -> None:
    page = shown
    a, b, *_ = members(index)
    page.evaluate("app.actions.do({ do: 'name', name: 'Ben', clusters: [1], faces: [] })")
    before = page.evaluate("[...app.album.person]")
    ada, ben = page.evaluate("['Ada', 'Ben'].map((name) => app.album.byName.get(nameKey(name)).id)")
    for action in (
        {"do": "name", "name": "c12", "clusters": [2], "faces": []},
        {"do": "name", "name": "-x", "clusters": [2], "faces": []},
        {"do": "name", "name": "x" * 201, "clusters": [2], "faces": []},
        {"do": "rename", "person": ada, "name": "BEN"},
        {"do": "born", "person": ada, "date": "1950-02-30"},
        {"do": "same", "faces": [a[0], b[0]]},
        {"do": "different", "one": a[:1], "other": a[1:2]},
        {"do": "merge", "into": ben, "others": [ben]},
        {"do": "add_face", "photo": 1, "box": [0, 0, 9, 9]},
    ):
        assert page.evaluate("(action) => app.actions.do(action)", action) is None, action
    assert page.evaluate("[...app.album.person]") == before
    assert page.inner_text("#decision-count") == "1 decision, not saved"


def test_what_the_author_did_not_know_is_a_conflict(shown, index: Path, tmp_path: Path) -> None:
    """The gallery showed that cluster 0 is Ada; that cluster 1 is Zoë was said later."""
    page = shown
    a, b, *_ = members(index)
    do(page, {"do": "name", "name": "Ben", "clusters": [], "faces": [a[0], b[0]]})
    save(page, tmp_path / "decisions.jsonl")
    with FaceIndex.open(index, write=True) as found:
        found.people.name("Zoë", clusters=[1])
        (conflict,) = found.people.apply(tmp_path / "decisions.jsonl").conflicts
        assert "is Zoë here" in conflict.problem
        state = groups(found)[1]
        assert (state[a[0]][0], state[b[0]][0]) == ("Ben", "Zoë")


def test_questions_of_the_gallery_are_answered_once(shown, tmp_path: Path) -> None:
    page = shown
    asked = page.evaluate("app.source.config.questions.length")
    if not asked:
        pytest.skip("the fake models have no calibration")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_selector(".questions .tile")
    page.evaluate("app.current.answer({ name: 'Ben' })")
    page.wait_for_timeout(50)
    left = page.evaluate("app.source.questions(100, 0).then(({ questions }) => questions.length)")
    assert left < asked
    assert page.inner_text("#decision-count") == "1 decision, not saved"
    (_, line) = save(page, tmp_path / "decisions.jsonl")
    assert line["actions"][0]["set"] == {"name": "Ben"}
