"""Move an index to other models; see `faceindex.FaceIndex.migrate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceindex.api.cluster_changes import MovedFace
from faceindex.api.clustering import cluster_afresh, method_for_new_models
from faceindex.api.migration_results import MigrationPlan, MigrationResult, NewModels, NotMigrated
from faceindex.api.opening import with_min_face
from faceindex.api.pins import Settings, keeps_boxes, load_recogniser, new_pins
from faceindex.errors import ImageError, Reason, StoreError, UsageError
from faceindex.images.containers import exists, status
from faceindex.images.listing import limited_time
from faceindex.models import get as get_model
from faceindex.pipeline import Clustering, Event, Loaded, Loading, Warned, ignore_event
from faceindex.pipeline.plan import TRY_AGAIN
from faceindex.pipeline.transfer import Staging, photos_to_read, stage_photos
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.clustering import Method
    from faceindex.documents import Json
    from faceindex.recognition import Recogniser
    from faceindex.store import Clustering as ClusteringRecord
    from faceindex.store import PhotoRecord, Pins, Store
    from faceindex.store.transfer import NewClusters, NewFaces, Transfer

__all__ = ["IndexMigration"]

_VECTOR_ITEM = 4  # bytes of a float32


class IndexMigration:
    """Moves an index to other models; ``index.migrate`` of a `FaceIndex`.

    Calling it moves the index. The photos are read again in bounded batches, and the new vectors are kept
    beside the old ones. Until all photos are done, the index can be used with the old models. What is
    finished survives an interrupt: the next call goes on there, with photos that were added meanwhile. Then
    one transaction switches to the new models, vectors and clusters.

    Parameters
    ----------
    store : Store
    device : str
    use_models : callable
        Called with the new models after the switch; with None if they were not loaded.
    """

    def __init__(self, store: Store, device: str, use_models: Callable[[Recogniser | None], None]) -> None:
        self._store = store
        self._device = device
        self._use_models = use_models

    def __call__(
        self,
        embedder: str | None = None,
        detector: str | None = None,
        *,
        min_face: float | None = None,
        settings: Settings | None = None,
        drop_missing: bool = False,
        on_event: Callable[[Event], None] = ignore_event,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> MigrationResult:
        """Move the index to other models, or go on with that.

        Faces keep their boxes, ids and clusters if the detector and its options stay. Otherwise the photos
        are searched for faces again; a face that overlaps an old one takes its id. Clustered faces are then
        clustered again by the same method, and clusters take their ids by greatest overlap, as by
        ``cluster(rebuild=True)``.

        Parameters
        ----------
        embedder, detector : str, optional
            Names of models, or ``"auto"``; None keeps the model. Without any model or setting, the migration
            that has begun goes on.
        min_face, settings : optional
            As in `FaceIndex.create`. Options of a model that is kept stay as they are.
        drop_missing : bool
            Remove photos that are missing, have changed or cannot be read. If there are such photos and this
            is false, the index does not switch, and the result lists them. Nor does it switch if a reason
            may pass (no permission, a failing disk), or if no photo of an indexed folder can be read: its
            disk may not be mounted. A `Warned` event says which.
        on_event : callable
            Called with each event, as in `FaceIndex.add`.
        should_stop : callable
            Called between photos; once it returns True, what is finished is kept, and the run ends.

        Raises
        ------
        UnknownModel, WeightsNotFound, WeightsInvalid
        UsageError
            If the index has these models already, if a migration to others has begun, or if the index is open
            for reading only.
        StoreError
            If the disk is full or fails. What is finished is kept.
        """
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        target = _choose_target(self._store, detector, embedder, with_min_face(settings, min_face))
        return _migrate(
            self._store,
            target,
            self._device,
            drop_missing=drop_missing,
            use_models=self._use_models,
            on_event=on_event,
            should_stop=should_stop,
        )

    def plan(
        self,
        embedder: str | None = None,
        detector: str | None = None,
        *,
        min_face: float | None = None,
        settings: Settings | None = None,
    ) -> MigrationPlan:
        """Count what a call would do, with the same parameters; opens no photo and changes nothing."""
        target = _choose_target(self._store, detector, embedder, with_min_face(settings, min_face))
        return _plan(self._store, target, check_files=True)

    def begun(self) -> MigrationPlan | None:
        """Return the plan of the migration that has begun, without `not_migrated`; None if there is none."""
        transfer = self._store.transfer()
        if transfer is None:
            return None
        keep_boxes = keeps_boxes(self._store.pins, transfer.pins)
        target = _Target(transfer.pins, keep_boxes, transfer, self._store.active_clustering(), None)
        return _plan(self._store, target, check_files=False)

    def cancel(self) -> int:
        """Discard the migration that has begun; return the number of photos that it had finished.

        Raises `UsageError` if none has begun.
        """
        transfer = self._store.transfer()
        if transfer is None:
            raise UsageError("No migration has begun.", "There is nothing to discard.")
        photos = len(transfer.staged())
        transfer.discard()
        return photos


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an index moves.

    Attributes
    ----------
    pins : Pins
    keep_boxes : bool
        Whether the faces keep their boxes, because the detector stays.
    transfer : Transfer or None
        The migration that has begun.
    previous : Clustering or None
        The present clustering.
    method : Method or None
        How the faces will be clustered; None if they are not clustered.
    """

    pins: Pins
    keep_boxes: bool
    transfer: Transfer | None
    previous: ClusteringRecord | None
    method: Method | None


