from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from faceindex.models import registry


@pytest.fixture
def fake_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Register the fake models under the name ``fake`` for one test; return the module `fakes`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import fakes

    with registry.isolated():
        fakes.register_fakes()
        yield fakes


@pytest.fixture
def onnx_files(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module `onnx_files`, which encodes small networks."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import onnx_files

    return onnx_files
