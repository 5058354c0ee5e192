"""Queries with photos: identify, embed, crop."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from faceindex import images
from faceindex.api.pins import load_recogniser
from faceindex.api.reader import Reader, faces_at, find_faces
from faceindex.api.results import Identification, IdentifiedFace, Neighbour
from faceindex.clustering.incremental import representative_faces
from faceindex.errors import ImageError, UsageError
from faceindex.identification import Representatives, identify
from faceindex.images.inputs import is_one_photo
from faceindex.store import FaceTable
from faceindex.store.photos import PhotoNames
from faceindex.types import Faces, Image

if TYPE_CHECKING:
    from faceindex.images.inputs import PhotoInput
    from faceindex.recognition import LoadedPhoto, Recogniser

__all__ = ["Queries", "crop_face"]

_BATCH = 16  # photos; as in the pipeline, enough faces for a full batch of the embedder


class Queries:
    """Runs query photos through the models of an index, and searches the index for their faces.

    Parameters
    ----------
    reader : Reader
    device : str
    recogniser : Recogniser, optional
        None loads the pinned models when they are first needed.
    """

    def __init__(self, reader: Reader, device: str, recogniser: Recogniser | None = None) -> None:
        self._reader = reader
        self._device = device
        self._recogniser = recogniser
        self._representatives: tuple[FaceTable, Representatives] | None = None

    def recogniser(self) -> Recogniser:
        """Return the pinned models, loaded once."""
        if self._recogniser is None:
            store = self._reader.store
            self._recogniser = load_recogniser(store.pins, store.directory, self._device)
        return self._recogniser

    def identify(
        self, photo: PhotoInput | Iterable[PhotoInput], neighbours: int, threshold: float | None
    ) -> Identification | list[Identification]:
        """Identify the people on a photo or on several; see `faceindex.FaceIndex.identify`."""
        if neighbours < 0:
            raise UsageError(f"`neighbours` is {neighbours}.", "Choose 0 or more.")
        if is_one_photo(photo):
            loaded = self._load(cast("PhotoInput", photo))
            (result,) = self._identify_batch([loaded], neighbours, threshold)
            if result.error is not None:
                raise result.error
            return result
        results: list[Identification] = []
        waiting = iter(cast("Iterable[PhotoInput]", photo))
        # Load each photo before the next is taken: the iterable may reuse an array.
        while batch := list(map(self._try_to_load, itertools.islice(waiting, _BATCH))):
            results += self._identify_batch(batch, neighbours, threshold)
        return results

    def identify_faces(
        self, photo: str, faces: Faces, neighbours: int = 5, threshold: float | None = None
    ) -> Identification:
        """Identify faces that are detected and embedded already.

        Parameters
        ----------
        photo : str
            Name of their photo.
        faces : Faces
        neighbours, threshold
            As in `faceindex.FaceIndex.identify`.
        """
        with self._reader.store.snapshot():
            table = self._reader.table()
            calibration = self._reader.embedder_spec.calibration
            consensus = 0.0
            if threshold is None:
                threshold = calibration.threshold(len(table))
                consensus = calibration.consensus / calibration.slope
            matches = identify(
                faces.vectors,
                self._reader.store.search,
                faces=table.face,
                clusters=table.cluster,
                threshold=threshold,
                consensus=consensus,
                representatives=self._current_representatives(),
                neighbours=neighbours,
            )
            ids = np.array(sorted({face for match in matches for face in match.faces}), np.int64)
            positions = np.searchsorted(table.face, ids)
            # Only the photos of these faces: naming all photos takes many times as long.
            names = PhotoNames(self._reader.store, table.photo[positions].tolist())
        nearest = {face.face: face for face in faces_at(table, names, positions.tolist())}
        found = []
        each = (faces.boxes.tolist(), faces.scores.tolist(), faces.quality.tolist(), faces.turns.tolist())
        for box, score, quality, turn, match in zip(*each, matches, strict=True):
            pairs = zip(match.faces, match.similarities, strict=True)
            neighbours_of_face = tuple(Neighbour(nearest[face], similarity) for face, similarity in pairs)
            found.append(
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
                    neighbours=neighbours_of_face,
                )
            )
        return Identification(photo, tuple(found))

    def _load(self, photo: PhotoInput) -> LoadedPhoto:
        """Load a photo. A file is read before the models, which take seconds to load."""
        name = None
        if isinstance(photo, (str, os.PathLike)):
            name, photo = os.fspath(photo), images.read(photo)
        if self._recogniser is None:
            self._load_in_parallel()
        return self.recogniser().load_photo(photo, name)

    def _try_to_load(self, photo: PhotoInput) -> LoadedPhoto | ImageError:
        try:
            return self._load(photo)
        except ImageError as error:
            return error

    def _recognise(self, photos: Sequence[LoadedPhoto]) -> list[Faces | ImageError]:
        """Recognise a batch; photo by photo if one of them cannot be decoded at a finer scale."""
        try:
            return [*self.recogniser().recognise(photos)] if photos else []
        except ImageError as error:
            if len(photos) == 1:
                return [error]
            return [found for photo in photos for found in self._recognise([photo])]

    def _identify_batch(
        self, batch: Sequence[LoadedPhoto | ImageError], neighbours: int, threshold: float | None
    ) -> list[Identification]:
        recognised = iter(self._recognise([photo for photo in batch if not isinstance(photo, ImageError)]))
        results = []
        for photo in batch:
            if isinstance(photo, ImageError):
                results.append(Identification(photo.path, (), error=photo))
            elif isinstance(found := next(recognised), ImageError):
                results.append(Identification(photo.path, (), error=found))
            else:
                result = self.identify_faces(photo.path, found, neighbours, threshold)
                results.append(Identification(photo.path, result.faces, *self._indexed_as(photo)))
        return results

    def _indexed_as(self, photo: LoadedPhoto) -> tuple[str | None, str | None]:
        """Return the name and the path of an indexed photo with the same content."""
        store = self._reader.store
        records = store.photos_by_content(images.content_hash(photo.data)) if photo.data else []
        if not records:
            return None, None
        names = PhotoNames(store, [records[0].id])
        return names.name(records[0]), names.path(records[0])

    def _load_in_parallel(self) -> None:
        """Load the networks, and meanwhile read the faces: SQLite runs without Python's lock."""

        def read() -> None:
            with contextlib.suppress(Exception):  # raised again where the result is needed
                self._current_representatives()
                self._reader.store.prepare_search()

        reading = threading.Thread(target=read, name="faceindex-catalog")
        reading.start()
        try:
            self.recogniser()
        finally:
            reading.join()

    def _current_representatives(self) -> Representatives:
        """Return the representative faces of all clusters, computed once for each table."""
        table = self._reader.table()
        if self._representatives is None or self._representatives[0] is not table:
            mask = representative_faces(table, table.cluster, self._reader.embedder_spec.calibration)
            self._representatives = (table, Representatives.of(table.cluster, mask))
        return self._representatives[1]


def crop_face(reader: Reader, face: int, margin: float, aligned: bool) -> Image:
    """Cut a face out of its photo; see `faceindex.FaceIndex.crop`."""
    from faceindex.export.crops import cut_faces
    from faceindex.export.source import read_unchanged

    style = reader.crop_style(margin, aligned)
    table, names = reader.faces_and_photos()
    positions = find_faces(table, [face])
    record = names.by_id[int(table.photo[positions[0]])]
    path = names.path(record)
    image = images.decode(read_unchanged(path, record.content_hash), path).image
    return cut_faces(image, table.detections(positions), style)[0]
