"""Compare the named faces of a photo with its files, and choose what to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from faceindex.api.sidecar_state import packed, pair, same_name, unpacked
from faceindex.interchange.regions import Region
from faceindex.store.exchanged import ExchangedRegion, RegionState

if TYPE_CHECKING:
    from faceindex.api.import_results import Counter
    from faceindex.api.sidecar_state import FileSide, NamedFace
    from faceindex.store import PhotoRecord

__all__ = ["PhotoPlan", "plan_photo"]


@dataclass(slots=True)
class PhotoPlan:
    """What is to be written about one photo.

    Attributes
    ----------
    record : PhotoRecord
    wanted : list of Region
        All regions of named faces on which nothing contradicts the index.
    previous : list of Region
        Regions of the last exchange that may be changed or removed.
    added, removed : list of str
    renamed : list of (str, str)
    after : list of ExchangedRegion
        What the file and the index agree on then.
    """

    record: PhotoRecord
    wanted: list[Region] = field(default_factory=list)
    previous: list[Region] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    after: list[ExchangedRegion] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether the file must change."""
        return bool(self.added or self.renamed or self.removed)


@dataclass(slots=True)
class _Planner:
    record: PhotoRecord
    picture: bytes
    embedded: bool
    prefer: Literal["file", "index"] | None
    counter: Counter
    conflict: list[tuple[NamedFace, str | None, str]]
    plan: PhotoPlan
    found: FileSide
    former: list[ExchangedRegion]

    def face(
        self, face: NamedFace, region: Region | None, row: ExchangedRegion | None, *, removed: bool
    ) -> None:
        """Choose what becomes of a named face, given the region and the last exchange at its place."""
        assert face.name is not None
        there = None if region is None else region.name
        if region is not None and same_name(there, face.name):
            self.counter.add("known")
            self._want(face, region, row)
        elif region is None or there is None:
            if not removed or row is None or self.prefer == "index":
                self.plan.added.append(face.name)
                self._want(face, region, None)
            elif same_name(row.name, face.name):
                self.counter.add("gone")
                self.plan.after.append(row)
            else:
                self._contradict(face, row, f"{row.name} was removed from the file.")
        elif self.prefer == "index" or (row is not None and same_name(row.name, there)):
            self.plan.renamed.append((there, face.name))
            self._want(face, region, row)
        elif row is not None and same_name(row.name, face.name):
            self.counter.add("unread")
            self.plan.after.append(row)
        else:
            self._contradict(face, row, f"The file has {there} there.", there)

    def _contradict(
        self, face: NamedFace, row: ExchangedRegion | None, problem: str, there: str | None = None
    ) -> None:
        if row is not None:
            self.plan.after.append(row)
        self.counter.add("conflicting")
        if self.prefer is None:
            self.conflict.append((face, there, problem))

    def _want(self, face: NamedFace, region: Region | None, row: ExchangedRegion | None) -> None:
        """Want the region of a face in the file, at the place where the file has one."""
        box = face.box if region is None else region.box
        self.plan.wanted.append(Region(box, face.name))
        state, written = RegionState.OURS if region is None else RegionState.SEEN, 0
        embedded = self.embedded if region is None else self.found.is_embedded(region)
        if row is not None and row.name is not None:
            self.plan.previous.append(Region(unpacked(row.box), row.name))
            state = RegionState.SEEN if row.state is RegionState.SEEN else RegionState.OURS
            box, written = unpacked(row.box), row.written
        elif region is not None and _was_ours(region, self.former):
            state = RegionState.OURS
        self.plan.after.append(
            ExchangedRegion(self.record.id, self.picture, packed(box), face.name, embedded, state, written)
        )


def _was_ours(region: Region, former: Sequence[ExchangedRegion]) -> bool:
    """Return whether faceindex wrote a region, about an earlier picture of the photo."""
    return any(
        row.state is not RegionState.SEEN
        and same_name(row.name, region.name)
        and bool(pair([region.box], [unpacked(row.box)]))
        for row in former
    )


