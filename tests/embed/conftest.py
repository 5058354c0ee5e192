from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceindex.embed.dlib_resnet import DlibResNet
from faceindex.models import EmbedderSpec, get
from faceindex.types import U8

_PEOPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "people"
_SIZE = 150


@pytest.fixture(scope="session")
def spec() -> EmbedderSpec:
    return get("embedder", "dlib")


@pytest.fixture(scope="session")
def embedder(spec: EmbedderSpec) -> DlibResNet:
    return DlibResNet(spec)


@pytest.fixture(scope="session")
def chips() -> U8:
    """Squares around the middle of real photographs, (n, 150, 150, 3)."""
    if _PEOPLE.is_dir():
        paths = [path for folder in sorted(_PEOPLE.iterdir()) for path in sorted(folder.iterdir())[:1]]
    elif (found := importlib.util.find_spec("skimage")) and found.origin:
        paths = [Path(found.origin).parent / "data" / "astronaut.png"]
    else:
        pytest.skip("needs ../shared/data/people or scikit-image")
    squares = []
    for path in paths:
        with Image.open(path) as image:
            photo = image.convert("RGB")
        side = 0.8 * min(photo.size)
        left, top = (photo.width - side) / 2, (photo.height - side) / 3
        box = (left, top, left + side, top + side)
        squares.append(np.asarray(photo.resize((_SIZE, _SIZE), Image.Resampling.BILINEAR, box)))
    return np.stack(squares)
