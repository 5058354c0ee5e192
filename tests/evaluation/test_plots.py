"""Plots are complete and legible; a file that cannot be written is reported before the work."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex.errors import FaceIndexError, UsageError
from faceindex.evaluation.plots import check_plot_file, plot_similarities, plot_sweep
from faceindex.metrics import Sample, Similarities

pytest.importorskip("matplotlib")


@pytest.fixture
def similarities() -> Similarities:
    rng = np.random.default_rng(0)
    low, high = (rng.normal(mean, 0.03, 500).clip(-1, 1).astype(np.float32) for mean in (0.8, 0.95))
    return Similarities(Sample(low, 500), Sample(high, 9_000), Sample(np.empty(0, np.float32), 0))


def words(svg: Path) -> str:
    return " ".join(
        "".join(element.itertext()) for element in ET.parse(svg).iter() if element.tag.endswith("text")
    )


def test_similarities_as_svg(similarities: Similarities, tmp_path: Path) -> None:
    plot_similarities(similarities, tmp_path / "a.svg", threshold=0.9, title="How similar?")
    text = words(tmp_path / "a.svg")
    for part in (
        "How similar?",
        "threshold 0.9000",
        "500 pairs",
        "500 of 9,000 pairs",
        "no such pair",
        "similarity",
    ):
        assert part in text
    assert "label" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_labels_add_two_panels(similarities: Similarities, tmp_path: Path) -> None:
    both = Similarities(
        similarities.same_photo,
        similarities.nearest,
        similarities.within_cluster,
        similarities.nearest,
        similarities.same_photo,
    )
    plot_similarities(both, tmp_path / "a.svg", threshold=0.9, title="")
    assert "the same label" in words(tmp_path / "a.svg")
    assert "different labels" in words(tmp_path / "a.svg")


def test_png_is_dark_on_light(similarities: Similarities, tmp_path: Path) -> None:
    file = tmp_path / "a.PNG"
    plot_similarities(similarities, file, threshold=0.9, title="x")
    pixels = np.asarray(PillowImage.open(file).convert("RGB"))
    assert pixels.shape[1] > 1000
    assert (pixels[0, 0] == 255).all()
    assert pixels.min() < 60


def test_equal_plots_are_equal_files(similarities: Similarities, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        plot_similarities(similarities, tmp_path / name, threshold=0.9, title="x")
    for suffix in ("svg", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_sweep_as_svg(tmp_path: Path) -> None:
    plot_sweep(
        tmp_path / "s.svg",
        thresholds=[0.90, 0.92, 0.94],
        precision=[0.7, 0.9, 1.0],
        recall=[1.0, 0.9, 0.5],
        f=[0.82, 0.9, 0.67],
        clusters=[900, 1500, 3000],
        people=1400,
        best=(0.92, 0.9),
        default=(0.93, 0.91),
        title="By threshold",
    )
    text = words(tmp_path / "s.svg")
    for part in (
        "precision",
        "recall",
        "best F of a constant, 0.9000 at 0.9200",
        "defaults, F 0.9100",
        "1,400 people",
    ):
        assert part in text


def test_plots_do_not_import_pyplot(similarities: Similarities, tmp_path: Path) -> None:
    plot_similarities(similarities, tmp_path / "a.png", threshold=0.9, title="x")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.pdf", ".png"])
def test_an_unknown_suffix_is_reported(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither \.png nor \.svg"):
        check_plot_file(tmp_path / name)


def test_a_missing_folder_and_a_folder_as_the_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        check_plot_file(tmp_path / "no" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_plot_file(tmp_path / "folder.png")


def test_a_failed_plot_keeps_the_old_file(
    similarities: Similarities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def full(self: Figure, file: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(UsageError, match=r"a\.png cannot be written: No space left"):
        plot_similarities(similarities, tmp_path / "a.png", threshold=0.9, title="x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_the_error_without_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FaceIndexError, match=r'pip install "faceindex\[plot\]"'):
        check_plot_file(tmp_path / "a.png")
