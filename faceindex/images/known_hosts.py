"""The host keys of SSH servers that the files of known hosts name."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["KnownHost", "known_host"]

_FILES = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


class KnownHost(NamedTuple):
    """What the files state of a server.

    Attributes
    ----------
    keys : dict of str to paramiko.PKey
        Its keys by their types, without revoked ones.
    places : dict of str to str
        Where each of them is: a file and a line.
    revoked : dict of bytes to str
        Keys that ``@revoked`` lines name, for whatever server, and where.
    unread : list of str
        The files that cannot be read, and the lines that are no keys or of a kind that paramiko lacks.
    """

    keys: dict[str, Any]
    places: dict[str, str]
    revoked: dict[bytes, str]
    unread: list[str]


def known_host(name: str) -> KnownHost:
    """Read the files of known hosts, line by line: one unusual line does not hide the others.

    Parameters
    ----------
    name : str
        The server as these files have it: ``HOST`` or ``[HOST]:PORT``. An entry names it as it is, or by its
        hash; paramiko knows no patterns.
    """
    found = KnownHost({}, {}, {}, [])
    keys: list[tuple[Any, str]] = []
    for file in _FILES:
        try:
            data = Path(file).expanduser().read_bytes()
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
            found.unread.append(f"{file} ({getattr(error, 'strerror', None) or error})")
            continue
        for number, line in enumerate(data.splitlines(), 1):
            fields = line.decode("latin-1").split()  # only comments have other than ASCII
            if not fields or fields[0].startswith("#"):
                continue
            place = f"{file}, line {number}"
            try:
                _read_line(fields, name, place, keys, found.revoked)
            except Exception:  # whatever a line has, the other lines hold
                found.unread.append(place)
    for key, place in keys:
        kind = key.get_name()
        if key.asbytes() not in found.revoked and kind not in found.keys:
            found.keys[kind], found.places[kind] = key, place
    return found


def _read_line(
    fields: list[str], name: str, place: str, keys: list[tuple[Any, str]], revoked: dict[bytes, str]
) -> None:
    """Add what a line states; raises any error if it cannot be read."""
    from paramiko.hostkeys import HostKeyEntry, HostKeys

    if fields[0] == "@cert-authority":
        return  # paramiko reads no certificates of hosts
    if fields[0] == "@revoked":
        _, _, _, blob, *_ = fields
        revoked.setdefault(b64decode(blob, validate=True), place)
        return
    names, kind, blob, *_ = fields
    entry = HostKeyEntry.from_line(f"{names} {kind} {blob}")
    if entry is None:
        raise ValueError(kind)
    hosts = HostKeys()
    for host in entry.hostnames:
        hosts.add(host, entry.key.get_name(), entry.key)
    if hosts.lookup(name) is not None:
        keys.append((entry.key, place))