def _choose_target(store: Store, detector: str | None, embedder: str | None, settings: Settings) -> _Target:
    """Choose the new models, and check everything that can be checked before the work.

    Without any model or setting, the migration that has begun goes on.

    Raises
    ------
    UnknownModel, WeightsNotFound, WeightsInvalid
    UsageError
        If the index has these models already, or a migration to others has begun.
    """
    transfer = store.transfer()
    if detector is None and embedder is None and not settings:
        if transfer is None:
            raise UsageError("No migration has begun.", "Name the new model: `embedder` or `detector`.")
        pins = transfer.pins
    else:
        pins = new_pins(store.pins, detector, embedder, settings)
        if transfer is not None and transfer.pins != pins:
            begun = transfer.pins
            raise UsageError(
                f"A migration to {begun.detector} and {begun.embedder} has begun, with other models or "
                "settings than these.",
                "Leave out all models and settings to finish it, or discard it with `cancel`.",
            )
        if pins == store.pins:
            raise UsageError(
                f"The index {store.directory} already has {pins.detector} and {pins.embedder} with these "
                "settings.",
                "There is nothing to do.",
            )
    previous = store.active_clustering()
    method = None
    if previous is not None:
        method = method_for_new_models(previous, get_model("embedder", pins.embedder))
    return _Target(pins, keeps_boxes(store.pins, pins), transfer, previous, method)


def _plan(store: Store, target: _Target, *, check_files: bool) -> MigrationPlan:
    """Count what `_migrate` would do; opens no photo and changes nothing."""
    with store.snapshot():
        photos = photos_to_read(store, keep_boxes=target.keep_boxes)
        staged = set() if target.transfer is None else target.transfer.staged()
        names = PhotoNames(store, None if check_files else ())
        faces = store.count_faces()
    left = [record for record in photos if record.id not in staged]
    failed = []
    for record in left if check_files else ():
        path = names.path(record)
        try:
            found = status(path)
        except OSError as error:
            reason, detail = Reason.MISSING, f"{error.strerror}."
        else:
            if (found.st_size, limited_time(found.st_mtime_ns)) == (record.size, record.mtime_ns):
                continue
            reason, detail = Reason.CHANGED, "its size or time has changed."
        failed.append(NotMigrated(names.name(record), path, reason.value, detail))
    return MigrationPlan(
        models=_models(store.pins, target),
        photos=len(photos),
        done=len(photos) - len(left),
        faces=faces,
        not_migrated=tuple(failed),
        bytes=faces * target.pins.dimension * _VECTOR_ITEM,
        clusters_again=target.previous is not None,
    )


