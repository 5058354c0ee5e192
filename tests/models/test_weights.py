"""Weight files: the search order, and that a wrong file is never used."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import models
from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import (
    WeightFile,
    find_weights,
    pinned_sha256,
    read_weights,
    verify_weights,
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
    """Temporary versions of the four places in search order, without any file."""
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


def test_places_are_searched_in_order(places: list[Path]) -> None:
    assert list(weight_locations(WEIGHT)) == places
    for path in places:
        put(path)
    for path in places:
        assert find_weights(WEIGHT) == path
        path.unlink()
    with pytest.raises(WeightsNotFound):
        find_weights(WEIGHT)


def test_a_folder_with_the_name_of_the_file_is_ignored(places: list[Path]) -> None:
    places[0].mkdir(parents=True)
    put(places[3])
    assert find_weights(WEIGHT) == places[3]


def test_missing_places_are_left_out(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEINDEX_WEIGHTS")
    (places[2].parents[1] / "pyproject.toml").unlink()
    unpackaged = WeightFile("net.pt", 1, "0" * 64, "nowhere", "no-such-distribution-here", "x/net.pt")
    assert list(weight_locations(unpackaged)) == [places[3]]


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


def test_the_error_for_a_missing_file_names_the_package_and_the_folder(places: list[Path]) -> None:
    with pytest.raises(WeightsNotFound) as info:
        find_weights(WEIGHT)
    assert "net.pt" in info.value.problem
    assert "pip install some-weights" in info.value.remedy
    assert str(places[3].parent) in info.value.remedy
    assert "$FACEINDEX_WEIGHTS as net.pt." in info.value.remedy


def test_the_error_for_a_missing_file_without_a_package_names_the_source(places: list[Path]) -> None:
    with pytest.raises(WeightsNotFound) as info:
        read_weights(WeightFile("other.pt", 1, "0" * 64, "https://example.org/other"))
    assert "pip install" not in info.value.remedy
    assert "https://example.org/other" in info.value.remedy


def test_reading_returns_the_verified_content(places: list[Path]) -> None:
    put(places[1])
    assert read_weights(WEIGHT) == CONTENT


@pytest.mark.parametrize("wrong", [b"", CONTENT[:-1], CONTENT[::-1]], ids=["empty", "cut short", "same size"])
def test_the_error_for_a_wrong_file_names_both_hashes(places: list[Path], wrong: bytes) -> None:
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


def accept(path: Path, content: bytes) -> str:
    """Write a file and the user's acceptance of it; return its SHA-256."""
    put(path, content)
    digest = hashlib.sha256(content).hexdigest()
    acceptance_path(path).write_text(json.dumps({"sha256": digest, "bytes": len(content)}))
    return digest


def test_each_folder_is_searched_for_all_names(places: list[Path]) -> None:
    site, *folders = places
    named = [path.with_name(name) for path in folders for name in ("net.pt", "folded.pt")]
    assert list(weight_locations(EITHER)) == [site, *named]
    put(places[3])
    put(places[1].with_name("folded.pt"), FOLDED)
    assert find_weights(EITHER) == places[1].with_name("folded.pt")


@pytest.mark.parametrize("name", ["net.pt", "folded.pt"])
@pytest.mark.parametrize("content", [CONTENT, FOLDED], ids=["published", "folded"])
def test_a_file_is_identified_by_its_content_not_its_name(
    places: list[Path], name: str, content: bytes
) -> None:
    path = places[1].with_name(name)
    put(path, content)
    assert read_weights(EITHER) == content
    assert verify_weights(EITHER) == path
    assert pinned_sha256(EITHER) == WEIGHT.sha256  # the same weights in either file


def test_the_error_for_a_wrong_file_names_the_hashes_of_all_variants(places: list[Path]) -> None:
    put(places[1], CONTENT[::-1])
    for read in (read_weights, verify_weights):
        with pytest.raises(WeightsInvalid) as info:
            read(EITHER)
        assert WEIGHT.sha256 in info.value.problem
        assert ALSO.sha256 in info.value.problem


