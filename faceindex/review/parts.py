"""The parts of the server and their threads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from faceindex.review.album import LiveAlbum
from faceindex.review.decisions import Decisions
from faceindex.review.identifying import Identifying
from faceindex.review.pictures import Pictures
from faceindex.review.questions import Questions
from faceindex.review.threads import IndexThread, IndexThreads

if TYPE_CHECKING:
    from faceindex.review.threads import Thread

__all__ = ["Parts"]

_DRAWING: Final = 2
_SHOWING: Final = 2
"""Threads for thumbnails and for photos; the library uses more of its own for decoding."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers requests.

    Attributes
    ----------
    album : LiveAlbum
    decisions : Decisions
    questions : Questions
    pictures : Pictures
    identifying : Identifying
    details : IndexThread
        For what needs all vectors: it starts when the first split is proposed, or the first face explained.
    threads : tuple of Thread
        All of these.
    """

    album: LiveAlbum
    decisions: Decisions
    questions: Questions
    pictures: Pictures
    identifying: Identifying
    details: IndexThread
    threads: tuple[Thread, ...]

    @classmethod
    def of(cls, directory: Path) -> Parts:
        """Make the parts for an index."""
        album = LiveAlbum(IndexThread("album", directory))
        decisions = Decisions(directory, album)
        questions = Questions(IndexThread("questions", directory), album)
        faces = IndexThreads("thumbnails", directory, _DRAWING)
        photos = IndexThreads("photos", directory, _SHOWING)
        identifying = Identifying(IndexThread("identifying", directory), album)
        details = IndexThread("details", directory)
        threads = (
            *faces.threads, *photos.threads, questions.thread, identifying.thread, details, decisions.thread,
            album.thread,
        )  # fmt: skip
        return cls(album, decisions, questions, Pictures(faces, photos), identifying, details, threads)

    def end(self, seconds: float) -> bool:
        """End all threads after what is under way; return whether they have, within some seconds."""
        until = time.monotonic() + seconds
        for thread in self.threads:
            thread.end()
        return min(thread.join(until) for thread in self.threads)
