"""Suffixes by which a walk treats files differently, before any of them is opened; all in lower case."""

from __future__ import annotations

__all__ = ["CLIP_SUFFIXES", "PARTIAL_SUFFIXES", "RAW_SUFFIXES", "STILL_SUFFIXES"]

RAW_SUFFIXES: frozenset[str] = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Camera RAW files."""

STILL_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif"})
"""Pictures that cameras store beside a RAW file, and phones beside a clip, of the same shot."""

CLIP_SUFFIXES = frozenset({".mov"})
"""The clip of a Live Photo."""

PARTIAL_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp"})
"""Files that browsers and synchronisation programs rename when they are complete."""
