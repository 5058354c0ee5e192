"""Results of `FaceIndex.migrate`: frozen dataclasses, each with `as_dict` for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.documents import Result

if TYPE_CHECKING:
    from faceindex.api.cluster_changes import MovedFace

__all__ = ["MigrationPlan", "MigrationResult", "NewModels", "NotMigrated"]


@dataclass(frozen=True, slots=True)
class NewModels(Result):
    """The models of a migration.

    Attributes
    ----------
    detector, embedder : str
        The new models.
    settings : dict
        Their options, with `min_face`.
    old_detector, old_embedder : str
    boxes_kept : bool
        Whether the faces keep their boxes, because the detector and its options stay.
    """

    detector: str
    embedder: str
    settings: dict[str, bool | int | float | str | None]
    old_detector: str
    old_embedder: str
    boxes_kept: bool


@dataclass(frozen=True, slots=True)
class NotMigrated(Result):
    """A photo whose indexed content is not on the disk, or cannot be read.

    Attributes
    ----------
    photo, path : str
        Its name in the index, and its absolute path.
    reason : str
        Value of a `faceindex.errors.Reason`.
    detail : str
        One line on it.
    """

    photo: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class MigrationPlan(Result):
    """The result of `faceindex.api.migration.IndexMigration.plan`.

    Attributes
    ----------
    models : NewModels
    photos : int
        Photos to read, `done` included.
    done : int
        Photos that an earlier run has finished.
    faces : int
        Faces of the index.
    not_migrated : tuple of NotMigrated
        Photos that are missing, or whose size or time has changed.
    clusters_again : bool
        Whether the faces will be clustered again, because they are clustered.
    bytes : int
        Size of the new vectors of `faces` faces. Until the switch they take twice that, beside the old ones.
    """

    models: NewModels
    photos: int
    done: int
    faces: int
    not_migrated: tuple[NotMigrated, ...]
    clusters_again: bool
    bytes: int


@dataclass(frozen=True, slots=True)
class MigrationResult(Result):
    """The result of `FaceIndex.migrate`.

    Attributes
    ----------
    models : NewModels
    switched : bool
        Whether the index has the new models now. If not, it is unchanged, and what is finished is kept.
    interrupted : bool
        Whether the run was stopped early.
    photos : int
        Photos to read, in all runs of this migration.
    done_before, read : int
        Photos that earlier runs and this run have finished.
    not_migrated : tuple of NotMigrated
        Photos that are missing, have changed or cannot be read. If `switched`, they were removed from the
        index.
    faces : int
        Faces of the index now.
    kept, new, gone : int
        Faces that kept their ids, that are new, and that no longer exist: on photos that were removed, or
        not found by the new detector.
    clustered : bool
        Whether the faces were clustered again.
    dropped_threshold : float or None
        The constant threshold of the clustering before, which was replaced by the calibrated one: it was
        a similarity of the old vectors.
    moved : tuple of MovedFace
        Faces with kept ids that are in another cluster now, by ascending id.
    seconds : float
    """

    models: NewModels
    photos: int
    done_before: int
    read: int
    not_migrated: tuple[NotMigrated, ...]
    interrupted: bool
    faces: int
    switched: bool = False
    kept: int = 0
    new: int = 0
    gone: int = 0
    clustered: bool = False
    dropped_threshold: float | None = None
    moved: tuple[MovedFace, ...] = ()
    seconds: float = 0.0
