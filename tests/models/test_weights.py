"""Where weight files are looked for, in which order, and that a wrong one is never used."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import models
from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import (
    WeightFile,
    find_weights,
    read_weights,
    verify_weights,
    weight_identity,
    weight_locations,
    weights,
)
from faceindex.models.weights import acceptance_path

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
    assert "$FACEINDEX_WEIGHTS as net.pt." in info.value.remedy


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
    assert "pip install --force-reinstall some-weights" in info.value.remedy


FOLDED = b"layer by layer, folded"
ALSO = WeightFile("folded.pt", len(FOLDED), hashlib.sha256(FOLDED).hexdigest(), "https://example.org/folded")
EITHER = replace(WEIGHT, also=(ALSO,))


def vouch(path: Path, content: bytes) -> str:
    """Put a file and the user's word for it; returns its SHA-256."""
    put(path, content)
    digest = hashlib.sha256(content).hexdigest()
    acceptance_path(path).write_text(json.dumps({"sha256": digest, "bytes": len(content)}))
    return digest


def test_all_names_are_looked_for_folder_by_folder(places: list[Path]) -> None:
    site, *folders = places
    named = [path.with_name(name) for path in folders for name in ("net.pt", "folded.pt")]
    assert list(weight_locations(EITHER)) == [site, *named]
    put(places[3])
    put(places[1].with_name("folded.pt"), FOLDED)
    assert find_weights(EITHER) == places[1].with_name("folded.pt")


@pytest.mark.parametrize("name", ["net.pt", "folded.pt"])
@pytest.mark.parametrize("content", [CONTENT, FOLDED], ids=["published", "folded"])
def test_the_content_decides_and_not_the_name(places: list[Path], name: str, content: bytes) -> None:
    path = places[1].with_name(name)
    put(path, content)
    assert read_weights(EITHER) == content
    assert verify_weights(EITHER) == path
    assert weight_identity(EITHER) == WEIGHT.sha256  # the same weights, whichever file


def test_neither_names_both_hashes(places: list[Path]) -> None:
    put(places[1], CONTENT[::-1])
    for read in (read_weights, verify_weights):
        with pytest.raises(WeightsInvalid) as info:
            read(EITHER)
        assert WEIGHT.sha256 in info.value.problem
        assert ALSO.sha256 in info.value.problem


def test_a_change_is_seen_although_size_and_time_are_the_same(places: list[Path]) -> None:
    put(places[1])
    assert read_weights(WEIGHT) == CONTENT
    before = places[1].stat()
    put(places[1], CONTENT[::-1])
    os.utime(places[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsInvalid):
        read_weights(WEIGHT)


class TestVouchedFor:
    """Files that nobody published, and that the user answers for."""

    def test_is_read_and_pinned_by_its_own_hash(self, places: list[Path]) -> None:
        digest = vouch(places[3], b"my own")
        assert read_weights(WEIGHT) == b"my own"
        assert verify_weights(WEIGHT) == places[3]
        assert weight_identity(WEIGHT) == digest

    @pytest.mark.parametrize("content", [b"my 0wn", b"my own!", CONTENT])
    def test_another_content_is_refused(self, places: list[Path], content: bytes) -> None:
        digest = vouch(places[3], b"my own")
        places[3].write_bytes(content)
        for read in (read_weights, verify_weights):
            with pytest.raises(WeightsInvalid, match="no longer the file that was added") as info:
                read(WEIGHT)
            assert digest in info.value.problem

    def test_only_in_the_users_own_folder(self, places: list[Path]) -> None:
        vouch(places[1], b"my own")
        with pytest.raises(WeightsInvalid, match="is not the published"):
            read_weights(WEIGHT)
        assert weight_identity(WEIGHT) == WEIGHT.sha256

    @pytest.mark.parametrize("spelled", ["relative", "dotted", "linked"])
    def test_however_the_folder_is_spelled(
        self, places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spelled: str
    ) -> None:
        digest = vouch(places[3], b"my own")
        folder = places[3].parent
        monkeypatch.chdir(tmp_path)
        if spelled == "linked":
            (tmp_path / "link").symlink_to(folder, target_is_directory=True)
        names = {"relative": os.path.relpath(folder), "dotted": f"{folder}/../weights", "linked": "link"}
        monkeypatch.setenv("FACEINDEX_WEIGHTS", names[spelled])
        assert find_weights(WEIGHT) != places[3]
        assert read_weights(WEIGHT) == b"my own"
        assert weight_identity(WEIGHT) == digest

    def test_a_damaged_word_is_no_word(self, places: list[Path]) -> None:
        vouch(places[3], b"my own")
        acceptance_path(places[3]).write_text("{")
        for read in (read_weights, verify_weights, weight_identity):
            with pytest.raises(WeightsInvalid, match="is damaged"):
                read(WEIGHT)


class TestRemedy:
    """A missing or wrong file names the command that helps, with the model's name."""

    @pytest.fixture(autouse=True)
    def _own_table(self, places: list[Path], fake_models: ModuleType) -> None:
        self.put = lambda weight: models.register(
            replace(fake_models.DETECTOR, name="needy", weights=(weight,))
        )

    def test_with_an_address(self, places: list[Path]) -> None:
        weight = replace(WEIGHT, package=None, package_path=None, url="https://example.org/net.pt")
        self.put(weight)
        with pytest.raises(WeightsNotFound, match="`faceindex models fetch needy`") as missing:
            find_weights(weight)
        assert str(places[3].parent) in missing.value.remedy
        assert missing.value.remedy.endswith(" as net.pt.")
        put(places[3], b"something else")
        with pytest.raises(WeightsInvalid, match="`faceindex models fetch needy`"):
            read_weights(weight)

    def test_without(self, places: list[Path]) -> None:
        weight = replace(WEIGHT, package=None, package_path=None)
        self.put(weight)
        with pytest.raises(WeightsNotFound, match="`faceindex models add needy FILE`") as missing:
            find_weights(weight)
        assert WEIGHT.source in missing.value.remedy
        assert missing.value.remedy.endswith(" as net.pt.")
