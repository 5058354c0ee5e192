"""The journal in the catalog: which commands changed the index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import mapping, moment, parse, text
from faceindex.store.records import Run

if TYPE_CHECKING:
    from faceindex.documents import Json

__all__ = ["append_run", "newest_runs"]


def append_run(catalog: Catalog, kind: str, detail: Mapping[str, Json]) -> None:
    """Append a command and its summary; inside a transaction."""
    catalog.execute(
        "INSERT INTO journal (at, kind, detail) VALUES (?, ?, ?)",
        (datetime.now(timezone.utc).isoformat(), kind, json.dumps(dict(detail))),
    )


def newest_runs(catalog: Catalog, limit: int) -> list[Run]:
    """Return the newest entries, newest first."""
    found = catalog.query("SELECT kind, at, detail FROM journal ORDER BY id DESC LIMIT ?", (limit,))
    with catalog.checked():
        return [
            Run(
                kind=text(kind, "the command of a journal entry"),
                at=moment(at, "the time of a journal entry"),
                detail=parse(detail, "the detail of a journal entry", mapping()),
            )
            for kind, at, detail in found
        ]
