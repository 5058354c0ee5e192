"""``index.sidecars``: exchange names with the sidecars of photos, and with the photos themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from faceindex.api.deciding import Decider
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.api.sidecar_results import ReadReport, WriteReport
    from faceindex.recognition import Recogniser

__all__ = ["IndexSidecars"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class IndexSidecars:
    """Reads the names in XMP metadata, and writes them; ``index.sidecars`` of a `FaceIndex`.

    The index keeps on which regions it and the files agreed last. So each exchange finds out which side has
    changed since then, and takes over its change. If both have, that is a conflict: it is reported, and
    neither side is touched.

    Parameters
    ----------
    reader : Reader
    recogniser : callable
        Loads the pinned models.
    """

    def __init__(self, reader: Reader, recogniser: Callable[[], Recogniser]) -> None:
        self._decider = Decider(reader)
        self._recogniser = recogniser

    def read(
        self,
        paths: Paths = (),
        *,
        whole_photos: bool = False,
        prefer: Literal["file", "index"] | None = None,
        dry_run: bool = False,
        progress: Callable[[str, int, int | None], None] = lambda what, done, total: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ReadReport:
        """Take over the names in photos and their sidecars, as one decision; `people.undo` takes it back.

        Regions are matched to faces, and missing faces added, as by ``index.people.import_album``. What has
        not changed in the files since the last exchange is left out. No photo is decoded, but for missing
        faces.

        Parameters
        ----------
        paths : path-like or iterable of path-like
            Photos of the index, or folders; none for the whole index.
        whole_photos : bool
            A name whose place on the photo is not known is that of the only face there.
        prefer : {"file", "index"}, optional
            Which counts where a file and a decision of the index contradict each other; None reports it. With
            "file", a face whose region was removed from the file does not show the person any more.
        dry_run : bool
            Store nothing.
        progress : callable
            Called with "photos" and the numbers of photos that were read, and of all; and with "faces" as
            ``index.people.import_album`` does.
        should_stop : callable
            True ends the reading: nothing is stored, or what is finished.

        Raises
        ------
        UsageError
            If the index is open for reading only, or has no photo at a path.
        """
        from faceindex.api.sidecar_reading import SidecarReading

        return SidecarReading(
            self._decider,
            self._recogniser,
            _several(paths),
            whole_photos,
            _checked(prefer),
            dry_run,
            progress,
            should_stop,
        ).run()

    def write(
        self,
        paths: Paths = (),
        *,
        prefer: Literal["file", "index"] | None = None,
        embed: bool = False,
        style: Literal["full", "stem"] = "full",
        dry_run: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> WriteReport:
        """Write the faces that the user has named to the sidecars of their photos.

        Faces count that were named one by one or with their cluster, and those of later photos that were
        confirmed; what only the program believes is not written. Hidden people are left as they are in the
        files. An existing sidecar is merged with: regions and properties of other programs stay. Photos are
        not touched without `embed`.

        Parameters
        ----------
        paths : path-like or iterable of path-like
            Photos of the index, or folders; none for the whole index.
        prefer : {"file", "index"}, optional
            Which counts where both sides contradict each other; None reports it. With "index", regions are
            written again that another program has removed.
        embed : bool
            Write into the photos, through ExifTool, instead of new sidecars. Existing sidecars are written,
            too: they count more.
        style : {"full", "stem"}
            Of new sidecars: ``a.jpg.xmp`` or ``a.xmp``.
        dry_run : bool
            Write nothing.
        progress : callable
            Called with the numbers of photos that were compared, and of all.
        should_stop : callable
            Called between photos; True ends the writing.

        Raises
        ------
        UsageError
            If the index is open for reading only, or has no photo at a path, or ExifTool is needed and not
            installed.
        """
        from faceindex.api.sidecar_writing import SidecarWriting

        if style not in ("full", "stem"):
            raise UsageError(f"`style` is {style!r}.", "Choose 'full' or 'stem'.")
        return SidecarWriting(
            self._decider, _several(paths), _checked(prefer), embed, style, dry_run, progress, should_stop
        ).run()


def _several(paths: Paths) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _checked(prefer: Literal["file", "index"] | None) -> Literal["file", "index"] | None:
    if prefer not in (None, "file", "index"):
        raise UsageError(f"`prefer` is {prefer!r}.", "Choose 'file', 'index' or None.")
    return prefer
