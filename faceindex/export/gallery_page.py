"""The page of a gallery: one HTML file that contains its style, its script and its data.

The data is in the page because a page that is opened from disk may not read other files. The
content-security policy (W3C, CSP level 3) allows only this script and this style, by their hashes, and
pictures from disk: no network, no plug-ins and no other script, even if the name of a photo contains
one. The script inserts names only as text; browsers that support ``require-trusted-types-for`` enforce
this.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template

from faceindex.documents import Json

__all__ = ["page"]

_SCRIPTS = ("data.js", "grid.js", "viewer.js", "gallery.js")


def page(document: Mapping[str, Json]) -> bytes:
    """Make the HTML of a gallery.

    Parameters
    ----------
    document : mapping
        From `faceindex.export.gallery_data.document`; ``assets/data.js`` reads it.

    Returns
    -------
    bytes
        UTF-8. Names of photos are escaped to ASCII.
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
    """Serialise to JSON that cannot end the HTML element that contains it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    # The hashes depend on the line ends, which a checkout on Windows may have changed.
    text = (files("faceindex.export") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")