def _migrate(
    store: Store,
    target: _Target,
    device: str,
    *,
    drop_missing: bool,
    use_models: Callable[[Recogniser | None], None],
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> MigrationResult:
    """Move an index to other models; see `IndexMigration`."""
    started = time.monotonic()
    if away := store.count_away().photos:
        on_event(
            Warned(
                f"{away:,} of the photos are gone. Their kept faces have vectors of the old models, so the "
                "switch removes them. If you can, put these photos back and run `faceindex index` first."
            )
        )
    photos = photos_to_read(store, keep_boxes=target.keep_boxes)
    staged = set() if target.transfer is None else target.transfer.staged()
    left = [record for record in photos if record.id not in staged]
    recogniser = None
    if left:  # load first: a migration to models that do not load would be in the way
        on_event(Loading())
        recogniser = load_recogniser(target.pins, store.directory, device)
        on_event(Loaded())
    transfer = target.transfer or store.begin_transfer(target.pins)
    staging = Staging()
    if left and recogniser is not None:
        staging = stage_photos(
            store,
            transfer,
            recogniser,
            left,
            keep_boxes=target.keep_boxes,
            on_event=on_event,
            should_stop=should_stop,
        )
    names = PhotoNames(store)  # before the switch, which removes dropped photos
    result = MigrationResult(
        models=_models(store.pins, target),
        photos=len(photos),
        done_before=len(photos) - len(left),
        read=staging.read,
        not_migrated=_not_migrated(staging.failed, names),
        interrupted=staging.interrupted,
        faces=store.count_faces(),
    )
    kept = _reasons_to_keep(store, staging.failed, names) if drop_missing and not staging.interrupted else []
    for reason in kept:
        on_event(Warned(reason))
    if not staging.interrupted and not kept and (drop_missing or not staging.failed):
        faces = transfer.prepare(record.id for record, _ in staging.failed)
        clusters = None
        if target.method is not None and target.previous is not None:
            on_event(Clustering())
            clusters = cluster_afresh(store, target.method, faces.table, faces.vectors, target.previous)
        result = replace(
            result,
            switched=True,
            faces=len(faces.table),
            kept=int((~faces.is_new).sum()),
            new=int(faces.is_new.sum()),
            gone=faces.gone,
            clustered=clusters is not None,
            dropped_threshold=None if target.previous is None else _threshold(target.previous),
            moved=() if clusters is None else _moved(faces, clusters, names),
            seconds=time.monotonic() - started,
        )
        transfer.switch(faces, clusters, _summary(result))
        use_models(recogniser)  # before anything else can fail: the old ones do not fit the new vectors
        try:
            store.update_hnsw()
        except StoreError as error:  # the index has switched: the result must reach the caller
            on_event(
                Warned(f"The index has switched, but searches are slower: {error.problem} {error.remedy}")
            )
    return replace(result, seconds=time.monotonic() - started)


def _models(before: Pins, target: _Target) -> NewModels:
    return NewModels(
        detector=target.pins.detector,
        embedder=target.pins.embedder,
        settings=dict(target.pins.settings),
        old_detector=before.detector,
        old_embedder=before.embedder,
        boxes_kept=target.keep_boxes,
    )


def _not_migrated(
    failed: Sequence[tuple[PhotoRecord, ImageError]], names: PhotoNames
) -> tuple[NotMigrated, ...]:
    return tuple(
        NotMigrated(names.name(record), names.path(record), error.reason.value, error.detail)
        for record, error in failed
    )


def _reasons_to_keep(
    store: Store, failed: Sequence[tuple[PhotoRecord, ImageError]], names: PhotoNames
) -> list[str]:
    """Return a sentence for each reason not to remove the failed photos, which may be readable later."""
    unread = {record.id for record, error in failed if error.reason is not Reason.CHANGED}
    lost = {record.root_id for record, _ in failed}
    for record in names.records:
        if record.root_id in lost and record.id not in unread and exists(names.path(record)):
            lost.remove(record.root_id)
    found = [
        f"No photo in {root.path} can be read: is its disk mounted? Its photos were kept, and the index has "
        "not switched."
        for root in store.roots()
        if root.id in lost
    ]
    passing = [error.reason.value for _, error in failed if error.reason in TRY_AGAIN - {Reason.MISSING}]
    if passing:
        found.append(
            f"{len(passing):,} of the photos may be readable later ({', '.join(sorted(set(passing)))}). They "
            "were kept, and the index has not switched."
        )
    return found


def _threshold(clustering: ClusteringRecord) -> float | None:
    """Return the constant threshold of a clustering; None if it had the calibrated one."""
    found = clustering.params.get("threshold")
    return found if isinstance(found, float) else None


def _moved(faces: NewFaces, clusters: NewClusters, names: PhotoNames) -> tuple[MovedFace, ...]:
    before, after = faces.table.cluster, clusters.labels
    found = []
    for i in np.flatnonzero(~faces.is_new & (before != after)).tolist():
        record = names.by_id[int(faces.table.photo[i])]
        old, new = int(before[i]), int(after[i])
        found.append(
            MovedFace(
                face=int(faces.table.face[i]),
                photo=names.name(record),
                path=names.path(record),
                old_cluster=None if old < 0 else old,
                new_cluster=None if new < 0 else new,
            )
        )
    return tuple(found)


def _summary(result: MigrationResult) -> dict[str, Json]:
    """Return the entry of the journal: the counts, without the lists."""
    summary = result.as_dict()
    return {**summary, "not_migrated": len(result.not_migrated), "moved": len(result.moved)}
