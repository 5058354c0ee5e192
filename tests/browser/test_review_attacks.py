"""Every kind of request that a page can make, from three origins of an attacker who has even the address."""

# ruff: noqa: E501 - scripts for the page

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
from review_client import elsewhere, serving

from faceindex import FaceIndex

_NAME = "evil.test"  # resolves to 127.0.0.1 in the browser of these tests, as after DNS rebinding
_ATTACK = """<!doctype html><meta charset="utf-8"><title>attack</title><iframe name="sink"></iframe><script>
const leaks = [];
const messages = [];
addEventListener("message", (event) => messages.push(event.data));
const soon = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
/** How an element ends that loads an address. */
const ending = (tag, attribute, url) => Promise.race([soon(1500).then(() => "waits"), new Promise((done) => {
  const element = document.createElement(tag);
  if (tag === "link") element.rel = attribute === "href" ? "stylesheet" : attribute;
  element.onload = element.onloadeddata = () => done("load");
  element.onerror = () => done("error");
  element[tag === "object" ? "data" : tag === "link" ? "href" : "src"] = url;
  document.body.append(element);
})]);
async function fetched(what, url, options) {
  try {
    const answer = await fetch(url, options);
    if (answer.type !== "opaque") leaks.push([what, answer.type, answer.status]);
  } catch {}
}
async function attack(target, act) {
  const body = JSON.stringify(act);
  const work = [];
  for (const path of ["", "api/album", "api/changes?since=0", "photo?id=1&side=64", "thumbnails?faces=1"]) {
    for (const mode of ["cors", "no-cors", "same-origin"]) {
      for (const cache of ["default", "force-cache"]) work.push(fetched(`${mode} ${path}`, target + path, { mode, cache, credentials: "include" }));
    }
  }
  for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"]) {
    for (const mode of ["cors", "no-cors"]) {
      work.push(fetched(`post ${type}`, target + "api/act", { method: "POST", mode, credentials: "include", body, headers: { "content-type": type } }));
    }
  }
  for (const method of ["PUT", "DELETE", "PATCH"]) work.push(fetched(method, target + "api/act", { method, credentials: "include", body }));
  work.push(fetched("header", target + "api/album", { credentials: "include", headers: { "faceindex-page": "0".repeat(32) } }));
  await Promise.all(work);
  navigator.sendBeacon(target + "api/act", body);
  // Whether a photo or face exists must not show in how its picture ends.
  for (const [tag, attribute] of [["img", "src"], ["script", "src"], ["link", "href"], ["link", "prefetch"], ["iframe", "src"],
    ["object", "data"], ["embed", "src"], ["video", "src"], ["audio", "src"]]) {
    const ends = await Promise.all(["photo?id=1&side=64", "photo?id=999&side=64", "thumbnails?faces=1", "thumbnails?faces=999"]
      .map((path) => ending(tag, attribute, target + path)));
    if (new Set(ends).size > 1 || (["img", "script", "video", "audio"].includes(tag) && ends.includes("load"))) leaks.push([tag, attribute, ends]);
  }
  const events = new EventSource(target + "api/changes?since=0&wait=1", { withCredentials: true });
  events.onopen = events.onmessage = () => leaks.push(["events"]);
  const socket = new WebSocket(target.replace("http", "ws") + "api/changes");
  socket.onopen = socket.onmessage = () => leaks.push(["socket"]);
  for (const method of ["get", "post"]) {
    const form = document.createElement("form");
    Object.assign(form, { method, action: target + "api/act", target: "sink", enctype: "text/plain" });
    const field = document.createElement("input");
    Object.assign(field, { name: body.slice(0, -1) + ', "x": "', value: '"}' });
    form.append(field);
    document.body.append(form);
    form.submit();
    await soon(50);
  }
  const popup = open(target);
  const isBlank = () => { try { return popup.location.href === "about:blank"; } catch { return false; } };
  for (let i = 0; i < 100 && popup && !popup.closed && isBlank(); i++) await soon(50); // what it shows before it has anything
  for (let i = 0; i < 5; i++) {
    await soon(60);
    popup?.postMessage({ type: "hello" }, "*");
  }
  try { if (popup && !popup.closed) leaks.push(["popup", popup.document.title]); } catch {}
  events.close();
  for (const entry of performance.getEntriesByType("resource")) {
    if (entry.name.startsWith(target) && (entry.transferSize || entry.encodedBodySize || entry.responseStart)) leaks.push(["timing", entry.name]);
  }
  return [leaks, messages];
}
</script>"""


