"""How soon the page shows people, how many elements it has, whether cells are blank while it scrolls."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from review_places import Server, cpu_seconds, fill_cache, load, memory_mib, script

from faceindex import FaceIndex
from faceindex.api.album_covers import cover_faces
from faceindex.store.directory import THUMBNAILS

__all__ = ["covers", "elements", "first_screens", "scrolling"]

_WINDOW = {"width": 1200, "height": 800}

_WATCH = script("watch")

_MARKS = script("marks")


def wait_for(page: Any, expression: str, seconds: float = 60) -> Any:
    """Wait until an expression is true; playwright's own needs ``unsafe-eval``."""
    until = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        if time.monotonic() > until:
            raise SystemExit(f"Still false after {seconds:.0f} seconds: {expression}")
        time.sleep(0.02)
    return value


def open_page(context: Any, address: str) -> tuple[Any, dict[str, Any]]:
    """Open a page; return it, and milliseconds from the navigation to what it shows.

    ``main_cpu_ms`` is the CPU time of the page's main thread until then: other programs change it less.
    """
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    started = time.time()
    page.goto(address, wait_until="commit")
    page.wait_for_url(lambda url: "token" not in url, wait_until="commit")
    wait_for(page, "window.screenAt ?? 0")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    row: dict[str, Any] = page.evaluate("({ pictures: window.pictures, cells: window.cells })")
    row["screen_ms"] = round(page.evaluate("window.screenAt") - 1000 * started)
    row["cards_ms"] = round(page.evaluate("window.cardsAt") - 1000 * started)
    row["main_cpu_ms"] = round(1000 * metrics["TaskDuration"])
    row["script_cpu_ms"] = round(1000 * metrics["ScriptDuration"])
    row["marks_ms"] = {name: value and round(value) for name, value in page.evaluate(_MARKS).items()}
    return page, row


def context_of(browser: Any) -> Any:
    context = browser.new_context(viewport=_WINDOW)
    context.add_init_script(_WATCH)
    return context


def first_screens(browser: Any, directory: Path, runs: int, *, cold: bool) -> dict[str, Any]:
    """Open the page in a new browser context `runs` times; with `cold`, no thumbnail is kept.

    The times are from the navigation, with a server that has read the album, and once from the start of the
    process. ``cpu_ms`` is the CPU time of the server and of the page's main thread.
    """
    rows = []
    with Server(directory) as server:
        result: dict[str, Any] = {
            "address_s": round(server.seconds, 2),
            "address_cpu_s": cpu_seconds(server.pid),
        }
        context = context_of(browser)
        page, _ = open_page(context, server.address)
        result["shown_s"] = round(page.evaluate("window.screenAt") / 1000 - server.started, 2)
        result["shown_cpu_s"] = cpu_seconds(server.pid)
        context.close()
        for _ in range(runs):
            if cold:
                (directory / THUMBNAILS).unlink(missing_ok=True)
            time.sleep(0.5)
            before = cpu_seconds(server.pid)
            context = context_of(browser)
            page, row = open_page(context, server.address)
            row["server_cpu_ms"] = round(1000 * (cpu_seconds(server.pid) - before))
            rows.append(row | {"load": load()})
            context.close()
        result["memory_mib"] = memory_mib(server.pid)
    for name in ("screen_ms", "cards_ms", "server_cpu_ms", "main_cpu_ms"):
        result[name] = median(row[name] for row in rows)
    result |= {
        "least_ms": min(row["screen_ms"] for row in rows),
        "worst_ms": max(row["screen_ms"] for row in rows),
    }
    result["cpu_ms"] = result["server_cpu_ms"] + result["main_cpu_ms"]
    return {**result, "runs": rows}


def covers(directory: Path, most: int) -> list[int]:
    """Return the faces that show the largest groups, of at most `most` groups."""
    with FaceIndex.open(directory) as index:
        return cover_faces(index.album.load(), most)


