"""How photos get into an index. What opens photos is loaded when there are some to open."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from faceindex.pipeline import Event, Summary, index_photos
from faceindex.store import Pins, Root, Store

if TYPE_CHECKING:
    from faceindex.api.pins import Settings
    from faceindex.recognition import Recogniser

__all__ = ["Adding", "Opened", "check_device", "find_index"]

_Self = TypeVar("_Self", bound="Opened")
_Index = TypeVar("_Index", bound="Adding")

_DIRECTORY = ".faceindex"
_ENVIRONMENT_VARIABLE = "FACEINDEX_INDEX"


def find_index(explicit: str | os.PathLike[str] | None = None) -> Path | None:
    """Where the index is: `explicit`, else ``$FACEINDEX_INDEX``, else upwards from here.

    Returns
    -------
    Path or None
        A directory that was named need not exist; None if none was named and none was found.
    """
    if named := explicit or os.environ.get(_ENVIRONMENT_VARIABLE):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if Store.exists(folder / _DIRECTORY):
            return folder / _DIRECTORY
    return None


class Opened:
    """An index that is open. Use as a context manager.

    Parameters
    ----------
    store : Store
    device : str
        Where networks compute, should any be needed.
    """

    def __init__(self, store: Store, *, device: str = "auto") -> None:
        self._store = store
        self._device = device
        self._recogniser: Recogniser | None = None

    def close(self) -> None:
        """Close the files and let the next writer in."""
        self._store.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def directory(self) -> Path:
        """The index directory."""
        return self._store.directory

    @property
    def pins(self) -> Pins:
        """The models that the index is pinned to."""
        return self._store.pins

    def roots(self) -> list[Root]:
        """The folders that were indexed."""
        return self._store.roots()

    def _load_recogniser(self) -> Recogniser:
        if self._recogniser is None:
            from faceindex.api.pins import load_recogniser

            self._recogniser = load_recogniser(self.pins, self.directory, self._device)
        return self._recogniser


class Adding(Opened):
    """The part of `faceindex.FaceIndex` that makes indexes and takes photos in."""

    @classmethod
    def create(
        cls: type[_Index],
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str | None = None,
        embedder: str | None = None,
        min_face: float | None = None,
        settings: Settings | None = None,
        device: str = "auto",
    ) -> _Index:
        """Make a new index, pinned to its models, and open it for writing.

        Parameters
        ----------
        directory : path-like, optional
            None means ``$FACEINDEX_INDEX``, else ``.faceindex`` in the current directory.
        detector, embedder : str, optional
            Names of models; None means the default ones.
        min_face : float, optional
            Side in pixels of the smallest face that is looked for; None means what the detector's
            spec says.
        settings : mapping, optional
            Values of the models' options by name, such as ``{"flip": True}``.
        device : str
            Where networks compute: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:n"`` or ``"mps"``.

        Raises
        ------
        UnknownModel
            If there is no such model.
        WeightsNotFound
            If a weight file is missing.
        UsageError
            If there is an index already, or a setting is none of these models or not possible.
        """
        from faceindex import models
        from faceindex.api.pins import load_recogniser, make_pins

        check_device(device)
        pins = make_pins(
            detector or models.DEFAULT_DETECTOR,
            embedder or models.DEFAULT_EMBEDDER,
            _with_min_face(settings, min_face),
        )
        named = Path(directory or os.environ.get(_ENVIRONMENT_VARIABLE) or _DIRECTORY)
        # Before anything is made: an index that is pinned to what cannot be loaded would be in the way.
        recogniser = load_recogniser(pins, named, device)
        index = cls(Store.create(named, pins), device=device)
        index._recogniser = recogniser
        return index

    @classmethod
    def open_or_create(
        cls: type[_Index],
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str | None = None,
        embedder: str | None = None,
        min_face: float | None = None,
        settings: Settings | None = None,
        device: str = "auto",
    ) -> _Index:
        """Open an index for writing, or make it.

        Parameters are those of `create`; None means the pinned one, or the default for a new index.

        Raises
        ------
        PinnedModelError
            If the index is pinned to others than those that were asked for.
        UsageError
            If a setting is none of these models, or has a value that it cannot have.
        """
        check_device(device)
        found = find_index(directory)
        if found is None or not Store.exists(found):
            return cls.create(
                found,
                detector=detector,
                embedder=embedder,
                min_face=min_face,
                settings=settings,
                device=device,
            )
        index = cls(Store.open(found, write=True), device=device)
        settings = _with_min_face(settings, min_face)
        try:
            if detector is not None or embedder is not None or settings:
                from faceindex.api.pins import check_pins

                check_pins(index.pins, index.directory, detector, embedder, settings)
        except BaseException:
            index.close()
            raise
        return index

    def add(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        retry_failed: bool = False,
        prune: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Summary:
        """Bring the index up to date with folders and photos; only what changed is opened.

        Parameters
        ----------
        paths : path-like or sequence of path-like
            Folders and files.
        retry_failed, prune, on_event, should_stop
            As in `faceindex.pipeline.index_photos`.

        Returns
        -------
        Summary
            The count of everything.

        Raises
        ------
        UsageError
            If a path does not exist. Nothing is changed.
        WeightsNotFound, WeightsInvalid
            If the pinned models cannot be loaded.
        """
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        return index_photos(
            self._store,
            self._load_recogniser,
            paths,
            retry_failed=retry_failed,
            prune=prune,
            on_event=on_event,
            should_stop=should_stop,
        )


def _with_min_face(settings: Settings | None, min_face: float | None) -> Settings:
    return {**(settings or {}), **({} if min_face is None else {"min_face": min_face})}


def check_device(device: str) -> None:
    """Refuse a device that is not here before anything is made or locked."""
    if device not in ("auto", "cpu"):  # these are always there, and torch takes a second to load
        from faceindex.devices import resolve

        resolve(device)
