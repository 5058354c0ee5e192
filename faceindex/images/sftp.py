"""SFTP servers, with their host keys checked.

fsspec's class for SFTP accepts every host key: who is in between could read the login and send other photos.
This one accepts the keys that ``ssh`` knows, and no others.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from faceindex.addresses import split_address
from faceindex.errors import ImageError, Reason

__all__ = ["failure_of_sftp", "is_connected", "with_known_hosts"]

_OF_ALL_USERS = "/etc/ssh/ssh_known_hosts"


@cache
def with_known_hosts(kind: Any) -> Any:
    """Return fsspec's class for SFTP, changed to refuse servers that are not among the known hosts."""

    def connect(self: Any) -> None:
        import paramiko

        client = self.client = paramiko.SSHClient()
        client.load_system_host_keys()  # ~/.ssh/known_hosts
        with suppress(OSError):
            client.load_system_host_keys(_OF_ALL_USERS)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(self.host, **self.ssh_kwargs)
            self.ftp = client.open_sftp()
        except BaseException:
            client.close()
            raise

    return type("KnownHostsSFTP", (kind,), {"_connect": connect})


def is_connected(system: Any) -> bool:
    """Return whether the connection of a file system is open: fsspec keeps one for each server."""
    transport = system.client.get_transport()
    return transport is not None and bool(transport.is_active())


def failure_of_sftp(error: Exception, address: str) -> ImageError | None:
    """Return what an error of paramiko means, if it is about the host key or the login."""
    name, text = type(error).__name__, str(error)
    server = split_address(address)[0].partition("://")[2]
    host, colon, port = server.rpartition(":") if server.rpartition(":")[2].isdecimal() else (server, "", "")
    command = f"ssh {f'-p {port} ' if colon else ''}{host}"
    if name == "BadHostKeyException":
        return ImageError(
            address,
            Reason.DENIED,
            "the host key of the server is not the one in ~/.ssh/known_hosts.",
            f"If its administrator has replaced the key, remove the old one with `ssh-keygen -R`, and run "
            f"`{command}` once.",
        )
    if "not found in known_hosts" in text:
        return ImageError(
            address,
            Reason.DENIED,
            "the host key of the server is not known.",
            f"Run `{command}` once, and check the key that it shows.",
        )
    if name in ("AuthenticationException", "PasswordRequiredException") or "authentication" in text.lower():
        return ImageError(
            address,
            Reason.DENIED,
            "the server refuses the login.",
            f"Add your key to the SSH agent, so that `{command}` needs no password.",
        )
    return None