# Elements ----------------------------------------------------------------------------------------


def elements(browser: Any, directory: Path) -> dict[str, int]:
    """Return the number of elements in the document on each view, at 1200, 390 and 2560 pixels."""
    with FaceIndex.open(directory) as index:
        state = index.album.load()
    cluster = int(state.cluster[state.cluster >= 0][0])
    photo = int(state.photos[0])
    views = {
        "people": "#", "cluster": f"#c={cluster}", "photo": f"#c={cluster}&photo={photo}",
        "no cluster": "#view=none",
        "strangers": "#view=ignored", "questions": "#view=questions", "search": "#q=0", "drop": "#view=drop",
    }  # fmt: skip
    found: dict[str, int] = {}
    with Server(directory) as server:
        for width, height in ((1200, 800), (390, 844), (2560, 1440)):
            context = browser.new_context(viewport={"width": width, "height": height})
            context.add_init_script(_WATCH)
            page, _ = open_page(context, server.address)
            for name, address in views.items():
                page.evaluate("(address) => { location.hash = address; }", address)
                page.wait_for_timeout(600)
                most = 0
                for _ in range(6):
                    most = max(most, page.evaluate("document.getElementsByTagName('*').length"))
                    page.mouse.move(width / 2, height / 2)
                    page.mouse.wheel(0, 900)
                    page.wait_for_timeout(50)
                found[f"{name}, {width} px"] = most
            context.close()
    return found


# Scrolling ---------------------------------------------------------------------------------------

_RECORD = script("record")


_REST = script("rest")


def scrolling(browser: Any, directory: Path, kept: list[int], *, stops: int) -> dict[str, Any]:
    """Scroll the largest group fast; its thumbnails are in the cache.

    By the wheel (600 pixels each 16 ms for a second, then a stop) and by jumps to random places. *late* are
    the scroll events at which a cell of the window had no element yet, and *blank* the frames after which one
    had none: there is neither a picture nor a placeholder. *unpainted* is the share of cells that have only a
    placeholder in these frames, and *after 100 ms* that share 100 ms after a stop.
    """
    results: dict[str, Any] = {"faces": len(kept), "cache_bytes": fill_cache(directory, kept)}
    with Server(directory) as server:
        context = context_of(browser)
        page, _ = open_page(context, server.address)
        page.evaluate("APP.then((app) => app.router.go(Router.parse(Router.group(app.album.list()[0].key))))")
        page.wait_for_timeout(1500)
        results["group"] = page.evaluate("APP.then((app) => app.current.grid.items.length)")
        page.mouse.move(600, 500)
        for way in ("wheel", "jumps"):
            page.evaluate(_RECORD)
            rest = []
            for number in range(stops):
                if way == "wheel":
                    until = time.monotonic() + 1
                    while time.monotonic() < until:
                        page.mouse.wheel(0, 600 if number % 4 < 3 else -600)
                        time.sleep(0.016)
                else:
                    page.evaluate(
                        "(share) => scrollTo(0, share * document.documentElement.scrollHeight)",
                        (number * 0.618) % 1,
                    )
                rest.append(page.evaluate(_REST))
                page.wait_for_timeout(200)
            log = page.evaluate("() => { window.recording = false; return window.log; }")
            painted, cells = (sum(one[i] for one in rest) for i in (0, 1))
            settled = page.evaluate("window.painted()")
            results[way] = {
                **log, "longest": round(log["longest"]),
                "blank_frames": log["blank"] / max(log["moved"], 1),
                "unpainted_cells": log["unpainted"] / max(log["cells"], 1),
                "unpainted_after_100_ms": 1 - painted / max(cells, 1),
                "ms_to_all_pictures": round(median(one[2] for one in rest)),
                "stops": len(rest), "painted_at_the_end": settled, "load": load(),
            }  # fmt: skip
        context.close()
    return results
