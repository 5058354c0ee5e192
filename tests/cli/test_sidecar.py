"""``faceindex sidecar``: names in XMP, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIDECAR = Path("album", "person0", "0.png.xmp")


def test_names_go_out_and_changes_come_back(run: Callable[..., Any], clustered: Path) -> None:
    run("people", "name", "0", "Anna")
    done = run("sidecar", "write", "album/person0", "--dry-run")
    assert done.exit_code == 0
    assert "0.png.xmp: + Anna" in done.stdout
    assert "4 photos with named faces, 4 files, 4 new; dry run, nothing is written" in done.stdout
    assert not SIDECAR.exists()
    written = json.loads(run("sidecar", "write", "--json").stdout)
    assert written["schema"] == "faceindex/sidecar-write/1"
    assert (written["written"], written["added"], written["photos"]) == (4, 4, 12)
    assert run("sidecar", "read").exit_code == 0
    SIDECAR.write_text(SIDECAR.read_text().replace("Anna", "Berta"))
    done = run("sidecar", "write")
    assert "changed there" in done.stdout
    done = run("sidecar", "read")
    assert done.exit_code == 0
    assert "XMP: 12 photos, 1 marked face" in done.stdout
    assert "names unchanged" in done.stdout
    assert "import xmp" in run("people", "log").stdout
    again = json.loads(run("sidecar", "read", "--json").stdout)
    assert (again["schema"], again["unchanged"]) == ("faceindex/sidecar-read/1", 4)
    assert again["imported"]["decision"] is None


def test_what_is_left_out_is_named(run: Callable[..., Any], clustered: Path) -> None:
    run("people", "name", "0", "Anna")
    run("sidecar", "write")
    SIDECAR.write_text('<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>')
    done = run("sidecar", "write")
    assert "removed there" in done.stdout
    done = run("sidecar", "read")
    assert done.exit_code == 1
    assert "Anna was removed from the file." in done.stderr
    done = run("sidecar", "read", "--prefer", "file")
    assert (done.exit_code, "rejected here" in done.stdout) == (0, True)
    SIDECAR.write_text("<x")
    run("people", "name", "0", "Anna Berg")
    done = run("sidecar", "read")
    assert done.exit_code == 1
    assert "0.png.xmp" in done.stderr
    for wrong in (("--prefer", "both"), ("--style", "other"), ("album/none.png",)):
        assert run("sidecar", "write", *wrong).exit_code == 2
