"""SFTP: which host keys are accepted, and servers that do not answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.images import remote, sftp

paramiko = pytest.importorskip("paramiko")
fsspec = pytest.importorskip("fsspec")

OTHER = "other.example.org"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from sftp_server import serve

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    with serve(tmp_path / "photos", tmp_path / "home") as started:
        found: Any = started
        found.hosts = tmp_path / "home" / ".ssh" / "known_hosts"
        found.hosts.write_text(found.known_host)
        found.address = f"sftp://photos@127.0.0.1:{found.port}/a.jpg"
        yield found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "SECONDS", 1.0)
    monkeypatch.setattr(remote, "SECONDS", 60.0)
    monkeypatch.setattr(remote, "_silent", {})


def _refused(server: Any) -> ImageError:
    fsspec.get_filesystem_class("sftp").clear_instance_cache()
    sftp.with_known_hosts(fsspec.get_filesystem_class("sftp")).clear_instance_cache()
    with pytest.raises(ImageError) as caught:
        images.read(server.address)
    return caught.value


def test_one_unusual_line_hides_no_other(server: Any) -> None:
    other = paramiko.ECDSAKey.generate().get_base64()
    unusual = [
        f"@revoked * ecdsa-sha2-nistp256 {other} lost in Zürich",
        f"@cert-authority *.example.org ecdsa-sha2-nistp256 {other}",
        "@unheard-of * ecdsa-sha2-nistp256 AAAA",
        "@revoked",
        "nonsense",
        f"{OTHER} ecdsa-sha2-nistp256 A",
        f"{OTHER} ecdsa-sha2-nistp256 AAAA",
        f"{OTHER} sk-ssh-ed25519@openssh.com {other}",
        f"{OTHER} ecdsa-sha2-nistp256 {other} M\xfcller",
        "",
        "# a comment in Z\xfcrich",
    ]
    text = "\r\n".join([*unusual, server.known_host])
    server.hosts.write_bytes(text.encode("latin-1"))
    assert len(images.read(server.address)) == 104

    server.hosts.write_bytes("\n".join(unusual).encode("latin-1"))
    error = _refused(server)
    assert error.reason is Reason.DENIED
    assert "is not known, and there is an unreadable line: ~/.ssh/known_hosts, line 3." in error.detail


def test_hashed_names(server: Any) -> None:
    name, rest = server.known_host.split(" ", 1)
    server.hosts.write_text(f"{paramiko.HostKeys.hash_host(name)} {rest}")
    assert len(images.read(server.address)) == 104


def test_a_revoked_key_is_refused(server: Any) -> None:
    kind, key = server.key.get_name(), server.key.get_base64()
    for lines in (
        server.known_host + f"@revoked * {kind} {key}\n",
        f"@revoked * {kind} {key}\n",
        f"@revoked * {kind} {key}\n"
        + server.known_host.replace(key, paramiko.ECDSAKey.generate().get_base64()),
    ):
        server.hosts.write_text(lines)
        error = _refused(server)
        number = 1 + [line[0] for line in lines.splitlines()].index("@")
        assert error.detail == f"the host key of the server is revoked (~/.ssh/known_hosts, line {number})."
    assert server.tries == 0


def test_a_server_that_never_answers(
    impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"sftp://photos@127.0.0.1:{silent.getsockname()[1]}/a.jpg"
        errors: list[ImageError] = []

        def read() -> None:
            with pytest.raises(ImageError) as caught:
                images.read(address)
            errors.append(caught.value)

        threads = [threading.Thread(target=read, daemon=True) for _ in range(4)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        remote.connect("memory://bucket/a.jpg")  # other stores do not wait
        assert time.monotonic() - started < 0.9
        for thread in threads:
            thread.join(10)
        assert time.monotonic() - started < 3.5  # one waited, not each of the four in turn
    assert [error.reason for error in errors] == [Reason.IO_ERROR] * 4
    assert all("the server does not answer" in error.detail for error in errors)


def test_a_server_that_stops_answering(server: Any, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from sftp_server import Files

    go_on = threading.Event()
    opened = Files.open

    def stuck(self: Any, *arguments: Any) -> Any:
        go_on.wait(20)
        return opened(self, *arguments)

    monkeypatch.setattr(Files, "open", stuck)
    started = time.monotonic()
    with pytest.raises(ImageError, match=r"the server does not answer \(nothing for 1 seconds\)") as caught:
        images.read(server.address)
    assert time.monotonic() - started < 5
    assert caught.value.reason is Reason.IO_ERROR
    go_on.set()
    assert len(images.read(server.address)) == 104  # on a new connection
