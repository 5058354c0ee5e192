from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

import faceindex.page
from faceindex.page.build import EARLY, SCRIPTS, STYLES, live_page, static_page

ASSETS = Path(faceindex.page.__file__).parent / "assets"


def policy_of(html: str) -> dict[str, str]:
    content = re.search(r'http-equiv="content-security-policy" content="([^"]+)"', html)
    assert content is not None
    return dict(part.split(" ", 1) for part in content[1].split("; "))


def parts(html: str, tag: str) -> list[str]:
    return re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("mode", ["live", "static"])
def test_the_policy_allows_only_the_script_and_the_style_of_the_page(mode: str) -> None:
    html = (live_page({"mode": mode})[0] if mode == "live" else static_page({"mode": mode})).decode()
    policy = policy_of(html)
    assert policy["default-src"] == "'none'"
    scripts = parts(html, "script")
    assert len(scripts) == (2 if mode == "live" else 1)
    assert policy["script-src"] == " ".join(map(hashed, scripts))
    (style,) = parts(html, "style")
    assert policy["style-src"] == hashed(style)
    assert policy["require-trusted-types-for"] == "'script'"
    assert "connect-src" in policy if mode == "live" else "connect-src" not in policy


def test_the_header_also_forbids_frames() -> None:
    html, header = live_page({"mode": "live"})
    policy = dict(part.split(" ", 1) for part in header.split("; "))
    assert policy.pop("frame-ancestors") == "'none'"  # ignored in the document
    assert policy == policy_of(html.decode())


def test_the_configuration_cannot_end_its_element() -> None:
    name = "</script><script>alert(1)</script><!-- \u2028 \udc80"
    html = live_page({"mode": "live", "index": name})[0].decode()
    assert html.count("</script>") == 3
    assert static_page({"mode": "static", "index": name}).decode().count("</script>") == 2
    assert "alert(1)</script>" not in html


def test_every_file_of_the_page_is_in_it() -> None:
    known = {EARLY, *SCRIPTS, *STYLES, "page.html"}
    assert {path.name for path in ASSETS.iterdir()} == known


def test_no_part_of_the_script_makes_markup_or_code_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org/2000/svg\b)"
    )
    for name in (EARLY, *SCRIPTS):
        text = (ASSETS / name).read_text()
        assert not forbidden.search(text), name


def test_english_texts_are_in_one_file() -> None:
    """Texts of two words or more, outside of comments, are in words.js."""
    sentence = re.compile(r'"[A-Z][a-z]+ [a-z]+[^"]*"|`[A-Z][a-z]+ [a-z]+[^`]*`')
    for name in (EARLY, *SCRIPTS):
        if name == "words.js":
            continue
        code = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", (ASSETS / name).read_text(), flags=re.DOTALL)
        assert sentence.findall(code) == [], name


def test_a_live_page_asks_for_the_album_before_all_that_is_large() -> None:
    html = live_page({"mode": "live"})[0].decode()
    early = parts(html, "script")[0]
    assert html.index('id="config"') < html.index(early) < html.index("<style>")
    assert len(html[: html.index("<style>")].encode()) < 8_000
    gallery = static_page({"mode": "static"}).decode()
    assert early not in gallery
    assert gallery.index('id="config"') > gallery.index("<style>")  # it holds the album
