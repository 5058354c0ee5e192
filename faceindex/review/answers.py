"""Answers that are not pictures: JSON documents, and refusals as exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from faceindex.documents import Json

__all__ = ["BUSY", "CONFLICT", "Refusal", "json_response"]

CONFLICT, BUSY = 409, 423
"""Status codes: somebody else changed what a decision is about; another process is writing to the index."""


class Refusal(Exception):
    """A request that is not carried out.

    Parameters
    ----------
    status : int
        Of HTTP.
    problem, remedy : str
        One sentence each, as of `faceindex.errors.FaceIndexError`.
    **more : JSON values
        Further fields of the answer.

    Attributes
    ----------
    status : int
    document : dict
        The answer.
    """

    def __init__(self, status: int, problem: str, remedy: str = "", **more: Json) -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.status = status
        self.document: dict[str, Json] = {"problem": problem, "remedy": remedy, **more}


def json_response(
    document: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a document as a response."""
    content = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return Response(content, status, headers=headers, media_type="application/json")
