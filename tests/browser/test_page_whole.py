"""The page as a whole: every view, several pages at once, and what goes wrong around it."""

# ruff: noqa: E501 - scripts for the page

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fakes
import pytest
from review_client import serving

from faceindex import FaceIndex
from faceindex.models import registry

DESK = {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light"}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "is_mobile": True,
}
MORE = 97  # photos of the person with 101
REPOSITORY = Path(__file__).resolve().parents[2]
_HOLD = """
import sys
from faceindex import FaceIndex
with FaceIndex.open(sys.argv[1], write=True):
    print("held", flush=True)
    sys.stdin.read()
"""
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_ANSWERED = """async () => { const app = await APP; return app.actions.unsaved; }"""


def drawn_pictures(pdf: bytes) -> int:
    """Return how often a PDF file draws one of its images; equal ones are stored once."""
    images = set(re.findall(rb"/(X\d+) (\d+) 0 R", pdf))
    images = {name for name, number in images if _is_image(pdf, number)}
    drawn = 0
    for stream in _STREAM.findall(pdf):
        try:
            text = zlib.decompressobj().decompress(stream)
        except zlib.error:  # a picture
            continue
        drawn += sum(name in images for name in re.findall(rb"/(X\d+) Do\b", text))
    return drawn


def _is_image(pdf: bytes, number: bytes) -> bool:
    return re.search(rb"\b%s 0 obj\s*<<[^>]*/Subtype\s*/Image" % number, pdf) is not None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A person with 101 faces, who has a name, two clusters of four, and a face of a stranger."""
    folder = tmp_path_factory.mktemp("whole")
    with registry.isolated():
        fakes.register_fakes()
        fakes.make_album(folder / "album", people=3, photos=4)
        for mark in range(100, 100 + MORE):
            fakes.make_photo(folder / "album" / f"more{mark}.png", fakes.colour_of(0), mark=mark)
        with FaceIndex.create(folder / "index", detector="fake", embedder="fake") as index:
            index.add(folder / "album")
            index.cluster()
            cluster = next(row.cluster for row in index.clusters() if row.faces == 4 + MORE)
            index.people.name("Ada", clusters=[cluster])
            index.people.ignore(faces=[next(face.face for face in index.faces() if face.cluster != cluster)])
        yield folder / "index"


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


@contextmanager
def opened(browser: Any, address: str, errors: list[str], **options: Any) -> Iterator[Any]:
    """A tab with the page; messages in the console, and requests elsewhere, are added to `errors`."""
    context = browser.new_context(**{**DESK, **options})
    page = context.new_page()
    origin = address.split("?")[0]
    page.on("console", lambda message: errors.append(message.text))

    def check(response: Any) -> None:
        if response.status >= 400:
            errors.append(f"{response.status} {response.url}")

    page.on("response", check)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda it: None if it.url.startswith((origin, "data:", "blob:")) else errors.append(it.url)
    )
    page.set_default_timeout(5000)
    page.goto(address)
    page.wait_for_selector(".card")
    page.evaluate("APP.then((app) => { window.app = app; })")
    yield page
    context.close()


def until(page: Any, expression: str, seconds: float = 8) -> None:
    for _ in range(round(seconds * 40)):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"still false after {seconds} seconds: {expression}")


def go(page: Any, address: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", address)
    until(page, "app.router.hash === location.hash")


def test_every_view_and_dialog(browser: Any, index: Path) -> None:
    """Nothing is inaccessible, out of the screen, without a heading, or a message in the console."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    select = "document.querySelector('.face').dispatchEvent(new MouseEvent('click', {bubbles: true, ctrlKey: true}))"
    states: list[tuple[str, list[str], str]] = [
        ("#", [], ".card"),
        ("#", ["n", "=A"], ".name-options li"),
        ("#p=1", [], ".face"),
        ("#p=1", ["!" + select], ".action-bar:not([hidden])"),
        ("#p=1", ["!" + select, "n"], "#name-dialog[open]"),
        ("#p=1", ["!" + select, "s"], "dialog[open]"),
        ("#p=1", ["b"], ".below:not([hidden])"),
        ("#p=1", ["e"], "#main input[type=checkbox]"),
        ("#p=1&photo=1", [], "#viewer[open]"),
        ("#p=1&photo=1", ["a"], "#viewer[open]"),
        ("#c=1", [], ".face"),
        ("#view=none", [], ".empty"),
        ("#view=ignored", [], ".face"),
        ("#view=questions", [], ".questions .tile"),
        ("#q=Ada", [], ".photo-tile"),
        ("#view=drop", [], ".drop-pad"),
        ("#p=99", [], ".empty"),
        ("#", ["?"], "#help[open]"),
    ]
    errors: list[str] = []
    with serving(index) as review:
        options: dict[str, Any]
        for options in (DESK, PHONE):
            with opened(
                browser, review.address, errors, bypass_csp=True, reduced_motion="reduce", **options
            ) as page:
                for address, steps, shown in states if options is PHONE else states[::4]:
                    where = f"{address} {steps} at {options['viewport']}"
                    page.evaluate(
                        "for (const it of document.querySelectorAll('dialog[open]:not(#viewer)')) it.close()"
                    )
                    go(page, "#q=nothing")
                    go(page, address)
                    for step in steps:
                        if step.startswith("!"):
                            page.wait_for_selector(".face")
                            page.evaluate(step[1:])
                        elif step.startswith("="):
                            page.keyboard.insert_text(step[1:])
                        else:
                            page.keyboard.press(step)
                    try:
                        page.wait_for_selector(shown)
                    except Exception as error:
                        raise AssertionError(f"{where}: {error}") from error
                    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
                    problems = [(it["id"], [node["html"][:120] for node in it["nodes"]][:2]) for it in found]
                    assert problems == [], where
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
                    assert page.evaluate("document.querySelectorAll('*').length") < 700, where
                    assert page.evaluate(
                        "document.getAnimations().every((it) => it.effect.getTiming().duration < 20)"
                    ), where
    assert [
        error for error in errors if not re.search("api/split.*|status of 400", error)
    ] == []  # equal faces


