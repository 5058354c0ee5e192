"""`benchmarks/review.py`, on small indexes: the real command answers, and is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "review.py"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="CPU times are those of /proc")
def test_the_server_loses_no_answer(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import common; from pathlib import Path;"
        f"common.RESULTS = Path({str(tmp_path)!r}); sys.argv = ['review', '--quick'];"
        "import review; review.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 kills: " in done.stdout and " 0 lost" in done.stdout and done.stdout.count("a name for") == 2
