"""`faceindex roots` and its commands, and what `index` prints of photos that move, go and return."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def document(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_folders_are_listed(clustered: Path, run: Run, tmp_path: Path) -> None:
    result = run("roots")
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split() == ["folder", "photos", "faces", "gone", "state"]
    assert row.split() == [str(clustered), "12", "12", "0", "present"]
    clustered.rename(tmp_path / "new")
    result = run("roots")
    assert (result.exit_code, result.stdout.split()[-1]) == (1, "missing")
    assert f"faceindex roots relocate {clustered} NEW_FOLDER" in " ".join(result.stderr.split())
    for listed in (run("roots", "--json"), run("roots", "list", "--json")):
        assert document(listed) == {
            "schema": "faceindex/roots/1",
            "index": str(tmp_path / ".faceindex"),
            "roots": [
                {
                    "path": str(clustered),
                    "given": "album",
                    "photos": 12,
                    "faces": 12,
                    "gone": 0,
                    "state": "missing",
                }
            ],
        }
    clustered.mkdir()
    assert document(run("roots", "--json"))["roots"][0]["state"] == "empty"


def test_an_index_without_folders(clustered: Path, run: Run) -> None:
    run("roots", "remove", "album", "--yes")
    result = run("roots")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The index has no photos." in result.stderr


def test_relocate(clustered: Path, run: Run, tmp_path: Path) -> None:
    clustered.rename(tmp_path / "new")
    refused = run("roots", "relocate", "album", ".")
    assert refused.exit_code == 2
    assert "Of 12 photos of" in refused.stderr
    assert "0 are there. Name the folder" in " ".join(refused.stderr.split())
    planned = run("roots", "relocate", "album", "new", "--dry-run")
    assert planned.stdout.startswith("12 photos with 12 faces would be taken from")
    done = document(run("roots", "relocate", "album", "new", "--json"))
    assert done == {
        "schema": "faceindex/roots-relocate/1",
        "index": str(tmp_path / ".faceindex"),
        "old": str(clustered),
        "new": str(tmp_path / "new"),
        "photos": 12,
        "faces": 12,
        "sampled": 12,
        "found": 12,
        "dry_run": False,
    }
    assert "new/person0/0.png" in run("faces").stdout
    assert run("index", "new").exit_code == 0


def test_remove(clustered: Path, run: Run, tmp_path: Path) -> None:
    run("people", "name", "1", "Anna")
    shutil.rmtree(clustered / "person1")
    refused = run("roots", "remove", "album/person1")
    assert (refused.exit_code, "needs a terminal" in refused.stderr) == (2, True)
    planned = run("roots", "remove", "album/person1", "--dry-run")
    assert planned.stdout == (
        f"Would be removed from the index: 4 photos with 4 faces, of {clustered / 'person1'}.\n"
        "No face is left of Anna.\n"
        "What you decided about 4 faces stays, and counts again if the photos are indexed again.\n"
    )
    assert document(run("roots", "remove", "album/person1", "--dry-run", "--json"))["dry_run"] is True
    assert document(run("status", "--json"))["faces"] == 12
    done = document(run("roots", "remove", "album/person1", "--yes", "--json"))
    assert (done["schema"], done["photos"], done["people"]) == ("faceindex/roots-remove/1", 4, ["Anna"])
    assert document(run("status", "--json"))["faces"] == 8
    unknown = run("roots", "remove", "album/person1", "--yes")
    assert (unknown.exit_code, "has no photos of album/person1" in unknown.stderr) == (2, True)


def test_an_answer_of_no_removes_nothing(clustered: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "n\n"

    import sys

    from faceindex.cli import asking

    monkeypatch.setattr(asking, "sys", type("S", (), {"stdin": Terminal(), "stderr": sys.stderr}))
    result = run("roots", "remove", "album")
    assert (result.exit_code, "Nothing is removed." in result.stderr) == (1, True)
    assert document(run("status", "--json"))["faces"] == 12


def test_what_index_prints(clustered: Path, run: Run, tmp_path: Path) -> None:
    (clustered / "person1").rename(tmp_path / "trash")
    gone = run("index", "album")
    assert gone.exit_code == 0
    assert "gone       4  their faces are kept until 20" in gone.stdout
    status = run("status").stdout
    assert "4 photos since 20" in status
    assert "4 faces kept in case they return" in " ".join(status.split())
    assert document(run("status", "--json"))["gone"]["photos"] == 4
    (tmp_path / "trash").rename(clustered / "person1")
    back = run("index", "album")
    assert "returned   4  were gone or changed; faces and clusters are back" in back.stdout
    (clustered / "person1").rename(tmp_path / "trash")
    (clustered / "person1").mkdir()
    lost = run("index", "album")
    assert lost.exit_code == 1
    assert "missing, kept  4" in lost.stdout
    assert f"{clustered / 'person1'} are missing (4)" in " ".join(lost.stderr.split())
    pruned = document(run("index", "album", "--prune", "--json"))
    assert (pruned["gone"], pruned["kept_until"], pruned["returned"]) == (4, None, 0)
    (clustered / "person0" / "0.png").unlink()
    assert "kept until" not in run("index", "album", "--keep-gone", "0").stdout
    assert document(run("status", "--json"))["gone"] == {"photos": 0, "faces": 0, "since": None}


def test_an_export_names_the_command_for_a_folder_that_moved(
    clustered: Path, run: Run, tmp_path: Path
) -> None:
    clustered.rename(tmp_path / "new")
    result = run("export", "crops", "out")
    assert result.exit_code == 1
    assert f"`faceindex roots relocate {clustered} NEW_FOLDER`" in " ".join(result.stderr.split())
