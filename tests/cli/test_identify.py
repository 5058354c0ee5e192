from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceindex.errors import FaceIndexError

KNOWN = (64, 64, 128)
STRANGER = (224, 0, 0)


@pytest.fixture
def known(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "known.png", KNOWN, mark=500)
    return "known.png"


@pytest.fixture
def stranger(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "stranger.png", STRANGER, mark=501)
    return "stranger.png"


@pytest.fixture
def nobody(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "nobody.png", fake_models.NOBODY)
    return "nobody.png"


def test_a_known_person(clustered, run, known: str) -> None:
    result = run("identify", known, "--neighbours", "2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "known.png: 1 face"
    assert lines[1].startswith("  face 1 at 24,24 to 72,72: cluster ")
    assert "similarity 1.0000" in lines[1]
    assert "margin" in lines[1]
    assert len(lines) == 5
    assert all("album/person0/" in line for line in lines[3:])


def test_a_stranger_is_unknown(clustered, run, stranger: str) -> None:
    result = run("identify", stranger, "--neighbours", "0")
    assert result.exit_code == 0
    assert "unknown (nearest is cluster" in result.stdout
    assert len(result.stdout.splitlines()) == 2
    generous = run("identify", stranger, "--threshold", "-1")
    assert "unknown" not in generous.stdout


def test_json(clustered, run, known: str, stranger: str) -> None:
    result = run("identify", known, stranger, "--neighbours", "3", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "faceindex/identify/1"
    assert document["clustered"] is True
    first, second = document["photos"]
    (face,) = first["faces"]
    assert face["box"] == [24.0, 24.0, 72.0, 72.0]
    assert face["cluster"] == face["nearest_cluster"]
    assert face["similarity"] == pytest.approx(1, abs=1e-5)
    assert len(face["nearest"]) == 3
    assert face["nearest"][0]["photo"].startswith("album/person0/")
    assert Path(face["nearest"][0]["path"]).is_file()
    assert second["faces"][0]["cluster"] is None
    assert second["faces"][0]["similarity"] < second["faces"][0]["needed"]


def test_a_bad_photo_does_not_keep_the_others_from_an_answer(clustered, run, known: str, nobody: str) -> None:
    Path("note.jpg").write_text("no photo")
    result = run("identify", "gone.jpg", "note.jpg", nobody, known)
    assert result.exit_code == 1
    assert result.stdout.startswith("known.png: 1 face\n")
    problems = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in problems] == ["gone.jpg", "note.jpg", "nobody.png"]
    assert "no face was found" in problems[2]
    photos = json.loads(run("identify", "gone.jpg", nobody, known, "--json").stdout)["photos"]
    assert [photo["error"] and photo["error"]["type"] for photo in photos] == [
        "ImageError",
        "NoFaceFound",
        None,
    ]


def test_before_clustering_the_nearest_are_listed(indexed, run, known: str) -> None:
    result = run("identify", known, known)
    assert result.exit_code == 1
    assert result.stderr.count("faceindex cluster") == 1
    assert result.stdout.count(": unknown\n") == 2
    assert "album/person0/" in result.stdout
    document = json.loads(run("identify", known, "--json").stdout)
    assert document["clustered"] is False
    assert document["photos"][0]["faces"][0]["similarity"] is None
    assert len(document["photos"][0]["faces"][0]["nearest"]) == 5


def test_an_index_without_faces_knows_nobody(index_album, run, known: str, nobody: str) -> None:
    assert index_album(nobody).exit_code == 0
    result = run("identify", known)
    assert result.exit_code == 1
    assert "no faces" in result.stderr


def test_a_folder_is_refused(clustered, run) -> None:
    result = run("identify", "album")
    assert result.exit_code == 2
    assert "album is a folder" in result.stderr


def test_the_answer_is_given_even_if_the_viewer_fails(clustered, run, known: str, monkeypatch) -> None:
    def fail(path: Path) -> None:
        raise FaceIndexError("The picture could not be shown.", "Open it yourself.")

    monkeypatch.setattr("faceindex.cli.pictures.open_in_viewer", fail)
    result = run("identify", known, "--open", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["schema"] == "faceindex/identify/1"
    assert "could not be shown" in result.stderr


def test_plain_photos_are_answered_without_loading_the_commands(clustered, run, known: str) -> None:
    start = (
        "import sys, fakes; fakes.register_fakes()\n"
        "from faceindex.cli.start import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", start, "identify", known, "nowhere.png"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    asked = run("identify", "--neighbours", "5", known, "nowhere.png")
    assert (done.returncode, done.stdout) == (asked.exit_code, asked.stdout)
    *told, loaded = done.stderr.splitlines()
    assert told == asked.stderr.splitlines()
    assert "faceindex.identification" in loaded.split()
    assert not {"typer", "pydantic", "rich", "sklearn", "numba"} & set(loaded.split())
