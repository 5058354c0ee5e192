"""Clusters and people as arguments of commands that show faces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.people.references import parse_references

if TYPE_CHECKING:
    from faceindex.api import FaceIndex

__all__ = ["cluster_number", "cluster_or_person"]


def cluster_number(word: str) -> int:
    """Return the number of a cluster, which need not exist; raises `UsageError` for another word."""
    references = parse_references([word])
    if not references.clusters:
        raise UsageError(f"'{word}' is not a cluster.", "Write a cluster, such as 7; --person takes names.")
    return references.clusters[0]


def cluster_or_person(found: FaceIndex, word: str) -> int | str:
    """Return the number of a cluster, or the name of a person as the index has it.

    Raises
    ------
    UsageError
        If the word is a face, or nobody has the name; a cluster need not exist.
    """
    if re.fullmatch(r"-\d+", word):
        return int(word)
    references = parse_references([word])
    if references.faces:
        raise UsageError(
            f"'{word}' is a face, not a cluster.", "Write a cluster, such as 7, or the name of a person."
        )
    if references.clusters:
        return references.clusters[0]
    return found.people.select([word]).people[0]
