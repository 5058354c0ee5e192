"""Make the page: one HTML document that contains its style, its script and its configuration.

A page that is opened from disk may not read other files, so everything is in one file. The content-security
policy (W3C, CSP level 3) allows only this script and this style, by their hashes: no plug-ins and no other
script, even if the name of a photo contains one. The script inserts names only as text; browsers that support
``require-trusted-types-for`` enforce this.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.documents import Json

__all__ = ["EARLY", "SCRIPTS", "STYLES", "live_page", "static_page"]

EARLY = "early.js"
"""A script of its own at the head of a live page, before all that is large."""

SCRIPTS = (
    "words.js",
    "dom.js",
    "bundle.js",
    "album.js",
    "effects.js",
    "live.js",
    "journal.js",
    "decisions.js",
    "saving.js",
    "static.js",
    "actions.js",
    "router.js",
    "keys.js",
    "names.js",
    "grid.js",
    "gestures.js",
    "selection.js",
    "split.js",
    "merging.js",
    "groups.js",
    "people.js",
    "timeline.js",
    "asked.js",
    "tiles.js",
    "about.js",
    "facetools.js",
    "faces.js",
    "print.js",
    "questions.js",
    "zoom.js",
    "stage.js",
    "onphoto.js",
    "why.js",
    "handbox.js",
    "photo.js",
    "viewer.js",
    "query.js",
    "search.js",
    "searchbox.js",
    "drop.js",
    "main.js",
)
"""The parts of the script, in their order. They share one scope."""

STYLES = ("page.css", "people.css", "questions.css", "photo.css", "gallery.css", "print.css")
"""The parts of the style, in their order."""

_POLICY = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


def live_page(config: Mapping[str, Json]) -> tuple[bytes, str]:
    """Make the page that a server serves.

    Parameters
    ----------
    config : mapping
        ``mode`` is ``"live"``; `faceindex.review` has the other keys.

    Returns
    -------
    (bytes, str)
        UTF-8, and the content-security policy for its header.
    """
    return _page(
        config,
        {"img-src": "'self' blob: data:", "connect-src": "'self'"},
        header_only={"frame-ancestors": "'none'"},
        early=_asset(EARLY),
    )


def static_page(config: Mapping[str, Json]) -> bytes:
    """Make the page that is opened from disk; as `live_page`, with ``mode`` ``"static"``."""
    return _page(config, {"img-src": "'self' file: data:"}, header_only={})[0]


def _page(
    config: Mapping[str, Json],
    sources: Mapping[str, str],
    header_only: Mapping[str, str],
    early: str | None = None,
) -> tuple[bytes, str]:
    style = "\n".join(_asset(name) for name in STYLES)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    scripts = [script] if early is None else [early, script]
    hashes = {
        "script-src": " ".join(f"'{_hash(one)}'" for one in scripts),
        "style-src": f"'{_hash(style)}'",
    }
    document = f'<script type="application/json" id="config">{_for_html(config)}</script>\n'
    # The early script reads the configuration. That of a gallery is large: it comes last.
    head, end = ("", document) if early is None else (f"{document}<script>{early}</script>\n", "")
    policy = {**_POLICY, **hashes, **sources}
    filled = Template(_asset("page.html")).substitute(
        policy=_written(policy), early=head, style=style, late=end, script=script
    )
    return filled.encode(), _written({**policy, **header_only})


def _written(policy: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def _for_html(document: Mapping[str, Json]) -> str:
    """Serialise to JSON that cannot end the HTML element that contains it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    # The hashes depend on the line ends, which a checkout on Windows may have changed.
    text = (files("faceindex.page") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")
