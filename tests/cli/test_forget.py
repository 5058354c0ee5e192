from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def named(clustered: Path, run: Callable[..., Any]) -> Path:
    """The album, clustered, with Anna and Ben, and with crops, a gallery and a contact sheet."""
    for words in (
        ("people", "name", "0", "Anna"), ("people", "name", "1", "Ben"),
        ("export", "clusters", "faces", "--folders"), ("gallery", "page"),
        ("clusters", "Anna", "--save", "a.png"),
    ):  # fmt: skip
        assert run(*words).exit_code == 0, words
    return clustered


def test_a_person_is_forgotten_with_a_receipt(named: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("forget", "anna", "--yes", "--verify", "--json", "--receipt", "receipt.json")
    document = json.loads(done.stdout)
    assert document["schema"] == "faceindex/forget/1"
    assert (document["people"], document["faces"], document["labelled"]) == (1, 4, 4)
    assert document["searched"]["hits"] == 0
    states = {Path(copy["path"]).name: copy["state"] for copy in document["copies"]}
    assert states == {"faces": "updated", "page": "updated", "a.png": "kept"}
    assert (done.exit_code, document["complete"]) == (1, False)  # the contact sheet
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert {key: receipt[key] for key in ("schema", "faces", "copies")} == {
        key: document[key] for key in ("schema", "faces", "copies")
    }
    assert "Anna" not in json.dumps(receipt)
    assert sorted(path.name for path in (tmp_path / "faces").iterdir() if path.name[0] != ".") == [
        "Ben", "cluster-2",
    ]  # fmt: skip
    assert "Anna" not in run("people").stdout
    assert run("index", "album").exit_code == 0
    assert json.loads(run("status", "--json").stdout)["faces"] == 8


def test_it_waits_for_an_answer(named: Path, run: Callable[..., Any]) -> None:
    refused = run("forget", "Anna")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert "Anna" in run("people").stdout


def test_nothing_to_forget_is_an_error(named: Path, run: Callable[..., Any]) -> None:
    for words in ((), ("Carla",), ("f999",), ("--photo", "no.jpg"), ("77",)):
        done = run("forget", "--yes", *words)
        assert done.exit_code == 2, words
        assert "Traceback" not in done.stderr


def test_faces_photos_and_clusters(named: Path, run: Callable[..., Any]) -> None:
    done = run("forget", "f1", "2", "--photo", "album/person1/0.png", "--yes", "--json", "--allow-return")
    document = json.loads(done.stdout)
    assert (document["named"], document["on_photos"], document["photos"], document["places"]) == (5, 1, 1, 0)
    assert json.loads(run("status", "--json").stdout)["faces"] == 6


def test_photos_and_clusters_that_are_gone_are_forgotten(
    named: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    faces = json.loads(run("faces", "--json").stdout)["faces"]
    cluster = next(face["cluster"] for face in faces if face["person"] == "Ben")
    photos = [Path(face["photo"]) for face in faces if face["cluster"] == cluster]
    shutil.rmtree(photos[0].parent)
    run("index", "album")
    done = run("forget", "--photo", str(photos[0]), "--dry-run")
    assert done.stdout.startswith("1 photo would be forgotten:"), done.stdout
    done = run("forget", str(cluster), "--dry-run")
    assert done.stdout.startswith(f"{len(photos)} faces would be forgotten:"), done.stdout
    assert f"{len(photos)} faces on photos that are gone" in done.stdout
    document = json.loads(run("forget", str(cluster), "--yes", "--json").stdout)
    assert (document["faces"], document["away"]) == (len(photos), len(photos))
    assert run("doctor").exit_code == 0
