"""Write names to sidecars and photos, for ``index.sidecars.write``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from faceindex import images
from faceindex.addresses import is_address
from faceindex.api.import_results import Counter
from faceindex.api.sidecar_planning import plan_photo
from faceindex.api.sidecar_results import SidecarChange, SidecarConflict, WriteReport
from faceindex.api.sidecar_state import IndexSide, Photos, stored_size
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.interchange.sidecar_files import (
    FileStatus,
    embed_packet,
    file_status,
    find_exiftool,
    write_sidecar,
)
from faceindex.interchange.xmp import embedded_xmp, find_container_turn, merge_regions, read_sidecar
from faceindex.store.exchanged import ExchangedRegion, RegionState

if TYPE_CHECKING:
    from faceindex.api.deciding import Decider
    from faceindex.api.sidecar_planning import PhotoPlan
    from faceindex.api.sidecar_state import FileSide
    from faceindex.interchange.regions import Region
    from faceindex.store import PhotoRecord

__all__ = ["SidecarWriting", "merged_packet", "sidecar_path"]

_BATCH: Final = 200  # files between two commits


@dataclass(frozen=True, slots=True)
class _File:
    """A file with its new packet."""

    plan: PhotoPlan
    path: str
    packet: bytes
    before: FileStatus | None
    embedded: bool


@dataclass(slots=True)
class SidecarWriting:
    """One writing.

    Attributes
    ----------
    decider : Decider
    paths : iterable of path-like
    prefer, embed, style, dry_run, progress, should_stop
        As of `faceindex.api.sidecars.IndexSidecars.write`.
    """

    decider: Decider
    paths: Iterable[str | os.PathLike[str]]
    prefer: Literal["file", "index"] | None
    embed: bool
    style: Literal["full", "stem"]
    dry_run: bool
    progress: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    _counter: Counter = field(default_factory=Counter)
    _counted: set[int] = field(default_factory=set)
    _tool: str | None = None
    _rows: dict[int, list[ExchangedRegion]] = field(default_factory=dict)

    def run(self) -> WriteReport:
        """Compare all photos with their files, and write those that change."""
        self.decider.require_writable()
        self._tool = find_exiftool() if self.embed else None
        store = self.decider.store
        paths = list(self.paths)
        if refused := [os.fspath(path) for path in paths if is_address(path)]:
            raise UsageError(
                f"{refused[0]} is in an object store, where nothing is written.",
                "Name folders of this machine.",
            )
        photos = Photos(store, paths)
        self._rows = store.exchanged.by_photo()
        side = IndexSide(store, self.decider.roster())
        stopped = False
        batch: list[_File] = []
        settled: list[PhotoPlan] = []
        for number, record in enumerate(photos.records):
            if self.should_stop():
                stopped = True
                break
            self.progress(number, len(photos.records))
            self._counter.add("photos")
            for plan, files in self._look(photos, record, side):
                settled.append(plan)
                batch += files
            if len(batch) >= _BATCH:
                self._write(photos, settled, batch)
                batch, settled = [], []
        self._write(photos, settled, batch)
        return WriteReport(dry_run=self.dry_run, stopped=stopped, **self._counter.fields())

    def _look(
        self, photos: Photos, record: PhotoRecord, side: IndexSide
    ) -> Iterator[tuple[PhotoPlan, list[_File]]]:
        """Compare a photo with its files; yield what must be written, or stored."""
        rows = self._rows.get(record.id, [])
        faces = side.faces(record.picture)
        ours = any(row.state is not RegionState.SEEN for row in rows)
        if record.picture is None or not (faces or ours):
            return
        if photos.inside(record) is not None:
            self._counter.add("inside")
            return
        self._counter.add("named", int(bool(faces)))
        name = photos.names.name(record)
        try:
            before = file_status(photos.names.path(record))
            found = photos.read(record)
            if found is None:
                self._counter.add("missing")
                return
            if found.cropped and not faces:
                self._counter.list("cropped", name)
                return
            plan, conflicts = plan_photo(
                record, faces, found, rows, embedded=self.embed, prefer=self.prefer, counter=self._counter
            )
            for face, there, problem in conflicts:
                self._counter.list("conflicts", SidecarConflict(name, face.name, there, problem))
            files = self._files(photos, plan, found, before) if plan.changes else []
        except ImageError as error:
            if error.reason is Reason.CHANGED:
                self._counter.list("cropped", name)
            else:
                self._counter.list("failed", f"{error.problem} {error.remedy}")
            return
        yield plan, files

    def _files(
        self, photos: Photos, plan: PhotoPlan, found: FileSide, before: FileStatus | None
    ) -> list[_File]:
        """Return the files of a photo that change."""
        path = photos.names.path(plan.record)
        files = []
        if self.embed:
            data = images.read(path)
            packet = merged_packet(path, plan.record, embedded_xmp(data), plan.wanted, plan.previous, path)
            if packet is not None:
                files.append(_File(plan, path, packet, before, True))
            if not found.sidecars:
                return files
        target = found.sidecars[0] if found.sidecars else sidecar_path(path, self.style)
        status = file_status(target)
        content = None if status is None else read_sidecar(target)
        packet = merged_packet(path, plan.record, content, plan.wanted, plan.previous, target)
        if packet is not None:
            files.append(_File(plan, target, packet, status, False))
        return files

    # Writing -----------------------------------------------------------------------------------

    def _write(self, photos: Photos, plans: Sequence[PhotoPlan], files: Sequence[_File]) -> None:
        """Write some files, and keep what they and the index agree on."""
        if self.dry_run:
            for file in files:
                self._count(photos, file)
            return
        exchanged, deciding = self.decider.store.exchanged, self.decider.store.deciding
        if files:
            # If this is killed, what was written is still known to be ours.
            with deciding():
                for file in files:
                    exchanged.insert(
                        replace(row, state=RegionState.PENDING)
                        for row in file.plan.after
                        if row.state is RegionState.OURS and not self._is_known(row)
                    )
        failed: set[int] = set()
        for file in files:
            if not self._write_file(photos, file):
                failed.add(file.plan.record.id)
        changed = [
            plan
            for plan in plans
            if plan.record.id in failed
            or [replace(row, id=0) for row in plan.after]
            != [replace(row, id=0) for row in self._rows.get(plan.record.id, [])]
        ]
        if not changed:
            return
        with deciding():
            for plan in changed:
                before = self._rows.get(plan.record.id, [])
                exchanged.replace(plan.record.id, before if plan.record.id in failed else plan.after)
            exchanged.delete_lost()

    def _is_known(self, row: ExchangedRegion) -> bool:
        return any(
            old.box == row.box and old.name == row.name and old.state is RegionState.OURS
            for old in self._rows.get(row.photo, ())
        )

    def _write_file(self, photos: Photos, file: _File) -> bool:
        """Write a file; return False, and keep why, if that fails."""
        photo = photos.names.path(file.plan.record)
        try:
            if file.embedded:
                assert self._tool is not None
                picture = file.plan.record.picture
                embed_packet(
                    self._tool,
                    file.path,
                    file.packet,
                    before=file.before,
                    check=lambda data: images.read_picture(data).hash == picture,
                )
            else:
                write_sidecar(file.path, file.packet, before=file.before, photo=photo)
        except ImageError as error:
            self._counter.list("failed", f"{error.problem} {error.remedy}")
            return False
        self._count(photos, file)
        return True

    def _count(self, photos: Photos, file: _File) -> None:
        plan, add = file.plan, self._counter.add
        new = file.before is None
        add("written")
        add("new", int(new))
        if plan.record.id not in self._counted:  # a photo and its sidecar are two files
            self._counted.add(plan.record.id)
            add("added", len(plan.added))
            add("renamed", len(plan.renamed))
            add("removed", len(plan.removed))
        self._counter.list(
            "changes",
            SidecarChange(
                photos.names.name(plan.record), file.path, new,
                tuple(plan.added), tuple(plan.renamed), tuple(plan.removed),
            ),
        )  # fmt: skip


def merged_packet(
    path: str,
    record: PhotoRecord,
    packet: bytes | None,
    wanted: Sequence[Region],
    previous: Sequence[Region],
    name: str,
) -> bytes | None:
    """Return a packet with the regions of a photo, as `merge_regions` does."""
    size = stored_size(record)
    assert size is not None
    return merge_regions(
        packet,
        wanted,
        previous=previous,
        dimensions=size,
        orientation=record.orientation,
        container_turn=find_container_turn(path, record.orientation),
        name=name,
    )


def sidecar_path(path: str, style: Literal["full", "stem"]) -> str:
    """Return the path of a new sidecar: ``a.jpg.xmp``, or ``a.xmp``."""
    return f"{path}.xmp" if style == "full" else str(Path(path).with_suffix(".xmp"))
