"""`benchmarks/xmp_regions.py`, on a few files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "xmp_regions.py"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "orientation"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/orientation")
def test_exiftool_and_ours_agree() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'regions of ExifTool': 8, 'regions of ours': 8, 'regions the same': 8" in done.stdout
    assert "'right': 4" in done.stdout
    assert "wrong" not in done.stdout
