"""Stores that need packages of their own, on this machine: SFTP, Google's and Azure's through emulators."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emulators import AZURE_KEY, Azure, Google, azurite, serve_azure, serve_google

pytest.importorskip("fsspec")

Run = Callable[..., Any]
COUNTS = ("new", "changed", "moved", "gone", "unchanged")


def _document(done: Any, code: int = 0) -> dict[str, Any]:
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _counts(done: Any, code: int = 0) -> tuple[int, ...]:
    document = _document(done, code)
    return tuple(document[name] for name in COUNTS)


# SFTP ------------------------------------------------------------------------------------------------


@pytest.fixture
def sftp(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("paramiko")
    from sftp_server import serve

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with serve(album, tmp_path / "home") as server:
        yield server


def test_an_sftp_server_must_be_known(sftp: Any, index_album: Run, run: Run, tmp_path: Path) -> None:
    top = f"sftp://photos@127.0.0.1:{sftp.port}/person0"
    known_hosts = tmp_path / "home" / ".ssh" / "known_hosts"
    done = index_album(top, "--json")
    assert _document(done, 1)["unreadable_by_reason"] == {"permission denied": 1}
    assert "the host key of the server is not known." in done.stderr
    assert f"Run `ssh -p {sftp.port} photos@127.0.0.1` once" in done.stderr
    assert sftp.tries == 0  # neither the user nor a key was sent

    known_hosts.write_text(sftp.known_host)
    assert _counts(index_album(top, "--json")) == (4, 0, 0, 0, 0)
    assert _counts(index_album(top, "--json")) == (0, 0, 0, 0, 4)
    sftp.stop()
    assert _document(index_album(top, "--json"), 1)["gone"] == 0
    sftp.start()
    assert _counts(index_album(top, "--json")) == (0, 0, 0, 0, 4)  # on a new connection

    import paramiko

    sftp.stop()
    sftp.key = paramiko.ECDSAKey.generate()
    sftp.start()
    done = run("identify", f"{top}/0.png")
    assert "is not the one in ~/.ssh/known_hosts" in done.stderr
    known_hosts.write_text(sftp.known_host)
    sftp.login = paramiko.ECDSAKey.generate()
    assert "the server refuses the login" in run("identify", f"{top}/0.png").stderr


def test_a_folder_that_an_sftp_server_does_not_list(
    sftp: Any, index_album: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paramiko
    from sftp_server import Files

    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(sftp.known_host)
    top = f"sftp://photos@127.0.0.1:{sftp.port}"  # all folders of the server
    assert _counts(index_album(top, "--json")) == (12, 0, 0, 0, 0)
    list_folder = Files.list_folder

    def refuse(self: Any, path: str) -> Any:
        return paramiko.SFTP_PERMISSION_DENIED if "person1" in path else list_folder(self, path)

    monkeypatch.setattr(Files, "list_folder", refuse)
    done = index_album(top, "--json")
    assert _counts(done, 1) == (0, 0, 0, 0, 8)
    assert _document(done, 1)["unreadable_by_reason"] == {"permission denied": 1}
    assert f"{top}/person1: permission denied by the store." in done.stderr
    monkeypatch.setattr(Files, "list_folder", list_folder)
    assert _counts(index_album(top, "--json")) == (0, 0, 0, 0, 12)


# Google and Azure ------------------------------------------------------------------------------------


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    # Without this, gcsfs looks for another service at the emulator, for a minute.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for package in ("gcsfs", "gcp_storage_emulator"):
        pytest.importorskip(package)
    with serve_google(tmp_path / "store") as server:
        yield server


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    pytest.importorskip("adlfs")
    if azurite() is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    with serve_azure(tmp_path / "store") as server:
        yield server


@pytest.mark.parametrize("name", ["google", "azure"])
def test_an_emulated_store(
    name: str,
    request: pytest.FixtureRequest,
    album: Path,
    index_album: Run,
    run: Run,
    tmp_path: Path,
    fake_models: ModuleType,
) -> None:
    system = request.getfixturevalue(name).system()
    top = {"google": "gs", "azure": "az"}[name] + "://pictures/all"
    system.mkdir("pictures")
    for path in sorted(album.rglob("*.png")):
        system.pipe_file(f"pictures/all/{path.relative_to(album).as_posix()}", path.read_bytes())
    assert _counts(index_album(top, "--json")) == (12, 0, 0, 0, 0)
    assert run("cluster").exit_code == 0
    assert _counts(index_album(f"{top}/", "--json")) == (0, 0, 0, 0, 12)

    (tmp_path / "new").mkdir()
    new = fake_models.make_photo(tmp_path / "new" / "x.png", fake_models.colour_of(2), mark=200)
    system.pipe_file("pictures/all/person0/0.png", new.read_bytes())
    moved = system.cat_file("pictures/all/person1/2.png")
    system.rm_file("pictures/all/person1/2.png")
    system.rm_file("pictures/all/person1/3.png")
    system.pipe_file("pictures/all/moved/z.png", moved)
    system.pipe_file("pictures/all/old.zip", b"PK")
    done = index_album(top, "--json")
    assert _counts(done) == (0, 1, 1, 1, 9)
    assert _document(done)["in_stores"] == 1
    (answer,) = _document(run("identify", f"{top}/person2/1.png", "--json"))["photos"]
    assert answer["faces"][0]["confidence"] == "certain"
    assert run("people", "name", "0", "Anna").exit_code == 0
    assert _document(run("forget", "Anna", "--yes", "--json"))["faces"] == 4  # and one that is gone
    assert _document(index_album(top, "--json"))["opened"] == 0
    assert run("identify", f"{top}/none.png").stderr.count("there is no such object") == 1


def test_a_wrong_key_of_azure(
    azure: Azure, index_album: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import adlfs

    azure.system().mkdir("pictures")
    wrong = "d3JvbmcgLSBub3QtYS1yZWFsLXNlY3JldA=="
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure.connection(wrong))
    adlfs.AzureBlobFileSystem.clear_instance_cache()
    done = index_album("az://pictures/all", "--json")
    assert _document(done, 1)["unreadable_by_reason"] == {"permission denied": 1}
    assert wrong not in done.stdout + done.stderr
    done = index_album("az://pictures/all", "--json")  # it is no news, but nothing was compared
    assert (done.exit_code, "permission denied by the store" in done.stderr) == (1, True)
    for path in (tmp_path / ".faceindex").iterdir():
        assert wrong.encode() not in path.read_bytes()
        assert AZURE_KEY.encode() not in path.read_bytes()


def test_the_packages_are_named(index_album: Run) -> None:
    for scheme, package in (("gs", "gcsfs"), ("az", "adlfs"), ("sftp", "paramiko")):
        if importlib.util.find_spec(package) is None:
            assert f"Run `pip install {package}`." in index_album(f"{scheme}://bucket/photos").stderr
