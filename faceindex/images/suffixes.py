"""Suffixes by which a walk treats files differently, before any of them is opened; all in lower case."""

from __future__ import annotations

__all__ = ["RAW_SUFFIXES"]

RAW_SUFFIXES: frozenset[str] = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Camera RAW files."""
