"""Headless Chromium, driven by playwright; the tests are skipped if one of them is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import ARGUMENTS, PROGRAMS

from faceindex.export.gallery import write_gallery


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Any]]:
    """Start a browser with further arguments; all of them end with the tests."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:  # a process can have only one
        yield lambda *more: playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *more])


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Any]) -> Iterator[object]:
    started = launch()
    yield started
    started.close()


class Tab:
    """A page in the browser, with its console messages and requests.

    Attributes
    ----------
    page : playwright.sync_api.Page
    errors : list of str
        Console messages and uncaught errors, including violations of the content-security policy.
    requests : list of str
        Requested URLs.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path, where: str = "") -> None:
        self.page.goto(path.as_uri() + where)
        self.page.wait_for_selector(".card, .face, .empty:not([hidden])")

    def until(self, expression: str) -> None:
        """Wait until an expression is true; ``wait_for_function`` of playwright needs ``unsafe-eval``."""
        for _ in range(100):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"still false after 5 seconds: {expression}")

    def labels(self, selector: str) -> list[str]:
        """Return what screen readers say of elements."""
        labels: list[str] = self.page.locator(selector).evaluate_all("(all) => all.map((it) => it.ariaLabel)")
        return labels


@pytest.fixture
def tab(browser) -> Iterator[Tab]:
    """A tab that fails the test after a console message or a request other than to the disk."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
    opened = Tab(context.new_page())
    yield opened
    context.close()
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def galleries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    import galleries

    return galleries


@pytest.fixture
def write(galleries, tmp_path: Path):
    """Write a gallery of photo plans, and return the path of its page."""

    def write(plans, *, copy: bool = False, **options) -> Path:
        source = galleries.make_source(tmp_path / "photos", plans, **options)
        return write_gallery(
            source, tmp_path / "page", galleries.protected(tmp_path / "photos"), copy=copy
        ).page

    return write
