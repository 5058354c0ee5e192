"""All faces and photos of an index as arrays, as a page shows them, and their form for the page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from faceindex.api.album_history import AlbumHistory
from faceindex.page.bundle import SCHEMA, join_bundle, pack_album, quantised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from faceindex.store.decisions import PersonRecord
    from faceindex.types import F32, F64, I64

__all__ = ["SCHEMA", "AlbumChanges", "AlbumState", "people_as_dicts"]


@dataclass(slots=True, eq=False)
class AlbumState:
    """n faces on m photos, and the people, at one moment.

    `faceindex.api.album.IndexAlbum.load` returns one, and ``follow`` brings it up to date in place.

    Attributes
    ----------
    face : (n,) uint32
        Ids, ascending.
    photo : (n,) uint32
        Position of the photo in `photos`.
    cluster : (n,) int32
        -1 for none.
    person : (n,) int32
        The person whom the face shows: by its label, else by its cluster; -1 for none.
    label : (n,) uint8
        Values of `faceindex.store.decisions.Label`.
    similarity : (n,) float32
        To the centre of the cluster, -1..1; NaN for a face in none.
    quality : (n,) float32
        0..1.
    said : (n,) int32
        The person of the label, before merges; -1 for none.
    photos : (m,) uint32
        Ids of all photos that can be shown, also without faces; ascending.
    taken : (m,) float64
        Capture times in seconds since 1970, local time of the camera; NaN where it is unknown.
    people : list of PersonRecord
        By id, without those that were merged into others.
    roots : dict of int to int
        For each id of a person, the person that it is part of after all merges.
    cluster_person : dict of int to int
        The person of each cluster that has one.
    generation : int
        Number of commits of the index.
    decision : int
        Number of the newest decision; 0 for none.
    clustered : bool
        Whether ``cluster`` has run.
    newer_faces : int
        Faces that were added after that.
    undo, undo_number : str and int, or None
        The command and the number of the decision that ``undo`` would take back.
    base : tuple
        Changes with all but decisions; of `faceindex.store.album.AlbumQueries.base`.
    history : AlbumHistory
        When something changed last, from `load` on.
    """

    face: NDArray[np.uint32]
    photo: NDArray[np.uint32]
    cluster: NDArray[np.int32]
    person: NDArray[np.int32]
    label: NDArray[np.uint8]
    similarity: F32
    quality: F32
    said: NDArray[np.int32]
    photos: NDArray[np.uint32]
    taken: F64
    people: list[PersonRecord]
    roots: dict[int, int]
    cluster_person: dict[int, int]
    generation: int
    decision: int
    clustered: bool
    newer_faces: int
    undo: str | None
    undo_number: int | None
    base: tuple[object, ...]
    history: AlbumHistory

    def __len__(self) -> int:
        return len(self.face)

    def positions(self, faces: Sequence[int] | NDArray[Any]) -> I64:
        """Return the positions of faces by their ids, (k,) int64; -1 for those that are not there."""
        wanted = np.asarray(faces, np.int64)
        at = np.searchsorted(self.face, wanted)
        known = at < len(self.face)
        known[known] = self.face[at[known]] == wanted[known]
        return np.where(known, at, -1)

    def changes_since(self, generation: int) -> AlbumChanges:
        """Return what differs from an earlier generation of this album."""
        history = self.history
        reload = generation < history.reloaded or generation < history.started
        reload = reload or generation > self.generation  # of an index that was here before
        return AlbumChanges(
            since=generation,
            **_status(self),
            faces=np.flatnonzero(history.shown > generation) if not reload else np.empty(0, np.int64),
            people=self.people if history.roster > generation or reload else None,
            cluster_person=self.cluster_person if history.names > generation or reload else None,
            reload=reload,
        )

    def conflict(
        self,
        faces: Sequence[int],
        clusters: Sequence[int],
        people: Sequence[int],
        seen: int,
        own: Collection[int] = (),
    ) -> str | None:
        """Return what contradicts a decision that was made on sight of an earlier generation.

        Parameters
        ----------
        faces, clusters, people : sequence of int
            Ids of all that the decision is about. A face conflicts if its cluster, person or label has
            changed, a cluster if its faces or its person have, a person who was edited, merged or removed.
        seen : int
            The generation.
        own : collection of int
            Numbers of decisions that are known where this one was made, though it was made on sight of an
            earlier generation.

        Returns
        -------
        str or None
            A sentence on the first conflict; None if there is none.
        """
        history = self.history
        if seen > self.generation:
            return "The page shows another index, or one that was restored."
        if seen < history.started:
            return "The page shows a state of the index that is too old."
        wanted = np.asarray(faces, np.int64)
        at = self.positions(wanted)
        if (at < 0).any():
            return f"Face {wanted[at < 0][0]} is not in the index any more."
        changed = history.decided[at]
        for generation in np.unique(changed[changed > seen]).tolist():
            if (words := history.words(generation, own)) is not None:
                return f"Face {wanted[changed == generation][0]} was changed meanwhile{words}."
        if (late := history.late(history.clusters, clusters, seen, own)) is not None:
            return f"Cluster {late[0]} was changed meanwhile{late[1]}."
        if (late := history.late(history.people, people, seen, own)) is not None:
            names = {record.id: record.name for record in self.people}
            who = names.get(late[0]) or "A person"
            return f"{who} was {'changed' if late[0] in names else 'removed or merged'} meanwhile{late[1]}."
        return None

    def to_bytes(self) -> bytes:
        """Return the album as ``faceindex/album/1``.

        These are the length of a header as a little-endian uint32, the header as JSON, padded with spaces,
        and the columns. The header lists the columns: name, type, ``offset`` in bytes from the first one, and
        ``length`` in items. Each begins at a multiple of 8 bytes. They are little-endian: ``face``,
        ``face_photo`` (`photo`), ``cluster``, ``person``, ``label``, ``similarity`` in units of 1/10,000
        (-32768 for none), ``quality`` in units of 1/255 (0 if unknown), ``photo`` (`photos`) and ``taken``.
        """
        header = {
            **_status(self),
            "people": people_as_dicts(self.people),
            "cluster_person": sorted(self.cluster_person.items()),
        }
        document, columns = pack_album(
            header,
            face=self.face,
            face_photo=self.photo,
            cluster=self.cluster,
            person=self.person,
            label=self.label,
            similarity=self.similarity,
            quality=self.quality,
            photo=self.photos,
            taken=self.taken,
        )
        return join_bundle(document, columns)


@dataclass(frozen=True, slots=True, eq=False)
class AlbumChanges:
    """What differs between two generations of an album.

    Attributes
    ----------
    since, generation : int
        The two.
    decision, clustered, newer_faces, undo, undo_number
        As in `AlbumState`, of the later one.
    faces : (k,) int64
        Positions of the faces that differ, ascending.
    people : list of PersonRecord or None
        All people if one differs.
    cluster_person : dict of int to int or None
        The person of each cluster if one differs.
    reload : bool
        Whether faces or photos were added, removed or read anew. Then `faces` is empty: read all again.
    """

    since: int
    generation: int
    decision: int
    clustered: bool
    newer_faces: int
    undo: str | None
    undo_number: int | None
    faces: I64
    people: list[PersonRecord] | None
    cluster_person: dict[int, int] | None
    reload: bool

    def as_dict(self, state: AlbumState) -> dict[str, Any]:
        """Return the changes as JSON for the page, from the state that has them.

        ``faces`` has parallel lists ``face``, ``cluster``, ``person``, ``label``, ``similarity``, as in the
        columns of `AlbumState.to_bytes`; ``people`` and ``cluster_person`` only if they have changed.
        """
        at = self.faces
        found: dict[str, Any] = {
            **_status(self),
            "reload": self.reload,
            "faces": {
                "face": state.face[at].tolist(),
                "cluster": state.cluster[at].tolist(),
                "person": state.person[at].tolist(),
                "label": state.label[at].tolist(),
                "similarity": quantised(state.similarity[at]).tolist(),
            },
        }
        if self.people is not None:
            found["people"] = people_as_dicts(self.people)
        if self.cluster_person is not None:
            found["cluster_person"] = sorted(self.cluster_person.items())
        return found


def _status(album: AlbumState | AlbumChanges) -> dict[str, Any]:
    """Return what is said of the whole index, as the header of the album and changes have it."""
    names = ("generation", "decision", "clustered", "newer_faces", "undo", "undo_number")
    return {name: getattr(album, name) for name in names}


def people_as_dicts(people: Sequence[PersonRecord]) -> list[dict[str, Any]]:
    """Return people as JSON for the page."""
    return [
        {
            "id": record.id,
            "uid": record.uid,
            "name": record.name,
            "born": record.born,
            "died": record.died,
            "hidden": record.hidden,
            "note": record.note,
        }
        for record in people
    ]
