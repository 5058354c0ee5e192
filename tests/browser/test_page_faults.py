"""The page while the index is locked, requests fail, faces come and go, and the browser keeps nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
from review_client import serving

from faceindex import FaceIndex
from faceindex.models import registry

NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("", "SecurityError"); } });
}"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    """Three people with six photos each, clustered."""
    with registry.isolated():
        fakes.register_fakes()
        with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
            index.add(fakes.make_album(tmp_path / "album", people=3, photos=6))
            index.cluster()
        yield tmp_path


@pytest.fixture
def page(browser, made: Path) -> Iterator[object]:
    """The page in a browser that keeps nothing; uncaught errors fail the test."""
    with serving(made / "index") as review:
        context = browser.new_context(viewport={"width": 600, "height": 400})
        context.add_init_script(NO_STORAGE)
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(5000)
        page.goto(review.address)
        page.wait_for_selector(".card")
        page.evaluate("APP.then((app) => { window.app = app; })")
        yield page
        context.close()
    assert [error for error in errors if not error.startswith("Failed to load resource")] == []


def until(page, expression: str) -> None:
    for _ in range(250):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"still false after 5 seconds: {expression}")


def test_decisions_about_a_person_that_the_index_has_not_numbered(page, made: Path) -> None:
    locked = {"status": 423, "content_type": "application/json", "body": json.dumps({"problem": "Locked."})}
    page.route("**/api/act", lambda route: route.fulfill(**locked))
    page.evaluate("app.router.go(Router.parse('c=1'))")
    page.evaluate("void app.actions.do({do: 'name', name: 'Anna', clusters: [1]})")
    until(page, "location.hash === '#p=' + app.album.byName.get('anna').id")
    # All that refers to the person by the number that the page gave it:
    page.evaluate("void app.actions.do({do: 'rename', person: app.current.tools.person.id, name: 'Anne'})")
    page.evaluate("app.current.selection.set(app.current.items.slice(0, 2))")
    page.keyboard.press("e")
    page.keyboard.type("19")
    page.evaluate("joining = pickAndJoin(app, app.current.key); 0")
    assert page.evaluate("app.actions.unsaved === 2 && app.current.tools.person.id < 0")
    page.unroute("**/api/act")
    until(page, "app.actions.unsaved === 0 && location.hash === '#p=1'")
    page.keyboard.type("Berta")
    page.keyboard.press("Enter")
    page.evaluate("joining")
    # The page has stayed where it was.
    assert page.evaluate("[app.current.selection.size, document.title]") == [2, "Berta - faceindex"]
    page.locator("#about-born").fill("1950")
    page.evaluate("app.router.go(Router.parse('c=2'))")  # what was typed is about the person before
    until(page, "app.actions.unsaved === 0")
    with FaceIndex.open(made / "index") as index:
        (person,) = index.people.list()
    assert (person.name, person.born, person.faces) == ("Berta", "1950", 6)


def test_dialogs_and_faces_that_go_meanwhile(page, made: Path) -> None:
    page.evaluate("app.router.go(Router.parse('c=1'))")
    page.wait_for_selector(".face")
    page.evaluate("app.current.selection.set(app.current.items.slice(0, 2))")
    chosen = page.evaluate("[...app.current.selection.chosen].map((at) => app.album.face[at])")
    # A message in a dialog outlives it.
    page.keyboard.press("s")
    page.wait_for_selector("dialog.split")
    page.evaluate("app.say('Look', { isProblem: true })")
    assert page.evaluate("document.querySelector('.split #message') !== null")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('body > #message')?.textContent.startsWith('Look')")
    # Positions of faces change while a name is typed: the same faces are named.
    page.keyboard.press("n")
    (made / "album" / "person0" / "0.png").unlink()
    with FaceIndex.open(made / "index", write=True) as index:
        index.add(made / "album")
    until(page, "app.album.faces === 17")
    page.keyboard.type("Carl")
    page.keyboard.press("Enter")
    until(page, "app.album.people.size === 1 && app.actions.unsaved === 0")
    with FaceIndex.open(made / "index") as index:
        confirmed = {face.face for face in index.faces(person="Carl") if face.confirmed}
    assert confirmed == set(chosen)
    # Found photos are those that they were.
    page.evaluate("app.router.go(Router.parse('q=c2'))")
    page.wait_for_selector(".photo-tile")
    (made / "album" / "person0" / "1.png").unlink()
    with FaceIndex.open(made / "index", write=True) as index:
        index.add(made / "album")
    until(page, "app.album.faces === 16")
    shown = "[...app.current.grid.shown].every(([at, node]) => node.key === app.current.grid.items[at])"
    faces = "[...app.current.photos].every((at) => app.album.keyOf(app.album.onPhoto(at)[0]) === 'c2')"
    until(page, f"{shown} && app.current.photos.length === 6 && {faces}")
    # A key that is held takes back one decision, and closes one thing.
    page.evaluate("void app.actions.do({ do: 'name', name: 'Dora', clusters: [2] })")
    until(page, "app.actions.unsaved === 0")
    held = "(key) => { for (let i = 0; i < 4; i++) document.activeElement.dispatchEvent("
    held += "new KeyboardEvent('keydown', { key, bubbles: true, repeat: i > 0 })); }"
    page.evaluate(held, "u")
    until(page, "app.actions.unsaved === 0 && app.album.people.size === 1")
    page.locator(".photo-tile").first.click()
    page.wait_for_selector("#viewer[open]")
    page.evaluate(held, "Escape")
    page.wait_for_selector("#viewer[open]", state="hidden")
    page.wait_for_timeout(100)
    assert page.evaluate("location.hash") == "#q=c2"


def test_pictures_that_do_not_come(page) -> None:
    page.evaluate("app.source.thumbnails.clear()")
    page.route("**/thumbnails?*", lambda route: route.abort())
    page.evaluate("app.router.go(Router.parse('c=0'))")
    until(page, "app.source.requests === 0 && app.source.thumbnails.size === 0")
    none = "(node) => node.classList.contains('no-picture')"
    assert page.locator(".face").count() == 6
    page.unroute("**/thumbnails?*")
    until(page, "[...document.querySelectorAll('.face')].every((node) => node.style.backgroundImage)")

    def without(route) -> None:
        faces = route.request.url.split("faces=")[1].split(",")
        route.fulfill(body=b"".join(struct.pack("<II", int(face), 0) for face in faces))

    page.route("**/thumbnails?*", without)
    for _ in range(2):  # also where they are shown once more
        page.evaluate("app.router.go(Router.parse('')); app.router.go(Router.parse('c=2'))")
        until(page, f"[...document.querySelectorAll('.face')].slice(1).every({none})")
    page.evaluate("window.print = () => { window.printed = true; }; void app.printer.print()")
    until(page, "window.printed")  # it does not wait for them
