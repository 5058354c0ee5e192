from __future__ import annotations

import base64
import io
import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from faceindex.store.residue import Found, Residue, search_file
from faceindex.types import F32


def unit(n: int, seed: int, dimension: int = 32) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension))
    found: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def search(path: Path, content: bytes, residue: Residue) -> Found:
    path.write_bytes(content)
    found = Found()
    search_file(path, residue, found)
    return found


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 7, 4095, (1 << 22) - 5])
def test_any_long_part_of_a_vector_is_found_at_any_place(tmp_path: Path, offset: int) -> None:
    residue, noise = Residue([unit(5, 1)]), np.random.default_rng(2).bytes(offset + 5000)
    for start in (0, 8, 20):
        part = unit(5, 1)[3].tobytes()[start : start + 31 + 16]
        content = noise[:offset] + part + noise[offset:]
        assert search(tmp_path / "file", content, residue).fragments >= 1
    assert search(tmp_path / "file", noise, residue).fragments == 0
    assert search(tmp_path / "file", unit(500, 3).tobytes(), residue).fragments == 0


def test_vectors_as_text_as_base64_and_in_archives_are_found(tmp_path: Path) -> None:
    vectors = unit(3, 1)
    residue = Residue([vectors])
    text = ",".join(str(number) for number in vectors[1])
    assert search(tmp_path / "a.csv", f"7,photo,{text}\n".encode(), residue).fragments
    for before in (b"", b"x", b"xy"):
        coded = base64.b64encode(before + vectors[2].tobytes())
        assert search(tmp_path / "a.json", coded, residue).fragments
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v", bytes(999) + vectors[0].tobytes())
    assert search(tmp_path / "a.npz", file.getvalue(), residue).fragments


def test_what_other_faces_have_too_is_not_searched_for(tmp_path: Path) -> None:
    vectors = unit(4, 1)
    residue = Residue([vectors[:2]], [b"same" * 4 + b"measures of face", b"other measures.." * 2])
    residue.leave_out(vectors[1:], [b"same" * 4 + b"measures of face"])
    assert search(tmp_path / "file", vectors[0].tobytes(), residue).fragments
    assert not search(tmp_path / "file", vectors[1].tobytes(), residue).fragments
    assert search(tmp_path / "file", b"other measures..", residue).fragments
    assert not search(tmp_path / "file", b"measures of face", residue).fragments
    assert not search(tmp_path / "file", bytes(4096), residue).fragments


@pytest.mark.parametrize(
    ("content", "hits"),
    [
        ("Jörg Groß", 1), ("xJörg Groß", 0), ("Jörg Größe", 0), ('"J\\u00f6rg Gro\\u00df"', 1),
        ("J%C3%B6rg%20Gro%C3%9F/01.jpg", 1), ("Jo\u0308rg Groß", 1), ("jörg gross", 1), ("Jörg", 0),
        ("photos/Jörg Groß/1.jpg", 0), ("Jörg Groß & photos/Jörg Groß/1.jpg", 1), ("J&ouml;rg", 0),
    ],
)  # fmt: skip
def test_names_are_found_as_words_outside_of_what_stays(tmp_path: Path, content: str, hits: int) -> None:
    residue = Residue([], texts=["Jörg Groß"], living=["photos/Jörg Groß/1.jpg"])
    assert bool(search(tmp_path / "file", content.encode(), residue).names) == bool(hits)


def test_names_in_utf_16_are_found(tmp_path: Path) -> None:
    residue = Residue([], texts=["Jörg Groß"])
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        assert search(tmp_path / "file", b"\0" + "Jörg Groß".encode(encoding), residue).names >= 1


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(unit(1, 1).tobytes())
    (tmp_path / "link").symlink_to(tmp_path / "file")
    found = Found()
    search_file(tmp_path / "link", Residue([unit(1, 1)]), found)
    search_file(tmp_path / "missing", Residue([unit(1, 1)]), found)
    assert (found.files, found.fragments, found.unreadable) == (0, 0, [str(tmp_path / "missing")])


def test_names_with_quotes_are_found_in_commands_and_tables(tmp_path: Path) -> None:
    name = 'Ann \'O"Neil"'
    residue = Residue([], texts=[name])
    command = f"people note Ben {shlex.quote(f'sister of {name}!')}"
    for content in (command, json.dumps({"command": command}), '7,"Ann \'O""Neil""",8'):
        assert search(tmp_path / "file", content.encode(), residue).names == 1
