"""The short run of benchmarks/formats.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not (ROOT.parent / "shared" / "data" / "formats").is_dir(), reason="needs ../shared/data")
def test_files_of_many_programs_open_or_are_refused_with_a_reason() -> None:
    script = ROOT / "benchmarks" / "formats.py"
    done = subprocess.run(
        [sys.executable, str(script), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["must_not_be"] == 0
    assert found["opened"] + len(found["refused"]) == found["files"] > 15
    assert found["opened"] > 10
