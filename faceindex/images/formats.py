"""File formats known by their content, and reading files."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

from faceindex.errors import ImageError, Reason

__all__ = ["IMAGE_SUFFIXES", "content_hash", "is_cut_short", "read", "recognise_format", "sniff"]

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
    | {".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs"}
)
"""Lower-case suffixes that promise an image of a format that is read here."""

_HEAD = 4096  # Bytes read before the format is known: enough for all brands of an ISO media file.

# Sizes of the BMP headers that have existed (OS/2 1 and 2, Windows 3 with its Adobe variants, 4 and
# 5): Pillow, BmpImagePlugin. Two letters alone would make an image of every text that starts "BM".
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

# Brands of ISO/IEC 23008-12 (HEIF), annexes B and G of it, and of the AV1 Image File Format.
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_GENERIC_BRANDS = frozenset({b"mif1", b"msf1", b"mif2"})


def sniff(head: bytes) -> str | None:
    """Name the format of a file by its first bytes.

    Parameters
    ----------
    head : bytes
        The beginning of the file; 64 bytes settle all but odd cases.

    Returns
    -------
    str or None
        ``"JPEG"`` (also for MPO, whose first picture is a JPEG), ``"PNG"``, ``"WEBP"``, ``"GIF"``,
        ``"BMP"``, ``"TIFF"``, ``"HEIF"``, ``"AVIF"``, or None for anything else.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
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
        return None  # mostly films
    end = min(len(head), int.from_bytes(head[:4], "big"))
    compatible = {head[i : i + 4] for i in range(16, end - 3, 4)}
    return "AVIF" if compatible & _AVIF_BRANDS and not compatible & _HEIF_BRANDS else "HEIF"


def recognise_format(head: bytes, path: str | PathLike[str]) -> str:
    """Name the format like `sniff`, or raise.

    Raises
    ------
    ImageError
        ``EMPTY`` or ``NOT_AN_IMAGE``.
    """
    if not head:
        raise ImageError(path, Reason.EMPTY, "the file is empty.", "Copy it again from where it came.")
    found = sniff(head)
    if found is not None:
        return found
    suffix = Path(path).suffix
    but = f", although its name ends in {suffix}" if suffix.lower() in IMAGE_SUFFIXES else ""
    raise ImageError(
        path,
        Reason.NOT_AN_IMAGE,
        f"not an image of a known format{but}.",
        "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF are read: convert it, or leave it out.",
    )


def read(path: str | PathLike[str]) -> bytes:
    """Read a whole image file.

    The first bytes are looked at before the rest is read, so a film among the photos costs nothing.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bytes

    Raises
    ------
    ImageError
        ``EMPTY``, ``NOT_AN_IMAGE``, ``DENIED``, ``MISSING`` or ``IO_ERROR``.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            recognise_format(file.read(_HEAD), path)
            file.seek(0)
            return file.readall()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(path, Reason.MISSING, "there is no such file.", "Check the path.") from None
    except IsADirectoryError:
        raise ImageError(path, Reason.NOT_AN_IMAGE, "it is a folder.", "Name a file in it.") from None
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


def content_hash(data: bytes) -> bytes:
    """Fingerprint of a file's content.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    bytes
        BLAKE2b (RFC 7693), 16 bytes: two different files among 10**12 share one with a probability of
        about 10**-15.
    """
    return hashlib.blake2b(data, digest_size=16).digest()


def is_cut_short(data: bytes, image_format: str) -> bool:
    """Whether a file that failed to decode ends before its own structure says that it should.

    Tells a half-copied file from a damaged one. Meaningful only after a failure: many an image
    decodes completely although its last bytes are missing.

    Parameters
    ----------
    data : bytes
        The whole file.
    image_format : str
        As `sniff` names it.
    """
    size = len(data)
    if image_format == "JPEG":
        # The end marker may be followed by what cameras append, but not by much in a damaged file.
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
    return _iso_media_end(data) > size


def _iso_media_end(data: bytes) -> int:
    """Where the last of the top-level boxes says that it ends (ISO/IEC 14496-12, section 4.2)."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length == 0:  # to the end of the file
            return len(data)
        position += max(length, 8)
    return position
