"""File names that are safe on Linux, macOS and Windows, and that do not clash."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from faceindex.images import IMAGE_SUFFIXES

__all__ = ["Names", "clash_key", "safe_name", "split_suffix"]

# Leaves room in the 255 bytes of most file systems for a cluster, a number, a distinction and a suffix.
_LONGEST = 180

# Refused by Windows, whatever follows a first dot ("Naming Files, Paths, and Namespaces", Microsoft Learn).
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])", re.IGNORECASE)
_FORBIDDEN = frozenset('<>:"/\\|?*')

# They turn the order of what follows around, so that a name reads as another one (Unicode TR 36, 2.10).
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, separators of lines


def safe_name(stem: str) -> str:
    """A name, or part of one, that can be a file or folder name anywhere, and names nothing outside.

    Letters of all scripts are kept, in Unicode's form NFC. An underscore stands for: path separators and
    what Windows forbids, control characters, bytes that are no text, dots and dashes at the start (a hidden
    file, an option), dots and spaces at the end. A device name of Windows gets an underscore in
    front. Cut to 180 bytes of UTF-8.

    Parameters
    ----------
    stem : str
        Such as a photo's name without its suffix. Lone surrogates stand for undecodable bytes (PEP 383).

    Returns
    -------
    str
        Never empty. Different stems may give the same name; `Names` tells them apart.
    """
    name = "".join(
        "_"
        if letter in _FORBIDDEN or letter in _BIDI_CONTROLS or unicodedata.category(letter) in _UNPRINTABLE
        else letter
        for letter in unicodedata.normalize("NFC", stem)
    )
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    start = len(name) - len(name.lstrip(".- "))
    end = len(name.rstrip(". "))
    name = "_" * start + name[start:end] + "_" * (len(name) - end) if start < end else "_" * len(name)
    if _RESERVED.fullmatch(name.partition(".")[0].rstrip(" ")):
        name = "_" + name
    return name or "_"


def split_suffix(name: str) -> tuple[str, str]:
    """A file name without its suffix, and the suffix with its dot.

    Only suffixes of images are suffixes: ``"..jpg"`` is ``"."`` and ``".jpg"``, ``"Dr. Who"`` has none.
    """
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if (dot + suffix).lower() in IMAGE_SUFFIXES else (name, "")


def clash_key(name: str) -> str:
    """The same for names that are one file on systems that ignore case or Unicode's forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Names:
    """Gives distinct safe names, the same in every run with the same beginning.

    The first that asks for a name gets it as it is; later ones get eight hexadecimal digits more, which
    depend on `what` alone.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, stem: str, suffix: str, what: str) -> str:
        """A safe stem that no earlier call got for the same suffix.

        Parameters
        ----------
        stem : str
            As wished for.
        suffix : str
            Part of the name, so that ``a.jpg`` and ``a.png`` can both be ``a``.
        what : str
            Tells apart those of the same stem, such as a photo's path.
        """
        plain = safe_name(stem)
        name, attempt = plain, 0
        while (key := clash_key(name + suffix)) in self._taken:
            salted = f"{attempt or ''}{what}".encode("utf-8", "surrogatepass")
            name = f"{plain}-{hashlib.blake2b(salted, digest_size=4).hexdigest()}"
            attempt += 1
        self._taken.add(key)
        return name
