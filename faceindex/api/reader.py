"""Cached reads of one index, shared by `FaceIndex` and its companions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from faceindex.errors import NotClustered, UsageError
from faceindex.store import Status
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.results import Cluster, Face
    from faceindex.export.crops import CropStyle
    from faceindex.models import EmbedderSpec
    from faceindex.people.roster import Roster
    from faceindex.people.view import PeopleView
    from faceindex.store import Clustering, FaceTable, Store
    from faceindex.types import F32, I64

__all__ = ["Reader", "faces_at", "find_faces"]


class Reader:
    """Reads faces and photos, and keeps them until the next commit.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._table: tuple[int, FaceTable] | None = None
        self._names: tuple[FaceTable, PhotoNames] | None = None
        self._roster: tuple[int, Roster] | None = None
        self._people: tuple[FaceTable, PeopleView] | None = None
        if store.writable and (store.copies.has_stale() or store.exchanged.has_some_to_remove()):
            # `forget` was interrupted, or a copy or a photo was not there.
            from faceindex.api.forgetting import IndexForgetting

            try:
                IndexForgetting(self).resume()
            except BaseException:
                store.close()  # nobody else can
                raise

    def table(self) -> FaceTable:
        """Return all faces as parallel arrays."""
        with self.store.snapshot():
            if self._table is None or self._table[0] != self.store.generation:
                self._table = (self.store.generation, self.store.faces())
            return self._table[1]

    def faces_and_photos(self) -> tuple[FaceTable, PhotoNames]:
        """Return all faces and photos as they were at one moment."""
        with self.store.snapshot():
            table = self.table()
            if self._names is None or self._names[0] is not table:
                names = PhotoNames(self.store)
                # Before anything is printed or written: faces are listed one by one.
                for photo in {*table.photo.tolist()} - names.by_id.keys():
                    names.by_id[photo]  # raises `IndexCorrupt`
                self._names = (table, names)
            return self._names

    def roster(self) -> Roster:
        """Return all people, read once for each state of the index."""
        from faceindex.people.roster import Roster

        with self.store.snapshot():
            generation = self.store.generation
            if self._roster is None or self._roster[0] != generation:
                self._roster = (generation, Roster.of(self.store.decisions.people()))
            return self._roster[1]

    def keep_roster(self, roster: Roster) -> None:
        """Keep the people after a decision that was just committed: reading them again takes milliseconds."""
        with self.store.snapshot():
            self._roster = (self.store.generation, roster)

    def people(self) -> PeopleView:
        """Return which person each face of `table` shows."""
        from faceindex.people.view import PeopleView

        with self.store.snapshot():
            table = self.table()
            if self._people is None or self._people[0] is not table:
                self._people = (table, PeopleView.read(self.store, table))
            return self._people[1]

    def vectors(self) -> F32:
        """Return the unit vectors of all faces, (n, d) float32, in the order of `table`; read-only."""
        return self.store.vectors(self.table().row)

    @property
    def embedder_spec(self) -> EmbedderSpec:
        """The spec of the pinned embedder."""
        from faceindex.api.pins import pinned_embedder

        return pinned_embedder(self.store.pins, self.store.directory)

    def person_names(self) -> dict[int, str]:
        """Return the names of people, by their clusters; clusters with one name show one person."""
        return self.people().cluster_names()

    def hidden_clusters(self) -> set[int]:
        """Return the clusters of hidden people."""
        return self.people().hidden_clusters()

    def crop_style(self, margin: float, aligned: bool) -> CropStyle:
        """Return how faces are cut, or aligned as the pinned models do it.

        Raises
        ------
        UsageError
            If the margin is not in 0..10.
        """
        from faceindex import models
        from faceindex.export.crops import CropStyle

        if not aligned:
            return CropStyle(margin)
        detector = models.get("detector", self.store.pins.detector)
        return CropStyle(margin, self.embedder_spec.alignment, detector.box)

    def clustering(self) -> Clustering:
        """Return the current clustering.

        Raises
        ------
        NotClustered
            If `cluster` has not run.
        """
        clustering = self.store.active_clustering()
        if clustering is None:
            raise NotClustered("The faces have not been grouped into people yet.", "Run `faceindex cluster`.")
        return clustering

    def check_cluster(self, cluster: int) -> None:
        """Check that a cluster exists.

        Raises
        ------
        NotClustered
            If `cluster` has not run.
        UsageError
            If no face is in it.
        """
        self.clustering()
        if cluster < 0 or not (self.table().cluster == cluster).any():
            raise UsageError(f"There is no cluster {cluster}.", "`faceindex clusters` lists the clusters.")

    def check_writable(self, path: str | os.PathLike[str]) -> None:
        """Check that writing a file does not overwrite one of the indexed photos.

        Raises
        ------
        UsageError
            If it would, under whatever name.
        """
        if self.faces_and_photos()[1].leads_to_photo(path):
            raise UsageError(f"{os.fspath(path)} is one of the indexed photos.", "Name another file.")

    def select(
        self,
        cluster: int | None = None,
        clustered: bool | None = None,
        photo: str | os.PathLike[str] | None = None,
        person: str | None = None,
    ) -> Iterator[Face]:
        """Select faces; see `faceindex.FaceIndex.faces`."""
        import numpy as np

        if cluster is not None:
            self.check_cluster(cluster)
        with self.store.snapshot():
            table, names = self.faces_and_photos()
            people = self.people()
        wanted = np.ones(len(table), bool)
        if person is not None:
            wanted &= people.person == people.roster.find(person).id
        if cluster is not None:
            wanted &= table.cluster == cluster
        if clustered is not None:
            wanted &= (table.cluster >= 0) == clustered
        if photo is not None:
            wanted &= table.photo == names.find(photo)
        return faces_at(table, names, np.flatnonzero(wanted).tolist(), people)

    def clusters(self) -> list[Cluster]:
        """Summarise all clusters, largest first; raises `NotClustered` if `cluster` has not run."""
        import numpy as np

        from faceindex.api.results import Cluster
        from faceindex.clustering.overview import clusters_by_size, cover_faces

        self.clustering()
        with self.store.snapshot():
            table, names = self.faces_and_photos()
            people = self.people()
        clusters, sizes = clusters_by_size(table.cluster)
        examples = faces_at(table, names, cover_faces(table, clusters), people)
        called = people.cluster_names()
        pairs = np.unique(np.stack([table.cluster, table.photo], axis=1), axis=0)[:, 0]
        photos = np.searchsorted(pairs, clusters, "right") - np.searchsorted(pairs, clusters)
        order = np.argsort(table.cluster, kind="stable")
        starts = np.searchsorted(table.cluster[order], clusters)
        return [
            Cluster(
                cluster=int(cluster),
                faces=int(size),
                photos=int(on),
                cohesion=float(table.similarity[order[start : start + size]].mean(dtype=np.float64)),
                example=example,
                person=called.get(int(cluster)),
            )
            for cluster, size, on, start, example in zip(
                clusters, sizes, photos, starts, examples, strict=True
            )
        ]

    def unreadable(self) -> list[tuple[str, str]]:
        """Return the names of unreadable photos, each with the reason, sorted."""
        _, names = self.faces_and_photos()
        return sorted(
            (names.name(record), record.detail or record.reason or "")
            for record in names.records
            if record.status is Status.UNREADABLE
        )

    def notes(self) -> list[tuple[str, str]]:
        """Return the names of photos that were read with a note, each with the note, sorted."""
        _, names = self.faces_and_photos()
        return sorted(
            (names.name(record), record.detail)
            for record in names.records
            if record.status is Status.OK and record.detail
        )

    def known_failures(self) -> dict[str, str]:
        """Return the indexed photos that the last run of `add` could not read: paths, and reasons."""
        names = self.faces_and_photos()[1]
        return {names.path(record): record.failed for record in names.records if record.failed}


