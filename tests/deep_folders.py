"""Folders whose paths are longer than the system permits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["make_deep", "remove_deep"]

_NAME = "d" * 200
_LEVELS = 30


def make_deep(top: Path, files: Mapping[str, bytes]) -> str:
    """Make nested folders with a path of more than 6,000 bytes, and files in the last; return its path."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(_LEVELS):
        os.mkdir(_NAME, dir_fd=folder)
        inner = os.open(_NAME, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    for name, content in files.items():
        with open(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as file:  # noqa: PTH123
            file.write(content)
    os.close(folder)
    return str(top) + f"/{_NAME}" * _LEVELS


def remove_deep(top: Path) -> None:
    """Remove what `make_deep` made: not every tool can."""
    part = top / _NAME
    while part.exists():
        inner = part / _NAME
        if inner.is_dir():
            inner.rename(top / "next")
        for file in part.iterdir():
            file.unlink()
        part.rmdir()
        if (top / "next").exists():
            (top / "next").rename(part)
