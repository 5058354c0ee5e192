"""Where weight files are looked for, in which order, and that a wrong one is never used."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import WeightFile, find_weights, weight_locations, weights
from faceindex.models.weights import read_weights

CONTENT = b"layer by layer"
WEIGHT = WeightFile(
    name="net.pt",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    source="https://example.org/net",
    package="some-weights",
    package_path="some_weights/data/net.pt",
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The four places in the order that the design gives them, all made up; no file in them yet."""
    site = tmp_path / "site"
    metadata = site / "some_weights-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(site)

    named = tmp_path / "named"
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(named))

    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    monkeypatch.setattr(weights, "__file__", str(checkout / "faceindex" / "models" / "weights.py"))

    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return [
        site / "some_weights" / "data" / "net.pt",
        named / "net.pt",
        checkout.resolve() / "weights" / "net.pt",
        cache / "faceindex" / "weights" / "net.pt",
    ]


def put(path: Path, content: bytes = CONTENT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_places_are_tried_in_order(places: list[Path]) -> None:
    assert list(weight_locations(WEIGHT)) == places
    for path in places:
        put(path)
    for path in places:
        assert find_weights(WEIGHT) == path
        path.unlink()
    with pytest.raises(WeightsNotFound):
        find_weights(WEIGHT)


def test_a_folder_of_that_name_is_not_the_file(places: list[Path]) -> None:
    places[0].mkdir(parents=True)
    put(places[3])
    assert find_weights(WEIGHT) == places[3]


def test_places_that_do_not_exist_are_left_out(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEINDEX_WEIGHTS")
    (places[2].parents[1] / "pyproject.toml").unlink()
    stranger = WeightFile("net.pt", 1, "0" * 64, "nowhere", "no-such-distribution-here", "x/net.pt")
    assert list(weight_locations(stranger)) == [places[3]]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", "home/.cache/faceindex"),
        ("darwin", "home/Library/Caches/faceindex"),
        ("win32", "local/faceindex/Cache"),
    ],
)
def test_cache_directory_is_that_of_the_platform(
    places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, expected: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(sys, "platform", platform)
    locations = list(weight_locations(WEIGHT))
    assert locations[-1] == tmp_path / expected / "weights" / "net.pt"


def test_missing_names_the_package_and_the_folder(places: list[Path]) -> None:
    with pytest.raises(WeightsNotFound) as info:
        find_weights(WEIGHT)
    assert "net.pt" in info.value.problem
    assert "pip install some-weights" in info.value.remedy
    assert str(places[3].parent) in info.value.remedy
    assert "$FACEINDEX_WEIGHTS" in info.value.remedy


def test_missing_without_a_package_names_the_source(places: list[Path]) -> None:
    with pytest.raises(WeightsNotFound) as info:
        read_weights(WeightFile("other.pt", 1, "0" * 64, "https://example.org/other"))
    assert "pip install" not in info.value.remedy
    assert "https://example.org/other" in info.value.remedy


def test_reading_gives_the_verified_content(places: list[Path]) -> None:
    put(places[1])
    assert read_weights(WEIGHT) == CONTENT


@pytest.mark.parametrize("wrong", [b"", CONTENT[:-1], CONTENT[::-1]], ids=["empty", "cut short", "same size"])
def test_a_wrong_file_is_refused_with_both_hashes(places: list[Path], wrong: bytes) -> None:
    put(places[0], wrong)
    put(places[3])
    with pytest.raises(WeightsInvalid) as info:
        read_weights(WEIGHT)
    assert str(places[0]) in info.value.problem
    assert WEIGHT.sha256 in info.value.problem
    assert hashlib.sha256(wrong).hexdigest() in info.value.problem
    assert WEIGHT.source in info.value.remedy