def test_habits_of_the_web(browser: Any, index: Path) -> None:
    """Deep links, Back, reload, Tab and printing."""
    errors: list[str] = []
    with serving(index) as review, opened(browser, review.address, errors) as page:
        page.locator(".card").first.click()
        page.wait_for_selector(".face")
        page.locator(".face").nth(3).click()
        page.wait_for_selector("#viewer[open]")
        deep = page.url
        page.reload()  # keeps the place
        page.wait_for_selector("#viewer[open]")
        assert page.url == deep
        page.go_back()
        page.wait_for_selector("#viewer:not([open])", state="attached")
        assert page.locator(".view .heading").inner_text() == "Ada"
        page.go_back()
        page.wait_for_selector(".card")
        assert "#" not in page.url.removesuffix("#")

        other = page.context.new_page()  # a link that was kept
        other.goto(deep)
        other.wait_for_selector("#viewer[open]")
        other.keyboard.press("Escape")
        other.wait_for_selector(".face")
        other.close()

        # Tab reaches every control, and each shows that it has the focus.
        page.evaluate("APP.then((app) => { window.app = app; })")
        go(page, "#p=1")
        page.wait_for_selector(".face")
        page.evaluate("document.activeElement.blur()")
        page.evaluate("scrollTo(0, 0)")
        reached, hidden = set(), []
        for _ in range(60):
            page.keyboard.press("Tab")
            at = page.evaluate(
                """() => { const it = document.activeElement; if (it === document.body) return [null]; const style = getComputedStyle(it);
                return [it.id || it.ariaLabel || it.textContent || it.className, style.outlineStyle !== "none" || style.boxShadow !== "none"]; }"""
            )
            if at[0] is None:
                continue  # between the end and the beginning
            if at[0] in reached:
                break
            reached.add(at[0])
            if not at[1]:
                hidden.append(at[0])
        controls = page.evaluate(
            """() => [...document.querySelectorAll("#bar a, #bar button, #bar input, .actions button, .actions a[href], .actions select")]
            .filter((it) => it.checkVisibility()).map((it) => it.id || it.ariaLabel || it.textContent)"""
        )
        assert set(controls) - reached == set()
        assert hidden == []

        page.evaluate(
            """window.print = () => {
              window.printed = [app.printer.waiting().length, document.querySelectorAll("#sheet li").length];
            }"""
        )
        page.get_by_role("button", name="Print").click()
        until(page, "window.printed !== undefined", 20)
        assert page.evaluate("printed") == [0, 101]
        assert drawn_pictures(page.pdf()) >= 101
    assert errors == []


def test_hidden_tabs_keep_no_connection(browser: Any, index: Path) -> None:
    """A browser has six connections to a server, and every tab waits for changes."""
    errors: list[str] = []
    hide = """Object.defineProperty(Document.prototype, "hidden", { get: () => window.isHidden === true, configurable: true });
    window.setHidden = (hidden) => { window.isHidden = hidden; document.dispatchEvent(new Event("visibilitychange")); };"""
    with serving(index) as review, opened(browser, review.address, errors) as page:
        context, address = page.context, page.url
        context.add_init_script(hide)
        tabs = [page]
        page.reload()
        for _ in range(7):
            tabs[-1].wait_for_selector(".card")
            tabs[-1].evaluate("setHidden(true)")
            tab = context.new_page()
            tab.set_default_timeout(5000)
            tab.goto(address)
            tabs.append(tab)
        tabs[-1].wait_for_selector(".card")  # the eighth
        with FaceIndex.open(index, write=True) as other:
            other.people.rename("Ada", "Ann")
        tabs[-1].wait_for_selector(".card:has-text('Ann')")
        page.evaluate("setHidden(false)")  # shown again, it has what changed at once
        page.wait_for_selector(".card:has-text('Ann')")
    assert errors == []