def plan_photo(
    record: PhotoRecord,
    faces: Sequence[NamedFace],
    found: FileSide,
    rows: Sequence[ExchangedRegion],
    *,
    embedded: bool,
    prefer: Literal["file", "index"] | None,
    counter: Counter,
) -> tuple[PhotoPlan, list[tuple[NamedFace, str | None, str]]]:
    """Choose what to write about a photo.

    Parameters
    ----------
    record : PhotoRecord
    faces : sequence of NamedFace
        All named faces on its picture.
    found : FileSide
    rows : sequence of ExchangedRegion
        Of the last exchange, also about an earlier picture.
    embedded : bool
        Whether the photo itself is written.
    prefer : {"file", "index"}, optional
    counter : Counter
        Of a `faceindex.api.sidecar_results.WriteReport`.

    Returns
    -------
    PhotoPlan
    list of (NamedFace, str or None, str)
        Conflicts, with the name in the file and a sentence.
    """
    plan = PhotoPlan(record)
    conflicts: list[tuple[NamedFace, str | None, str]] = []
    assert record.picture is not None
    former = [row for row in rows if row.picture != record.picture]
    rows = [row for row in rows if row.picture == record.picture]
    planner = _Planner(record, record.picture, embedded, prefer, counter, conflicts, plan, found, former)
    regions = [] if found.cropped else [r for r in found.people.regions if not r.rejected]
    boxes = [face.box for face in faces]
    region_of = pair(boxes, [region.box for region in regions])
    row_of = pair(boxes, [unpacked(row.box) for row in rows])
    for at, face in enumerate(faces):
        row = rows[row_of[at]] if at in row_of else None
        region = regions[region_of[at]] if at in region_of else None
        if face.name is None or face.hidden:
            counter.add("nameless" if face.name is None else "hidden")
            if row is not None:
                plan.after.append(row)
            continue
        counter.add("faces")
        was_there = row is not None and row.state is not RegionState.PENDING
        removed = was_there and row is not None and found.has(embedded=row.embedded)
        planner.face(face, region, row, removed=removed)
    _remove(plan, [row for at, row in enumerate(rows) if at not in row_of.values()], found, embedded=embedded)
    if found.cropped:  # what faceindex wrote about the former picture goes
        plan.previous += [
            Region(unpacked(row.box), row.name)
            for row in former
            if row.name is not None and row.state is not RegionState.SEEN
        ]
    if plan.changes and not embedded:
        _copy_to_sidecar(plan, found)
    return plan, conflicts


def _copy_to_sidecar(plan: PhotoPlan, found: FileSide) -> None:
    """Keep that regions of the photo itself are written to the sidecar, too.

    Programs that read a sidecar with regions ignore those of the photo.
    """
    there = found.regions(embedded=False)
    wanted = pair([unpacked(row.box) for row in plan.after], [region.box for region in plan.wanted])
    in_sidecar = pair([unpacked(row.box) for row in plan.after], [region.box for region in there])
    for at, row in enumerate(plan.after):
        if row.embedded and at in wanted and at not in in_sidecar:
            plan.after[at] = replace(row, embedded=False, state=RegionState.OURS)


def _remove(plan: PhotoPlan, rows: Sequence[ExchangedRegion], found: FileSide, *, embedded: bool) -> None:
    """Remove what faceindex wrote about faces that have no name any more."""
    in_photo, in_sidecars = found.regions(embedded=True), found.regions(embedded=False)
    for row in rows:
        if row.name is None:
            continue
        here, there = _region_of(row, in_photo), _region_of(row, in_sidecars)
        if row.state is RegionState.SEEN or (row.embedded and here is not None and not embedded):
            plan.after.append(row)
            continue
        gone = [region for region in (here if row.embedded else None, there) if region is not None]
        if gone:
            plan.previous += [Region(region.box, region.name) for region in gone]
            plan.removed.append(row.name)
        if here is not None and not row.embedded:  # another program wrote it: it stays, and is not read again
            plan.after.append(replace(row, embedded=True, state=RegionState.SEEN))


def _region_of(row: ExchangedRegion, regions: Sequence[Region]) -> Region | None:
    """Return the region that was exchanged, if it is still there with its name."""
    same = [region for region in regions if same_name(region.name, row.name)]
    at = pair([unpacked(row.box)], [region.box for region in same])
    return same[at[0]] if at else None
