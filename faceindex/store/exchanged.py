"""Named regions that the index exchanged with sidecars and photos: on what both sides agreed last.

With them, a later exchange finds out which side has changed. A row belongs to a photo, not to a path: it
follows the photo when it moves. It counts as long as the photo has the same picture, and until the decision
that read it is undone.

Methods that write run inside a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from faceindex.store.migrations import WITH_DECISIONS, WITH_EXCHANGED_REGIONS
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.forgotten import Place

__all__ = ["ExchangedRegion", "ExchangedRegions", "NamedMark", "RegionState"]

_BOX_BYTES = 16
_COLUMNS = "r.id, r.image_id, r.picture, r.box, r.name, r.embedded, r.state, r.written"


class RegionState(IntEnum):
    """Who wrote a region."""

    SEEN = 0  # another program
    OURS = 1  # faceindex
    PENDING = 2  # faceindex was about to: it may be in the file
    TO_REMOVE = 3  # faceindex, and its person was forgotten


@dataclass(frozen=True, slots=True)
class ExchangedRegion:
    """A named region as it was exchanged last.

    Attributes
    ----------
    photo : int
        It may be away.
    picture : bytes
        Hash of the photo's picture then.
    box : bytes
        As in marks: 4 little-endian float32, in fractions of the stored picture.
    name : str or None
        As the file has it; None if it is to be removed.
    embedded : bool
        Whether it is in the photo itself, or in a sidecar.
    state : RegionState
    written : int
        The decision that read it; 0 for none.
    id : int
        Of the row; 0 if it is not stored yet.
    """

    photo: int
    picture: bytes
    box: bytes
    name: str | None
    embedded: bool
    state: RegionState
    written: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class NamedMark:
    """A place on a picture of which the user said who it shows.

    Attributes
    ----------
    mark, person : int
        The person before merges.
    box : bytes
    """

    mark: int
    person: int
    box: bytes


class ExchangedRegions:
    """The table of exchanged regions.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def exist(self) -> bool:
        """Whether the catalog has the table; not in an older format that is open for reading only."""
        return self._catalog.format_version >= WITH_EXCHANGED_REGIONS

    def by_photo(self) -> dict[int, list[ExchangedRegion]]:
        """Return all regions that count, by photo."""
        found: dict[int, list[ExchangedRegion]] = {}
        for region in self._read(
            "LEFT JOIN decisions d ON d.id = r.written WHERE d.undone_by IS NULL AND r.state <> 3"
        ):
            found.setdefault(region.photo, []).append(region)
        return found

    def to_remove(self) -> list[ExchangedRegion]:
        """Return the regions that must leave their files, because their people were forgotten."""
        return self._read("WHERE r.state = 3")

    def has_some_to_remove(self) -> bool:
        """Return whether `to_remove` has any."""
        return self.exist and bool(
            self._catalog.query("SELECT EXISTS (SELECT 1 FROM exchanged_regions WHERE state = 3)")[0][0]
        )

    def _read(self, clauses: str) -> list[ExchangedRegion]:
        if not self.exist:
            return []
        rows = self._catalog.query(f"SELECT {_COLUMNS} FROM exchanged_regions r {clauses} ORDER BY r.id")
        if any(not isinstance(box, bytes) or len(box) != _BOX_BYTES for _, _, _, box, *_ in rows):
            raise corrupt(self._catalog.path, "the box of an exchanged region does not have 16 bytes")
        try:
            return [
                ExchangedRegion(
                    int(photo), bytes(picture), box, None if name is None else str(name),
                    bool(embedded), RegionState(state), int(written), int(id),
                )
                for id, photo, picture, box, name, embedded, state, written in rows
            ]  # fmt: skip
        except (TypeError, ValueError) as error:
            raise corrupt(self._catalog.path, f"an exchanged region is invalid ({error})") from error

    def named_marks(self) -> dict[bytes, list[NamedMark]]:
        """Return the places on pictures of which the user said who they show, by picture."""
        found: dict[bytes, list[NamedMark]] = {}
        if self._catalog.format_version < WITH_DECISIONS:
            return found
        for mark, picture, box, person in self._catalog.query(
            "SELECT id, picture, box, person_id FROM marks"
            " WHERE label IN (1, 2) AND person_id IS NOT NULL ORDER BY id"
        ):
            if len(box) != _BOX_BYTES:
                raise corrupt(self._catalog.path, "the box of a mark does not have 16 bytes")
            found.setdefault(bytes(picture), []).append(NamedMark(int(mark), int(person), bytes(box)))
        return found

    # Writing -----------------------------------------------------------------------------------

    def replace(self, photo: int, regions: Iterable[ExchangedRegion]) -> None:
        """Store the regions of a photo instead of all that counted; those to be removed stay."""
        self._catalog.execute("DELETE FROM exchanged_regions WHERE image_id = ? AND state <> 3", (photo,))
        self.insert(regions)

    def insert(self, regions: Iterable[ExchangedRegion]) -> None:
        """Store more regions."""
        self._catalog.executemany(
            "INSERT INTO exchanged_regions (image_id, picture, box, name, embedded, state, written)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (r.photo, r.picture, r.box, r.name, int(r.embedded), int(r.state), r.written)
                for r in regions
            ],
        )  # fmt: skip

    def delete(self, ids: Iterable[int]) -> None:
        """Delete regions."""
        self._catalog.executemany("DELETE FROM exchanged_regions WHERE id = ?", [(id,) for id in ids])

    def delete_lost(self) -> None:
        """Delete the regions of photos that the index does not have any more."""
        self._catalog.execute(
            "DELETE FROM exchanged_regions WHERE state <> 3 AND image_id NOT IN (SELECT id FROM images)"
            " AND image_id NOT IN (SELECT id FROM away_images)"
        )

    # Forgetting --------------------------------------------------------------------------------

    def about(
        self, names: Collection[str], places: Sequence[Place], photos: Collection[int]
    ) -> list[ExchangedRegion]:
        """Return the regions with some names, at some places of pictures, or on some photos."""
        from faceindex.store.forgotten import is_at_places

        by_picture: dict[bytes, list[Place]] = {}
        for place in places:
            by_picture.setdefault(place[0], []).append(place)
        return [
            region
            for region in self._read("WHERE r.state <> 3")
            if region.photo in photos
            or region.name in names
            or (region.picture in by_picture and is_at_places(by_picture[region.picture], region.box))
        ]

    def forget(self, regions: Sequence[ExchangedRegion]) -> None:
        """Delete regions; of those that faceindex wrote, keep that they must leave their files."""
        self.delete(region.id for region in regions)
        self.insert(
            ExchangedRegion(
                region.photo, region.picture, region.box, None, region.embedded, RegionState.TO_REMOVE
            )
            for region in regions
            if region.state is not RegionState.SEEN
        )
