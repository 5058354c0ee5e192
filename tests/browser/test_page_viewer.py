"""The photo, the search, and the search by picture on the page of `faceindex review`, as people use them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fakes
import pytest
from live_page import live_page, until
from PIL import Image as PillowImage

from faceindex import FaceIndex
from faceindex.errors import FaceIndexError
from faceindex.models import registry
from faceindex.people.query import Name

PHOTOS = 30
NAMES = ("Anna", "Ben & Son", "not me", "Straße")
QUERIES = 400


def make_photos(folder: Path) -> None:
    """Write photos of a person in the middle and of one in the corner, most of them with a date."""
    rng = random.Random(5)
    for number in range(PHOTOS):
        photo = PillowImage.new("RGB", (240, 240), (64, 64 * rng.randint(1, 3), 128))
        photo.paste((rng.choice((64, 128)), 64 * rng.randint(1, 3), 192), (0, 0, 56, 56))
        photo.putpixel((120, 120), (64, 60, number))
        exif = PillowImage.Exif()
        if number % 5:
            taken = datetime(1990 + number % 5, 1 + number % 12, 1 + number % 28, 10)
            exif[0x8769] = {0x9003: taken.strftime("%Y:%m:%d %H:%M:%S")}
        folder.mkdir(exist_ok=True)
        photo.save(folder / f"IMG_{number:02}.png", exif=exif)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("viewer")
    with registry.isolated():
        fakes.register_fakes()
        fakes.register_others()
        make_photos(folder / "photos")
        with FaceIndex.create(folder / "index", detector="other", embedder="fake") as index:
            index.add(folder / "photos")
            index.cluster()
            clusters = index.clusters()
            for name, at in zip(NAMES, (0, 2, 1, 3), strict=True):  # in the middle, and in the corner
                index.people.name(name, clusters=[clusters[at].cluster])
        yield folder / "index"


@pytest.fixture
def page(browser, index: Path) -> Iterator[object]:
    with live_page(browser, index) as page:
        yield page


def random_query(rng: random.Random, clusters: list[int], depth: int = 0) -> str:
    kind = rng.random()
    if depth > 3 or kind < 0.4:
        name = rng.choice(NAMES)
        leaf = [
            str(Name(rng.choice((name, name.upper())))),
            f"c{rng.choice(clusters)}",
            f"cluster #{rng.choice(clusters)}",
        ]
        query = rng.choice([*leaf, *leaf, "anybody", "?", "nobody"])
    elif kind < 0.9:
        operator = rng.choice((" & ", ", ", " and ", " | ", " or "))
        query = operator.join(random_query(rng, clusters, depth + 1) for _ in range(rng.randint(2, 3)))
    else:
        query = f"({random_query(rng, clusters, depth + 1)})"
    if rng.random() < 0.25:
        query = f"{rng.choice(('!', 'not '))}({query})"
    if rng.random() < 0.15 / (depth + 1):  # a slip of the keyboard
        at = rng.randrange(len(query))
        query = query[:at] + rng.choice("&|!()'\" -") + query[at + rng.randint(0, 1) :]
    return query


def found_by(library: FaceIndex, query: str, since: str | None, until: str | None) -> list[Any]:
    """Return the photos and the faces that the library finds, or what is wrong with the query."""
    try:
        found = library.find(query, since=since, until=until)
    except FaceIndexError as problem:
        return [problem.problem]
    return [
        sorted(photo.id for photo in found),
        sorted(face for photo in found for face in photo.faces),
    ]


def test_the_page_finds_what_the_library_finds(page, index: Path) -> None:
    rng = random.Random(8)
    periods = [(None, None), ("1991", None), (None, "1993-06"), ("1991-03", "1993-02-10"), ("1993", "1993")]
    with FaceIndex.open(index) as library:
        clusters = [cluster.cluster for cluster in library.clusters()]
        asked = [(random_query(rng, clusters), *rng.choice(periods)) for _ in range(QUERIES)]
        expected = [found_by(library, *question) for question in asked]
    shown = page.evaluate(
        """(asked) => {
          const { album } = app;
          const finder = new Finder(album);
          return asked.map(([text, since, until]) => {
            try {
              const query = finder.resolve(parseQuery(text), { guess: false });
              let found = finder.mask(query);
              if (since || until) {
                const period = finder.mask({ kind: "date", ...rangeOf(`${since ?? ""}..${until ?? ""}`) });
                found = found.map((one, at) => one & period[at]);
              }
              const meant = finder.meant(query);
              return [[...album.photo].filter((_, at) => found[at]),
                [...album.face].filter((_, at) => found[album.facePhoto[at]] && meant[at])];
            } catch (problem) {
              if (!(problem instanceof QueryError)) throw problem;
              return [problem.problem];
            }
          });
        }""",
        asked,
    )
    different = [
        (query, mine, theirs)
        for query, mine, theirs in zip(asked, shown, expected, strict=True)
        if mine != theirs
    ]
    assert different == []
    assert sum(len(found) == 2 and 0 < len(found[0]) < PHOTOS for found in expected) > QUERIES / 4
    assert sum(len(found) == 1 for found in expected) > QUERIES / 50


def test_typing_a_search_and_moving_through_its_photos(page, index: Path) -> None:
    with FaceIndex.open(index) as library:
        both = len(library.find('Anna & "Ben & Son"'))
        in_1993 = len(library.find("Anna", since="1993", until="1993"))
    assert both and in_1993
    page.locator("#query").press_sequentially("anna & be")
    until(page, "!byId('suggestions').hidden")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "app.router.route.query === 'anna & \"Ben & Son\"'")
    tiles = page.locator(".photo-tile")
    assert tiles.count() == both == page.evaluate("app.current.photos.length")
    assert page.locator("#found-people .name").all_inner_texts() == ["Anna", "Ben & Son"]
    page.keyboard.press("Enter")  # to what was found
    assert "Anna" in page.evaluate("document.activeElement.innerText")
    page.fill("#query", "Anna & 1993")
    until(page, f"app.current.photos?.length === {in_1993}")
    page.fill("#query", "Anna & (Zoe")
    until(page, "!app.current.problem.hidden")
    assert (
        "at character 8" in page.inner_text(".problem-text")
        and page.inner_text(".problem-text mark") == "(Zoe"
    )
    page.fill("#query", "img_07")
    until(page, "app.current.photos.length === 1 && app.current.summary.textContent.includes('in the name')")
    page.go_back()  # all of the typing is one step
    assert page.inner_text(".view .heading") == "People" and page.input_value("#query") == ""

    page.fill("#query", "Anna")
    until(page, "app.current.photos?.length > 1")
    tiles.first.click()
    until(page, "app.viewer.stage.frame.firstChild !== null && app.viewer.info")
    count = page.evaluate("app.current.photos.length")
    assert page.inner_text("#position") == f"1 of {count}"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#position") == f"2 of {count}"
    page.keyboard.press("k")  # the other face of the photo: the list goes on after it
    assert page.inner_text("#position") == ""
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#position") == f"3 of {count}"
    taken = "app.album.taken[app.viewer.photo]"
    before = page.evaluate(taken)
    page.keyboard.press(".")
    assert page.evaluate("app.router.route.face === null && app.router.route.photo > 0")
    assert page.evaluate(taken) > before
    page.keyboard.press("Escape")
    until(page, "!app.viewer.open")
    assert page.evaluate("app.router.route.query") == "Anna"


def test_a_photo_is_zoomed_decided_and_left(page, index: Path) -> None:
    page.evaluate("app.router.go(Router.parse(`face=${app.album.face[0]}`))")
    until(page, "app.viewer.stage.frame.firstChild !== null && app.viewer.info")
    scale = "app.viewer.stage.zoom.scale"
    fitting = page.evaluate(scale)
    area = page.locator(".stage").first.bounding_box()
    x, y = area["x"] + area["width"] * 0.6, area["y"] + area["height"] * 0.4
    under = f"app.viewer.stage.zoom.toPicture({{ x: {x - area['x']}, y: {y - area['y']} }})"
    page.mouse.move(x, y)
    page.mouse.wheel(0, -160)
    page.mouse.wheel(0, -160)  # now the photo is larger than the window
    until(page, f"{scale} > {fitting * 2}")
    before = page.evaluate(under)
    page.mouse.wheel(0, -20)
    until(page, f"{scale} > {fitting * 2.5}")
    assert page.evaluate(under) == pytest.approx(before, abs=0.01), "what is under the pointer stays there"
    page.keyboard.press("0")
    assert page.evaluate(scale) == fitting
    page.mouse.dblclick(x, y)
    assert page.evaluate(scale) > fitting
    at = page.evaluate("app.viewer.stage.zoom.x")
    page.keyboard.press("ArrowLeft")  # moves the photo, and not to another face
    assert page.evaluate("app.viewer.stage.zoom.x") != at and page.evaluate("app.viewer.face") == 0
    page.keyboard.press("0")

    # A click in a box selects the face; the small one on top of a large one, too.
    faces = page.evaluate(
        "app.viewer.shownFaces.map(({ key, box }) => [key, ...app.viewer.stage.onScreen(box)])"
    )
    assert len(faces) == 2
    for key, *box in faces:
        page.mouse.click(area["x"] + (box[0] + box[2]) / 2, area["y"] + (box[1] + box[3]) / 2)
        assert page.evaluate("app.viewer.faceId") == key
    page.keyboard.press("w")
    until(page, "app.viewer.why.body.querySelector('li') !== null")
    assert "cluster" in page.inner_text(".why")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    assert (
        page.is_visible(".caption")
        and "IMG_" in page.inner_text(".caption")
        and not page.is_visible(".photo-side")
    )
    page.keyboard.press("Escape")

    page.keyboard.press("N")
    page.keyboard.insert_text("Zita")
    page.keyboard.press("Enter")
    until(page, "app.actions.unsaved === 0 && app.album.byName.size === 5")
    assert page.evaluate("app.viewer.faceId") == faces[0][0], "the viewer goes on to the other face"
    page.keyboard.press("i")
    page.keyboard.press("u")
    until(page, "app.actions.unsaved === 0")
    page.keyboard.press("u")
    until(page, "app.actions.unsaved === 0 && app.album.byName.size === 4")

    # A box by hand, by keys alone and by the mouse; cancelled, for fakes know no landmarks.
    page.keyboard.press("a")
    start = page.evaluate("app.viewer.hand.box")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    moved = page.evaluate("app.viewer.hand.box")
    assert (
        moved[0] > start[0]
        and moved[2] - moved[0] == pytest.approx(start[2] - start[0])
        and moved[3] > start[3]
    )
    page.mouse.move(area["x"] + 90, area["y"] + 10)  # outside of the box: a new one is drawn
    page.mouse.down()
    page.mouse.move(area["x"] + 160, area["y"] + 100, steps=2)
    page.mouse.up()
    drawn = page.evaluate("app.viewer.hand.box")
    assert (drawn[2] - drawn[0]) * fitting == pytest.approx(70, abs=1)
    page.keyboard.press("Escape")
    assert page.evaluate("app.viewer.open && !app.viewer.hand.active")
    assert page.evaluate("document.querySelectorAll('*').length") <= 500
    page.keyboard.press("Escape")
    until(page, "!app.viewer.open")
    assert page.inner_text(".view .heading") == "People"


def test_who_is_on_a_picture(page, index: Path, tmp_path: Path) -> None:
    photo = PillowImage.new("RGB", (200, 200), (64, 64, 128))
    photo.save(tmp_path / "visitor.png")
    with FaceIndex.open(index) as library:
        generation = library.people.log()
    page.click("#by-picture")
    page.set_input_files(".drop-pad input >> nth=0", tmp_path / "visitor.png")
    page.wait_for_selector(".drop-results li")
    shown = page.locator(".drop-results li")
    assert shown.count() == 2 and "probability" in shown.first.inner_text()
    assert shown.first.locator(".near-faces button").count() > 0
    page.set_input_files(
        ".drop-pad input >> nth=0", files=[{"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"}]
    )
    assert "not a picture" in page.inner_text("#message")
    with FaceIndex.open(index) as library:
        assert library.people.log() == generation
    shown.first.locator(".near-faces button").first.click()
    until(page, "app.viewer.open")
    page.go_back()
    until(page, "!app.viewer.open && document.querySelectorAll('.drop-results li').length === 2")
