"""Questions, names, keys and undo on the page of `faceindex review`, used as people use them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
from live_page import live_page, names_in, until

from faceindex import FaceIndex


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Four people with six photos each, clustered."""
    with fakes.clustered_album(tmp_path_factory.mktemp("asking"), people=4, photos=6) as index:
        yield index


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


@pytest.fixture
def shown(browser, index: Path) -> Iterator[object]:
    with live_page(browser, index, console=False) as page:
        yield page


def ask(page, kind: str, **fields: object) -> None:
    """Show a question of a kind: the fake faces raise only some."""
    page.evaluate(
        """([kind, fields]) => app.current.ask({
          id: "0".repeat(32), kind, person: null, cluster: null, other: null, faces: [], others: [],
          settles: 1, expected: 1, probability: null, ...fields,
        }, { kept: true })""",
        [kind, fields],
    )


def test_every_face_is_named_by_keyboard(shown, index: Path) -> None:
    shown.keyboard.press("g")
    shown.keyboard.press("q")
    shown.wait_for_selector(".tile")
    assert shown.locator(".questions .heading").inner_text() == "Who is this?"
    assert shown.evaluate("document.activeElement === app.current.field.input")
    shown.keyboard.type("Anna")
    shown.keyboard.press("Enter")
    until(shown, "app.current.question !== null && app.actions.unsaved === 0")
    first = shown.evaluate("app.current.question.id")
    shown.keyboard.type("ann")
    assert shown.locator("[role=option][aria-selected=true] .name").inner_text() == "Anna"
    shown.keyboard.press("ArrowDown")
    assert shown.locator("[role=option][aria-selected=true] .about").inner_text() == "new person"
    for _ in "ann":
        shown.keyboard.press("Backspace")
    shown.keyboard.press(" ")  # skips
    until(shown, f"app.current.question?.id !== '{first}'")
    shown.keyboard.press("Backspace")  # takes that back
    until(shown, f"app.current.question?.id === '{first}'")
    for name in ("Ben", "Carl", "Dora"):
        until(shown, "app.current.question !== null")
        until(shown, "!app.current.queue.loading")
        asked = shown.evaluate("app.current.question.id")
        listed = shown.evaluate("app.current.queue.questions.map((question) => question.id)")
        ahead = [each for each in listed if each != asked]  # still listed
        shown.keyboard.type(name)
        # What Enter shows at once, before any answer of the server: the best one that is ready.
        following = shown.evaluate(
            """(() => {
              const enter = new KeyboardEvent("keydown", {key: "Enter", bubbles: true});
              app.current.field.input.dispatchEvent(enter);
              return app.current.question?.id;
            })()"""
        )
        assert following == (ahead[0] if ahead else None)
        until(shown, f"app.current.question?.id !== '{asked}'")
    until(shown, "app.actions.unsaved === 0")
    assert names_in(index) == dict.fromkeys(("Anna", "Ben", "Carl", "Dora"), 6)
    until(shown, "app.current.queue.state === 'none' || app.current.question !== null")
    # The newest answer is taken back, and its question is here again.
    shown.evaluate("document.activeElement.blur()")
    shown.keyboard.press("u")
    until(shown, "app.actions.unsaved === 0")
    assert shown.locator("#message").inner_text().startswith("Undone: 6 faces named Dora")
    assert shown.evaluate(f"app.current.question.id === '{asked}'")
    assert sorted(names_in(index)) == ["Anna", "Ben", "Carl"]


def test_answers_with_marks(shown, index: Path) -> None:
    with FaceIndex.open(index, write=True) as found:
        found.people.name("Anna", clusters=[0])
        faces = [face.face for face in found.faces(cluster=0)]
        others = [face.face for face in found.faces(cluster=1)]
    until(shown, "app.album.people.size === 1")
    person = shown.evaluate("[...app.album.people.keys()][0]")
    shown.evaluate("app.router.go({view: 'questions'})")
    shown.wait_for_selector(".tile")
    shown.evaluate(
        "app.made = []; app.actions.do = (act) => { app.made.push(act); return Promise.resolve(null); }; 0"
    )
    ask(shown, "is", person=person, faces=faces[:4])
    shown.keyboard.press("2")
    shown.locator(".tile-face").nth(2).click()
    assert shown.locator(".main-answers").inner_text().startswith("Anna, but not those 2")
    shown.keyboard.press("Enter")
    ask(shown, "anyone", faces=others[:3])
    shown.keyboard.press("1")
    shown.keyboard.press("Enter")
    ask(shown, "same", person=person, cluster=1, faces=others[:4], others=faces[:4], probability=0.2)
    shown.keyboard.press("Enter")  # the guess is no
    ask(shown, "same", cluster=1, other=2, faces=others[:4], others=faces[:4], probability=0.9)
    shown.keyboard.press("y")
    answers = shown.evaluate("app.made")
    given = [{key: a[key] for key in ("reply", "wrong") if key in a} for a in answers if a["do"] == "answer"]
    assert given == [{"wrong": faces[1:3]}, {"wrong": others[1:3]}, {"reply": "no"}, {"reply": "yes"}]
    meanings = [[(each["do"], each.get("faces")) for each in a["as"]] for a in answers if a["do"] == "answer"]
    assert meanings[0] == [("confirm", [faces[0], faces[3]]), ("reject", faces[1:3])]
    assert meanings[1:3] == [[("ignore", others[1:3])], [("reject", others[:4])]]


