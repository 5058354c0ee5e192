"""The page of `faceindex review` in a tab of a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from review_client import serving

from faceindex import FaceIndex

__all__ = ["live_page", "names_in", "until"]


@contextmanager
def live_page(browser: Any, index: Path, *, console: bool = True, **options: Any) -> Iterator[Any]:
    """Show the page of an index in a tab, with its `App` as ``app``; uncaught errors fail the test.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    index : Path
    console : bool
        Console messages fail the test, too. The browser writes one for each refused request.
    **options
        Of ``browser.new_context``.
    """
    with serving(index) as review:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        if console:
            page.on("console", lambda message: errors.append(message.text))
        page.set_default_timeout(5000)
        page.goto(review.address)
        page.wait_for_selector(".card")
        page.evaluate("APP.then((app) => { window.app = app; })")
        yield page
        context.close()
    assert [error for error in errors if "409 (Conflict)" not in error] == []  # Chromium logs that answer


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true; ``wait_for_function`` of playwright needs ``unsafe-eval``."""
    for _ in range(250):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"still false after 5 seconds: {expression}")


def names_in(directory: Path) -> dict[str, int]:
    """Return the people of an index, and how many faces each has."""
    with FaceIndex.open(directory) as index:
        return {person.name: person.faces for person in index.people.list()}
