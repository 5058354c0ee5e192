"""Find, create and open index directories for `FaceIndex`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexNotFound, UsageError
from faceindex.safe_open import is_trusted_owner
from faceindex.store import Store
from faceindex.store.directory import CATALOG

if TYPE_CHECKING:
    from faceindex.api.pins import Settings
    from faceindex.recognition import Recogniser
    from faceindex.store.neighbours import NeighbourIndex
    from faceindex.store.records import HnswParams

__all__ = [
    "connect_search",
    "create_store",
    "existing_index",
    "find_directory",
    "find_index",
    "index_to_create",
    "open_matching_store",
    "open_store",
]

_DIRECTORY = ".faceindex"
_ENVIRONMENT_VARIABLE = "FACEINDEX_INDEX"


def connect_search(address: str, id: str, directory: Path, params: HnswParams, given: bool) -> NeighbourIndex:
    """Connect to a neighbour index outside the index's own files, as `faceindex.store.neighbours.Connect`."""
    from faceindex.engine.milvus import connect

    return connect(address, id, directory, params, given)


def find_index(directory: str | os.PathLike[str] | None = None) -> Path | None:
    """Find the index: `directory`, else ``$FACEINDEX_INDEX``, else ``.faceindex`` here or in a folder above.

    Returns
    -------
    Path or None
        A directory that is named explicitly need not exist. None if none is named and none is found.

    Raises
    ------
    UsageError
        If the index that is found without a name belongs to another user, who could have put it there.
    """
    if (named := _named(directory)) is not None:
        return named
    here = Path.cwd()
    for folder in (here, *here.parents):
        candidate = folder / _DIRECTORY
        try:
            exists = Store.exists(candidate)
        except PermissionError:
            _refuse_stranger(candidate)  # an index of another user has mode 0700
            raise
        if exists:
            _refuse_stranger(candidate, candidate / CATALOG)
            return candidate
    return None


def find_directory(directory: str | os.PathLike[str] | None = None) -> Path:
    """Find the index as `find_index` does; raises `IndexNotFound` if none is named and none is found."""
    found = find_index(directory)
    if found is None:
        raise IndexNotFound(
            f"There is no index here ({Path.cwd()}) or in a folder above.",
            "Make one with `faceindex index PATH...`, or pass `directory`.",
        )
    return found


def _refuse_stranger(found: Path, *files: Path) -> None:
    """Refuse an index that nobody named if its folder, or one of its files, belongs to another user.

    Git does the same with repositories (``safe.directory`` in git-config).
    """
    if all(map(is_trusted_owner, (found, *files))):
        return
    raise UsageError(
        f"The index {found} belongs to another user, who may have put it there to be found.",
        "To use it, name it as `directory` or in $FACEINDEX_INDEX. To make your own here, pass `directory` "
        f"as {_DIRECTORY}.",
    )


def existing_index(directory: str | os.PathLike[str] | None = None) -> Path | None:
    """Find the index as `find_index` does; None if it has not been created."""
    found = find_index(directory)
    return found if found is not None and Store.exists(found) else None


def index_to_create(directory: str | os.PathLike[str] | None = None) -> Path:
    """Choose where to create an index: `directory`, else ``$FACEINDEX_INDEX``, else ``.faceindex`` here."""
    if (named := _named(directory)) is not None:
        return named
    if Path(_DIRECTORY).exists():
        _refuse_stranger(Path.cwd() / _DIRECTORY)
    return Path(_DIRECTORY)


def _named(directory: str | os.PathLike[str] | None) -> Path | None:
    if directory:
        return Path(directory)
    # Configuration files set variables without a shell that expands "~".
    variable = os.environ.get(_ENVIRONMENT_VARIABLE)
    return Path(os.path.expanduser(variable)) if variable else None  # noqa: PTH111 - raises for unknown users


def open_store(
    directory: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    *,
    write: bool,
    wait: float = 0.0,
) -> Store:
    """Open the store of an existing index.

    Raises
    ------
    IndexNotFound
        If there is none.
    IndexLocked, IndexVersionError, IndexCorrupt
        As `Store.open`.
    UsageError
        If the device does not exist.
    """
    _check_device(device)
    return Store.open(find_directory(directory), write=write, wait=wait)


def create_store(
    directory: str | os.PathLike[str] | None,
    detector: str | None,
    embedder: str | None,
    settings: Settings,
    device: str,
    load_models: bool = True,
) -> tuple[Store, Recogniser | None]:
    """Create the store of a new index, and load the models that it is pinned to, unless they are not wanted.

    Raises
    ------
    UnknownModel, WeightsNotFound, UsageError
        As `faceindex.FaceIndex.create`.
    """
    from faceindex import models
    from faceindex.api.pins import load_recogniser, make_pins

    if load_models:
        _check_device(device)
    choice = models.choose(detector, embedder)
    pins = make_pins(choice.detector, choice.embedder, settings)
    target = index_to_create(directory)
    # Load first: an index that is pinned to models that do not load would be useless and in the way.
    recogniser = load_recogniser(pins, target, device) if load_models else None
    return Store.create(target, pins), recogniser


def open_matching_store(
    directory: str | os.PathLike[str] | None,
    detector: str | None,
    embedder: str | None,
    settings: Settings,
    device: str,
    wait: float = 0.0,
    load_models: bool = True,
) -> Store | None:
    """Open the store of an existing index for writing if it is pinned to these models and settings.

    Returns
    -------
    Store or None
        None if there is no index.

    Raises
    ------
    PinnedModelError
        If it is pinned to other models or settings.
    UsageError
        If the device does not exist.
    """
    if load_models:
        _check_device(device)
    found = existing_index(directory)
    if found is None:
        return None
    store = Store.open(found, write=True, wait=wait)
    try:
        if detector is not None or embedder is not None or settings:
            from faceindex.api.pins import check_pins

            check_pins(store.pins, store.directory, detector, embedder, settings)
    except BaseException:
        store.close()
        raise
    return store


def _check_device(device: str) -> None:
    """Refuse a device that does not exist, before anything is created or locked."""
    if device not in ("auto", "cpu"):  # these always exist, and torch takes a second to import
        from faceindex.devices import resolve

        resolve(device)


def with_min_face(settings: Settings | None, min_face: float | None) -> Settings:
    """Return the settings of the models, with `min_face` among them unless it is None."""
    return {**(settings or {}), **({} if min_face is None else {"min_face": min_face})}
