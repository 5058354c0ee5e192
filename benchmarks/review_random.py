"""Random decisions on two pages, by the library and by commands at once; afterwards all must agree."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from review_looking import wait_for
from review_places import CODE, Server, load, script

from faceindex import FaceIndex
from faceindex.api.album_state import people_as_dicts
from faceindex.errors import IndexLocked, UsageError
from faceindex.page.bundle import quantised

__all__ = ["compare", "lost_decisions", "random_actions"]

_BATCH = 20  # decisions of each page
_COMMANDS = 0.15  # of the decisions beside the pages: by the real command line, which takes a second to start

_DRIVER = script("driver")

_ALBUM = script("album")


def random_actions(
    browser: Any,
    directory: Path,
    number: int,
    seed: int = 0,
    *,
    pages: int = 2,
    most_seconds: float = float("inf"),
    commands_share: float = _COMMANDS,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Let pages make `number` random decisions, several at once; the library and commands decide too.

    After each batch, when all is stored and the pages have followed: their faces, people and groups must be
    those of `index.album.load` and `index.people.list`.
    """
    rng = random.Random(seed)
    names = [f"Person {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWX"] + ["person a", "PERSON B"]
    library: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    differed: list[str] = []
    compared = 0
    errors: list[str] = []
    with Server(directory) as server:
        context = browser.new_context()
        tabs = [context.new_page() for _ in range(pages)]
        for at, tab in enumerate(tabs):
            tab.on("pageerror", lambda error, at=at: errors.append(f"page {at}: {error}"))
            tab.goto(server.address)
            tab.wait_for_selector("#view .view")
            tab.evaluate(_DRIVER)
        done, round_number, started = 0, 0, time.monotonic()
        while done < number and time.monotonic() - started < most_seconds:
            round_number += 1
            for at, tab in enumerate(tabs):
                tab.evaluate(
                    "([seed, number, names]) => { window.batch(seed, number, names); }",
                    [seed * 1_000_003 + 2 * round_number + at, _BATCH, names],
                )
            for _ in range(rng.randrange(4)):
                time.sleep(rng.uniform(0, 0.3))
                way, decide = (commands, _command) if rng.random() < commands_share else (library, _decide)
                way[decide(directory, rng, names)] += 1
            if round_number % 25 == 0:
                _cluster(directory, rebuild=rng.random() < 0.5)
                library["cluster"] += 1
            for at, tab in enumerate(tabs):
                wait_for(tab, f"window.finished === {seed * 1_000_003 + 2 * round_number + at}", 120)
            compared += 1
            differed += [f"round {round_number}: {what}" for what in compare(directory, tabs)]
            done = sum(sum(tab.evaluate("window.counts").values()) for tab in tabs)
            if round_number % 10 == 0:
                say(
                    f"    {done} decisions, {len(differed)} differences, {len(errors)} errors,"
                    f" {time.monotonic() - started:.0f} s"
                )
            if len(differed) > 20:
                break
        lost = lost_decisions(directory, tabs)
        counts: Counter[str] = Counter()
        problems: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for tab in tabs:
            counts.update(tab.evaluate("window.counts"))
            for kind, message in tab.evaluate("window.problems"):
                problems[kind] += 1
                examples.setdefault(
                    " ".join(word for word in message.split() if not word.strip(".").isdigit())[:60], message
                )
        context.close()
    with FaceIndex.open(directory) as index:
        journal = index.people.count_decisions()
    health = FaceIndex.doctor(directory)
    return {
        "decisions": done, "by_verb": dict(counts), "library": dict(library), "commands": dict(commands),
        "problems": dict(problems),
        "problem_examples": [*examples.values()][:40], "compared": compared,
        "differed": differed, "page_errors": errors, "lost": lost,
        "journal": journal, "doctor": [str(problem) for problem in health.problems],
        "seconds": round(time.monotonic() - started), "load": load(),
    }  # fmt: skip


def _writing(directory: Path, work: Callable[[FaceIndex], str]) -> str:
    """Open the index for writing as soon as the server does not write, and work with it."""
    while True:
        with suppress(IndexLocked), FaceIndex.open(directory, write=True) as index:
            return work(index)
        time.sleep(0.01)


def _cluster(directory: Path, *, rebuild: bool) -> None:
    def work(index: FaceIndex) -> str:
        index.cluster(rebuild=rebuild)
        return "cluster"

    _writing(directory, work)


