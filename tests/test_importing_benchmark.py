"""`benchmarks/importing.py`, on small indexes: every region names its face, once, and undo takes all back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "importing.py"


def test_every_region_names_its_face(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import common; from pathlib import Path;"
        f"common.RESULTS = Path({str(tmp_path)!r}); sys.argv = ['importing', '--quick'];"
        "import importing; importing.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4,000 regions: 3,880 named" in done.stdout
