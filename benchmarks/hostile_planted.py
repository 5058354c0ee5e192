"""Attacks of somebody who can write into the folder of an index, for `benchmarks/hostile_index.py`.

Links, hard links and pipes take the place of its files; paths lead out of its folders; names have control
characters. What lies in `PRIVATE`, beside the index, must neither change nor reach an output.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from hostile_attacks import attack, run_sql

__all__ = ["PRIVATE", "SECRET", "UNPRINTABLE", "leaks"]

PRIVATE = "private"
SECRET = b"\x89PNG\r\n\x1a\n" + b"what nobody else may see" * 400
UNPRINTABLE = "\x1b[31m\u202egpj\u2066\x9b1m\r\n\x7f"

_FILES = (
    *("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite-journal"),
    *("lock", "vectors.f32", "ann.hnsw", "ann.hnsw.new"),
)


def _secret(index: Path) -> Path:
    path = index.parent / PRIVATE / "secret.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(SECRET)
    return path


def _planted(name: str, kind: str, plant: Callable[[Path, Path], object]) -> None:
    def apply(index: Path, rng: random.Random) -> None:
        secret = _secret(index)
        (index / name).unlink(missing_ok=True)
        plant(index / name, secret)

    apply.__name__ = f"{kind} in place of {name}"
    attack(wrong=False)(apply)


for _name in _FILES:
    _planted(_name, "link", lambda path, secret: path.symlink_to(secret))
    _planted(_name, "dangling link", lambda path, secret: path.symlink_to(secret.with_name("new")))
    _planted(_name, "hard link", lambda path, secret: path.hardlink_to(secret))
    _planted(_name, "pipe", lambda path, secret: os.mkfifo(path))


@attack()
def photo_path_that_leads_up(index: Path, rng: random.Random) -> None:
    album = index.parent.parent / "album"  # beside the folder of the case
    path = os.path.relpath(_secret(index), album)
    run_sql(index, "UPDATE images SET relpath = ? WHERE id = 1", values=(os.fsencode(path),))


@attack()
def absolute_photo_path(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE images SET relpath = ? WHERE id = 1", values=(os.fsencode(_secret(index)),))


@attack(wrong=False)
def root_of_private_photos(index: Path, rng: random.Random) -> None:
    secret = _secret(index)
    run_sql(index, "UPDATE roots SET path = ?", values=(os.fsencode(secret.parent),))
    run_sql(index, "UPDATE images SET relpath = ? WHERE id = 1", values=(os.fsencode(secret.name),))


@attack(wrong=False)
def private_photo_without_hash(index: Path, rng: random.Random) -> None:
    root_of_private_photos(index, rng)
    run_sql(index, "UPDATE images SET content_hash = NULL WHERE id = 1")


@attack(wrong=False)
def pipe_in_place_of_a_photo(index: Path, rng: random.Random) -> None:
    os.mkfifo(_secret(index).with_name("pipe.png"))
    root_of_private_photos(index, rng)
    run_sql(index, "UPDATE images SET relpath = ? WHERE id = 1", values=(b"pipe.png",))


@attack(wrong=False)
def names_with_control_characters(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE roots SET given = CAST(given || ? AS BLOB)", values=(UNPRINTABLE,))
    run_sql(index, "UPDATE images SET relpath = CAST(relpath || ? AS BLOB)", values=(UNPRINTABLE,))


def leaks(case: Path, out: Path) -> list[str]:
    """Return what happened to the private files beside an index, and which outputs contain them."""
    found = []
    if (case / PRIVATE).exists():
        if (case / PRIVATE / "secret.png").read_bytes() != SECRET:
            found.append("leak: a private file was changed")
        if (case / PRIVATE / "new").exists():
            found.append("leak: a file was made behind a link")
    files = [path for path in out.rglob("*") if path.is_file() and not path.is_symlink()]
    copies = [path for path in files if SECRET in path.read_bytes()]
    return found + [f"leak: {path.relative_to(out)} has a private file" for path in copies]
