"""`FaceIndex`. Methods import what they need: a run of `add` without new photos loads not even numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from faceindex.api.contents import IndexContents
from faceindex.api.extraction import recognition_on
from faceindex.api.opening import (
    connect_search,
    create_store,
    find_directory,
    open_matching_store,
    open_store,
    with_min_face,
)
from faceindex.pipeline import Event, Summary, ignore_event, index_photos
from faceindex.store import Status, Store
from faceindex.store.away import KEEP_DAYS

if TYPE_CHECKING:
    from faceindex.api.doctor import Health
    from faceindex.api.evaluation import IndexEvaluation
    from faceindex.api.export import IndexExport
    from faceindex.api.finding import IndexFinding
    from faceindex.api.forgetting import IndexForgetting
    from faceindex.api.index_clustering import IndexClustering
    from faceindex.api.migration import IndexMigration
    from faceindex.api.people_importing import ImportingPeople
    from faceindex.api.people_results import Decided
    from faceindex.api.pictures import IndexPictures
    from faceindex.api.pins import Settings
    from faceindex.api.queries import Queries
    from faceindex.api.results import Identification, IndexPlan
    from faceindex.api.roots import IndexRoots
    from faceindex.api.searching import IndexSearching
    from faceindex.api.sheets import ContactSheets
    from faceindex.api.sidecars import IndexSidecars
    from faceindex.images.inputs import PhotoInput
    from faceindex.pipeline.selection import Selection
    from faceindex.recognition import Recogniser
    from faceindex.types import Faces

__all__ = ["FaceIndex"]


class FaceIndex(IndexContents):
    """An index of the faces in folders of photos, and a context manager.

    Open it with `open`, `create` or `open_or_create`. ``len(index)`` is the number of faces; iterating yields
    each `Face`. Only one thread may use it at a time: open the directory once per thread instead.

    Examples
    --------
    >>> from faceindex import FaceIndex
    >>> with FaceIndex.open_or_create("photos.faceindex") as index:  # doctest: +SKIP
    ...     index.add(["photos/"])
    ...     index.cluster()
    ...     print(index.identify("someone.jpg").faces[0].cluster)
    """

    def __init__(self, store: Store, *, device: str = "auto", recogniser: Recogniser | None = None) -> None:
        super().__init__(store)
        store.searching.connect = connect_search
        self._device = device
        self._recogniser = recogniser
        self._queries: Queries | None = None
        self._people: ImportingPeople | None = None
        self._pictures: IndexPictures | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        write: bool = False,
        device: str = "auto",
        wait: float = 0.0,
    ) -> FaceIndex:
        """Open an existing index; `IndexNotFound`, `IndexLocked`, `IndexVersionError`, `IndexCorrupt` if not.

        Parameters
        ----------
        directory : path-like, optional
            None means ``$FACEINDEX_INDEX``, else ``.faceindex`` here or in a folder above.
        write : bool
            Open for changes. There is one writer at a time; readers never wait.
        device : str
            Where networks run: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:n"`` or ``"mps"``.
        wait : float
            Seconds to wait for another writer, such as a page that stores a decision.
        """
        return cls(open_store(directory, device, write=write, wait=wait), device=device)

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str | None = None,
        embedder: str | None = None,
        min_face: float | None = None,
        settings: Settings | None = None,
        device: str = "auto",
        load_models: bool = True,
    ) -> FaceIndex:
        """Create an index, pinned to its models, and open it for writing.

        Parameters
        ----------
        directory : path-like, optional
            None means ``$FACEINDEX_INDEX``, else ``.faceindex`` in the current directory.
        detector, embedder : str, optional
            Names of models; None means the defaults.
        min_face : float, optional
            Side in pixels of the smallest face to find; None means the default of the detector.
        settings : mapping, optional
            Values of model options by name, such as ``{"flip": True}``.
        device : str
            As in `open`.
        load_models : bool
            Load the networks now: an index is never made for models that do not load. False leaves that to
            their first use, and the check of `device`, too: on an engine, only its workers need that. The
            weight files must be there.

        Raises `UnknownModel`, `WeightsNotFound`, or `UsageError` if the directory holds an index already, or
        a setting is unknown or out of range.
        """
        settings = with_min_face(settings, min_face)
        store, recogniser = create_store(directory, detector, embedder, settings, device, load_models)
        return cls(store, device=device, recogniser=recogniser)

    @classmethod
    def open_or_create(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str | None = None,
        embedder: str | None = None,
        min_face: float | None = None,
        settings: Settings | None = None,
        device: str = "auto",
        wait: float = 0.0,
        load_models: bool = True,
    ) -> FaceIndex:
        """Open an index for writing, or create it.

        Parameters are those of `create`, and `wait` of `open`; None means the pinned value, or the default
        for a new index. Raises `PinnedModelError` if the index is pinned to other models or settings.
        """
        settings = with_min_face(settings, min_face)
        store = open_matching_store(directory, detector, embedder, settings, device, wait, load_models)
        if store is not None:
            return cls(store, device=device)
        return cls.create(
            directory,
            detector=detector,
            embedder=embedder,
            settings=settings,
            device=device,
            load_models=load_models,
        )

    @staticmethod
    def doctor(
        directory: str | os.PathLike[str] | None = None,
        *,
        repair: bool = False,
        device: str = "auto",
        wait: float = 0.0,
    ) -> Health:
        """Check all files of an index, which need not be open, and repair what can be repaired.

        Parameters
        ----------
        directory : path-like, optional
            As in `open`.
        repair : bool
            Embed damaged faces again from their photos, make anew what is derived, and save what can be read
            of a damaged catalog. The damaged file is kept beside it.
        device : str
            As in `open`.
        wait : float
            Seconds for which a repair waits until another process has stopped writing.

        Raises `IndexNotFound`, `IndexVersionError`, and `IndexLocked`, `IndexCorrupt` or `StoreError` if it
        cannot be repaired.
        """
        from faceindex.api.doctor import diagnose, repair_index

        found = find_directory(directory)
        if not repair:
            return diagnose(found)
        from faceindex.api.pins import load_recogniser

        return repair_index(found, lambda pins, path: load_recogniser(pins, path, device), wait)

    def close(self) -> None:
        """Close the files and release the writer's lock."""
        self._closed = True
        self._store.close()

    def __enter__(self) -> FaceIndex:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is not None:
                self._store.explain(error)
            elif self._store.writable and not self._closed:
                self._store.searching.catch_up()
        finally:
            self.close()

    def __repr__(self) -> str:
        if self._closed:
            return f"<FaceIndex {str(self.directory)!r}, closed>"
        counts, pins = self._store.counts(), self.pins
        clusters = "not clustered" if self.clustering is None else f"{counts.clusters:,} clusters"
        what = f"{counts.faces:,} faces on {counts.photos[Status.OK]:,} photos, {clusters}"
        return f"<FaceIndex {str(self.directory)!r}: {what}, {pins.detector} + {pins.embedder}>"

    @property
    def roots(self) -> IndexRoots:
        """The indexed folders, as ``index.roots()``; move them to other paths, or remove them."""
        from faceindex.api.roots import IndexRoots

        return IndexRoots(self._reader)

    @property
    def export(self) -> IndexExport:
        """Write crops, clusters, boxes, embeddings and a gallery to files."""
        from faceindex.api.export import IndexExport

        return IndexExport(self._reader)

    @property
    def evaluation(self) -> IndexEvaluation:
        """Score clusters and identification on labelled photos."""
        from faceindex.api.evaluation import IndexEvaluation

        return IndexEvaluation(self._reader)

    @property
    def sheets(self) -> ContactSheets:
        """Draw faces side by side."""
        from faceindex.api.sheets import ContactSheets

        return ContactSheets(self._reader)

    @property
    def pictures(self) -> IndexPictures:
        """Draw faces and photos as JPEGs, and keep the thumbnails in the index."""
        from faceindex.api.pictures import IndexPictures

        self._pictures = self._pictures or IndexPictures(self._reader)
        return self._pictures

    @property
    def cluster(self) -> IndexClustering:
        """Group the faces into people, as ``index.cluster()``; compare and restore earlier clusters."""
        from faceindex.api.index_clustering import IndexClustering

        return IndexClustering(self._reader)

    @property
    def people(self) -> ImportingPeople:
        """Name people, correct their faces, undo that; answer questions; import names of other programs."""
        from faceindex.api.people_importing import ImportingPeople

        self._people = self._people or ImportingPeople(self._reader, lambda: self._get_queries().recogniser())
        return self._people

    @property
    def sidecars(self) -> IndexSidecars:
        """Exchange names with the sidecars of photos."""
        from faceindex.api.sidecars import IndexSidecars

        return IndexSidecars(self._reader, lambda: self._get_queries().recogniser())

    @property
    def find(self) -> IndexFinding:
        """Find the photos that show some people, as ``index.find("Anna & Ben")``."""
        from faceindex.api.finding import IndexFinding

        return IndexFinding(self._reader)

    @property
    def forget(self) -> IndexForgetting:
        """Delete people, faces and photos for good, as ``index.forget("Anna")``, also from copies."""
        from faceindex.api.forgetting import IndexForgetting

        return IndexForgetting(self._reader)

    @property
    def searching(self) -> IndexSearching:
        """The neighbour index of the faces: built in, or Milvus."""
        from faceindex.api.searching import IndexSearching

        return IndexSearching(self._store)

    @property
    def migrate(self) -> IndexMigration:
        """Move the index to other models, as ``index.migrate("facenet")``; plan or cancel that."""
        from faceindex.api.migration import IndexMigration

        def use_models(recogniser: Recogniser | None) -> None:
            self._recogniser, self._queries = recogniser, None

        return IndexMigration(self._store, self._device, use_models)

    def add(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        retry_failed: bool = False,
        prune: bool = False,
        keep_days: float = KEEP_DAYS,
        check_content: bool = False,
        exclude: Collection[Path] = (),
        selection: Selection | None = None,
        on: str | None = None,
        actors: int | None = None,
        on_event: Callable[[Event], None] = ignore_event,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Summary:
        """Bring the index up to date with folders and photos; only new and changed files are opened.

        Parameters are those of `faceindex.pipeline.index_photos`; `paths` are folders, files and archives.
        With ``on="ray"``, processes on this machine recognise the photos, `actors` of them, or one for each
        core or GPU; ``on="ray:HOST:PORT"`` or ``"ray:auto"`` joins a running cluster. See docs/ray.md.

        Raises `UsageError` if a path does not exist, `WeightsNotFound` or `WeightsInvalid` if the pinned
        models cannot be loaded, and `EngineError` if Ray cannot be used. The index does not change, except
        that what was committed before an engine failed stays.
        """
        with recognition_on(on, actors, self._store.pins, self._store.directory, self._device) as elsewhere:
            return index_photos(
                self._store,
                lambda: self._get_queries().recogniser(on_any_device=on is not None),
                [paths] if isinstance(paths, (str, os.PathLike)) else paths,
                retry_failed=retry_failed,
                prune=prune,
                keep_days=keep_days,
                check_content=check_content,
                exclude=exclude,
                selection=selection,
                elsewhere=elsewhere,
                on_event=on_event,
                should_stop=should_stop,
            )

    def plan(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        retry_failed: bool = False,
        prune: bool = False,
        check_content: bool = False,
        exclude: Collection[Path] = (),
        selection: Selection | None = None,
        on_event: Callable[[Event], None] = ignore_event,
    ) -> IndexPlan:
        """Count what `add` would find, and forecast time and disk; opens no photo and changes nothing.

        Parameters are those of `add`.
        """
        from faceindex.api.planning import plan_photos

        return plan_photos(
            self._store,
            [paths] if isinstance(paths, (str, os.PathLike)) else paths,
            retry_failed=retry_failed,
            prune=prune,
            check_content=check_content,
            exclude=exclude,
            selection=selection,
            on_event=on_event,
        )

    @overload
    def identify(  # type: ignore[overload-overlap]  # a str is a path, not an iterable
        self,
        photo: PhotoInput,
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> Identification: ...

    @overload
    def identify(
        self,
        photo: Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> list[Identification]: ...

    def identify(
        self,
        photo: PhotoInput | Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> Identification | list[Identification]:
        """Identify the people on a photo, which need not be in the index.

        Parameters
        ----------
        photo : path-like, bytes, (h, w, 3) uint8 array, PIL image, or iterable of these
            Arrays are RGB and upright. Photos of an iterable are processed in batches, as by `add`.
        neighbours : int
            Number of most similar faces to return for each face.
        threshold : float, optional
            Name the best person from this similarity on, instead of by the probability.
        max_false_alarms : float, optional
            Share of strangers that may be named, whatever the size of the index; None means 0.01.

        Returns
        -------
        Identification or list of Identification
            Without faces if none was found. If `cluster` has not run, `nearest_cluster` is None and the
            most similar faces are returned. A photo of an iterable that cannot be read has its `error` set.

        Raises `ImageError` if a single photo cannot be read, and `UsageError` if it is none of these types.
        """
        from faceindex.api.queries import IdentifyOptions

        options = IdentifyOptions(neighbours, threshold, max_false_alarms)
        return self._get_queries().identify(photo, options)

    def moments(self, video: str | os.PathLike[str], interval: float | None = None) -> list[str]:
        """Return paths of the moments that show the people of a video best, to pass to `identify_many`.

        Stores nothing. `interval` is as in `faceindex.pipeline.select`; errors are those of `identify`.
        """
        return self._get_queries().moments(os.fspath(video), interval)

    def identify_many(
        self,
        photos: Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
        on_event: Callable[[Event], None] = ignore_event,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Identification, None, None]:
        """Identify any number of photos: yield the answers in the order of the photos, each once it is ready.

        Photos are taken from the iterable as they are needed, and memory is bounded by a few batches. Unlike
        `identify`, it calls `on_event` with `Loading` and `Loaded` if the models must be loaded, and
        `should_stop` between photos: once that returns True, only the photos in work are still answered.
        """
        from faceindex.api.queries import IdentifyOptions

        options = IdentifyOptions(neighbours, threshold, max_false_alarms)
        return self._get_queries().identify_many(photos, options, on_event, should_stop)

    def embed(self, photo: PhotoInput) -> Faces:
        """Detect and embed the faces on one photo, of any type that `identify` takes; stores nothing."""
        return self._get_queries().recogniser().embed(photo)

    def add_face(
        self,
        photo: int | str | os.PathLike[str],
        box: Sequence[float],
        *,
        name: str | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> tuple[int, Decided]:
        """Add a face that the detector missed; `index.people.undo` takes it back.

        It is a decision: the face is kept whatever happens to the photo, the clusters and the models. Once a
        detector finds a face there, that face takes its place. Without a name, it is in no cluster until
        `cluster` runs.

        Parameters
        ----------
        photo : int or path-like
            A photo of the index, by id, name or path. It must be as it was indexed.
        box : sequence of 4 float
            ``x1 y1 x2 y2`` in pixels of the upright photo at full resolution, inside it.
        name : str, optional
            Who it is. If the index has a face at this place already, that face gets the name.
        uid, dry_run
            As in the verbs of `index.people`.

        Returns
        -------
        int
            Id of the face; in a dry run, the one that it would have.
        Decided

        Raises `UsageError` if the photo is not in the index, the box cannot be used, a face is there already,
        or the face of a repeated `uid` was taken back; `NotClustered` for a name, if the faces are not
        clustered; `ImageError` if the photo cannot be read or has changed; and the errors of `add`.
        """
        from faceindex.api.adding_faces import add_face

        load = self._get_queries().recogniser
        return add_face(self._reader, load, photo, box, name=name, uid=uid, dry_run=dry_run)

    def _get_queries(self) -> Queries:
        if self._queries is None:
            from faceindex.api.queries import Queries

            self._queries = Queries(self._reader, self._device, self._recogniser)
        return self._queries
