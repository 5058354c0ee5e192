"""Every exception that faceindex raises on purpose.

::

    FaceIndexError                  problem and remedy, one sentence each
    ├── UsageError                  an argument is invalid
    ├── ImageError                  one photo cannot be used (never stops a run)
    ├── StoreError                  the index directory
    │   ├── IndexNotFound           there is no index
    │   ├── IndexLocked             another process is writing to it
    │   ├── IndexCorrupt            its files are damaged or contradict each other
    │   ├── IndexVersionError       it was written by a newer faceindex
    │   ├── SearchUnavailable       the neighbour index of another program cannot be used
    │   ├── IndexMigrated           it was moved to other models after it was opened
    │   └── PinnedModelError        the request names other models than the pinned ones
    ├── ModelError                  detectors, embedders, clusterers
    │   ├── UnknownModel            no model has this name
    │   ├── ModelNotInstalled       the index is pinned to a model that is not installed
    │   ├── BrokenModel             a model of another package cannot be used
    │   ├── Uncalibrated            which similarity means "same person" was not measured
    │   ├── WeightsNotFound         a weight file is missing
    │   ├── WeightsInvalid          a weight file differs from the published one
    │   └── FetchFailed             a weight file could not be downloaded
    ├── EngineError                 the engine for several machines cannot be used
    ├── OutOfMemory                 this process may take no more memory, or start no more threads
    └── EmptyResultError            the request is valid, but has no result
        ├── NoFaceFound             no face on the query photo
        └── NotClustered            the faces have not been clustered yet

The command line exits with code 2 for all of them, except `ImageError` and `EmptyResultError` (1).
"""

from __future__ import annotations

from enum import Enum
from os import PathLike, fspath

__all__ = [
    "BrokenModel",
    "EmptyResultError",
    "EngineError",
    "FaceIndexError",
    "FetchFailed",
    "ImageError",
    "IndexCorrupt",
    "IndexLocked",
    "IndexMigrated",
    "IndexNotFound",
    "IndexVersionError",
    "ModelError",
    "ModelNotInstalled",
    "NoFaceFound",
    "NotClustered",
    "OutOfMemory",
    "PinnedModelError",
    "Reason",
    "SearchUnavailable",
    "StoreError",
    "Uncalibrated",
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
    """An argument is invalid."""


class Reason(str, Enum):
    """Why a photo could not be used. The values are stored in the catalog: append, never rename."""

    MISSING = "missing"  # no such file, or a broken symlink
    DENIED = "permission denied"
    EMPTY = "empty file"
    NOT_AN_IMAGE = "not an image"  # the content has no known format
    UNSUPPORTED = "unsupported format"  # a known format that needs an extra which is not installed
    TRUNCATED = "truncated"  # cut short before enough pixels could be read
    CORRUPT = "corrupt"
    TOO_LARGE = "too many pixels"
    IO_ERROR = "input/output error"
    CHANGED = "changed"  # since it was indexed
    FAILED = "processing failed"  # probably not because of the photo: out of memory, a bug
    MEMORY = "needs too much memory"  # more than `faceindex.images.limits` allows
    TOO_SLOW = "takes too long"  # made so that decoding takes minutes
    ENDED_RUN = "ended the run"  # the process died while the photo was decoded, and did so again
    VIDEO = "video"  # a video where a photo is needed, or without the extra that reads videos
    ARCHIVE = "archive cannot be read"  # damaged, or of a kind that is not read
    MEMBER_NAMES = "names in an archive"  # members that are left out because of their names
    ENCRYPTED = "encrypted"  # in an archive
    NESTED = "archive in an archive"


class ImageError(FaceIndexError):
    """One photo cannot be used.

    Parameters
    ----------
    path : path-like
        The photo, as the user can find it.
    reason : Reason
        Machine-readable cause, by which summaries count.
    problem, remedy : str
        As in `FaceIndexError`; `problem` does not name the path.

    Attributes
    ----------
    detail : str
        `problem` as passed; the attribute `problem` also names the path.
    """

    exit_code = 1

    def __init__(self, path: str | PathLike[str], reason: Reason, problem: str, remedy: str) -> None:
        self.path = fspath(path)
        self.reason = reason
        self.detail = problem
        super().__init__(f"{self.path}: {problem}", remedy)


class StoreError(FaceIndexError):
    """The index directory cannot be used."""


class IndexNotFound(StoreError):
    """There is no index in the current directory or above."""


class IndexLocked(StoreError):
    """Another process is writing to the index."""


class IndexCorrupt(StoreError):
    """The files of the index are damaged or contradict each other."""


class IndexVersionError(StoreError):
    """The index was written by a newer faceindex."""


class IndexMigrated(StoreError):
    """The index was moved to other models after it was opened; open it again."""


class SearchUnavailable(StoreError):
    """The neighbour index of another program, such as Milvus, cannot be reached or used.

    Parameters
    ----------
    problem, remedy : str
    mended_by_rebuilding : bool
        Whether `faceindex.FaceIndex.doctor` with `repair` mends it.
    """

    def __init__(self, problem: str, remedy: str, *, mended_by_rebuilding: bool = False) -> None:
        super().__init__(problem, remedy)
        self.mended_by_rebuilding = mended_by_rebuilding


class PinnedModelError(StoreError):
    """The index is pinned to another detector or embedder, or to other settings of them."""


class ModelError(FaceIndexError):
    """A detector, embedder or clusterer cannot be used."""


class UnknownModel(ModelError, LookupError):
    """No model has this name; the remedy lists the valid names."""


class ModelNotInstalled(ModelError):
    """The index is pinned to a model that is not installed; it can still be read."""


class BrokenModel(ModelError):
    """A model of another package cannot be used: it fails, or does not follow its protocol."""


class Uncalibrated(ModelError):
    """The embedder has no calibration: from which similarity two faces are one person is unknown."""


class WeightsNotFound(ModelError):
    """A weight file is in none of the folders that are searched."""


class WeightsInvalid(ModelError):
    """A weight file differs from the published one."""


class FetchFailed(ModelError):
    """A weight file could not be downloaded, or the download differs from the published file."""


class EngineError(FaceIndexError):
    """Ray cannot be used: it is not installed, does not start, or its workers differ from this machine."""


class OutOfMemory(FaceIndexError, MemoryError):
    """This process may take no more memory, or start no more threads."""


class EmptyResultError(FaceIndexError):
    """The request is valid, but has no result."""

    exit_code = 1


class NoFaceFound(EmptyResultError):
    """No face on the query photo."""


class NotClustered(EmptyResultError):
    """The faces have not been clustered yet."""
