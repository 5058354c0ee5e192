"""The server of the page for one index, on this machine only. It uses the API, and no other room but `page`.

`Review` is the server. Its parts, from the outside in: `guard` refuses every request that is not the page's
own, `routes` answers the rest, and `threads` holds the indexes that the answers come from, each used by one
thread: `album` (what the page shows), `decisions` (what it decides), `questions`, `pictures`, `identifying`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.review.server import Review

__all__ = ["Review"]


def __getattr__(name: str) -> object:
    if name == "Review":
        from faceindex.review import server

        return server.Review
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
