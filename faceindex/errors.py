"""Every exception that faceindex raises on purpose.

::

    FaceIndexError                  problem + remedy, one sentence each
    ├── UsageError                  an argument that cannot be obeyed
    ├── ImageError                  one photo cannot be used (never stops a run)
    ├── StoreError                 the index directory
    │   ├── IndexNotFound           there is none
    │   ├── IndexLocked             another process is writing
    │   ├── IndexCorrupt            its files contradict each other
    │   ├── IndexVersionError       written by a newer faceindex
    │   └── PinnedModelError        asked for models other than the pinned ones
    ├── ModelError                  detectors, embedders, clusterers
    │   ├── UnknownModel            no such name
    │   ├── ModelNotInstalled       the index is pinned to a model that is not here
    │   ├── BrokenModel             another package's model that cannot be used
    │   ├── WeightsNotFound         the file is nowhere it may be
    │   ├── WeightsInvalid          the file is not the one that was published
    │   └── FetchFailed             a file could not be downloaded
    └── EmptyResultError            the question is fine, there is nothing to answer it with
        ├── NoFaceFound             no face on the query photo
        └── NotClustered            `cluster` has not run yet

The command line turns each into exit code 2, except `ImageError` and `EmptyResultError` (1).
"""

from __future__ import annotations

from enum import Enum
from os import PathLike, fspath

__all__ = [
    "BrokenModel",
    "EmptyResultError",
    "FaceIndexError",
    "FetchFailed",
    "ImageError",
    "IndexCorrupt",
    "IndexLocked",
    "IndexNotFound",
    "IndexVersionError",
    "ModelError",
    "ModelNotInstalled",
    "NoFaceFound",
    "NotClustered",
    "PinnedModelError",
    "Reason",
    "StoreError",
    "UnknownModel",
    "UsageError",
    "WeightsInvalid",
    "WeightsNotFound",
]


class FaceIndexError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    problem : str
        One sentence on what is wrong; names the file or argument.
    remedy : str
        One sentence on what to do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class UsageError(FaceIndexError, ValueError):
    """An argument that cannot be obeyed."""


class Reason(str, Enum):
    """Why a photo could not be used. The values are stored in the catalog: append, never rename."""

    MISSING = "missing"  # no such file, or a symlink to nowhere
    DENIED = "permission denied"
    EMPTY = "empty file"
    NOT_AN_IMAGE = "not an image"  # the content is of no known format
    UNSUPPORTED = "unsupported format"  # known, but needs an extra that is not installed
    TRUNCATED = "truncated"  # cut short before enough pixels could be read
    CORRUPT = "corrupt"
    TOO_LARGE = "too many pixels"
    IO_ERROR = "input/output error"
    FAILED = "processing failed"  # by the machine's fault, as far as can be told: out of memory, a bug


class ImageError(FaceIndexError):
    """One photo cannot be used.

    Parameters
    ----------
    path : path-like
        The photo, as the user can find it.
    reason : Reason
        Machine-readable cause; summaries count by it.
    problem, remedy : str
        As in `FaceIndexError`; `problem` need not repeat the path.
    """

    exit_code = 1

    def __init__(self, path: str | PathLike[str], reason: Reason, problem: str, remedy: str) -> None:
        self.path = fspath(path)
        self.reason = reason
        self.detail = problem
        super().__init__(f"{self.path}: {problem}", remedy)


class StoreError(FaceIndexError):
    """Anything about the index directory."""


class IndexNotFound(StoreError):
    """There is no index here or above."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


class IndexCorrupt(StoreError):
    """The files of the index contradict each other or are damaged."""


class IndexVersionError(StoreError):
    """The index was written by a newer faceindex."""


class PinnedModelError(StoreError):
    """The index is pinned to another detector or embedder, or to other settings of it."""


class ModelError(FaceIndexError):
    """Anything about detectors, embedders or clusterers."""


class UnknownModel(ModelError, LookupError):
    """No model of that name; the remedy lists those there are."""


class ModelNotInstalled(ModelError):
    """An index is pinned to a model that is not installed; the index can be read all the same."""


class BrokenModel(ModelError):
    """The model of another package cannot be used: it fails, or is not what it claims to be."""


class WeightsNotFound(ModelError):
    """A weight file is in none of the places where it may be."""


class WeightsInvalid(ModelError):
    """A weight file differs from the published one."""


class FetchFailed(ModelError):
    """A weight file could not be downloaded, or is not what was published when it came."""


class EmptyResultError(FaceIndexError):
    """The question is fine, there is nothing to answer it with."""

    exit_code = 1


class NoFaceFound(EmptyResultError):
    """No face on the query photo."""


class NotClustered(EmptyResultError):
    """`cluster` has not run yet."""
