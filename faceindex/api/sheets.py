"""`FaceIndex.sheets`: contact sheets of faces, clusters and query photos as images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faceindex import images
from faceindex.api.reader import Reader, find_faces
from faceindex.api.results import Identification, IdentifiedFace, Neighbour
from faceindex.errors import UsageError
from faceindex.images.moments import at_moment
from faceindex.types import U8, Image

if TYPE_CHECKING:
    from faceindex.export.thumbnails import ThumbnailRenderer
    from faceindex.images.inputs import PhotoInput

__all__ = ["ContactSheets"]

_COLUMNS = 8
_PHOTO_SIDE = 924  # pixels; as wide as eight thumbnails
_SMALL_FACE = 40  # pixels; a photo of smaller faces is drawn twice as large


class _Cell(NamedTuple):
    """A thumbnail and the two lines of text below it."""

    tile: U8
    first: str
    second: str


class ContactSheets:
    """Draws faces side by side. Reads the photos; needs no network and changes nothing.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def faces(self, faces: Sequence[int], labels: Sequence[str] | None = None) -> Image:
        """Draw faces of the index, (h, w, 3) uint8.

        Parameters
        ----------
        faces : sequence of int
            Ids; at least one.
        labels : sequence of str, optional
            A line below each face.

        Raises
        ------
        UsageError
            If `faces` is empty, or a face is not in the index.
        ImageError
            If none of their photos can be read. A face whose photo cannot be read is grey.
        """
        from faceindex.export.thumbnails import contact_sheet

        if not len(faces):
            raise UsageError("A sheet needs at least one face.", "`faceindex faces` lists the faces.")
        return contact_sheet(*self._find(faces), _COLUMNS, labels)

    def cluster(self, cluster: int, *, most: int = 48) -> Image:
        """Draw the faces of a cluster, (h, w, 3) uint8, the most typical first, with their photos' names.

        Parameters
        ----------
        cluster : int
        most : int
            Greatest number of faces.

        Raises
        ------
        NotClustered
            If `FaceIndex.cluster` has not run.
        UsageError
            If the cluster does not exist, or `most` is below 1.
        ImageError
            As `faces`.
        """
        if most < 1:
            raise UsageError(f"`most` is {most}.", "Choose 1 or more.")
        self._reader.check_cluster(cluster)
        table, names = self._reader.faces_and_photos()
        positions = np.flatnonzero(table.cluster == cluster)
        best = positions[np.argsort(-table.similarity[positions], kind="stable")][:most]
        labels = [_file_name(names.by_id[photo].relpath) for photo in table.photo[best].tolist()]
        return self.faces(table.face[best].tolist(), labels)

    def identification(self, result: Identification, photo: PhotoInput | None = None) -> Image:
        """Draw an identified photo, (h, w, 3) uint8.

        The photo comes first, with its faces numbered. Below it, each face has a row: the face with its
        answer, and the most similar faces of the index with their similarities, people (or clusters) and
        photos.

        Parameters
        ----------
        result : Identification
        photo : path-like, bytes, (h, w, 3) uint8 array, or PIL image, optional
            The photo, if it was not given by path. None means that it is read again.

        Raises
        ------
        UsageError
            If no face was found on it.
        ImageError
            If the photo cannot be read. A similar face whose photo cannot be read is grey.
        """
        from faceindex.export.thumbnails import MARGIN, SIDE, labelled_tiles, stack
        from faceindex.images.labels import draw_boxes, label_tiles
        from faceindex.images.thumbnails import cut_squares, fit

        if not result.faces:
            raise UsageError(f"{result.photo} has no face to draw.", "Try a photo with a larger face.")
        decoded = _decode(result.photo if photo is None else photo, result.photo)
        boxes = np.array([face.box for face in result.faces], np.float32)
        longest = max(decoded.width, decoded.height)
        small = np.median(boxes[:, 3] - boxes[:, 1]) * _PHOTO_SIDE < _SMALL_FACE * longest
        photo = fit(decoded.image, _PHOTO_SIDE * 2 if small else _PHOTO_SIDE)
        numbers = [str(number) for number in range(1, len(boxes) + 1)]
        drawn = draw_boxes(photo, boxes * (photo.shape[1] / decoded.width), numbers)
        turns = [face.turn for face in result.faces]
        squares = cut_squares(decoded, boxes, SIDE, margin=MARGIN, turns=turns)
        columns, cells = self._cells(result.faces, squares)
        tiles = label_tiles(np.stack([cell.tile for cell in cells]), [cell.first for cell in cells])
        return stack([drawn, labelled_tiles(tiles, columns, [cell.second for cell in cells])])

    def _cells(self, faces: Sequence[IdentifiedFace], tiles: U8) -> tuple[int, list[_Cell]]:
        """Arrange query faces and the faces similar to them in rows; return the number of columns, too."""
        most = max(len(face.neighbours) for face in faces)
        if not most:
            cells = [
                _query_cell(i, face, tile) for i, (face, tile) in enumerate(zip(faces, tiles, strict=True), 1)
            ]
            return _COLUMNS, cells
        similar = sorted({near.face.face for face in faces for near in face.neighbours})
        renderer, positions = self._find(similar)
        similar_tiles, _ = renderer.tiles(positions)
        tile_of = dict(zip(similar, similar_tiles, strict=True))
        across = min(most, _COLUMNS - 1)
        blank = _Cell(np.full_like(tiles[0], 255), "", "")
        cells = []
        for number, (face, tile) in enumerate(zip(faces, tiles, strict=True), 1):
            first = _query_cell(number, face, tile)
            for start in range(0, len(face.neighbours) or 1, across):
                row = [_neighbour_cell(near, tile_of) for near in face.neighbours[start : start + across]]
                cells += [first, *row, *[blank] * (across - len(row))]
                first = blank
        return 1 + across, cells

    def _find(self, faces: Sequence[int]) -> tuple[ThumbnailRenderer, list[int]]:
        """Return a renderer of the faces of the index, and the positions of `faces` in its table.

        Raises
        ------
        UsageError
            If a face is not in the index.
        """
        from faceindex.export.thumbnails import ThumbnailRenderer

        table, names = self._reader.faces_and_photos()
        return ThumbnailRenderer(table, names.by_id, names.path), find_faces(table, faces).tolist()


