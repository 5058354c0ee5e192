"""Match query faces with the people of an index, by evidence and by what the user said of these faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from faceindex.api.reader import Reader, faces_at
from faceindex.api.results import IdentifiedFace, Neighbour, Source
from faceindex.clustering.incremental import representative_faces
from faceindex.evidence import FALSE_ALARMS
from faceindex.identification import Judge, Representatives, identify, shown_well
from faceindex.people.said import NOTHING, Said, left_out, not_yet_born, said_of_faces
from faceindex.store.decisions import Label
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.queries import IdentifyOptions
    from faceindex.images import Picture
    from faceindex.people.view import PeopleView
    from faceindex.store import FaceTable
    from faceindex.types import Faces

__all__ = ["Matcher", "QueryPhoto"]

_SOURCES: Final[dict[Label, Source]] = {
    Label.NAMED: "named",
    Label.CONFIRMED: "confirmed",
    Label.STRANGER: "stranger",
    Label.NOT_A_FACE: "not a face",
}


@dataclass(frozen=True, slots=True)
class QueryPhoto:
    """A recognised query photo.

    Attributes
    ----------
    faces : Faces
    picture : Picture or None
        None if it came as pixels.
    width, height : int
        In pixels of the upright photo; not used without a picture.
    """

    faces: Faces
    picture: Picture | None = None
    width: int = 0
    height: int = 0


class Matcher:
    """Matches query faces with the people of an index.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._representatives: tuple[FaceTable, Representatives] | None = None

    def judge(self, table: FaceTable, false_alarms: float | None) -> Judge | None:
        """Return the judge of an index; None if its embedder is not calibrated."""
        store, calibration = self._reader.store, self._reader.embedder_spec.calibration
        if calibration is None:
            return None
        return Judge(
            calibration, lambda positions: store.vectors(table.row[positions]), false_alarms or FALSE_ALARMS
        )

    def representatives(self) -> Representatives:
        """Return the representative faces of all clusters, computed once for each table.

        Faces that the user confirmed are among them, however blurred; faces that are nobody never are.
        """
        with self._reader.store.snapshot():
            table, people = self._reader.table(), self._reader.people()
        if self._representatives is None or self._representatives[0] is not table:
            mask = representative_faces(table, table.cluster, self._reader.embedder_spec.calibration)
            mask &= shown_well(table.cluster, table.quality)
            mask |= people.label == Label.CONFIRMED
            mask &= ~np.isin(people.label, [Label.STRANGER, Label.NOT_A_FACE])
            found = Representatives.of(table.cluster, mask, people.of_cluster)
            self._representatives = (table, found)
        return self._representatives[1]

    def match(
        self, photos: Sequence[QueryPhoto], options: IdentifyOptions
    ) -> list[tuple[IdentifiedFace, ...]]:
        """Identify the faces of several photos with one search."""
        if not photos:
            return []
        store = self._reader.store
        with store.snapshot():
            table, people = self._reader.table(), self._reader.people()
            representatives = self.representatives()
            said = [self._said(people, photo) for photo in photos]
            taken = [None if photo.picture is None else photo.picture.taken for photo in photos]
            unborn = [not_yet_born(people.roster, when) for when in taken]
            matches = identify(
                np.concatenate([photo.faces.vectors for photo in photos]),
                store.search,
                faces=table.face,
                clusters=table.cluster,
                threshold=options.threshold,
                judge=self.judge(table, options.max_false_alarms),
                quality=np.concatenate([photo.faces.quality for photo in photos]),
                representatives=representatives,
                left_out=[
                    left_out(people, one, representatives.counts, people_unborn)
                    for faces, people_unborn in zip(said, unborn, strict=True)
                    for one in faces
                ],
                neighbours=options.neighbours,
            )
            ids = np.array(sorted({face for match in matches for face in match.faces}), np.int64)
            positions = np.searchsorted(table.face, ids)
            # Only the photos of these faces: naming all photos takes many times as long.
            names = PhotoNames(store, table.photo[positions].tolist())
        nearest = {face.face: face for face in faces_at(table, names, positions.tolist(), people)}
        rest = iter(matches)  # each photo takes as many as it has boxes
        return [
            tuple(
                _with_word(
                    IdentifiedFace(
                        box=(box[0], box[1], box[2], box[3]),
                        score=score,
                        quality=quality,
                        turn=turn,
                        cluster=match.cluster,
                        nearest_cluster=match.nearest_cluster,
                        similarity=match.similarity,
                        needed=match.needed,
                        margin=match.margin,
                        probability=match.probability,
                        false_alarm=match.false_alarm,
                        confidence=match.confidence,
                        neighbours=tuple(
                            Neighbour(nearest[face], similarity)
                            for face, similarity in zip(match.faces, match.similarities, strict=True)
                        ),
                        person=_name(people, match.cluster),
                        nearest_person=_name(people, match.nearest_cluster),
                    ),
                    one,
                    people,
                )
                for box, score, quality, turn, one, match in zip(
                    *_values(photo.faces), faces, rest, strict=False
                )
            )
            for photo, faces in zip(photos, said, strict=True)
        ]

    def _said(self, people: PeopleView, photo: QueryPhoto) -> list[Said]:
        if photo.picture is None:
            return [NOTHING] * len(photo.faces)
        return said_of_faces(
            self._reader.store.decisions,
            people.roster,
            photo.picture.hash,
            photo.picture.orientation,
            (photo.width, photo.height),
            photo.faces.boxes,
        )


def _with_word(face: IdentifiedFace, said: Said, people: PeopleView) -> IdentifiedFace:
    """Return the answer that the user gave, if there is one; the similarities stay."""
    if said.person is not None:
        cluster = face.nearest_cluster if said.cluster is None else said.cluster
        name = people.roster.title(said.person)
        return replace(
            face,
            cluster=cluster,
            nearest_cluster=cluster,
            person=name,
            nearest_person=name,
            probability=1.0,
            false_alarm=0.0,
            needed=math.nan,
            margin=math.nan,
            confidence="certain",
            source=_SOURCES[said.label],
        )
    if said.nobody:
        return replace(
            face,
            cluster=None,
            person=None,
            probability=math.nan if face.nearest_cluster is None else 0.0,
            confidence="unknown",
            source=_SOURCES[said.label],
        )
    return face


def _name(people: PeopleView, cluster: int | None) -> str | None:
    person = None if cluster is None else people.of_cluster.get(cluster)
    return None if person is None else people.roster.title(person)


def _values(faces: Faces) -> tuple[list[Any], ...]:
    """Return boxes, scores, qualities and turns."""
    return faces.boxes.tolist(), faces.scores.tolist(), faces.quality.tolist(), faces.turns.tolist()