def test_two_pages_and_another_program(browser: Any, index: Path) -> None:
    """What two pages and a command decide at once is all stored, or shown as a conflict."""
    errors: list[str] = []
    with serving(index) as review:  # noqa: SIM117 - the pages need its address
        with opened(browser, review.address, errors) as one, opened(browser, review.address, errors) as two:
            for page in (one, two):
                page.evaluate("window.acks = []; window.settled = 0; window.problems = []")
            (first, second) = one.evaluate("app.album.list().filter((it) => it.isCluster).map((it) => it.id)")
            # The same cluster, at the same moment, by different names.
            decide = "(action) => { app.actions.do(action).then((it) => { settled++; if (it) acks.push(it.decided.number); }); }"
            one.evaluate(decide, {"do": "name", "name": "Ben", "clusters": [first]})
            two.evaluate(decide, {"do": "name", "name": "Cleo", "clusters": [first]})
            for page in (one, two):
                until(page, "settled === 1")
            (loser,) = [page for page in (one, two) if not page.evaluate("acks.length")]
            assert "Do it anyway" in loser.locator("#message").inner_text()
            loser.locator("#message button").first.click()
            until(loser, "app.actions.unsaved === 0")
            # Another program holds the lock: the page says so, waits, and stores then.
            holder = subprocess.Popen(
                [sys.executable, "-c", _HOLD, str(index)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=REPOSITORY,
                text=True,
            )
            assert holder.stdin is not None and holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            two.evaluate(decide, {"do": "name", "name": "Dora", "clusters": [second]})
            until(two, "!document.querySelector('#banner').hidden")
            assert str(holder.pid) in two.locator("#banner").inner_text()
            assert two.evaluate("app.actions.unsaved") == 1
            holder.communicate("")
            until(two, "app.actions.unsaved === 0 && document.querySelector('#banner').hidden")
            newest = two.evaluate("app.album.generation")
            until(one, f"app.album.generation >= {newest}")
            states = [
                page.evaluate(
                    "JSON.stringify(app.album.list({ hidden: true }).filter((it) => it.isPerson).map((it) => [app.album.title(it.key), it.size]).sort())"
                )
                for page in (one, two)
            ]
            with FaceIndex.open(index) as stored:
                expected = sorted(
                    [person.name, person.faces] for person in stored.people.list() if person.faces
                )
                assert stored.people.count_decisions() == 2 + 2 + 1
            assert [json.loads(state) for state in states] == [expected, expected]
            review.stop()  # the page says that the server is gone, and keeps what is not stored
            until(one, "!document.querySelector('#banner').hidden")
            one.evaluate("void app.actions.do({ do: 'rename', person: 1, name: 'Zoe' })")
            until(one, "document.querySelector('#banner').textContent.includes('1 decision is not stored')")
    assert [
        error for error in errors if not re.search("Failed to load resource|ERR_CONNECTION|409|423", error)
    ] == []


def test_the_page_of_a_server_that_was_started_again(browser: Any, index: Path) -> None:
    """At the same address is another server: the page says so, and its decision is not lost silently."""
    errors: list[str] = []
    with serving(index) as review, opened(browser, review.address, errors) as page:
        port = review.port
        page.route("**/api/act", lambda route: route.abort())
        review.stop()
        until(page, "!document.querySelector('#banner').hidden")
        review.close()
        with serving(index, port=port):
            page.unroute("**/api/act")
            page.evaluate("void app.actions.do({ do: 'rename', person: 1, name: 'Zoe' })")
            page.wait_for_timeout(300)
            text = page.locator("#banner").inner_text()
            assert "open the address" in text.lower() and "1 decision is not stored" in text, text
            assert page.evaluate("app.actions.unsaved") == 1


def test_naming_benchmark(browser: object, tmp_path: Path) -> None:
    script = REPOSITORY / "benchmarks" / "naming.py"
    code = (
        f"import sys; sys.path.insert(0, {str(script.parent)!r}); import common; from pathlib import Path;"
        f"common.RESULTS = Path({str(tmp_path)!r}); sys.argv = ['naming', '--quick']; import naming; naming.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "naming_quick.json").read_text())["rows"]
    assert [row["how"] for row in rows] == ["keyboard", "mouse", "touch"]
    assert all(row["right"][-1] == 1 and not any(row["left"].values()) for row in rows)
    assert rows[0]["actions"] == 8 and rows[0]["needed"]["0.95"] == 8