def find_faces(table: FaceTable, faces: Sequence[int]) -> I64:
    """Return the positions of faces in a table, by their ids.

    Raises
    ------
    UsageError
        If a face is not in the index.
    """
    import numpy as np

    wanted = np.asarray(faces)
    missing = ~np.isin(wanted, table.face)
    if missing.any():
        raise UsageError(
            f"There is no face {wanted[missing][0]} in the index.", "`faceindex faces` lists the faces."
        )
    return np.searchsorted(table.face, wanted).astype(np.int64)


def faces_at(
    table: FaceTable, names: PhotoNames, positions: Iterable[int], people: PeopleView
) -> Iterator[Face]:
    """Yield the faces at some positions of a table; `people` is of the same moment."""
    from faceindex.api.results import Face  # not needed by `index`, which must start fast
    from faceindex.store.decisions import Label

    for i in positions:
        record = names.by_id[int(table.photo[i])]
        cluster = int(table.cluster[i])
        person = int(people.person[i])
        x1, y1, x2, y2 = table.boxes[i].tolist()
        yield Face(
            face=int(table.face[i]),
            photo=names.name(record),
            path=names.path(record),
            box=(x1, y1, x2, y2),
            score=float(table.scores[i]),
            quality=float(table.quality[i]),
            turn=int(table.turns[i]),
            cluster=None if cluster < 0 else cluster,
            similarity=None if cluster < 0 else float(table.similarity[i]),
            person=None if person < 0 else people.roster.title(person),
            confirmed=bool(people.label[i] == Label.CONFIRMED),
            by_hand=bool(table.by_hand[i]),
        )
