"""Read names from sidecars and photos, for ``index.sidecars.read``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from faceindex.addresses import is_address
from faceindex.api.import_names import ImportedName, ImportedPeople
from faceindex.api.import_results import Counter
from faceindex.api.importing import ImportOptions, import_album
from faceindex.api.sidecar_results import ReadReport, SidecarConflict
from faceindex.api.sidecar_state import IndexSide, Photos, packed, pair, same_name, unpacked, usable_rows
from faceindex.errors import ImageError, UsageError
from faceindex.images.containers import ARCHIVE_SUFFIXES
from faceindex.interchange.regions import SourceAlbum
from faceindex.people.roster import clean_name
from faceindex.store.exchanged import ExchangedRegion, RegionState

if TYPE_CHECKING:
    import os

    from faceindex.api.deciding import Decider
    from faceindex.api.sidecar_state import FileSide, NamedFace
    from faceindex.interchange.regions import Region, SourcePhoto
    from faceindex.people.editor import Editor
    from faceindex.recognition import Recogniser
    from faceindex.store import PhotoRecord

__all__ = ["PROGRAM", "SidecarReading"]

PROGRAM = "XMP"
"""Stands for the program of all names in sidecars and photos."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The named regions of a photo, and whether each is in the photo itself."""

    record: PhotoRecord
    regions: tuple[tuple[Region, bool], ...]


