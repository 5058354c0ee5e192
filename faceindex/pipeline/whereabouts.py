"""Store where known photos are now: in their place, at another path, back, or gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone

from faceindex.addresses import is_address
from faceindex.errors import Reason
from faceindex.pipeline.counting import count_photos
from faceindex.pipeline.events import Committed, Event, PhotoDone, Summary, Warned
from faceindex.pipeline.moves import Match, Moves
from faceindex.pipeline.places import ids_in_places
from faceindex.pipeline.plan import Plan
from faceindex.pipeline.root_paths import is_archive_path
from faceindex.store import NewMetadata, PhotoRecord, Status, Store
from faceindex.store.away import Return

__all__ = ["Whereabouts", "leaving"]

_RETURN_PHOTOS = 2_000  # that come back in one transaction, to bound the memory for their vectors
_MOST_DAYS = 1_000_000  # a date has a year of four digits


class Whereabouts:
    """Settles the photos of a run that no network needs to see.

    Parameters
    ----------
    store : Store
    plan : Plan
    root_ids : mapping of str to int
        The ids of the roots, by their absolute paths.
    summary : Summary
        Counts what is settled.
    on_event : callable
        Called with each event.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        root_ids: Mapping[str, int],
        summary: Summary,
        on_event: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._plan = plan
        self._root_ids = root_ids
        self._summary = summary
        self._emit = on_event
        self._moved: set[int] = set()
        self._found_in: set[int] = set()  # vanished roots of which photos have moved

    def keep(self, moves: Moves) -> None:
        """Store the new paths, times and metadata of photos that were found."""
        matches = [*moves.kept, *moves.moved, *moves.returned]
        self._let_moments_go(moves)
        moved_ids = {match.record.id for match in moves.moved}
        replaced = [
            match.task.known
            for match in moves.moved
            if match.task.known is not None and match.task.known.id not in moved_ids
        ]
        rewritten = [match for match in (*moves.kept, *moves.moved) if match.rewritten]
        # Before the paths: after a kill between the two, the new content identifies moved photos.
        if rewritten:
            self._store.update_metadata(
                NewMetadata(
                    m.record.id, m.task.size, m.task.mtime_ns, m.content.hash, m.content.picture.taken
                )
                for m in rewritten
                if m.content is not None
            )
        if pictures := [
            (m.record.id, m.content.picture)
            for m in (*moves.kept, *moves.moved)
            if m.record.picture is None and m.content is not None
        ]:
            self._store.save_pictures(pictures)
        touched = [(m.record.id, m.task.size, m.task.mtime_ns) for m in moves.kept if not m.rewritten]
        moments = [
            (moment.id, m.task.size, m.task.mtime_ns)
            for m in moves.kept
            for moment in self._plan.moments.live.get(m.record.id, ())
        ]
        if touched or moments:
            self._store.update_size_and_time([*touched, *moments])
        if moves.moved:
            self._store.move_photos(
                [
                    (m.record.id, self._root_ids[m.task.root], m.task.relpath, m.task.size, m.task.mtime_ns)
                    for m in moves.moved
                ]
                + [
                    (moment.id, self._root_ids[m.task.root], relpath, m.task.size, m.task.mtime_ns)
                    for m in moves.moved
                    for moment, relpath in self._moments_of(m, self._plan.moments.live)
                ]
            )
        for start in range(0, len(moves.returned), _RETURN_PHOTOS):
            self._store.bring_back(
                [
                    each
                    for match in moves.returned[start : start + _RETURN_PHOTOS]
                    for each in self._returns(match)
                ]
            )
        if noted := [
            (m.record.id, m.task.ctime_ns, m.task.inode)
            for m in matches
            if m.task.ctime_ns is not None and m.task.inode is not None
        ]:
            self._store.save_file_ids(noted)
        self._moved |= moved_ids
        self._found_in |= {match.record.root_id for match in moves.moved} & self._plan.vanished
        self._summary.unchanged += len(touched)
        self._summary.new_metadata += len(moves.kept) - len(touched)
        self._summary.moved += len(moves.moved)
        self._summary.returned += len(moves.returned)
        self._summary.opened += sum(match.content is not None for match in matches)
        self._summary.gone += sum(record.status is Status.OK for record in replaced)
        for match in matches:
            self._emit(PhotoDone(match.task.name, match.record.faces))
        if matches:
            self._emit(Committed(len(matches)))

    def _returns(self, match: Match) -> Iterator[Return]:
        """Yield a photo that comes back, and the moments of a video."""
        yield self._return(match)
        task = match.task
        for moment, relpath in self._moments_of(match, self._plan.moments.away):
            yield Return(moment.id, self._root_ids[task.root], relpath, task.size, task.mtime_ns)

    def _moments_of(
        self, match: Match, moments: Mapping[int, list[PhotoRecord]]
    ) -> Iterator[tuple[PhotoRecord, str]]:
        """Yield the moments of a video that was found, and their new paths."""
        for moment in moments.get(match.record.id, ()):
            yield moment, f"{match.task.relpath}/{moment.relpath.rpartition('/')[2]}"

    def _let_moments_go(self, moves: Moves) -> None:
        """Put the moments of videos away that other files replace."""
        moved = {match.record.id for match in moves.moved}
        replaced = [
            match.task.known.id
            for match in (*moves.moved, *moves.returned)
            if match.task.known is not None and match.task.known.id not in moved
        ]
        if ids := self._plan.moments.of(replaced):
            self._store.put_away(ids)

    def _return(self, match: Match) -> Return:
        task, content = match.task, match.content
        new = content if match.rewritten else None
        return Return(
            match.record.id,
            self._root_ids[task.root],
            task.relpath,
            task.size,
            task.mtime_ns,
            None if new is None else new.hash,
            None if new is None else new.picture.taken,
        )

    def remove_gone(self, prune: bool, keep_days: float) -> bool:
        """Put away the photos that are gone and did not move, or delete them with `prune`.

        Photos of folders without any photo are kept, unless `prune`. Return whether none were kept so.
        """
        gone = [record for record in leaving(self._plan) if record.id not in self._moved]
        missing = [record for record in self._plan.missing if record.id not in self._moved]
        kept = bool(missing) and not prune
        if kept:
            self._summary.missing = count_photos(missing)
            folders = sorted({self._plan.missing_in[record.id] for record in missing})
            self._store.mark_failed((record.id, Reason.MISSING.value) for record in missing)
            self._emit(
                Warned(
                    f"All indexed photos in {', '.join(folders)} are missing "
                    f"({self._summary.missing:,}). They were kept, in case a disk is not mounted; pass "
                    "`prune=True` to remove them."
                )
            )
        else:
            gone += missing
        ids = [record.id for record in gone]
        ids += self._plan.moments.of(ids)
        if prune and self._plan.pruned:
            # And roots whose photos have all moved.
            self._store.remove_photos(ids, ids_in_places(self._store, self._plan.pruned))
        elif gone or self._moved:
            self._store.put_away(ids)
        # A folder or archive that could not be listed, and can be now, is no longer recorded, but not gone.
        self._summary.gone += count_photos(
            [r for r in gone if r.status is Status.OK or not _has_files(self._plan.path_of(r))]
        )
        self._summary.excluded = count_photos([r for r in gone if r.id in self._plan.excluded])
        if any(record.status is Status.OK for record in gone) and keep_days > 0 and not prune:
            until = datetime.now(timezone.utc) + timedelta(days=min(keep_days, _MOST_DAYS))
            self._summary.kept_until = until.astimezone().date().isoformat()
        self._report_not_found()
        return not kept

    def _report_not_found(self) -> None:
        """Warn of folders that do not exist, of which only some photos were found elsewhere."""
        for root_id in sorted(self._found_in):
            left = [
                record
                for record in self._plan.elsewhere
                if record.root_id == root_id and record.id not in self._moved
            ]
            if number := count_photos(left):
                self._emit(
                    Warned(
                        f"{number:,} of the photos in {self._plan.roots[root_id]}, which does not exist or "
                        "is empty, were not found in the folders that were indexed now. They were kept; "
                        "`faceindex roots` lists what is missing."
                    )
                )
        for path in self._plan.unknown:
            self._emit(Warned(f"{path} does not exist, and no photo in the index is from there."))


def _has_files(path: str) -> bool:
    """Return whether a path is that of a folder or an archive that is there."""
    if is_address(path):
        from faceindex.images.remote import is_photo_address

        return not is_photo_address(path)
    return os.path.isdir(path) or (is_archive_path(path) and os.path.exists(path))  # noqa: PTH110, PTH112


def leaving(plan: Plan) -> list[PhotoRecord]:
    """Return the photos of `Plan.gone` that leave the index, unless they moved."""
    if plan.older:  # one of the files that are not read may be a photo that was renamed
        return [record for record in plan.gone if record.id in plan.excluded]
    return plan.gone
