"""The page of a gallery: one HTML file with its style, its script and its data in it.

Data comes inside the page because a page that is opened from disk may not read other files. The
content-security policy (W3C, CSP level 3) allows this one script and this one style, by their hashes,
pictures from disk, and nothing else: no network, no plug-ins, no other scripts, whatever a photo is
called. Text enters the page as text only, which ``require-trusted-types-for`` enforces where browsers
know it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import TypeAlias

__all__ = ["Json", "page"]

Json: TypeAlias = "str | int | float | bool | list[Json] | Mapping[str, Json] | None"

_SCRIPTS = ("data.js", "grid.js", "viewer.js", "gallery.js")


def page(document: Mapping[str, Json]) -> bytes:
    """The HTML of a gallery.

    Parameters
    ----------
    document : mapping
        What `faceindex.export.gallery_data.document` gives; read by ``assets/data.js``.

    Returns
    -------
    bytes
        UTF-8; in fact ASCII wherever a photo is named.
    """
    style = _asset("gallery.css")
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    filled = Template(_asset("gallery.html")).substitute(
        policy=policy, style=style, script=script, data=_for_html(document)
    )
    return filled.encode()


def _for_html(document: Mapping[str, Json]) -> str:
    """JSON that cannot end the element that it is in."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    # Line ends decide the hashes, and a checkout on Windows may have changed them.
    text = (files("faceindex.export") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")