def test_a_changed_file_of_the_same_size_and_time_is_detected(places: list[Path]) -> None:
    put(places[1])
    assert read_weights(WEIGHT) == CONTENT
    before = places[1].stat()
    put(places[1], CONTENT[::-1])
    os.utime(places[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsInvalid):
        read_weights(WEIGHT)


class TestAcceptance:
    """Files that nobody published and that the user accepted."""

    def test_an_accepted_file_is_read_and_pinned_by_its_own_hash(self, places: list[Path]) -> None:
        digest = accept(places[3], b"my own")
        assert read_weights(WEIGHT) == b"my own"
        assert verify_weights(WEIGHT) == places[3]
        assert pinned_sha256(WEIGHT) == digest

    @pytest.mark.parametrize("content", [b"my 0wn", b"my own!", CONTENT])
    def test_changed_content_is_refused(self, places: list[Path], content: bytes) -> None:
        digest = accept(places[3], b"my own")
        places[3].write_bytes(content)
        for read in (read_weights, verify_weights):
            with pytest.raises(WeightsInvalid, match="no longer the file that was added") as info:
                read(WEIGHT)
            assert digest in info.value.problem

    def test_only_files_in_the_users_folder_can_be_accepted(self, places: list[Path]) -> None:
        accept(places[1], b"my own")
        with pytest.raises(WeightsInvalid, match="is not the published"):
            read_weights(WEIGHT)
        assert pinned_sha256(WEIGHT) == WEIGHT.sha256

    @pytest.mark.parametrize("spelled", ["relative", "dotted", "linked"])
    def test_the_users_folder_is_recognised_by_any_path(
        self, places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spelled: str
    ) -> None:
        digest = accept(places[3], b"my own")
        folder = places[3].parent
        monkeypatch.chdir(tmp_path)
        if spelled == "linked":
            (tmp_path / "link").symlink_to(folder, target_is_directory=True)
        names = {"relative": os.path.relpath(folder), "dotted": f"{folder}/../weights", "linked": "link"}
        monkeypatch.setenv("FACEINDEX_WEIGHTS", names[spelled])
        assert find_weights(WEIGHT) != places[3]
        assert read_weights(WEIGHT) == b"my own"
        assert pinned_sha256(WEIGHT) == digest

    def test_a_damaged_acceptance_is_an_error(self, places: list[Path]) -> None:
        accept(places[3], b"my own")
        acceptance_path(places[3]).write_text("{")
        for read in (read_weights, verify_weights, pinned_sha256):
            with pytest.raises(WeightsInvalid, match="is damaged"):
                read(WEIGHT)


class TestElsewhere:
    """Files that other programs keep."""

    @pytest.fixture
    def theirs(self, places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
        """The places where two other programs may keep the file, in search order."""
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
        monkeypatch.setenv("THEIR_CACHE", str(tmp_path / "theirs"))
        monkeypatch.delenv("NO_SUCH_CACHE", raising=False)
        return [tmp_path / "home" / ".them" / "theirs.pt", tmp_path / "theirs" / "model.pt"]

    WEIGHT = replace(
        WEIGHT,
        package=None,
        package_path=None,
        elsewhere=("~/.them/theirs.pt", "$NO_SUCH_CACHE/model.pt", "$THEIR_CACHE/model.pt"),
    )

    def test_they_are_searched_last(self, places: list[Path], theirs: list[Path]) -> None:
        assert list(weight_locations(self.WEIGHT)) == [*places[1:], *theirs]
        for path in (*places[1:], *theirs):
            put(path)
        for path in (*places[1:], *theirs):
            assert find_weights(self.WEIGHT) == path
            assert read_weights(self.WEIGHT) == CONTENT
            path.unlink()

    def test_it_is_pinned_like_the_published_file(self, theirs: list[Path]) -> None:
        put(theirs[1])
        assert pinned_sha256(self.WEIGHT) == WEIGHT.sha256
        assert verify_weights(self.WEIGHT) == theirs[1]

    @pytest.mark.parametrize("wrong", [b"", CONTENT[:-1], CONTENT + b"."])
    def test_a_file_of_another_size_is_another_version(self, theirs: list[Path], wrong: bytes) -> None:
        put(theirs[0], wrong)
        with pytest.raises(WeightsNotFound):
            find_weights(self.WEIGHT)
        put(theirs[1])
        assert read_weights(self.WEIGHT) == CONTENT

    def test_a_wrong_file_of_the_same_size_is_never_used(
        self, places: list[Path], theirs: list[Path]
    ) -> None:
        put(theirs[0], CONTENT[::-1])
        for read in (read_weights, verify_weights):
            with pytest.raises(WeightsInvalid, match="is not the published") as info:
                read(self.WEIGHT)
            assert str(theirs[0]) in info.value.problem
            assert "Delete" not in info.value.remedy  # it belongs to another program
            assert str(places[3].parent) in info.value.remedy
        put(places[3])
        assert read_weights(self.WEIGHT) == CONTENT

    def test_it_cannot_be_accepted(self, theirs: list[Path]) -> None:
        accept(theirs[0], CONTENT[::-1])
        with pytest.raises(WeightsInvalid, match="is not the published"):
            read_weights(self.WEIGHT)

    def test_folders_and_links_to_nowhere_are_passed_over(self, theirs: list[Path]) -> None:
        theirs[0].mkdir(parents=True)
        theirs[1].parent.mkdir(parents=True)
        theirs[1].symlink_to("nowhere")
        with pytest.raises(WeightsNotFound):
            find_weights(self.WEIGHT)

    @pytest.mark.parametrize(
        ("name", "place"),
        [
            ("arcface-r50", "home/.insightface/models/buffalo_l/w600k_r50.onnx"),
            ("arcface-r50", "immich/facial-recognition/buffalo_l/recognition/model.onnx"),
            ("arcface-mbf", "home/.insightface/models/buffalo_s/w600k_mbf.onnx"),
            ("arcface-mbf", "immich/facial-recognition/buffalo_s/recognition/model.onnx"),
            ("arcface-mbf", "home/.uniface/models/arcface_mnet.onnx"),
            ("adaface-ir18", "home/.uniface/models/adaface_ir_18.onnx"),
            ("sface", "home/.deepface/weights/face_recognition_sface_2021dec.onnx"),
        ],
    )
    def test_the_places_of_known_programs(
        self, theirs: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, place: str
    ) -> None:
        monkeypatch.setenv("MACHINE_LEARNING_CACHE_FOLDER", str(tmp_path / "immich"))
        monkeypatch.delenv("UNIFACE_CACHE_DIR", raising=False)
        weight = models.get("embedder", name).weights[0]
        assert tmp_path / place in weight_locations(weight)


class TestRemedy:
    """Errors for missing and wrong files name the command to run, with the name of the model."""

    @pytest.fixture
    def register(self, places: list[Path], fake_models: ModuleType) -> Callable[[WeightFile], None]:
        """Register a detector named ``needy`` that uses a weight file."""

        def register(weight: WeightFile) -> None:
            models.register(replace(fake_models.DETECTOR, name="needy", weights=(weight,)))

        return register

    def test_a_file_with_an_address(self, places: list[Path], register: Callable[[WeightFile], None]) -> None:
        weight = replace(WEIGHT, package=None, package_path=None, url="https://example.org/net.pt")
        register(weight)
        with pytest.raises(WeightsNotFound, match="`faceindex models fetch needy`") as missing:
            find_weights(weight)
        assert str(places[3].parent) in missing.value.remedy
        assert missing.value.remedy.endswith(" as net.pt.")
        put(places[3], b"something else")
        with pytest.raises(WeightsInvalid, match="`faceindex models fetch needy`"):
            read_weights(weight)

    def test_a_file_without_an_address(self, register: Callable[[WeightFile], None]) -> None:
        weight = replace(WEIGHT, package=None, package_path=None)
        register(weight)
        with pytest.raises(WeightsNotFound, match="`faceindex models add needy FILE`") as missing:
            find_weights(weight)
        assert WEIGHT.source in missing.value.remedy
        assert missing.value.remedy.endswith(" as net.pt.")
