"""An index that somebody else made: no command reads a file outside its roots, or waits for a pipe."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex import images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of Unix")

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("gallery", "out", "--copy"),
    ("gallery", "out"),
    ("export", "crops", "out"),
    ("export", "clusters", "out", "--photos", "--folders"),
    ("export", "clusters", "out", "--photos", "--link", "hardlink"),
    ("export", "clusters", "out.zip", "--photos"),
    ("export", "boxes", "out.csv"),
    ("find", "c0", "--link", "out"),
    ("clusters", "0", "--save", "out.png"),
    ("faces",),
    ("status",),
    ("index", "album", "--retry-failed"),
)


def change_catalog(statement: str, *values: object) -> None:
    with sqlite3.connect(".faceindex/catalog.sqlite") as catalog:
        catalog.execute(statement, values)
    catalog.close()


def written() -> list[Path]:
    """Return what the last command left, and move it away."""
    found = [path for path in Path().glob("out*") if path.exists()]
    files = [file for path in found for file in ([path] if path.is_file() else path.rglob("*"))]
    moved = [path.rename(f"done{len(list(Path().glob('done*')))}") for path in found]
    return (
        [file for path in moved for file in ([path] if path.is_file() else path.rglob("*"))] if files else []
    )


def make_photo_path(fake_models: Any, path: Path) -> Path:
    fake_models.make_photo(path, (255, 0, 255), mark=99)
    return path


@pytest.mark.parametrize("attack", ["dots", "absolute", "root", "no hash", "link", "pipe"])
def test_no_command_reads_a_file_that_was_not_indexed(
    attack: str, clustered: Path, fake_models: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    secret = make_photo_path(fake_models, tmp_path / "private" / "secret.png")
    content = secret.read_bytes()
    if attack == "dots":
        change_catalog("UPDATE images SET relpath = ? WHERE id = 1", b"../private/secret.png")
    elif attack == "absolute":
        change_catalog("UPDATE images SET relpath = ? WHERE id = 1", os.fsencode(secret))
    elif attack == "root":
        change_catalog("UPDATE roots SET path = ?", os.fsencode(secret.parent))
        change_catalog("UPDATE images SET relpath = ? WHERE id = 1", b"secret.png")
    elif attack == "no hash":
        change_catalog("UPDATE roots SET path = ?", os.fsencode(secret.parent))
        change_catalog("UPDATE images SET relpath = ?, content_hash = NULL WHERE id = 1", b"secret.png")
    else:
        victim = clustered / "person0" / "0.png"
        victim.unlink()
        victim.symlink_to(secret) if attack == "link" else os.mkfifo(victim)
    found = images.content_hash(content)
    damaged = attack in ("dots", "absolute")
    for command in COMMANDS[:10:4] if damaged else COMMANDS:
        if command[0] == "index" and attack != "pipe":
            continue  # looks for photos by itself
        done = run(*command)
        assert done.exit_code in (0, 1, 2), command
        assert "Unexpected error" not in done.stderr, (command, done.stderr)
        for file in written():
            if file.is_file() and not file.is_symlink():
                assert images.content_hash(file.read_bytes()) != found, (command, file)
                assert file.suffix != ".zip" or content not in file.read_bytes()
        if damaged:
            assert done.exit_code == 2 and "leads out of its folder" in done.stderr, command
