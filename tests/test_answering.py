"""`benchmarks/answering.py`, on a small index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "answering.py"


def test_the_benchmark_names_the_largest_clusters() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a cluster of ") == 8
    assert "undo: median " in done.stdout
