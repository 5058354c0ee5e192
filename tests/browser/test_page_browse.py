"""The views of people and of faces on the page of `faceindex review`, used as people use them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
from live_page import live_page, names_in, until

from faceindex import FaceIndex

MOST_ELEMENTS = 500
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Five people with eight photos each, clustered."""
    with fakes.clustered_album(tmp_path_factory.mktemp("browse"), people=5, photos=8) as index:
        yield index


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


@pytest.fixture(params=[{}])
def shown(browser, index: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    with live_page(browser, index, color_scheme="dark", **request.param) as page:
        yield page


def stored(page) -> None:
    """Wait until every decision is stored, and shown as the index has it."""
    until(page, "app.actions.unsaved === 0")


def groups(page) -> dict[str, int]:
    """Return the sizes of all groups by their titles on the page."""
    found: dict[str, int] = page.evaluate(
        "Object.fromEntries(app.album.list({ hidden: true }).map((it) => [app.album.title(it.key), it.size]))"
    )
    return found


def selected(page) -> int:
    count: int = page.evaluate("app.current.selection.size")
    assert page.locator(".face[aria-selected=true]").count() == min(count, page.locator(".face").count())
    return count


def cards(page) -> list[str]:
    """Return the titles of the cards of people and clusters, in their order."""
    labels: list[str] = page.locator(".people .item:not(.leaving) .card").evaluate_all(
        "(all) => all.map((it) => it.ariaLabel)"
    )
    return [label.split(",")[0] for label in labels]


def check_covers(page) -> None:
    """Compare the covers that the server sends ahead with those that the page shows."""
    sent = page.evaluate("""app.source.request("thumbnails?covers=128")
        .then((answer) => answer.headers.get("faceindex-faces"))""")
    shown = page.evaluate(
        "listGroups(app.album, 'all', 'size').map((it) => app.album.face[app.album.cover(it)])"
    )
    assert sent == ",".join(map(str, shown)) != ""


def open_group(page, title: str) -> None:
    page.evaluate(f"""app.router.go(Router.parse(Router.group([...app.album.groups.keys()]
        .find((key) => app.album.title(key) === "{title}"))))""")
    page.wait_for_selector(".face")


def drag(page, start, to) -> None:
    until(page, "!document.querySelector('.leaving') && document.getAnimations().length === 0")
    a, b = start.bounding_box(), to.bounding_box()
    page.mouse.move(a["x"] + a["width"] / 2, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(a["x"] + a["width"] / 2 + 20, a["y"] + a["height"] / 2 + 20)
    page.mouse.move(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2)
    page.mouse.up()


def test_clusters_are_named_one_after_the_other_and_merged(shown, index: Path) -> None:
    page = shown
    before = groups(page)
    assert sum(before.values()) == 40 and len(before) == 5
    until(page, "document.querySelectorAll('.card .thumb[style*=data]').length === 5")
    asked = page.evaluate(
        "performance.getEntriesByType('resource').map(({ name }) => name.split('/').at(-1))"
    )
    assert [name for name in asked if name.startswith("thumbnails")] == ["thumbnails?covers=32"]
    assert asked.count("album") == 1
    assert page.evaluate("EARLY.album") is None  # nothing keeps it when it is loaded again
    check_covers(page)
    page.keyboard.press("n")
    for name in ("Ada", "Ben", "Cleo"):  # two actions each
        page.keyboard.insert_text(name)
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "combobox"
    page.keyboard.press("Escape")
    stored(page)
    assert names_in(index) == {"Ada": 8, "Ben": 8, "Cleo": 8}

    (cluster,) = [title for title in groups(page) if title.startswith("Cluster")][:1]
    drag(page, page.locator(f".card[aria-label^='{cluster},']"), page.locator(".card[aria-label^='Ben,']"))
    stored(page)
    assert page.url.endswith("/"), "a drag opens nothing"
    assert names_in(index) == {"Ada": 8, "Ben": 16, "Cleo": 8}
    page.keyboard.press("u")
    stored(page)
    assert names_in(index) == {"Ada": 8, "Ben": 8, "Cleo": 8}

    # The keyboard's way; a cluster that is dropped on a cluster.
    page.locator(".card[aria-label^='Cleo,']").focus()
    page.keyboard.press("m")
    page.keyboard.insert_text("Ada")
    page.keyboard.press("Enter")
    stored(page)
    assert names_in(index) == {"Ada": 16, "Ben": 8}
    one, other = [title for title in groups(page) if title.startswith("Cluster")]
    drag(page, page.locator(f".card[aria-label^='{one},']"), page.locator(f".card[aria-label^='{other},']"))
    stored(page)
    assert sorted(groups(page).values()) == [8, 16, 16]

    # Orders and filters; hidden people leave, and come back.
    page.locator(".card[aria-label^='Ben,']").focus()
    page.keyboard.press("h")
    stored(page)
    assert len(cards(page)) == 2 and "Hidden 1" in page.locator(".filters").inner_text()
    page.get_by_role("button", name="Hidden 1").click()
    assert cards(page) == ["Ben"]
    page.get_by_role("button", name="Named 1", exact=True).click()
    assert cards(page) == ["Ada"] and page.url.endswith("#show=named")
    page.get_by_role("button", name="All 2").click()
    page.get_by_label("Order").select_option("name")
    assert cards(page)[0] == "Ada"

    # Several at once are one person.
    for card in page.locator(".people .card").all():
        card.click(modifiers=["Control"])
    page.keyboard.press("n")
    page.keyboard.insert_text("Ada")
    page.keyboard.press("Enter")
    stored(page)
    assert names_in(index) == {"Ada": 32, "Ben": 8}
    check_covers(page)


def test_faces_are_selected_and_decided(shown, index: Path) -> None:
    page = shown
    page.keyboard.press("n")
    page.keyboard.insert_text("Ada")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    stored(page)
    open_group(page, "Ada")
    face = page.locator(".face")

    face.nth(1).click(modifiers=["Control"])
    face.nth(3).click(modifiers=["Shift"])
    assert selected(page) == 3
    face.nth(2).click()  # a click selects while others are selected
    assert selected(page) == 2 and "face=" not in page.url
    page.keyboard.press("Escape")
    assert selected(page) == 0
    drag(page, face.nth(0), face.nth(2))
    assert selected(page) == 3
    page.keyboard.press("Escape")
    face.nth(0).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    assert selected(page) == 2
    page.keyboard.press("Control+a")
    assert selected(page) == 8
    page.keyboard.press("Escape")

    # One key each on the focused face: the next one has the focus, and the grid does not jump.
    page.keyboard.press("c")
    page.keyboard.press("x")
    page.keyboard.press("i")
    page.keyboard.press("d")
    assert page.evaluate("app.current.items.length") == 5, "shown at once"
    stored(page)
    assert page.evaluate("document.activeElement.role") == "option"
    assert names_in(index) == {"Ada": 5}
    page.keyboard.press("u")
    stored(page)
    assert names_in(index) == {"Ada": 6}
    page.keyboard.press("Shift+C")
    stored(page)
    assert "6 confirmed" in page.locator(".summary").inner_text()

    # A name by the bar; dates and a note.
    face.nth(0).click(modifiers=["Control"])
    page.get_by_role("button", name="Somebody else").click()
    page.keyboard.insert_text("Ben")
    page.keyboard.press("Enter")
    stored(page)
    assert names_in(index) == {"Ada": 5, "Ben": 1}
    page.keyboard.press("e")
    page.keyboard.insert_text("1950-06")
    page.keyboard.press("Tab")
    page.keyboard.insert_text("soon")
    page.keyboard.press("Tab")
    assert "is not a date" in page.locator("#about-problem").inner_text()
    page.keyboard.insert_text("At the lake.")
    page.keyboard.press("Enter")
    stored(page)
    with FaceIndex.open(index) as opened:
        ada = opened.people.get("Ada")
        assert (ada.born, ada.died, ada.note) == ("1950-06", None, "At the lake.")
    page.keyboard.press("r")
    page.keyboard.insert_text("Ada B")
    page.keyboard.press("Enter")
    stored(page)
    assert page.locator(".heading").first.inner_text() == "Ada B"
    page.keyboard.press("]")
    assert page.locator(".heading").first.inner_text() != "Ada B"
    page.go_back()
    assert page.locator(".heading").first.inner_text() == "Ada B"


BIG = """
// Turn the album into one of 50,000 faces in one cluster, a tenth of them without a date.
(() => {
  const { album } = app;
  const n = 50000;
  const header = { ...album.header, generation: album.generation, people: [], cluster_person: [] };
  album.load({ header, columns: {
    face: Uint32Array.from({ length: n }, (_, i) => i + 1),
    face_photo: Uint32Array.from({ length: n }, (_, i) => i % 1000),
    cluster: new Int32Array(n), person: new Int32Array(n).fill(-1), label: new Uint8Array(n),
    similarity: Int16Array.from({ length: n }, (_, i) => 5000 + (i % 100) * 30),
    quality: Uint8Array.from({ length: n }, (_, i) => (i % 10 ? 200 : 20)),
    photo: Uint32Array.from({ length: 1000 }, (_, i) => i + 1),
    taken: Float64Array.from({ length: 1000 }, (_, i) => (
      i < 100 ? NaN : Date.UTC(1990 + (i % 12), i % 5, 3) / 1000)),
  } });
  app.source.paint = () => {};
  app.source.prefetch = (faces) => { window.prefetched = faces.length; };
  app.router.go(Router.parse("#c=0"));
})()
"""


@pytest.mark.parametrize("shown", [PHONE], indirect=True)
def test_fifty_thousand_faces_and_a_finger(shown) -> None:
    page = shown
    page.evaluate(BIG)
    count = "document.querySelectorAll('body *').length"
    missing = """(() => {
      const { grid, list } = app.current;
      const top = list.getBoundingClientRect().top;
      const y = (index) => top + grid.rectOf(index).y;
      const seen = (index) => y(index) + grid.cell > 0 && y(index) < innerHeight;
      return [...grid.items.keys()].filter((index) => seen(index) && !grid.shown.has(index)).length;
    })()"""
    for step in (300, 300, 5000, -700):
        # Before the next frame is drawn: what was made ahead has to be enough, but for a jump.
        blank = page.evaluate(f"(scrollBy(0, {step}), {missing})")
        assert blank == 0 or step == 5000
        page.evaluate("new Promise(requestAnimationFrame)")
        assert page.evaluate(missing) == 0 and page.evaluate(count) <= MOST_ELEMENTS
    assert page.evaluate("window.prefetched") > 0

    # The default order: good faces first, blurred ones last. Then doubtful ones first, and a border.
    assert page.evaluate("app.current.items.findIndex((at) => app.album.isPoor(at))") == 45000
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="More").tap()
    page.get_by_role("button", name="Select below").tap()
    page.locator("#below").evaluate("(it) => { it.value = 5090; it.dispatchEvent(new Event('input')); }")
    assert page.evaluate("app.current.selection.size") == 1500  # three of a hundred similarities
    assert page.evaluate("app.current.grid.border") == 1500
    assert page.evaluate("[...app.current.selection.chosen].every((at) => app.album.similarity[at] < 5090)")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator(".border").count() == 0

    # Years, months, and a jump.
    page.evaluate("scrollTo(0, 0)")
    labels = page.locator(".years .time").evaluate_all("(all) => all.map((bar) => bar.ariaLabel)")
    assert labels[0] == "1990: 3,750 faces" and labels[-1] == "5,000 faces without a date"
    page.locator(".years .time").nth(1).tap()
    assert page.locator(".months .time").count() == 5
    active = "app.current.items[app.current.grid.active]"
    assert page.evaluate(f"momentOf(app.album.takenOf({active})).toISOString()").startswith("1991-01")
    assert page.evaluate("app.current.grid.shown.has(app.current.grid.active)")

    # A long press selects; the finger goes on to a range. The page does not scroll then, and nothing opens.
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    boxes = [page.locator(f".face[data-index='{i}']").bounding_box() for i in (3750, 3753)]
    (start, end) = [{"x": box["x"] + 20, "y": box["y"] + 20} for box in boxes]
    assert start["y"] == end["y"] or start["x"] != end["x"]
    place = page.evaluate("scrollY")
    touch("touchStart", start)
    page.wait_for_timeout(480)
    touch("touchMove", end)
    touch("touchEnd")
    assert page.evaluate("app.current.selection.size") == 4
    assert page.evaluate("scrollY") == place and "face=" not in page.url
    for button in page.locator(".action-bar button:visible").all():
        assert button.bounding_box()["height"] >= 44

    # Printing lays out all pictures, up to a bound.
    page.evaluate("app.printer.lay()")
    assert page.locator("#sheet li").count() == 2000
    assert "first 2,000 of 50,000" in page.locator("#sheet").text_content()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#sheet").count() == 0


def test_an_undo_behind_a_conflict_leaves_nothing_of_what_was_shown(shown, index: Path) -> None:
    page = shown
    page.evaluate(
        """() => {
          const { actions, source } = app;
          const act = source.act.bind(source);
          const gate = new Promise((open) => { window.open_gate = open; });
          source.act = async (...given) => { await gate; return act(...given); };
          window.face = app.album.face[0];
          actions.do({ do: "name", name: "Ada", faces: [face] });
          actions.undo(); // the decision may be on its way: this waits behind it
        }"""
    )
    face = page.evaluate("face")
    with FaceIndex.open(index, write=True) as library:
        library.people.name("Ben", faces=[face])
    page.evaluate("open_gate()")
    stored(page)
    page.wait_for_timeout(50)
    assert page.evaluate("app.album.title(app.album.keyOf(app.album.find(face)))") == "Ben"