@dataclass(slots=True)
class SidecarReading:
    """One reading.

    Attributes
    ----------
    decider : Decider
    recogniser : callable
        Loads the pinned models.
    paths : iterable of path-like
    whole_photos, prefer, dry_run, progress, should_stop
        As of `faceindex.api.sidecars.IndexSidecars.read`.
    """

    decider: Decider
    recogniser: Callable[[], Recogniser]
    paths: Iterable[str | os.PathLike[str]]
    whole_photos: bool
    prefer: Literal["file", "index"] | None
    dry_run: bool
    progress: Callable[[str, int, int | None], None]
    should_stop: Callable[[], bool]
    _counter: Counter = field(default_factory=Counter)
    _problems: list[str] = field(default_factory=list)
    _renamed: dict[int, int] = field(default_factory=dict)
    _rejected: dict[int, list[int]] = field(default_factory=dict)
    _seen: list[_Seen] = field(default_factory=list)

    def run(self) -> ReadReport:
        """Read, decide, and keep on what the files and the index agree."""
        store = self.decider.store
        self.decider.require_writable()
        photos = Photos(store, self.paths)
        rows = store.exchanged.by_photo()
        side = IndexSide(store, self.decider.roster())
        album = SourceAlbum(PROGRAM, self._changed(photos, rows, side), {}, self._problems)
        options = ImportOptions(
            whole_photos=self.whole_photos,
            prefer=self.prefer,
            dry_run=self.dry_run,
            progress=self._faces_done,
            should_stop=self.should_stop,
            renamed=self._renamed,
            also=self._reject,
        )
        imported = import_album(self.decider, self.recogniser, album, options)
        if not self.dry_run and not (imported.stopped and imported.decision is None):
            self._keep(rows, imported.decision or 0)
        fields = self._counter.fields()
        return ReadReport(imported=imported, **{"photos": 0, **fields})

    def _faces_done(self, what: str, done: int, total: int | None) -> None:
        if what != "photos":  # those that have changed; all are counted here
            self.progress(what, done, total)

    # Before the decision -----------------------------------------------------------------------

    def _changed(
        self, photos: Photos, rows: dict[int, list[ExchangedRegion]], side: IndexSide
    ) -> Iterator[SourcePhoto]:
        """Yield the photos of whose files something is new since the last exchange."""
        for number, record in enumerate(photos.records):
            self.progress("photos", number, len(photos.records))
            if self.should_stop():
                # `import_album` stops before the next photo; a photo without news would not come there.
                yield _nothing(photos, record)
                return
            inside = photos.inside(record)
            if inside is None or is_address(inside.path):
                pass
            elif not inside.container.lower().endswith(tuple(ARCHIVE_SUFFIXES)):
                self._counter.add("inside")
                continue
            try:
                found = photos.read(record)
            except ImageError as error:
                self._problems.append(error.problem)
                continue
            if found is None:
                self._counter.add("missing")
                continue
            self._counter.add("photos")
            self._problems += found.problems
            source = found.people
            if source.regions or source.people:
                self._counter.add("with_people")
            if not found.cropped:
                known = usable_rows(rows.get(record.id, ()), record)
                if found.named or known:
                    source = self._compare(photos.names.name(record), record, found, known, side)
            if source.regions or source.people:
                yield source

    def _compare(
        self,
        name: str,
        record: PhotoRecord,
        found: FileSide,
        known: list[ExchangedRegion],
        side: IndexSide,
    ) -> SourcePhoto:
        """Compare a file with the last exchange; return the photo with what has changed there."""
        named = found.named
        if named:
            self._seen.append(_Seen(record, tuple((r, found.is_embedded(r)) for r in named)))
        if not known:
            return found.people
        boxes = [unpacked(row.box) for row in known]
        faces = side.faces(record.picture)
        face_of = pair(boxes, [face.box for face in faces])
        row_of = pair([region.box for region in named], boxes)
        unchanged, contradicting = [], []
        for at, region in enumerate(named):
            row = known[row_of[at]] if at in row_of else None
            if row is None:
                continue
            if same_name(row.name, region.name):
                unchanged.append(region)
                continue
            face = faces[face_of[row_of[at]]] if row_of[at] in face_of else None
            if face is None:
                continue
            if same_name(face.name, row.name):
                self._renamed[face.mark] = face.person
            elif not same_name(face.name, region.name) and self.prefer != "file":
                contradicting.append(region)
                self._contradict(name, face, row, region.name)
        self._counter.add("unchanged", len(unchanged))
        left = {*range(len(known))} - set(row_of.values())
        for at in sorted(left):
            face = faces[face_of[at]] if at in face_of else None
            self._lost(name, found, known[at], face)
        dropped = [*unchanged, *contradicting]
        if not dropped:
            return found.people
        return replace(found.people, regions=tuple(r for r in found.people.regions if r not in dropped))

    def _contradict(self, photo: str, face: NamedFace, row: ExchangedRegion, there: str | None) -> None:
        """List a face whose name has changed on both sides."""
        self._counter.add("conflicting")
        if self.prefer is None:
            what = "was removed from" if there is None else f"is {there} in"
            problem = f"{row.name} {what} the file now, and is {face.name} here."
            self._counter.list("conflicts", SidecarConflict(photo, face.name, there, problem))

    def _lost(self, photo: str, found: FileSide, row: ExchangedRegion, face: NamedFace | None) -> None:
        """Count a region that has left its file."""
        if row.state is RegionState.PENDING or face is None or not found.has(embedded=row.embedded):
            return
        if same_name(face.name, row.name):
            self._counter.add("removed")
            problem = f"{row.name} was removed from the file."
            self._counter.list("removed_regions", SidecarConflict(photo, face.name, None, problem))
            if self.prefer == "file":
                self._rejected.setdefault(face.person, []).append(face.mark)
                self._counter.add("rejected")
        else:
            self._contradict(photo, face, row, None)

    def _reject(self, editor: Editor) -> None:
        """Say that faces do not show the people whose regions left the files."""
        for person, marks in sorted(self._rejected.items()):
            editor.reject(person, marks)

    # After it ----------------------------------------------------------------------------------

    def _keep(self, rows: dict[int, list[ExchangedRegion]], decision: int) -> None:
        """Store the regions on which the files and the index agree now."""
        store = self.decider.store
        side = IndexSide(store, self.decider.roster())
        people = ImportedPeople(store, self.decider.roster(), PROGRAM, {})
        rejected = {mark for marks in self._rejected.values() for mark in marks}
        seen = {each.record.id: each for each in self._seen}
        new: dict[int, list[ExchangedRegion]] = {}
        for id, each in seen.items():
            before = rows.get(id, [])
            after = self._agreed(each, usable_rows(before, each.record), side, people, decision, rejected)
            if after != before:
                new[id] = after
        if not new:
            return
        with store.deciding():
            for id, after in new.items():
                store.exchanged.replace(id, after)
            store.exchanged.delete_lost()

    def _agreed(
        self,
        seen: _Seen,
        known: list[ExchangedRegion],
        side: IndexSide,
        people: ImportedPeople,
        decision: int,
        rejected: set[int],
    ) -> list[ExchangedRegion]:
        """Return the exchanged regions of a photo after a reading."""
        record = seen.record
        if record.picture is None:
            record = self.decider.store.photos_by_id([record.id])[record.id]
        if record.picture is None:
            return known
        faces = side.faces(record.picture)
        regions = [region for region, _ in seen.regions]
        boxes = [region.box for region in regions]
        face_of = pair(boxes, [face.box for face in faces])
        row_of = pair(boxes, [unpacked(row.box) for row in known])
        after: list[ExchangedRegion] = []
        for at, (region, embedded) in enumerate(seen.regions):
            row = known[row_of[at]] if at in row_of else None
            face = faces[face_of[at]] if at in face_of else None
            if row is not None and same_name(row.name, region.name):
                pending = row.state is RegionState.PENDING
                after.append(replace(row, state=RegionState.OURS) if pending else row)
            elif face is not None and _is_person(people, region.name, face):
                state = RegionState.SEEN if row is None or row.state is RegionState.SEEN else RegionState.OURS
                box = packed(region.box)
                after.append(
                    ExchangedRegion(record.id, record.picture, box, region.name, embedded, state, decision)
                )
            elif row is not None:
                after.append(row)
        gone = [row for at, row in enumerate(known) if at not in row_of.values()]
        at_rejected = pair([unpacked(row.box) for row in gone], [f.box for f in faces])
        after += [
            row
            for at, row in enumerate(gone)
            if row.state is not RegionState.PENDING
            and not (at in at_rejected and faces[at_rejected[at]].mark in rejected)
        ]
        return after


def _nothing(photos: Photos, record: PhotoRecord) -> SourcePhoto:
    from faceindex.interchange.regions import SourcePhoto

    return SourcePhoto(photos.names.path(record))


def _is_person(people: ImportedPeople, name: str | None, face: NamedFace) -> bool:
    """Return whether a name of a file means the person whom a face shows."""
    try:
        found = people.person(ImportedName(0, clean_name(name or "")))
    except UsageError:
        return False
    return found is not None and people.roster.roots[found] == face.person
