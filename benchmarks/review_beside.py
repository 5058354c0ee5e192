"""Real commands beside an open page that decides: `index`, `cluster` and `migrate`.

While each command runs, the page goes on with random decisions; it waits where the command has the lock.
Afterwards all decisions that the server answered must be in the journal, all others must have been shown as
problems, and the page and the index must agree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import DATA
from review_looking import wait_for
from review_places import CODE, Server, load, script
from review_random import compare, lost_decisions

from faceindex import FaceIndex

__all__ = ["beside"]

_PEOPLE, _PHOTOS = 6, 12  # of shared/data/people; a half of the photos comes later
_BATCH = 5  # decisions that the page makes at once


def _run(*words: str, wait: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "faceindex", *words],
        env={**os.environ, "PYTHONPATH": CODE}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if wait:
        _check(process, words)
    return process


def _check(process: subprocess.Popen[str], words: tuple[str, ...]) -> None:
    _, errors = process.communicate()
    if process.returncode not in (0, 1) or "Traceback" in errors:
        raise SystemExit(f"`faceindex {' '.join(words)}` failed: {errors}")


def beside(browser: Any, folder: Path, *, people: int = _PEOPLE, photos: int = _PHOTOS) -> dict[str, Any]:
    """Run the commands beside a page on `photos` photos each of `people` people."""
    shutil.rmtree(folder, ignore_errors=True)
    source, directory = DATA / "people", folder / "index"
    (folder / "photos").mkdir(parents=True)
    later = []
    for person in sorted(source.iterdir())[:people]:
        for at, photo in enumerate(sorted(person.iterdir())[:photos]):
            copy = folder / "photos" / f"{person.name}-{photo.name}"
            if at % 2:
                later.append((photo, copy))
            else:
                shutil.copyfile(photo, copy)
    at_index = ("--index", str(directory))
    _run("index", str(folder / "photos"), *at_index, "--quiet")
    _run("cluster", *at_index, "--quiet")
    names = [f"Person {letter}" for letter in "ABCDEFGH"]
    steps: dict[str, Any] = {}
    errors: list[str] = []
    with Server(directory) as server:
        tab = browser.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(server.address)
        tab.wait_for_selector("#view .view")
        tab.evaluate(script("driver"))
        embedder = _other_embedder(directory)
        commands: dict[str, tuple[str, ...]] = {
            "index": ("index", str(folder / "photos"), *at_index),
            "cluster": ("cluster", *at_index),
            "cluster --rebuild": ("cluster", "--rebuild", *at_index),
            "migrate": ("migrate", "--embedder", embedder, *at_index),
            "people name": ("people", "name", "f1", "f2", "Person Z", *at_index),
        }
        seed = 1
        for name, words in commands.items():
            if name == "index":
                for photo, copy in later:
                    shutil.copyfile(photo, copy)
            steps[name], seed = _step(tab, words, names, seed)
            steps[name]["differed"] = compare(directory, [tab])
            print(f"    {name}: {steps[name]}")
        counts = tab.evaluate("window.counts")
        problems = tab.evaluate("window.problems")
        lost = lost_decisions(directory, [tab])
        tab.close()
    with FaceIndex.open(directory) as index:
        journal = index.people.count_decisions()
    kinds: dict[str, int] = {}
    for kind, _ in problems:
        kinds[kind] = kinds.get(kind, 0) + 1
    return {
        "steps": steps, "decisions": sum(counts.values()), "problems": kinds, "journal": journal,
        "lost": lost, "page_errors": errors,
        "doctor": [str(problem) for problem in FaceIndex.doctor(directory).problems],
        "load": load(),
    }  # fmt: skip


def _other_embedder(directory: Path) -> str:
    with FaceIndex.open(directory) as index:
        return "facenet" if index.pins.embedder != "facenet" else "mobilefacenet"


def _step(tab: Any, words: tuple[str, ...], names: list[str], seed: int) -> tuple[dict[str, Any], int]:
    """Run a command; meanwhile the page decides. Returns what was seen, and the next seed."""
    before = sum(tab.evaluate("window.counts").values())
    started = time.monotonic()
    process = _run(*words, wait=False)
    said: set[str] = set()
    waiting = 0.0
    running = True
    while running:
        running = process.poll() is None
        tab.evaluate(
            "([seed, number, names]) => { window.batch(seed, number, names); }", [seed, _BATCH, names]
        )
        sent = time.monotonic()
        while not tab.evaluate(f"window.finished === {seed}"):
            if text := tab.evaluate("document.getElementById('banner').textContent"):
                said.add(text)
            if time.monotonic() - sent > 300:
                raise SystemExit("The page has not stored its decisions for five minutes.")
            time.sleep(0.05)
        waiting = max(waiting, time.monotonic() - sent)
        seed += 1
        time.sleep(0.2)
    _check(process, words)
    wait_for(tab, "!window.app.actions.pending.length", 60)
    row = {
        "seconds": round(time.monotonic() - started, 1),
        "decisions": sum(tab.evaluate("window.counts").values()) - before,
        "longest_wait_s": round(waiting, 1),
        "said": sorted(said)[:5],
    }
    return row, seed
