"""SFTP servers, with their host keys checked, and given up if they stop answering.

fsspec's class for SFTP accepts every host key: who is in between could read the login and send other photos.
This one accepts the keys in the known_hosts files only. fsspec also waits for an answer for ever.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import Any, NoReturn

from faceindex.addresses import split_address
from faceindex.errors import ImageError, Reason
from faceindex.images.known_hosts import KnownHost, known_host

__all__ = ["SECONDS", "failure_of_sftp", "is_connected", "with_known_hosts"]

SECONDS = 60.0
"""How long a server may take to let in, and for each answer."""

_KEEP_ALIVE = 30  # seconds; less than after which most routers forget a connection


class _HostKeyRefused(Exception):
    """The host key of a server is not accepted.

    Attributes
    ----------
    detail, remedy : str
        As of an `ImageError`; ``{ssh}`` in the remedy stands for the command that connects to the server.
    """

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


@cache
def with_known_hosts(kind: Any) -> Any:
    """Return fsspec's class for SFTP, changed to refuse servers that are not among the known hosts."""

    def connect(self: Any) -> None:
        self.client, self.ftp = _open(self.host, self.ssh_kwargs)

    return type("KnownHostsSFTP", (kind,), {"_connect": connect})


def _open(host: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Connect and log in: return paramiko's clients for SSH and SFTP.

    Raises
    ------
    _HostKeyRefused
    TimeoutError
        If that takes longer than `SECONDS`.
    Exception
        Any other of paramiko.
    """
    import paramiko

    port = int(options.get("port", 22))
    known = known_host(host if port == 22 else f"[{host}]:{port}")
    client = paramiko.SSHClient()
    for name, key in known.keys.items():
        client.get_host_keys().add(host if port == 22 else f"[{host}]:{port}", name, key)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    limits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), SECONDS)
    started = time.monotonic()
    timer = threading.Timer(SECONDS, client.close)  # not all of paramiko's waits have a limit
    timer.daemon = True
    timer.start()
    try:
        client.connect(host, **limits | options)
        transport = client.get_transport()
        transport.set_keepalive(_KEEP_ALIVE)
        channel = transport.open_session()
        channel.settimeout(SECONDS)
        channel.invoke_subsystem("sftp")
        ftp = paramiko.SFTPClient(_Channel(channel, client))
    except BaseException as error:
        try:
            if isinstance(error, paramiko.SSHException):
                _refuse(client.get_transport(), known, error)
            if isinstance(error, Exception) and time.monotonic() - started >= SECONDS:
                raise _silence() from error
        finally:
            client.close()
        raise
    finally:
        timer.cancel()
    return client, ftp


def _refuse(transport: Any, known: KnownHost, error: Exception) -> None:
    """Raise `_HostKeyRefused` if the host key of a server is the cause of an error."""
    import paramiko

    try:
        key = None if transport is None else transport.get_remote_server_key()
    except paramiko.SSHException:  # the server has sent none
        return
    if key is not None and (place := known.revoked.get(key.asbytes())) is not None:
        raise _HostKeyRefused(
            f"the host key of the server is revoked ({place}).",
            "Ask the administrator of the server for its new key.",
        ) from error
    if isinstance(error, paramiko.BadHostKeyException):
        places = " or ".join(dict.fromkeys(known.places.values()))
        raise _HostKeyRefused(
            f"the host key of the server is not the one in {places}.",
            "If its administrator has replaced the key, remove the old one with `ssh-keygen -R`, and run "
            "`{ssh}` once.",
        ) from error
    if "not found in known_hosts" in str(error):
        unread = f", and there is an unreadable line: {known.unread[0]}" if known.unread else ""
        raise _HostKeyRefused(
            f"the host key of the server is not known{unread}.",
            "Run `{ssh}` once, and check the key that it shows.",
        ) from error


def _silence() -> TimeoutError:
    return TimeoutError(f"nothing for {SECONDS:.0f} seconds")


class _Channel:
    """The channel of an SFTP client, which closes its connection if the server does not answer.

    The answers that come later would be taken for those of the next requests, and each of these would wait.
    """

    def __init__(self, channel: Any, client: Any) -> None:
        self._channel = channel
        self._client = client

    def send(self, data: bytes) -> int:
        try:
            return int(self._channel.send(data))
        except TimeoutError as error:
            self._fail(error)

    def recv(self, size: int) -> bytes:
        try:
            found: bytes = self._channel.recv(size)
        except TimeoutError as error:
            self._fail(error)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def _fail(self, error: TimeoutError) -> NoReturn:
        self._client.close()
        raise _silence() from error


def is_connected(system: Any) -> bool:
    """Return whether the connection of a file system is open: fsspec keeps one for each server."""
    transport = system.client.get_transport()
    return transport is not None and bool(transport.is_active())


def failure_of_sftp(error: Exception, address: str) -> ImageError | None:
    """Return what an error of paramiko means, if it is about the host key, the login or the time."""
    name, text = type(error).__name__, str(error)
    server = split_address(address)[0].partition("://")[2]
    host, colon, port = server.rpartition(":") if server.rpartition(":")[2].isdecimal() else (server, "", "")
    command = f"ssh {f'-p {port} ' if colon else ''}{host}"
    if isinstance(error, _HostKeyRefused):
        return ImageError(address, Reason.DENIED, error.detail, error.remedy.replace("{ssh}", command))
    if isinstance(error, TimeoutError):
        return ImageError(
            address,
            Reason.IO_ERROR,
            f"the server does not answer ({text or 'timed out'}).",
            "Check the network connection and the server, and try again.",
        )
    if name in ("AuthenticationException", "PasswordRequiredException") or "authentication" in text.lower():
        return ImageError(
            address,
            Reason.DENIED,
            "the server refuses the login.",
            f"Add your key to the SSH agent, so that `{command}` needs no password.",
        )
    return None
