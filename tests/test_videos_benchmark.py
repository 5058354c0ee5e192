from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed")

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
DATA = BENCHMARKS.parents[1] / "shared" / "data"


@pytest.mark.skipif(not (DATA / "people").is_dir(), reason="../shared/data is not there")
def test_the_quick_benchmark_finds_whom_a_frame_a_second_finds(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); sys.argv = ['videos', '--quick']\n"
        f"import common, pathlib; common.RESULTS = pathlib.Path({str(tmp_path)!r})\n"
        "import videos; videos.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    totals = json.loads((tmp_path / "videos_quick.json").read_text())["totals"]
    assert totals["every frame"]["people"] >= 3
    assert totals["index 1 s"]["people"] >= totals["each second"]["people"] > 0
    assert totals["index 1 s"]["people"] >= 0.75 * totals["every frame"]["people"]
    assert totals["index 1 s"]["faces"] < totals["every frame"]["faces"] / 5
