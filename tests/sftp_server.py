"""An SFTP server in this process, of the package paramiko, for tests."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

__all__ = ["Files", "Server", "serve"]


class _Login(paramiko.ServerInterface):  # type: ignore[misc]
    """Lets in who has the one key."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.server.tries += 1
        is_right = username == "photos" and key == self.server.login
        return int(paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class Files(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """The files of a folder, to read."""

    def __init__(self, server: Any, folder: Path) -> None:
        super().__init__(server)
        self.folder = folder

    def _at(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def list_folder(self, path: str) -> Any:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(one.stat(), one.name) for one in self._at(path).iterdir()
            ]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            file = self._at(path).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = file
        return handle


class Server:
    """A server that can be stopped and started again, with a key of its own."""

    def __init__(self, folder: Path, login: paramiko.PKey) -> None:
        self.folder = folder
        self.login = login
        self.key = paramiko.ECDSAKey.generate()
        self.port = 0
        self.tries = 0  # to log in
        self._open: list[Any] = []
        self.start()

    @property
    def known_host(self) -> str:
        """Its line in a file of known hosts."""
        return f"[127.0.0.1]:{self.port} {self.key.get_name()} {self.key.get_base64()}\n"

    def start(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._socket], daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                transport = paramiko.Transport(connection)
                self._open.append(transport)
                transport.add_server_key(self.key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files, self.folder)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Login(self))

    def stop(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for transport in self._open:
            transport.close()
        self._open.clear()


@contextmanager
def serve(folder: Path, home: Path) -> Iterator[Server]:
    """Start a server of a folder. A home folder gets the key to log in."""
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    login = paramiko.ECDSAKey.generate()
    login.write_private_key_file(os.fspath(home / ".ssh" / "id_ecdsa"))
    server = Server(folder, login)
    try:
        yield server
    finally:
        server.stop()
