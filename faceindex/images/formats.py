"""Recognise file formats by their content, and read files."""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import ImageError, Reason
from faceindex.images.containers import MemberFile, locate
from faceindex.images.frame_files import FrameFile
from faceindex.images.limits import file_limit, too_large_file
from faceindex.images.moments import FrameBytes, sniff_video
from faceindex.images.opening import open_photo, read_head
from faceindex.images.raw import is_raw, raw_picture
from faceindex.images.suffixes import RAW_SUFFIXES
from faceindex.paths import is_folder

__all__ = [
    "IMAGE_SUFFIXES",
    "RAW_SUFFIXES",
    "content_hash",
    "is_truncated",
    "missing_folder",
    "read",
    "read_limited",
    "recognise_format",
    "sniff",
]

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
    }
    | {".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs", ".jxl"}
    | RAW_SUFFIXES
)
"""Lower-case suffixes of the supported image formats."""

_BLOCK = 1 << 20  # bytes of a stream that are read at a time
_HEAD = 4096  # bytes read to recognise the format; enough for all brands of an ISO media file

# Sizes of all BMP headers (OS/2 1 and 2, Windows 3 with its Adobe variants, 4 and 5); source: Pillow,
# BmpImagePlugin. The first two bytes alone do not distinguish a BMP from a text that starts with "BM".
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

# Without boxes, and the first box of a file with them (ISO/IEC 18181-1 and -2).
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")

# Brands of ISO/IEC 23008-12 (HEIF), annexes B and G of it, and of the AV1 Image File Format.
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_GENERIC_BRANDS = frozenset({b"mif1", b"msf1", b"mif2"})


