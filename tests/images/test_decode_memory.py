"""The short run of benchmarks/decode_memory.py: no decode takes more than is estimated for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "decode_memory.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory in /proc")
def test_decodes_take_what_is_estimated() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[567] kinds, 11 crafted files: 0 above the estimate", done.stdout, re.MULTILINE)
    assert "more than the limit of 512 MiB" in done.stdout
    assert "more than 100 scans" in done.stdout
