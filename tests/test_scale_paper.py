"""`benchmarks/scale_paper.py`: the laws, the estimate, and that docs/scale.md is as the results have it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module("scale_paper")


def test_the_page_is_current(paper: ModuleType) -> None:
    page = paper.PAGE.read_text(encoding="utf-8")
    assert paper.rewritten(page) == page, "run `python benchmarks/scale_paper.py`"


def test_a_cost_is_as_measured_and_grows_with_its_exponent(paper: ModuleType) -> None:
    law = paper.Law({100: 1.0, 1000: 20.0, 10_000: 800.0})
    assert law.at(1000) == 20.0
    assert law.measured(1000)
    assert not law.measured(5000)
    assert law.exponent == pytest.approx(1.602, abs=1e-3)  # log10(800 / 20)
    assert law.at(10**6) == pytest.approx(800 * 40**2)


def test_what_reads_every_face_grows_at_least_in_proportion(paper: ModuleType) -> None:
    points = {1000: 1.0, 10_000: 5.0}
    assert paper.Law(points).at(10**5) == pytest.approx(50)
    assert paper.Law(points, least=0.0).at(10**5) == pytest.approx(25)
    assert paper.Law({1000: 1.0}).at(10**5) == pytest.approx(100)


def test_money_is_core_hours_at_the_price(paper: ModuleType) -> None:
    def money(price: float) -> dict[str, str]:
        return dict(paper.estimate(paper.Prices(photos=1e6, core_hour=price)))

    hours = 1e6 * paper.small_photo_cpu("with_ray") / 3600
    line = money(2.0)["decode, detect, embed: photos of 250 px"]
    assert line.startswith(f"{paper.short(hours)} core-hours, {paper.short(2 * hours)} in money")


def test_the_gpu_is_what_the_reader_says(paper: ModuleType) -> None:
    prices = paper.Prices(photos=3.6e6, gpu_ms=2.0, gpu_hour=3.0)
    assert "2 GPU-hours, 6 in money" in dict(paper.estimate(prices)).values()
    assert not any("GPU" in name for name, _ in paper.estimate(paper.Prices()))
