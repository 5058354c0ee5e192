"""``index.people.import_album``: the names of another program."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from faceindex.api.people_questions import AskingPeople
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.import_results import ImportReport
    from faceindex.api.reader import Reader
    from faceindex.interchange.regions import SourceAlbum
    from faceindex.recognition import Recogniser

__all__ = ["ImportingPeople"]


class ImportingPeople(AskingPeople):
    """The verbs and questions of `AskingPeople`, and the names of other programs.

    Parameters
    ----------
    reader : Reader
    recogniser : callable
        Loads the pinned models.
    """

    def __init__(self, reader: Reader, recogniser: Callable[[], Recogniser]) -> None:
        super().__init__(reader)
        self._recogniser = recogniser

    def import_album(
        self,
        album: SourceAlbum,
        *,
        photos_at: str | os.PathLike[str] | None = None,
        whole_photos: bool = False,
        prefer: Literal["file", "index"] | None = None,
        dry_run: bool = False,
        progress: Callable[[str, int, int | None], None] = lambda what, done, total: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ImportReport:
        """Take over the names of another program, as one decision; `undo` takes it back.

        A photo of the program is found by its path, or else by the longest common end of the two paths, with
        the file's size or SHA-1 as a check. Its named regions are matched to the faces there, and confirm
        these. A named region without a face becomes a face that was added by hand. What contradicts a
        decision of the index is left out and reported. A second import decides nothing. The faces need not be
        clustered.

        Parameters
        ----------
        album : SourceAlbum
            From a reader of `faceindex.interchange`.
        photos_at : path-like, optional
            The folder that the program's relative paths start from. Then only photos below it are found.
        whole_photos : bool
            A name whose place on the photo is not known is that of the only face there.
        prefer : {"file", "index"}, optional
            Which counts where the program and a decision of the index say something else; None reports it.
            With "file", a name on two faces of one photo is that of both.
        dry_run : bool
            Store nothing, and open no photo.
        progress : callable
            Called with "photos" and the number of photos that were read, and with "faces" and the numbers of
            photos on which missing faces were embedded, and of all such photos.
        should_stop : callable
            Called between photos. While photos are read, True means that nothing is stored; while faces are
            embedded, that the decision has what is finished.

        Returns
        -------
        ImportReport

        Raises
        ------
        UsageError
            If the index is open for reading only, or `photos_at` is not a folder.
        WeightsNotFound, WeightsInvalid
            If a face must be embedded, and the pinned models cannot be loaded.
        """
        from faceindex.api.importing import ImportOptions, import_album

        if prefer not in (None, "file", "index"):
            raise UsageError(f"`prefer` is {prefer!r}.", "Choose 'file', 'index' or None.")
        options = ImportOptions(photos_at, whole_photos, prefer, dry_run, progress, should_stop)
        return import_album(self._decider, self._recogniser, album, options)
