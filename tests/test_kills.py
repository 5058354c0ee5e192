"""The benchmark of kills, with few kills."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")


@pytest.fixture
def kills(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import kills

    fake_models.register_others()
    for module, name, value in kills.SMALL_BATCHES:
        monkeypatch.setattr(module, name, value)
    kills.load_everything()
    return kills


@pytest.mark.parametrize(
    ("name", "number", "different"),
    [("index_everything", 3, 9), ("people_merge", 3, 5), ("forget", 1, 2), ("doctor_vectors", 1, 2)],
)
def test_kills_lose_nothing(kills: ModuleType, name: str, number: int, different: int) -> None:
    assert name in kills.QUICK
    scenario = next(one for one in kills.SCENARIOS if one.name == name)
    result, states, _ = kills.try_scenario(scenario, number, seed=1)
    assert result.kills == number
    assert len(set(states)) == different  # states that a kill may leave
    assert not result.faults


def test_a_loss_is_counted(kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that is committed before its faces loses them, or is counted as another state."""
    scenario = next(one for one in kills.SCENARIOS if one.name == "index_new")
    trial = kills.Trial(scenario, tmp_path)
    trial._restore()
    with FaceIndex.open(trial._place.index, write=True) as index:
        index._store._catalog.execute("DELETE FROM faces WHERE id = 1")
    assert "1 faces lost" in trial._check(0)
    assert trial.result.lost_faces == 1
    (trial._place.index / "vectors.f32").write_bytes(b"")
    assert "IndexCorrupt" in trial._check(0)
    assert trial.result.not_opened == 1
    assert Store.exists(trial._place.index)