def sniff(head: bytes) -> str | None:
    """Recognise the format of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The beginning of the file; 64 bytes are enough except in rare cases, and for RAW files that are
        TIFFs by their first bytes: then the whole file is needed, or they are ``"TIFF"``.

    Returns
    -------
    str or None
        ``"JPEG"`` (also for MPO, whose first picture is a JPEG), ``"PNG"``, ``"WEBP"``, ``"GIF"``,
        ``"BMP"``, ``"TIFF"``, ``"HEIF"``, ``"AVIF"``, ``"JXL"``, ``"RAW"`` (of any camera), or None for
        anything else.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(_JXL):
        return "JXL"
    if is_raw(head):
        return "RAW"
    # The last two are BigTIFF, with 64-bit offsets.
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _sniff_iso_media(head)
    return None


def _sniff_iso_media(head: bytes) -> str | None:
    major = head[8:12]
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _HEIF_BRANDS:
        return "HEIF"
    if major not in _GENERIC_BRANDS:
        return None  # mostly videos
    end = min(len(head), int.from_bytes(head[:4], "big"))
    compatible = {head[i : i + 4] for i in range(16, end - 3, 4)}
    return "AVIF" if compatible & _AVIF_BRANDS and not compatible & _HEIF_BRANDS else "HEIF"


def recognise_format(head: bytes, path: str | PathLike[str]) -> str:
    """Recognise the format as `sniff` does, or raise an error.

    Raises
    ------
    ImageError
        ``EMPTY``, ``VIDEO`` or ``NOT_AN_IMAGE``.
    """
    if not head:
        raise ImageError(path, Reason.EMPTY, "the file is empty.", "Copy it again from its source.")
    found = sniff(head)
    if found is not None:
        return found
    if sniff_video(head) is not None:
        raise ImageError(
            path,
            Reason.VIDEO,
            "it is a video.",
            "Index it; or name one of its moments, such as film.mp4/0:01:23.480.jpg.",
        )
    suffix = Path(path).suffix
    contrast = f", although its name ends in {suffix}" if suffix.lower() in IMAGE_SUFFIXES else ""
    raise ImageError(
        path,
        Reason.NOT_AN_IMAGE,
        f"not an image of a known format{contrast}.",
        "Convert it to a known format, such as JPEG, PNG, TIFF or HEIC, or leave it out.",
    )


def read(path: str | PathLike[str], *, streams: bool = False) -> bytes:
    """Read a whole image file.

    The format is checked before the rest is read, so that a video among the photos costs no time. A named
    pipe or a device is refused without reading it, since that could take forever.

    Parameters
    ----------
    path : path-like
    streams : bool
        Also read pipes and devices, up to the limit of files; this may wait. Otherwise they are an error.

    Returns
    -------
    bytes

    Raises
    ------
    ImageError
        ``EMPTY``, ``VIDEO``, ``NOT_AN_IMAGE``, ``DENIED``, ``MISSING``, ``IO_ERROR`` or ``MEMORY``.
    """
    try:
        with open_photo(path, streams=streams) as file:
            if isinstance(file, FrameFile):
                return file.frame
            head = read_head(file, _HEAD)
            recognise_format(head, path)
            if isinstance(file, MemberFile) and file.size > file_limit():
                raise too_large_file(path, file.size)
            size = _size_of(file)
            if size is None:  # a stream, or inside another file
                return head + read_limited(file, path, before=len(head))
            file.seek(0)
            return read_limited(file, path, size)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except IsADirectoryError:
        raise ImageError(path, Reason.NOT_AN_IMAGE, "it is a folder.", "Choose a file in it.") from None
    except PermissionError:
        raise ImageError(
            path, Reason.DENIED, "permission denied.", "Give yourself permission to read it, or leave it out."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be read ({getattr(error, 'strerror', None) or error}).",
            "Check the disk or the network connection, and try again.",
        ) from error


def _size_of(file: BinaryIO) -> int | None:
    """Return the size of a regular file; None for a stream, and for a photo inside another file."""
    return os.fstat(file.fileno()).st_size if isinstance(file, FileIO) and file.seekable() else None


def read_limited(
    file: BinaryIO, path: str | PathLike[str], size: int | None = None, *, before: int = 0
) -> bytes:
    """Read the rest of a file or stream, unless it has more bytes than `faceindex.images.limits` allows.

    Parameters
    ----------
    file : binary file
        Unbuffered.
    path : path-like
        Used in error messages.
    size : int, optional
        Size in bytes, if it is known.
    before : int
        Bytes that were read already, and count.

    Raises
    ------
    ImageError
        ``MEMORY``. A file of known size is not read at all then; one that grows, or a stream, only up to the
        limit.
    OSError
        If it cannot be read.
    """
    limit = file_limit()
    if size is not None and size > limit:
        raise too_large_file(path, size)
    parts, total, block = [], before, _BLOCK if size is None else size + 1
    while part := file.read(block):
        parts.append(part)
        total += len(part)
        if total > limit:
            raise too_large_file(path, total)
        block = _BLOCK if size is None else max(_BLOCK, size + 1 - total)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _missing(path: str | PathLike[str]) -> ImageError:
    folder = missing_folder(path)
    if folder is None:
        return ImageError(path, Reason.MISSING, "there is no such file.", "Check the path.")
    return ImageError(
        path,
        Reason.MISSING,
        f"the folder {folder} does not exist.",
        "Mount its disk if it is not mounted; otherwise check the path.",
    )


def missing_folder(path: str | PathLike[str]) -> Path | None:
    """Return the uppermost folder of a path that does not exist.

    None if the folder of the file exists, or the archive that it is in.
    """
    missing = None
    if locate(path) is not None:
        return missing
    for folder in Path(path).parents:
        if is_folder(folder):
            break
        missing = folder
    return missing


def content_hash(data: bytes) -> bytes:
    """Compute a fingerprint of a file's content.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    bytes
        BLAKE2b (RFC 7693), 16 bytes; of a frame of a video, the hash of what it is decoded from. Among 10**12
        different files, two share a fingerprint with a probability of about 10**-15.
    """
    if isinstance(data, FrameBytes):
        return data.identity
    return hashlib.blake2b(data, digest_size=16).digest()


def is_truncated(data: bytes, image_format: str) -> bool:
    """Return whether a file that could not be decoded is shorter than its own structure states.

    This distinguishes an incomplete copy from a damaged file. It is meaningful only after an error: many
    images can be decoded although their last bytes are missing.

    Parameters
    ----------
    data : bytes
        The whole file.
    image_format : str
        As returned by `sniff`.
    """
    size = len(data)
    if image_format == "JPEG":
        # Cameras may append data behind the end marker.
        return data.rfind(b"\xff\xd9", max(0, size - 4096)) < 0
    if image_format == "PNG":
        return data.rfind(b"IEND", max(0, size - 4096)) < 0
    if image_format == "GIF":
        return b";" not in data[-16:]
    if image_format == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > size
    if image_format == "BMP":
        return int.from_bytes(data[2:6], "little") > size
    if image_format == "TIFF":
        order = "little" if data.startswith(b"II") else "big"
        first_directory = data[4:8] if 42 in data[2:4] else data[8:16]
        return int.from_bytes(first_directory, order) + 2 > size  # type: ignore[arg-type]
    if image_format == "RAW":
        return raw_picture(data).cut_short
    if image_format == "JXL" and data.startswith(_JXL[0]):
        return False  # a codestream does not state its length
    return _iso_media_end(data) > size


def _iso_media_end(data: bytes) -> int:
    """Return the end of the last top-level box by its own header (ISO/IEC 14496-12, section 4.2)."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length == 0:  # the box extends to the end of the file
            return len(data)
        position += max(length, 8)
    return position