def _decide(directory: Path, rng: random.Random, names: list[str]) -> str:
    """Make a decision by the library, as the command line does; return which."""

    def work(index: FaceIndex) -> str:
        faces = [int(face) for face in rng.sample(index.album.load().face.tolist(), 2)]
        verb = rng.choice(["name", "ignore", "reject", "undo", "name"])
        try:
            if verb == "name":
                index.people.name(rng.choice(names), faces=faces)
            elif verb == "ignore":
                index.people.ignore(faces=faces[:1])
            elif verb == "reject":
                index.people.reject(faces[:1])
            else:
                index.people.undo()
        except UsageError:  # such as: there is nothing to undo
            return "refused"
        return verb

    return _writing(directory, work)


def _command(directory: Path, rng: random.Random, names: list[str]) -> str:
    """Make a decision by a command; return which, and what became of it.

    It waits for the lock as the command does by itself.
    """
    with FaceIndex.open(directory) as index:
        faces = [f"f{face}" for face in rng.sample(index.album.load().face.tolist(), 2)]
    verb = rng.choice(["name", "name", "ignore", "reject", "undo"])
    words = {"name": [*faces, rng.choice(names)], "ignore": faces[:1], "reject": faces[:1], "undo": []}[verb]
    ended = subprocess.run(
        [sys.executable, "-m", "faceindex", "people", verb, *words, "--index", str(directory), "--quiet"],
        env={**os.environ, "PYTHONPATH": CODE}, capture_output=True, text=True,
    )  # fmt: skip
    if ended.returncode not in (0, 1, 2) or "Traceback" in ended.stderr:
        raise SystemExit(f"`faceindex people {verb}` failed: {ended.stderr}")
    if ended.returncode == 2:
        return "busy" if "another process" in ended.stderr.lower() else "refused"
    return verb


def lost_decisions(directory: Path, tabs: list[Any]) -> list[str]:
    """Return the ids of decisions that the server answered, but that are not in the journal."""
    with FaceIndex.open(directory) as index:
        stored = [id for tab in tabs for id in tab.evaluate("window.stored")]
        if not stored:
            raise SystemExit("The pages have stored no decision.")
        return [id for id in stored if index.people.made(id) is None]


def compare(directory: Path, tabs: list[Any]) -> list[str]:
    """Return how the pages and the library differ, after the pages have seen the newest commit."""
    with FaceIndex.open(directory) as index:
        state = index.album.load()
        listed = {person.id: (person.name, person.faces) for person in index.people.list()}
    expected = {
        "face": state.face.tolist(),
        "cluster": state.cluster.tolist(),
        "person": state.person.tolist(),
        "label": state.label.tolist(),
        "similarity": quantised(state.similarity).tolist(),
        "decision": state.decision,
        "undo": state.undo,
        "undo_number": state.undo_number,
        "unsaved": 0,
    }
    found = []
    for at, tab in enumerate(tabs):
        try:
            wait_for(tab, f"window.app.album.generation >= {state.generation}", 20)
        except SystemExit:
            found.append(f"page {at} has not seen generation {state.generation}")
            continue
        shown = tab.evaluate(_ALBUM)
        for name, value in expected.items():
            if shown[name] != value:
                where = ""
                if isinstance(value, list):
                    wrong = [i for i, (a, b) in enumerate(zip(shown[name], value, strict=False)) if a != b]
                    pairs = [(i, shown[name][i], value[i]) for i in wrong[:5]]
                    where = f": (position, the page, the index) {pairs}"
                else:
                    where = f": {shown[name]!r}, the index {value!r}"
                found.append(
                    f"page {at}, generation {shown['generation']} ({state.generation}): {name}{where}"
                )
        if sorted(shown["people"], key=lambda p: p["id"]) != sorted(
            people_as_dicts(state.people), key=lambda p: p["id"]
        ):
            found.append(f"page {at}: people")
        if dict(map(tuple, shown["cluster_person"])) != state.cluster_person:
            found.append(f"page {at}: people of clusters")
        for id, (name, faces) in listed.items():
            if shown["sizes"].get(f"p{id}", 0) != faces:
                found.append(
                    f"page {at}: {name} has {shown['sizes'].get(f'p{id}', 0)} faces, the index {faces}"
                )
    return found
