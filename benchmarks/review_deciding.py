"""Decisions by the server of the page: how soon they are answered, and what kills of the server lose."""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from review_places import Server, cpu_seconds, fill_cache, load, memory_mib

from faceindex import FaceIndex

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from review_client import Answer, Browser

__all__ = ["answers", "kills", "memory"]

SIZES = (2_800, 1_000, 100, 2)


def _clusters(directory: Path) -> dict[int, int]:
    """Return the faces of each cluster that has no person."""
    with FaceIndex.open(directory) as index:
        state = index.album.load()
    ids, counts = np.unique(state.cluster[state.cluster >= 0], return_counts=True)
    return {
        id: n for id, n in zip(ids.tolist(), counts.tolist(), strict=True) if id not in state.cluster_person
    }


def _browser(server: Server) -> Browser:
    browser = Browser(server.address)
    assert browser._connection.sock is not None
    browser._connection.timeout = 600  # a large index on a busy machine
    browser._connection.sock.settimeout(600)
    return browser


def _until_ready(browser: Browser, seen: int) -> tuple[float, dict[str, Any]]:
    """Ask for questions until they are as of a generation; return the seconds."""
    started = time.perf_counter()
    while True:
        document = browser.get(f"api/questions?limit=5&seen={seen}").document
        if document["state"] != "preparing":
            return time.perf_counter() - started, document


