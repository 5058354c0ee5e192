"""A page of another port in the same browser, which knows even the address of the page but not its secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakes
from review_client import elsewhere, serving

from faceindex import FaceIndex

_ATTACK = """<!doctype html><meta charset="utf-8"><title>attack</title>
<iframe id="frame" src="TARGET"></iframe>
<iframe name="sink"></iframe>
<form id="form" method="post" enctype="text/plain" target="sink" action="TARGETapi/act">
<input name='ACT' value='"}'></form>
<script>
const results = [];
const tried = (what, promise) => promise.then(
  (value) => results.push([what, String(value)]), () => results.push([what, "refused"]));
const load = (tag, url) => new Promise((resolve, reject) => {
  const element = document.createElement(tag);
  element.onload = () => resolve("loaded"); element.onerror = () => reject();
  element[tag === "link" ? "href" : "src"] = url;
  if (tag === "link") element.rel = "stylesheet";
  document.body.append(element);
});
const body = JSON.stringify(DECISION);
window.attack = async () => {
  const read = async (options) => {
    const answer = await fetch("TARGETapi/album", options);
    return answer.type === "opaque" ? Promise.reject() : answer.text();
  };
  await tried("read", read({ credentials: "include" }));
  await tried("read without cors", read({ credentials: "include", mode: "no-cors" }));
  await tried("read the page", fetch("TARGET", { credentials: "include" }).then((a) => a.text()));
  await tried("image", load("img", "TARGETphoto?id=1"));
  await tried("script", load("script", "TARGETapi/album"));
  await tried("style", load("link", "TARGET"));
  await tried("beacon", Promise.resolve(navigator.sendBeacon("TARGETapi/act", body)));
  for (const type of ["text/plain", "application/json"]) {
    await tried(`post ${type}`, fetch("TARGETapi/act", {
      method: "POST", credentials: "include", body, mode: type === "text/plain" ? "no-cors" : "cors",
      headers: { "content-type": type } }).then((a) => a.type === "opaque" ? "sent" : a.text()));
  }
  document.getElementById("form").submit();
  const popup = window.open("TARGET");
  await new Promise((done) => setTimeout(done, 300));
  let seen = "refused";
  try { seen = popup.document.title } catch {}
  results.push(["popup", popup === null || popup.closed ? "refused" : seen]);
  let framed = "refused";
  try { framed = document.getElementById("frame").contentDocument?.title ?? "refused" } catch {}
  results.push(["frame", framed]);
  return results;
};
</script>"""


def test_another_page_of_this_browser_reads_and_changes_nothing(
    browser: Any, tmp_path: Path, fake_models: object
) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(fakes.make_album(tmp_path / "album", people=2, photos=2))
        index.cluster()
    requests: list[tuple[Any, ...]] = []
    with serving(tmp_path / "index", on_request=lambda *request: requests.append(request)) as review:
        context = browser.new_context()
        page = context.new_page()
        page.goto(review.write_redirect().as_uri())  # as the command opens it
        page.wait_for_url("http://127.0.0.1:*/*/")
        address = page.url
        assert [path.name for path in (tmp_path / "index").glob(".review-*")] == []
        act = {"id": "0" * 32, "seen": 10**6, "do": "name", "name": "Mallory", "faces": [1]}
        # A form that is sent as text looks like this document.
        form = json.dumps(act)[:-1].replace('"', "&quot;") + ", &quot;x&quot;: &quot;"
        text = _ATTACK.replace("'ACT'", f'"{form}"').replace("DECISION", json.dumps(act))
        requests.clear()
        with elsewhere(text.replace("TARGET", address)) as port:
            attacker = context.new_page()
            # The same site for cookies, which is worse than "localhost", another one.
            attacker.goto(f"http://127.0.0.1:{port}/")
            results = attacker.evaluate("attack()")
            assert len(results) == 11
            answers = {what for what, result in results if result != "refused"}
            # Sent is not answered: these say only that the browser took the request.
            assert answers <= {"beacon", "post text/plain"}, results
            attacker.close()
        refused = [status for _, path, status, _ in requests if path == "?"]
        assert len(refused) > 5, "hardly anything of the attack arrived"
        assert set(refused) == {403}
        # The user's own page went on meanwhile; nothing else was admitted.
        own = {"/api/album", "/api/changes", "/api/questions", "/thumbnails"}
        assert {path for _, path, _, _ in requests if path != "?"} <= own
        assert {method for method, path, _, _ in requests if path != "?"} <= {"GET"}
        page.reload()  # the user's own page still works
        assert page.url == address
        context.close()
    with FaceIndex.open(tmp_path / "index") as index:
        assert index.people.count_decisions() == 0