def _decode(photo: PhotoInput, name: str) -> images.DecodedImage:
    from faceindex.images.inputs import from_pixels

    if isinstance(photo, (str, os.PathLike)):
        photo = images.read(photo)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return images.decode_to_fit(bytes(photo), name)
    return from_pixels(photo, name)


def _query_cell(number: int, face: IdentifiedFace, tile: U8) -> _Cell:
    if face.cluster is not None or face.person is not None:
        who = _who(face.person, face.cluster)
        return _Cell(tile, f"{number}: {who}", f"similarity {face.similarity:.3f}")
    nearest = face.nearest_cluster
    if nearest is None:
        return _Cell(tile, f"{number}: unknown", "")
    detail = f"nearest {face.nearest_person or nearest}: {face.similarity:.3f}"
    word = f"perhaps {_who(face.nearest_person, nearest)}" if face.confidence == "doubtful" else "unknown"
    return _Cell(tile, f"{number}: {word}", detail)


def _neighbour_cell(near: Neighbour, tile_of: Mapping[int, U8]) -> _Cell:
    who = _who(near.face.person, near.face.cluster)
    return _Cell(tile_of[near.face.face], f"{near.similarity:.3f} {who}", _file_name(near.face.photo))


def _who(person: str | None, cluster: int | None) -> str:
    return person or ("no cluster" if cluster is None else f"cluster {cluster}")


def _file_name(path: str) -> str:
    return at_moment(path).replace("\\", "/").rpartition("/")[2]
