from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from faceindex.models import registry


@pytest.fixture
def fake_models(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Register the fake models under the name ``fake`` for one test; return the module `fakes`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    import fakes

    fakes.register_fakes()
    return fakes