@pytest.fixture(scope="module")
def rebound(launch: Callable[..., Any]) -> Iterator[Any]:
    """A browser in which a name of the attacker leads to this machine."""
    started = launch(f"--host-resolver-rules=MAP {_NAME} 127.0.0.1")
    yield started
    started.close()


def test_no_kind_of_request_reads_or_changes_anything(
    rebound: Any, tmp_path: Path, fake_models: object
) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(fakes.make_album(tmp_path / "album", people=2, photos=2))
        index.cluster()
    requests: list[tuple[Any, ...]] = []
    with serving(tmp_path / "index", on_request=lambda *request: requests.append(request)) as review:
        context = rebound.new_context()
        page = context.new_page()
        page.goto(review.address)
        page.wait_for_selector(".card")
        path = page.url.removeprefix(f"http://127.0.0.1:{review.port}")
        page.goto("about:blank")  # its pictures were loaded: a cache could show them
        page.wait_for_timeout(200)  # what it asked for last is given up
        requests.clear()
        with elsewhere(_ATTACK) as port:
            for attacker, target in [
                ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("localhost", "localhost"), (_NAME, "127.0.0.1"), (_NAME, _NAME),
            ]:  # fmt: skip
                act = {
                    "id": f"{len(requests):032x}",
                    "seen": 10**6,
                    "do": "name",
                    "name": "Mallory",
                    "faces": [1],
                }
                tab = context.new_page()
                tab.goto(f"http://{attacker}:{port}/")
                found = tab.evaluate(
                    "([target, act]) => attack(target, act)", [f"http://{target}:{review.port}{path}", act]
                )
                assert found == [[], []], (attacker, target)
                tab.close()
        # The user opens the page by itself while no attacker does: nothing else is let in.
        shown = {(path, status) for _, path, status, _ in requests if path != "?"}
        assert len([path for _, path, _, _ in requests if path == "?"]) > 200
        assert {status for _, path, status, _ in requests if path == "?"} <= {403, 404, 421}
        assert shown == set(), shown
        context.close()
        # After DNS rebinding, the attacker's page and the server have one origin.
        context = rebound.new_context(bypass_csp=True)
        page = context.new_page()
        for door in (path, "/?token=" + review.address.rpartition("=")[2]):
            assert page.goto(f"http://{_NAME}:{review.port}{door}").status == 421
        read = "(path) => Promise.all(['', 'api/album', 'photo?id=1'].map((it) => fetch(path + it).then((answer) => answer.status)))"
        assert page.evaluate(read, path) == [421, 421, 421]
        context.close()
    with FaceIndex.open(tmp_path / "index") as index:
        assert index.people.count_decisions() == 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_no_command_line_has_the_token(tmp_path: Path, fake_models: object) -> None:
    """Users of the machine see the command lines of all processes, and of the browser that the command starts."""
    import subprocess

    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(fakes.make_album(tmp_path / "album", people=1, photos=1))
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import time; time.sleep(60)' \"$@\"\n")
    opener.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{opener.parent}{os.pathsep}{os.environ['PATH']}", "DISPLAY": ":0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    command = [sys.executable, "-m", "faceindex", "review", "--index", str(tmp_path / "index")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    started: list[tuple[int, str]] = []
    try:
        assert process.stdout is not None
        token = process.stdout.readline().strip().rpartition("=")[2]
        assert len(token) >= 32
        for _ in range(200):
            started = [it for it in _command_lines() if ".review-" in it[1]]
            if started:
                break
            time.sleep(0.05)
        assert started, "no browser was started"
        assert [line for _, line in _command_lines() if token in line] == []
        environments = [Path(f"/proc/{pid}/environ") for pid, _ in started]
        assert not any(token.encode() in path.read_bytes() for path in environments)
    finally:
        process.terminate()
        process.communicate()
        for pid, _ in started:
            os.kill(pid, 15)


def _command_lines() -> list[tuple[int, str]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(
                (int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            )
        except OSError:  # noqa: PERF203 - a process that has ended
            continue
    return found
