"""The picture that is decoded of a file: the file itself, or for a RAW file the preview in it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from PIL.ImageFile import ImageFile

from faceindex.errors import ImageError, Reason
from faceindex.images.exif import exif_orientation
from faceindex.images.formats import recognise_format
from faceindex.images.raw import raw_picture

__all__ = ["Coded", "coded_picture"]


@dataclass(frozen=True, slots=True)
class Coded:
    """The picture that is decoded of a file.

    Attributes
    ----------
    format : str
        As `faceindex.images.sniff` returns it; ``"JPEG"`` for the preview of a RAW file, and ``"RAW"`` only
        if LibRaw decodes it.
    data : bytes
        What the codec reads.
    kind : str
        The format of the file, for messages.
    orientation : int or None
        The EXIF orientation that the file states for the preview; None: what `data` states.
    beside : int
        Bytes of the file that stay in memory beside `data`.
    note : str or None
        What is special about the file.
    """

    format: str
    data: bytes
    kind: str
    orientation: int | None = None
    beside: int = 0
    note: str | None = None

    def orientation_of(self, opened: ImageFile, data: bytes | None = None) -> int:
        """Return the EXIF orientation to apply, 1 to 8, to what was opened (of a copy of its data)."""
        if self.orientation is not None:
            return self.orientation
        return exif_orientation(opened, self.data if data is None else data)


def coded_picture(data: bytes, path: str | PathLike[str]) -> Coded:
    """Return the picture that is decoded of a file.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : path-like
        Used in error messages.

    Raises
    ------
    ImageError
        ``EMPTY``, ``NOT_AN_IMAGE``; ``TRUNCATED`` or ``CORRUPT`` for a RAW file without a preview that lacks
        its end or its sensor data.
    """
    image_format = recognise_format(data, path)
    if image_format != "RAW":
        return Coded(image_format, data, image_format)
    found = raw_picture(data)
    if found.preview is not None:
        start, end = found.preview
        return Coded(
            "JPEG",
            data[start:end],
            "preview of the RAW file",
            found.orientation,
            len(data),
            "The end of the RAW file is missing; its preview is complete." if found.cut_short else None,
        )
    if found.cut_short:
        raise ImageError(
            path,
            Reason.TRUNCATED,
            "the RAW file is cut short, and has no full-size preview.",
            "Copy it again from its source.",
        )
    if found.lacks_sensor_data:
        raise ImageError(
            path,
            Reason.CORRUPT,
            "the RAW file has neither a full-size preview nor its sensor data.",
            "Copy it again from its source.",
        )
    return Coded("RAW", data, "RAW file", found.orientation, len(data))
