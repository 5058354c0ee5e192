"""How long commands wait. A module of its own: `index` loads no typer if nothing has changed."""

from __future__ import annotations

from typing import Final

__all__ = ["WAIT"]

WAIT: Final = 5.0
"""Seconds for which a command that writes waits for another writer, such as an open page."""
