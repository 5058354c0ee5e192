"""``faceindex doctor``."""

from __future__ import annotations

import json
import os
from pathlib import Path

from faceindex.store.vectors import HEADER_BYTES


def test_a_healthy_index(indexed, run) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "The index is healthy. 12 vectors checked.\n"
    document = json.loads(run("doctor", "--json").stdout)
    assert document["schema"] == "faceindex/doctor/1"
    assert (document["healthy"], document["problems"], document["rows"]) == (True, [], 12)


def test_damage_is_listed_and_repaired(indexed, run) -> None:
    path = Path(".faceindex/vectors.f32")
    os.truncate(path, HEADER_BYTES + 3 * 64)
    failed = run("clusters")
    assert failed.exit_code == 2
    assert "vectors.f32 has only" in failed.stderr
    assert "faceindex doctor --repair" in failed.stderr
    found = run("doctor")
    assert found.exit_code == 1
    assert "vectors.f32 has only" in found.stdout
    assert "doctor --repair" in found.stderr
    repaired = run("doctor", "--repair", "--json")
    assert repaired.exit_code == 0, repaired.stderr
    document = json.loads(repaired.stdout)
    assert (document["healthy"], document["embedded"]) == (True, 12)
    assert [problem["kind"] for problem in document["repaired"]] == ["vectors"]
    assert run("doctor").exit_code == 0


def test_without_an_index(run, album) -> None:
    assert run("doctor").exit_code == 2
