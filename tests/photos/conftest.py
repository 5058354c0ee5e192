from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of labelled photographs; skips the test if it is missing."""
    if not (DATA / "people").is_dir():
        pytest.skip("no labelled photographs in ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def portrait() -> Path:
    """A real portrait, part of scikit-image."""
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    if not path.is_file():
        pytest.skip("scikit-image has no astronaut portrait")
    return path
