"""File names that are valid on Linux, macOS and Windows, and distinct."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

from faceindex.images import IMAGE_SUFFIXES
from faceindex.images.moments import duration_text, split_moment

__all__ = ["LONGEST", "UniqueNames", "clash_key", "safe_name", "split_photo_name", "split_suffix"]

LONGEST = 180
"""Bytes of UTF-8. Most file systems allow 255; the rest is for a cluster, a number, a digest and a suffix."""

# Windows reserves these, also with a suffix ("Naming Files, Paths, and Namespaces", Microsoft Learn).
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])", re.IGNORECASE)
_FORBIDDEN = frozenset('<>:"/\\|?*')

# They reverse the order of the text after them, so that a name reads as another one (Unicode TR 36, 2.10).
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line separators


def safe_name(stem: str, longest: int = LONGEST) -> str:
    """Make a file or folder name, or part of one, that is valid on every system and has no path.

    Letters of all scripts are kept, in Unicode's form NFC. An underscore replaces path separators and
    characters that Windows forbids, control characters, undecodable bytes, dots and dashes at the start
    (a hidden file, an option), and dots and spaces at the end. A device name of Windows gets an
    underscore in front. The name is cut to `longest` bytes.

    Parameters
    ----------
    stem : str
        For example a photo's name without its suffix. Lone surrogates are undecodable bytes (PEP 383).
    longest : int
        Bytes of UTF-8; an underscore in front of a device name is one more.

    Returns
    -------
    str
        Never empty. Different stems may get the same name; `UniqueNames` makes them distinct.
    """
    name = "".join(
        "_"
        if letter in _FORBIDDEN or letter in _BIDI_CONTROLS or unicodedata.category(letter) in _UNPRINTABLE
        else letter
        for letter in unicodedata.normalize("NFC", stem)
    )
    name = name.encode()[:longest].decode(errors="ignore")
    start = len(name) - len(name.lstrip(".- "))
    end = len(name.rstrip(". "))
    name = "_" * start + name[start:end] + "_" * (len(name) - end) if start < end else "_" * len(name)
    if _RESERVED.fullmatch(name.partition(".")[0].rstrip(" ")):
        name = "_" + name
    return name or "_"


def split_suffix(name: str) -> tuple[str, str]:
    """Split a file name into a stem and a suffix with its dot.

    Only suffixes of images count: ``"..jpg"`` is split into ``"."`` and ``".jpg"``; ``"Dr. Who"`` has no
    suffix.
    """
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if (dot + suffix).lower() in IMAGE_SUFFIXES else (name, "")


def split_photo_name(path: str) -> tuple[str, str]:
    """Split the file name of a photo as `split_suffix`; that of a moment names its video and its time.

    ``trip/film.mp4/0:01:23.480.jpg`` is split into ``film 0-01-23.480`` and ``.jpg``.
    """
    found = split_moment(path)
    if found is None:
        return split_suffix(os.path.basename(path))  # noqa: PTH119 - "..jpg"
    video = os.path.splitext(os.path.basename(found[0]))[0]  # noqa: PTH119, PTH122
    return f"{video} {duration_text(found[1], exact=True).replace(':', '-')}", ".jpg"


def clash_key(name: str) -> str:
    """Make a key that is equal for names of the same file where case or Unicode's forms are ignored."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class UniqueNames:
    """Makes distinct safe names.

    The first photo with a stem gets the plain stem. Later ones get eight more hexadecimal digits, which
    depend only on their `key`. So an export gets the same names in every run if photos are only appended.

    Parameters
    ----------
    longest : int
        As in `safe_name`, for the names without these digits.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._taken: set[str] = set()

    def add(self, stem: str, suffix: str, key: str) -> str:
        """Make a safe stem that no earlier call returned for the same suffix.

        Parameters
        ----------
        stem : str
            The wanted stem.
        suffix : str
            Part of the name, so that ``a.jpg`` and ``a.png`` can both have the stem ``a``.
        key : str
            Distinguishes photos with the same stem, for example their path.
        """
        plain = safe_name(stem, self._longest)
        name, attempt = plain, 0
        while (taken := clash_key(name + suffix)) in self._taken:
            salted = f"{attempt or ''}{key}".encode("utf-8", "surrogatepass")
            name = f"{plain}-{hashlib.blake2b(salted, digest_size=4).hexdigest()}"
            attempt += 1
        self._taken.add(taken)
        return name
