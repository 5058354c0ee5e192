"""All faces and photos of an index for a page that shows them, kept up to date with every commit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faceindex.errors import UsageError
from faceindex.images.moments import at_moment
from faceindex.store.photos import PhotoNames
from faceindex.store.records import Status

if TYPE_CHECKING:
    from faceindex.api.album_state import AlbumChanges, AlbumState
    from faceindex.api.reader import Reader

__all__ = ["AlbumFace", "AlbumPhoto", "IndexAlbum"]


@dataclass(frozen=True, slots=True)
class AlbumFace:
    """A face on a photo.

    Attributes
    ----------
    face : int
    box : tuple of 4 float
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo; may leave the frame.
    quality : float
        0..1.
    by_hand : bool
        Whether the user drew it, because no detector found it.
    """

    face: int
    box: tuple[float, float, float, float]
    quality: float
    by_hand: bool


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """A photo and the faces on it.

    Attributes
    ----------
    id : int
    name : str
        The indexed folder as the user wrote it, and the path inside it.
    folder : str
        `name` without the name of the file; "" for none.
    path : str
        Absolute path.
    width, height : int
        Pixels of the upright photo; 0 if it could not be read.
    taken : int or None
        Capture time in seconds since 1970, local time of the camera.
    faces : tuple of AlbumFace
        By id.
    problem : str or None
        Why the photo could not be read last.
    """

    id: int
    name: str
    folder: str
    path: str
    width: int
    height: int
    taken: int | None
    faces: tuple[AlbumFace, ...]
    problem: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the photo as JSON for the page."""
        return {
            "id": self.id,
            "name": self.name,
            "folder": self.folder,
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "taken": self.taken,
            "problem": self.problem,
            "faces": [
                {"face": face.face, "box": face.box, "quality": face.quality, "by_hand": face.by_hand}
                for face in self.faces
            ],
        }


class IndexAlbum:
    """Reads all faces and photos as arrays, ``index.album``.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._store = reader.store

    def load(self) -> AlbumState:
        """Read all faces and photos, as they are at one moment; raises `IndexCorrupt`."""
        from faceindex.api.album_reading import read_album

        return read_album(self._store)

    def follow(self, state: AlbumState) -> AlbumChanges | None:
        """Bring an album to the newest commit, of whatever process, in place.

        After decisions alone this reads what these changed, a few milliseconds at 100,000 faces. After any
        other commit it reads all anew.

        Returns
        -------
        AlbumChanges or None
            What differs now; None if there was no commit.
        """
        from faceindex.api.album_reading import follow

        before = state.generation
        return state.changes_since(before) if follow(self._store, state) else None

    def photo(self, photo_id: int) -> AlbumPhoto:
        """Return a photo with its faces, read for it alone; raises `UsageError` if it is not in the index."""
        with self._store.snapshot():
            names = PhotoNames(self._store, [photo_id])
            if not names.records:
                raise UsageError(
                    f"There is no photo {photo_id} in the index.", "`faceindex faces` lists the photos."
                )
            record = names.records[0]
            found = self._store.album.faces_of_photo(photo_id, record.width, record.height)
        name = at_moment(names.name(record))
        problem = record.failed
        if record.status is not Status.OK:
            problem = record.detail or record.reason
        boxes, quality = found.boxes.tolist(), found.quality.tolist()
        return AlbumPhoto(
            id=record.id,
            name=name,
            folder=os.path.dirname(name),  # noqa: PTH120 - as the user wrote it
            path=names.path(record),
            width=record.width,
            height=record.height,
            taken=record.taken,
            faces=tuple(
                AlbumFace(face, (x1, y1, x2, y2), q, face in found.by_hand)
                for face, (x1, y1, x2, y2), q in zip(found.face.tolist(), boxes, quality, strict=True)
            ),
            problem=problem,
        )

    def search_photos(self, words: str, limit: int = 1000) -> list[int]:
        """Find photos whose names contain all words, whatever their case and accents.

        Parameters
        ----------
        words : str
            Separated by spaces. Without a word, nothing is found.
        limit : int
            Of the number of photos.

        Returns
        -------
        list of int
            Ids, ascending.
        """
        from faceindex.store.album import fold

        wanted = fold(words).split()
        if not wanted or limit < 1:
            return []
        with self._store.snapshot():
            return self._store.album.search_photos(wanted, limit)