def test_waits_conflicts_and_undo(shown, index: Path) -> None:
    # While another program writes, decisions are shown and kept; one of them is taken back before it is sent.
    with FaceIndex.open(index, write=True) as found:
        shown.evaluate("void app.actions.do({do: 'name', name: 'Anna', clusters: [0]})")
        shown.evaluate("void app.actions.do({do: 'name', name: 'Ben', clusters: [1]})")
        shown.wait_for_selector("#banner:not([hidden])")
        until(shown, "app.actions.unsaved === 2")
        assert (
            "Your 2 decisions are stored as soon as it has finished." in shown.locator("#banner").inner_text()
        )
        assert shown.evaluate("app.album.title('p' + app.album.person[0])") in ("Anna", "Ben")
        shown.keyboard.press("u")
        until(shown, "app.actions.unsaved === 1")
        found.people.name("Carl", clusters=[2])
    until(shown, "app.actions.unsaved === 0 && app.album.people.size === 2")
    assert names_in(index) == {"Anna": 6, "Carl": 6}
    assert shown.locator("#banner").is_hidden()
    # A decision about what the command line changed since: not stored, shown, and made again if wanted.
    shown.evaluate("app.actions.follow = () => Promise.resolve()")  # the page has not heard of it yet
    with FaceIndex.open(index, write=True) as found:
        found.people.name("Dora", clusters=[3])
    shown.evaluate("void app.actions.do({do: 'name', name: 'Emil', clusters: [3]})")
    shown.wait_for_selector("#message.problem button")
    assert "meanwhile" in shown.locator("#message").inner_text()
    assert sorted(person["name"] for person in shown.evaluate("[...app.album.people.values()]")) == [
        "Anna",
        "Carl",
        "Dora",
    ]
    shown.get_by_role("button", name="Do it anyway").click()
    until(shown, "app.actions.unsaved === 0")
    assert names_in(index)["Emil"] == 6


def test_names_and_the_keys_that_are_listed(shown) -> None:
    found = shown.evaluate(
        """(() => {
          const people = ["Anna Berg", "Annabel Müller", "Katharina Kowalski", "Johannes"]
            .map((name, at) => ({ id: at + 1, uid: "", name }));
          const album = {
            people: new Map(people.map((one) => [one.id, one])),
            byName: new Map(people.map((one) => [nameKey(one.name), one])),
            group: () => null,
          };
          const listed = (text, options) => namesFor(album, text, options).options
            .map((one) => one.name + (one.person === null ? "*" : "")).join(", ");
          return [...["ann", "ANNA BERG", "muller", "ber ann", "Katarina Kowalsky", "hannes", "Zoe"]
            .map((text) => listed(text)), listed("Zoe", { known: true }), listed("")];
        })()"""
    )
    assert found == [
        "Anna Berg, Annabel Müller, ann*, Johannes",
        "Anna Berg",
        "Annabel Müller, muller*",
        "Anna Berg, ber ann*",
        "Katharina Kowalski, Katarina Kowalsky*",
        "hannes*, Johannes",
        "Zoe*",
        "",
        "",
    ]
    shown.evaluate("void (window.picked = app.names.pick({title: 'Who is this?'}))")
    shown.keyboard.type("?u")  # no keys while a name is typed
    assert shown.locator("dialog[open]").count() == 1
    shown.keyboard.press("Enter")
    assert shown.evaluate("picked") == {"name": "?u", "person": None}
    shown.keyboard.press("?")
    assert "take back the newest decision" in shown.locator("#help").inner_text()
    shown.keyboard.press("Escape")
    until(shown, "!document.querySelector('dialog[open]')")