def answers(directory: Path, runs: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Name clusters of about these sizes, and undo that, each `runs` times; the page wants questions.

    The time of an answer is that from the request to the answer, which has what changed around it. *next* is
    the time from the answer until the next questions are as of it.
    """
    free = _clusters(directory)
    results: dict[str, Any] = {"sizes": {}}
    with Server(directory) as server:
        browser = _browser(server)
        results["first_questions_s"], first = _until_ready(browser, 0)
        results["state"] = first["state"]
        seen = browser.generation()

        def decide(do: str, **fields: Any) -> tuple[dict[str, float], dict[str, Any]]:
            nonlocal seen
            before, started = cpu_seconds(server.pid), time.perf_counter()
            answer = browser.act(do, seen, **fields)
            spent = time.perf_counter() - started
            if answer.status != 200:
                raise SystemExit(f"{do} was refused: {answer.document}")
            seen = answer.document["changes"]["generation"]
            cpu = cpu_seconds(server.pid) - before
            following, _ = _until_ready(browser, seen)
            row = {
                "answer_s": spent,
                "answer_cpu_s": cpu,
                "next_s": following,
                "bytes": len(answer.body),
                "load": load(),
            }
            return {name: round(value, 3) for name, value in row.items()}, answer.document

        for size in sizes:
            cluster = min(free, key=lambda id: abs(free[id] - size))
            rows: dict[str, list[dict[str, float]]] = {"name": [], "undo": []}
            for run in range(runs):
                row, document = decide("name", name=f"Somebody {size} {run}", faces=[], clusters=[cluster])
                rows["name"].append(row)
                rows["undo"].append(decide("undo", number=document["decided"]["number"])[0])
            results["sizes"][size] = {
                "faces": free[cluster],
                **{
                    f"{verb}_{name}": [of(row[name] for row in rows[verb]) for of in (median, min, max)]
                    for verb in rows
                    for name in ("answer_s", "next_s", "answer_cpu_s")
                },
                "runs": rows,
            }  # fmt: skip
        browser.close()
    return results


# Memory ------------------------------------------------------------------------------------------

_PAGES, _PAGE = 200, 128  # thumbnails
_LOOK = 0.05  # seconds between two looks at the memory


class _Watch(threading.Thread):
    """Looks at the memory of a process all the time; `most` is the look with the most beside the vectors."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended = pid, threading.Event()
        self.most = memory_mib(pid)

    def run(self) -> None:
        while not self._ended.wait(_LOOK):
            self.most = max(self.most, memory_mib(self._pid), key=lambda row: float(row["beside_vectors"]))

    def end(self) -> dict[str, Any]:
        self._ended.set()
        self.join()
        return self.most


def memory(directory: Path, pages: int = _PAGES) -> dict[str, Any]:
    """Return the memory of the server in MiB: after each step of a page, and once a photo was dropped in.

    ``beside_vectors`` is what counts: resident, without the memory map of the vectors. "at any moment" has
    the most of it, until the photo. A twentieth of the thumbnails are not in the cache.
    """
    with FaceIndex.open(directory) as index:
        wanted = index.album.load().face[: pages * _PAGE].tolist()
    fill_cache(directory, wanted[: len(wanted) * 19 // 20])
    found: dict[str, Any] = {}
    with Server(directory) as server:
        found["at the start"] = memory_mib(server.pid)
        watch = _Watch(server.pid)
        watch.start()
        browser = _browser(server)
        seen = browser.generation()
        for first in range(0, 3 * _PAGE, _PAGE):
            browser.get("thumbnails?faces=" + ",".join(map(str, wanted[first : first + _PAGE])))
        found["first screen"] = memory_mib(server.pid)
        _until_ready(browser, seen)
        found["questions ready"] = memory_mib(server.pid)
        pictures = 0
        for first in range(0, len(wanted), _PAGE):
            body = browser.get("thumbnails?faces=" + ",".join(map(str, wanted[first : first + _PAGE]))).body
            pictures += len(body) > 50 * _PAGE
        found[f"{pages} requests for thumbnails"] = memory_mib(server.pid) | {
            "answered_with_pictures": pictures
        }
        for number in range(10):
            answer = browser.act("name", seen, name=f"Person {number}", faces=[wanted[number]], clusters=[])
            seen = answer.document["changes"]["generation"]
        _until_ready(browser, seen)
        found["10 decisions"] = memory_mib(server.pid)
        found["at any moment"] = watch.end()
        picture = directory.parent / "contents" / "0.jpg"
        if picture.exists():
            answer = browser.post("api/identify", picture.read_bytes(), "application/octet-stream")
            found["a photo was dropped in"] = memory_mib(server.pid) | {"status": answer.status}
        browser.close()
    return found


# Kills -------------------------------------------------------------------------------------------


class _Client(threading.Thread):
    """Makes decisions one after the other, each about faces of its own, until the server is gone."""

    def __init__(self, browser: Browser, rng: random.Random, faces: list[int], seen: int) -> None:
        super().__init__()
        self._browser, self._rng, self._faces, self._seen = browser, rng, faces, seen
        self.sent: list[dict[str, Any]] = []
        self.answered: dict[str, Any] = {}
        self.refused: Counter[int] = Counter()

    def run(self) -> None:
        while self._faces:
            face, rng = self._faces.pop(), self._rng
            action: dict[str, Any] = {"do": "ignore", "faces": [face], "clusters": []}
            if rng.random() < 0.6:
                action = {
                    "do": "name",
                    "name": f"Person {rng.randrange(30)}",
                    "faces": [face],
                    "clusters": [],
                }
            action |= {"id": uuid.uuid4().hex, "seen": self._seen}
            self.sent.append(action)
            try:
                answer = post(self._browser, action)
            except (OSError, HTTPException, ValueError):
                return  # the server is gone
            if answer.status != 200:
                self.refused[answer.status] += 1
                continue
            self.answered[action["id"]] = answer.document["decided"]


def post(browser: Browser, action: dict[str, Any]) -> Answer:
    return browser.post("api/act", json.dumps(action).encode())


def kills(
    directory: Path, number: int, seed: int = 0, *, clients: int = 3, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Kill the server `number` times while several requests decide; look at the index after each.

    After each kill, every decision that was answered must be in the journal; the index must be whole; every
    decision of that round, sent again to the next server, must be in the journal once, with its first answer.
    """
    rng = random.Random(seed)
    prepared = directory.with_name("prepared")
    shutil.copytree(directory, prepared)
    count: Counter[str] = Counter()
    faults: list[str] = []
    again: list[_Client] = []
    started = time.monotonic()
    while count["kills"] < number or again:
        with FaceIndex.open(directory) as index:
            state = index.album.load()
            free = state.face[state.label == 0].tolist()
        if len(free) < 200:  # nearly all is decided: from the beginning
            shutil.rmtree(directory)
            shutil.copytree(prepared, directory)
            again = []
            continue
        rng.shuffle(free)
        with Server(directory) as server:
            browsers = [Browser(server.address) for _ in range(clients)]
            for client in again:
                _send_again(browsers[0], client, count, faults)
            again = []
            if count["kills"] >= number:
                break
            seen = browsers[0].generation()
            working = [
                _Client(browser, random.Random(rng.random()), free[at::clients], seen)
                for at, browser in enumerate(browsers)
            ]
            for client in working:
                client.start()
            # After at least one answer, or before the first one.
            if number < 10 or rng.random() < 0.8:
                while not any(client.answered for client in working) and any(c.is_alive() for c in working):
                    time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.3))
            server.kill()
            for client in working:
                client.join()
            for browser in browsers:
                browser.close()
        count["kills"] += 1
        _look(directory, working, count, faults)
        again = working
        if count["kills"] % 10 == 0:
            say(
                f"    {count['kills']} kills, {count['answered']} answered, {len(faults)} faults,"
                f" {time.monotonic() - started:.0f} s"
            )
    faults += [f"doctor: {problem}" for problem in FaceIndex.doctor(directory).problems]
    return {**count, "faults": faults, "clients": clients}


def _look(directory: Path, clients: list[_Client], count: Counter[str], faults: list[str]) -> None:
    """Look for the decisions of a round in the journal of an index whose server was killed."""
    with FaceIndex.open(directory, write=True) as index:  # also deletes what is not finished
        state = index.album.load()
        for client in clients:
            for action in client.sent:
                made = index.people.made(action["id"])
                answered = client.answered.get(action["id"])
                count["sent"] += 1
                if action["id"] in client.answered:
                    count["answered"] += 1
                    if answered is not None and answered["number"] is None:
                        count["said nothing new"] += 1
                    elif made is None or answered is None or made.as_dict() != answered:
                        count["lost"] += 1
                        faults.append(
                            f"kill {count['kills']}: {action} was answered with {answered};"
                            f" the journal has {made}"
                        )
                    else:
                        at = int(state.positions(action["faces"])[0])
                        expected = 2 if action["do"] == "name" else 3
                        if int(state.label[at]) != expected:
                            faults.append(
                                f"kill {count['kills']}: {action} is in the journal, but"
                                f" face {at} is {state.label[at]}"
                            )
                elif made is not None:
                    count["stored, not answered"] += 1
                else:
                    count["neither"] += 1
            for status, refused in client.refused.items():
                count[f"refused with {status}"] += refused


def _send_again(browser: Browser, client: _Client, count: Counter[str], faults: list[str]) -> None:
    """Send each decision again, as the page does; it must not be made twice."""
    before = browser.album()["decision"]
    new = 0
    for action in client.sent:
        answer = post(browser, action)
        count["sent again"] += 1
        known = client.answered.get(action["id"])
        if answer.status != 200:
            # Nothing of the index is refused for a page that shows an older state of another face.
            if known is not None or answer.status != 409:
                faults.append(f"sent again: {action}: {answer.status} {answer.document}")
            count[f"sent again, {answer.status}"] += 1
            continue
        decided = answer.document["decided"]
        if known is not None and known["number"] is not None and decided != known:
            faults.append(f"sent again: {action}: {decided} after {known}")
        if decided["number"] is not None and decided["number"] > before:
            new += 1
            if known is not None and known["number"] is not None:
                faults.append(f"sent again: {action} was made twice")
    count["made when sent again"] += new
