"""Adding a weight file to the user's folder."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from faceindex.errors import ModelError, UsageError, WeightsInvalid
from faceindex.models import WeightFile, install, pinned_sha256, read_weights, weights_folder
from faceindex.models.install import add_weights
from faceindex.models.weights import acceptance_path

CONTENT, FOLDED, MINE = b"published", b"published, folded", b"my own training"


def weight_file(name: str, content: bytes, **other: str) -> WeightFile:
    return WeightFile(name, len(content), hashlib.sha256(content).hexdigest(), "https://example.org", **other)  # type: ignore[arg-type]


WEIGHT = replace(weight_file("test-net.pt", CONTENT), also=(weight_file("test-folded.pt", FOLDED),))
SHIPPED = weight_file(
    "test-points.dat", b"points", package="no-such-package", package_path="x/test-points.dat"
)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEINDEX_WEIGHTS", raising=False)
    return weights_folder()


def write(tmp_path: Path, content: bytes, name: str = "download(1).pt") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "name"), [(CONTENT, "test-net.pt"), (FOLDED, "test-folded.pt")])
@pytest.mark.parametrize("unverified", [False, True])
def test_a_published_file_is_identified_by_its_content(
    tmp_path: Path, folder: Path, content: bytes, name: str, unverified: bool
) -> None:
    source = write(tmp_path, content)
    assert add_weights([SHIPPED, WEIGHT], source, unverified=unverified) == folder / name
    assert names(folder) == [name]
    assert source.read_bytes() == content
    assert read_weights(WEIGHT) == content
    assert pinned_sha256(WEIGHT) == WEIGHT.sha256


def test_the_error_for_an_unpublished_file_names_all_hashes(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(WeightsInvalid) as info:
        add_weights([WEIGHT], write(tmp_path, MINE))
    for digest in (WEIGHT.sha256, WEIGHT.also[0].sha256, hashlib.sha256(MINE).hexdigest()):
        assert digest in info.value.problem
    assert "`unverified=True`" in info.value.remedy
    assert not folder.exists()


def test_an_accepted_unverified_file_is_used(tmp_path: Path, folder: Path) -> None:
    path = add_weights([WEIGHT, SHIPPED], write(tmp_path, MINE), unverified=True)
    assert path == folder / "test-net.pt"
    assert read_weights(WEIGHT) == MINE
    assert pinned_sha256(WEIGHT) == hashlib.sha256(MINE).hexdigest()
    again = add_weights([WEIGHT], write(tmp_path, MINE[::-1]), unverified=True)
    assert again == path
    assert read_weights(WEIGHT) == MINE[::-1]


@pytest.mark.parametrize("content", [CONTENT, FOLDED])
def test_a_published_file_replaces_an_unverified_one(tmp_path: Path, folder: Path, content: bytes) -> None:
    add_weights([WEIGHT], write(tmp_path, MINE), unverified=True)
    path = add_weights([WEIGHT], write(tmp_path, content))
    assert names(folder) == [path.name]
    assert read_weights(WEIGHT) == content
    assert pinned_sha256(WEIGHT) == WEIGHT.sha256


def test_after_a_crash_between_acceptance_and_copy_no_file_is_accepted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_weights([WEIGHT], write(tmp_path, CONTENT))

    def killed(file: Path, name: str, sha256: str) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(install, "_copy", killed)
        with pytest.raises(KeyboardInterrupt):
            add_weights([WEIGHT], write(tmp_path, MINE), unverified=True)
    with pytest.raises(WeightsInvalid):
        read_weights(WEIGHT)
    add_weights([WEIGHT], write(tmp_path, CONTENT))
    assert read_weights(WEIGHT) == CONTENT


def test_an_unverified_file_is_identified_by_its_name_if_the_model_has_several(
    tmp_path: Path, folder: Path
) -> None:
    other = weight_file("test-other.pt", b"other")
    with pytest.raises(UsageError, match="could be any of several weight files") as info:
        add_weights([WEIGHT, other], write(tmp_path, MINE), unverified=True)
    assert "test-net.pt or test-other.pt" in info.value.remedy
    path = add_weights([WEIGHT, other], write(tmp_path, MINE, "test-other.pt"), unverified=True)
    assert path.name == "test-other.pt"


@pytest.mark.parametrize("unverified", [False, True])
def test_a_model_without_weight_files_is_an_error(tmp_path: Path, unverified: bool) -> None:
    with pytest.raises(UsageError, match="no weight files"):
        add_weights([], write(tmp_path, MINE), unverified=unverified)


@pytest.mark.parametrize("unverified", [False, True])
def test_the_error_names_a_file_that_takes_precedence(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, unverified: bool
) -> None:
    named = tmp_path / "named"
    named.mkdir()
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(named))
    first = write(named, CONTENT, "test-net.pt")
    with pytest.raises(UsageError) as info:
        add_weights([WEIGHT], write(tmp_path, MINE if unverified else CONTENT), unverified=unverified)
    assert str(first) in info.value.problem
    assert not folder.exists()


@pytest.mark.parametrize("name", ["nowhere.pt", "."])
def test_an_unreadable_file_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        add_weights([WEIGHT], tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe cannot be read: it is not a regular file"):
        add_weights([WEIGHT], tmp_path / "pipe", unverified=True)


def test_the_environment_variable_may_name_the_users_folder(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$FACEINDEX_WEIGHTS, which is searched first, is a relative path to the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEINDEX_WEIGHTS", os.path.relpath(folder))
    add_weights([WEIGHT], write(tmp_path, MINE), unverified=True)
    assert read_weights(WEIGHT) == MINE
    assert pinned_sha256(WEIGHT) == hashlib.sha256(MINE).hexdigest()
    add_weights([WEIGHT], write(tmp_path, CONTENT))
    add_weights([WEIGHT], write(tmp_path, CONTENT))
    assert read_weights(WEIGHT) == CONTENT


def test_a_full_disk_leaves_no_files(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("faceindex.files.sync_file", full)
    with pytest.raises(ModelError, match="No space left"):
        add_weights([WEIGHT], write(tmp_path, CONTENT))
    assert names(folder) == []
    assert not acceptance_path(folder / "test-net.pt").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_only_the_user_can_read_the_folder(tmp_path: Path, folder: Path) -> None:
    add_weights([WEIGHT], write(tmp_path, CONTENT))
    assert folder.stat().st_mode & 0o077 == 0
