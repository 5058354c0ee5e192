"""The short run of benchmarks/fuzz.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory in /proc")
def test_mutated_photos_are_read_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["must_not_be"] == 0
    assert sum(counts["outcomes"].values()) == counts["images"] == 60
    assert counts["outcomes"]["read"] > 10
    assert counts["outcomes"]["refused"] > 10
