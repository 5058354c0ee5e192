"""What was learned about the volumes of photos: whether their ctimes and inodes change by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import fields, integer, list_of, mapping, text

__all__ = ["KnownVolume", "load_volumes", "save_volumes"]

_MOST = 64  # volumes that are kept
_VOLUMES = mapping(fields(renewed=mapping(integer), distrusted=list_of(text)))
_NONE: dict[str, object] = {}


@dataclass(slots=True)
class KnownVolume:
    """What was learned about one volume. The keys are ``"ctime"`` and ``"inode"``.

    Attributes
    ----------
    renewed : dict of str to int
        When that of most files was last found changed although their content was not; seconds since 1970.
    distrusted : list of str
        Which of them are not used any more.
    """

    renewed: dict[str, int] = field(default_factory=dict)
    distrusted: list[str] = field(default_factory=list)


def load_volumes(catalog: Catalog) -> dict[str, KnownVolume]:
    """Return the known volumes by their paths."""
    found = catalog.get("volumes", _VOLUMES, _NONE)
    return {path: KnownVolume(known["renewed"], known["distrusted"]) for path, known in found.items()}


def save_volumes(catalog: Catalog, volumes: Mapping[str, KnownVolume]) -> None:
    """Replace the known volumes; inside a transaction."""
    kept = [(path, known) for path, known in volumes.items() if known.renewed or known.distrusted][-_MOST:]
    catalog.set(
        "volumes",
        {
            path: {"renewed": dict(known.renewed), "distrusted": list(known.distrusted)}
            for path, known in kept
        },
    )
