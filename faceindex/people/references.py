"""How clusters, faces and people are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["References", "looks_like_reference", "parse_references"]

_REFERENCE = re.compile(r"(?:(?P<cluster>c|cluster)|(?P<face>f|face))?[\s:#]*(?P<number>\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class References:
    """What some words refer to, each in the order of the words, without repetition.

    Attributes
    ----------
    clusters, faces : tuple of int
        Numbers that need not exist.
    names : tuple of str
        All other words.
    """

    clusters: tuple[int, ...]
    faces: tuple[int, ...]
    names: tuple[str, ...]


def looks_like_reference(word: str) -> bool:
    """Check whether a word stands for a cluster or a face. Nobody can have such a name."""
    return _REFERENCE.fullmatch(word.strip()) is not None


def parse_references(words: Iterable[str]) -> References:
    """Divide words into clusters, faces and names.

    A cluster is written ``7``, ``c7`` or ``cluster:7``; a face ``f123`` or ``face:123``. Everything else is
    the name of a person.
    """
    clusters: dict[int, None] = {}
    faces: dict[int, None] = {}
    names: dict[str, None] = {}
    for word in words:
        match = _REFERENCE.fullmatch(word.strip())
        if match is None:
            names[word] = None
        else:
            (faces if match["face"] else clusters)[int(match["number"])] = None
    return References(tuple(clusters), tuple(faces), tuple(names))
