"""Write sidecars, durably, and packets inside photos, through ExifTool."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.files import replace_durably, write_durably

__all__ = ["FileStatus", "embed_packet", "file_status", "find_exiftool", "write_sidecar"]

FileStatus = tuple[int, int, int]
"""Inode, size, and time of modification of a file: another one means that another program wrote it."""

_SECONDS: Final = 120  # for one photo; ExifTool copies it once
_CHANGED: Final = "another program has written it just now."


def file_status(path: str | os.PathLike[str]) -> FileStatus | None:
    """Return the status of a file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - names may be of any encoding
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def write_sidecar(path: str, content: bytes, *, before: FileStatus | None, photo: str) -> None:
    """Write a sidecar: all of it, or nothing.

    A link is followed: the file that it names is replaced. Mode and owner of an old file are kept; a new one
    may be read by whoever may read the photo.

    Parameters
    ----------
    path : str
    content : bytes
    before : FileStatus or None
        As when the old content was read; None if there was no file.
    photo : str

    Raises
    ------
    ImageError
        If the file cannot be written, or another program has written it since.
    """
    target = os.path.realpath(path)
    if file_status(target) != before:
        raise ImageError(path, Reason.CHANGED, _CHANGED, "Run the command again.")
    try:
        old = os.stat(target if before is not None else photo)  # noqa: PTH116
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied")

        def write(file: BinaryIO) -> None:
            _keep_mode(file.fileno(), old, owner=before is not None)
            file.write(content)

        write_durably(Path(target), write)
    except OSError as error:
        raise ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be written ({error.strerror or error}).",
            "Check the permissions of the folder and the free space on the disk.",
        ) from error


def _keep_mode(descriptor: int, old: os.stat_result, *, owner: bool) -> None:
    if not hasattr(os, "fchmod"):  # Windows
        return
    if owner and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(OSError):  # only the superuser may give a file away
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o666)


def find_exiftool() -> str:
    """Return the path of ExifTool.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    found = shutil.which("exiftool")
    if found is None:
        raise UsageError(
            "ExifTool is not installed, and only it writes names into photos.",
            "Install the package exiftool (libimage-exiftool-perl on Debian), or write sidecars.",
        )
    return os.path.realpath(found)


def embed_packet(
    tool: str,
    path: str,
    packet: bytes,
    *,
    before: FileStatus | None,
    check: Callable[[bytes], bool],
) -> None:
    """Replace the XMP packet of a photo, through ExifTool.

    ExifTool works on a copy with a name of ours, and gets all arguments through its standard input, so that
    no name of a file is ever taken for an option. The copy takes the place of the photo once it is found to
    have the same picture.

    Parameters
    ----------
    tool : str
        As `find_exiftool` returns it.
    path : str
        The photo.
    packet : bytes
    before : FileStatus or None
        Of the photo when it was read.
    check : callable
        Whether the content of the new file is good.

    Raises
    ------
    ImageError
        If ExifTool fails, the picture would change, or the photo cannot be written.
    """
    target = Path(os.path.realpath(path))
    stem = f".faceindex-{secrets.token_hex(8)}"
    suffix = target.suffix if target.suffix.isascii() and target.suffix[1:].isalnum() else ""
    copy, xmp = target.with_name(stem + suffix), target.with_name(stem + ".xmp")
    try:
        if before is None or file_status(target) != before:
            raise ImageError(path, Reason.CHANGED, _CHANGED, "Run `faceindex index` on its folder first.")
        if not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied")
        shutil.copy2(target, copy)
        old = target.stat()
        if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(OSError):
                os.chown(copy, old.st_uid, old.st_gid)
        xmp.write_bytes(packet)
        _run(tool, target.parent, copy.name, xmp.name, path)
        if not check(copy.read_bytes()):
            raise ImageError(
                path, Reason.CORRUPT, "ExifTool would change its picture.", "Write a sidecar instead."
            )
        if file_status(target) != before:
            raise ImageError(path, Reason.CHANGED, _CHANGED, "Run `faceindex index` on its folder first.")
        replace_durably(copy, target)
    except OSError as error:
        raise ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be written ({error.strerror or error}).",
            "Check the permissions of the folder and the free space on the disk.",
        ) from error
    finally:
        copy.unlink(missing_ok=True)
        xmp.unlink(missing_ok=True)


def _run(tool: str, folder: Path, photo: str, packet: str, path: str) -> None:
    """Run ExifTool in a folder, on files there whose names are safe."""
    arguments = f"-overwrite_original\n-P\n-m\n-XMP<={packet}\n./{photo}\n"
    try:
        done = subprocess.run(
            [tool, "-config", "", "-@", "-"],  # without the configuration file, which is a program
            cwd=folder,
            input=arguments.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            path, Reason.IO_ERROR, "ExifTool does not end.", "Write a sidecar instead."
        ) from error
    if done.returncode or b"1 image files updated" not in done.stdout:
        text = done.stderr.decode(errors="replace").strip().splitlines()
        what = text[0].replace(f"./{photo}", "the file") if text else "it gives no reason"
        raise ImageError(
            path, Reason.UNSUPPORTED, f"ExifTool cannot write it ({what}).", "Write a sidecar instead."
        )
