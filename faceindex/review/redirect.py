"""The file that opens the page in the browser.

The address with the token would be on the command line of the browser, which all users of the machine can
see. So the browser opens a file that only this user can read, and that leads there by a token of its own.
"""

from __future__ import annotations

import html
import os
import re
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from faceindex.review.keys import HOST
from faceindex.safe_open import open_own

__all__ = ["remove_leftovers", "remove_redirect", "write_redirect"]

_NAME: Final = re.compile(r"\.review-([0-9]{1,5})-[0-9a-f]{16}\.html")
_OLD: Final = 600.0  # seconds after which no browser opens one any more
_PATIENCE: Final = 0.2  # seconds for a server of this machine to answer


def write_redirect(directory: Path, port: int, address: str) -> Path:
    """Write the file into an index directory, and return it; raises `OSError` if that is not possible."""
    path = directory / f".review-{port}-{secrets.token_hex(8)}.html"
    target = html.escape(address)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>faceindex</title>'
        f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={target}">'
        f'<p><a href="{target}" rel="noreferrer">Open the page</a></p></html>'
    )
    opened = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    with open(opened, "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(page.encode())
    return path


def remove_redirect(path: Path) -> None:
    """Delete the file if it is still there."""
    with suppress(OSError):
        path.unlink()


def remove_leftovers(directory: Path) -> None:
    """Delete the files of servers that were killed."""
    with suppress(OSError):
        for path in directory.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None and _is_left_over(path, int(found[1])):
                remove_redirect(path)


def _is_left_over(path: Path, port: int) -> bool:
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > _OLD:
            return True
    try:
        socket.create_connection((HOST, port), _PATIENCE).close()
    except (OSError, OverflowError):
        return True
    return False
