"""Find photos that were moved, renamed, touched, got new metadata, or came back. They keep their faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from faceindex.errors import ImageError
from faceindex.images.containers import exists
from faceindex.pipeline.content import Content, read_contents
from faceindex.pipeline.plan import Plan, Task
from faceindex.store import PhotoRecord, Status

__all__ = ["MOST_EXTRA", "SAMPLE", "LostPhotos", "Match", "Moves", "find_moves", "movable", "spread"]

MOST_EXTRA = 100
"""New files that are read for each photo that is gone, to find it without loading the models.

Renamed photos are about as many as those that are gone. A large import beside one deleted photo must not be
read twice.
"""

SAMPLE = 50
"""Files that are read of a larger number with the names, sizes and times of photos that are gone."""

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Match:
    """A file that contains an indexed photo, whose content or picture it has.

    Attributes
    ----------
    record : PhotoRecord
    task : Task
    content : Content or None
        None if the file was not read: it has the name, size and time of the photo, as `SAMPLE` others whose
        content was compared.
    """

    record: PhotoRecord
    task: Task
    content: Content | None

    @property
    def rewritten(self) -> bool:
        """Whether the file has the same picture, but other bytes: its metadata are new."""
        return self.content is not None and self.content.hash != self.record.content_hash


@dataclass(slots=True)
class Moves:
    """Photos with known content, and the files that are left to open.

    Attributes
    ----------
    kept : list of Match
        The path is unchanged: the photo was touched, or its metadata are new.
    moved : list of Match
        The content or the picture was indexed under another path, which is gone or has another picture now.
    returned : list of Match
        The content or the picture is that of a photo that is away.
    tasks : list of Task
        Files to open. `known` is None where the photo that was indexed under the path has moved.
    lost : list of PhotoRecord
        Photos that are not where they were, and may be among `tasks` with new metadata: not all of these
        were read.
    """

    kept: list[Match] = field(default_factory=list)
    moved: list[Match] = field(default_factory=list)
    returned: list[Match] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    lost: list[PhotoRecord] = field(default_factory=list)


def find_moves(plan: Plan, *, threads: int, should_stop: Callable[[], bool]) -> Moves:
    """Find moved, rewritten and returned photos by the hashes of their content and of their picture.

    These files are read:

    - files whose size matches that of a photo that is gone, changed, away, or in another folder;
    - changed files, if the index has the hash of the picture;
    - all new files, if photos are gone of which the index has that hash: a photo may have been renamed and
      given new metadata, so that its size is another. Not if these are more than `MOST_EXTRA` files for each
      photo: then they are compared with `Moves.lost` when they are opened. A photo of a root that has
      vanished counts as gone if a new file has its name, or once another photo of the root was found.

    Of more than `SAMPLE` new files that have the name, the size and the time (in nanoseconds) of a photo that
    is not where it was, only so many are read, evenly spread over all. If their contents are those of the
    photos, so are the others: this is how unchanged photos are recognised, too. If one is not, all are read.

    All of them are read before anything is written, so that paths may be swapped or shifted: a photo that is
    overwritten at its old path is still found at the new one.

    Parameters
    ----------
    plan : Plan
    threads : int
        Threads that read.
    should_stop : callable
        Called after each file.

    Raises
    ------
    Stopped
        If `should_stop` returns True.
    """
    search = _Search(plan, threads, should_stop)
    search.trust_names()
    lost = {record.id for record in (*plan.gone, *plan.missing)}
    names = {_name(task.relpath) for task in search.tasks}
    lost |= {r.id for r in plan.elsewhere if r.root_id in plan.vanished and _name(r.relpath) in names}
    everything = search.read(lost)
    search.match()
    found = {match.record.root_id for match in search.moves.moved} & plan.vanished
    if found and not everything:
        lost |= {record.id for record in plan.elsewhere if record.root_id in found}
        everything = search.read(lost)
        search.match()
    moves = search.moves
    moves.tasks = [
        replace(task, held=plan.held) if task.name in plan.held else task
        for task in _without_moved(search.tasks, {match.record.id for match in moves.moved})
    ]
    moves.lost = [
        record
        for record in (*search.left.values(), *search.others.values())
        if record.picture is not None
        and (record.id in search.others or (record.id in lost and not everything))
    ]
    return moves


def movable(plan: Plan) -> dict[int, PhotoRecord]:
    """Return the photos that are gone or changed, by id: files of their sizes are read by `find_moves`."""
    return _readable((*plan.gone, *plan.missing, *(task.known for task in plan.tasks)))


def spread(number: int, most: int) -> list[int]:
    """Return up to `most` of the positions 0 to `number` - 1, evenly spread, with the first and the last."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / max(1, most - 1)) for i in range(most)})


def _readable(records: Iterable[PhotoRecord | None]) -> dict[int, PhotoRecord]:
    return {
        record.id: record
        for record in records
        if record is not None and record.status is Status.OK and record.content_hash is not None
    }


class LostPhotos:
    """Photos that are not where they were, by their pictures.

    Parameters
    ----------
    records : sequence of PhotoRecord
        As `Moves.lost`.
    elsewhere : mapping of int to str
        Paths of photos in folders that were not walked, by id: such a photo counts only if it is not there.
    """

    def __init__(self, records: Sequence[PhotoRecord], elsewhere: Mapping[int, str]) -> None:
        self._elsewhere = elsewhere
        self._by_picture: dict[bytes | None, list[PhotoRecord]] = {}
        for record in records:
            self._by_picture.setdefault(record.picture, []).append(record)

    def find(self, task: Task, content: Content | None) -> Match | None:
        """Return the photo that a file shows, and forget it; None if there is none."""
        if content is None:
            return None
        photos = self._by_picture.get(content.picture.hash, [])
        for record in photos:
            path = self._elsewhere.get(record.id)
            if content.shows(record) and not (path is not None and exists(path)):
                photos.remove(record)
                return Match(record, task, content)
        return None


class _Search:
    """The state of `find_moves`.

    Attributes
    ----------
    left : dict of int to PhotoRecord
        Photos that are gone, missing or changed, and were not found.
    others : dict of int to PhotoRecord
        Photos in other folders, and photos that are away, that were not found.
    tasks : list of Task
        Files that are none of the photos.
    moves : Moves
        What was found.
    """

    def __init__(self, plan: Plan, threads: int, should_stop: Callable[[], bool]) -> None:
        self.left = movable(plan)
        self.others = _readable((*plan.elsewhere, *plan.away))
        self.tasks = plan.tasks
        self.moves = Moves()
        self._plan = plan
        self._threads = threads
        self._should_stop = should_stop
        self._contents: dict[int, Content] = {}  # by id of the task
        self._read: set[int] = set()
        self._away = {record.id for record in plan.away}
        self._in_place = {record.id for record in plan.elsewhere if record.root_id not in plan.vanished}

    def trust_names(self) -> None:
        """Match files by name, size and time, if that proves right for a sample."""
        changed = {task.known.id for task in self._plan.tasks if task.known is not None}
        photos = _by_key(
            (record, (_name(record.relpath), record.size, record.mtime_ns))
            for record in (*self.left.values(), *self.others.values())
            if record.id not in changed
        )
        tasks = _by_key(
            (task, (_name(task.relpath), task.size, task.mtime_ns))
            for task in self.tasks
            if task.known is None
        )
        pairs = [
            (photos[key][0], found[0])
            for key, found in tasks.items()
            if len(found) == 1 and len(photos.get(key, ())) == 1 and self._is_absent(photos[key][0])
        ]
        if len(pairs) <= SAMPLE:
            return  # all of them are read
        sample = [pairs[i] for i in spread(len(pairs), SAMPLE)]
        self._read_files([task for _, task in sample])
        if not all(self._is(record, task) for record, task in sample):
            return
        for record, task in pairs:
            self._found(record, Match(record, task, self._contents.get(id(task))))
        taken = {id(task) for _, task in pairs}
        self.tasks = [task for task in self.tasks if id(task) not in taken]

    def _is(self, record: PhotoRecord, task: Task) -> bool:
        content = self._contents.get(id(task))
        return content is not None and (content.hash == record.content_hash or content.shows(record))

    def read(self, lost: set[int]) -> bool:
        """Read the files that may be photos of the index; return whether these are all files.

        Parameters
        ----------
        lost : set of int
            Photos that are gone, also for files of another size.
        """
        sizes = {record.size for record in (*self.left.values(), *self.others.values())}
        with_picture = {
            record.id for record in (*self.left.values(), *self.others.values()) if record.picture is not None
        }
        suspects = [
            task
            for task in self.tasks
            if task.size in sizes or (task.known is not None and task.known.id in with_picture)
        ]
        searched = with_picture & lost
        everything = bool(searched) and len(self.tasks) - len(suspects) <= MOST_EXTRA * (len(searched) + 1)
        if everything:
            suspects = self.tasks
        self._read_files([task for task in suspects if id(task) not in self._read])
        return everything

    def _read_files(self, tasks: Sequence[Task]) -> None:
        pictures = {record.picture for record in (*self.left.values(), *self.others.values())}
        self._read.update(map(id, tasks))
        found = read_contents(
            tasks,
            threads=self._threads,
            should_stop=self._should_stop,
            pictures=pictures,
            held=self._plan.held,
        )
        for task, content in found:
            if not isinstance(content, ImageError):  # reported when the file is opened
                self._contents[id(task)] = content

    def match(self) -> None:
        """Match the files that were read: the same path first, then the same bytes, then the same picture."""
        rest = []
        for task in self.tasks:
            known = task.known
            if known is not None and known.id in self.left and self._is(known, task):
                self._found(known, Match(known, task, self._contents[id(task)]), kept=True)
            else:
                rest.append(task)
        self.tasks = rest
        for by_picture in (False, True):
            for photos in (self.left, self.others):
                self._match(photos, by_picture=by_picture)

    def _match(self, photos: Mapping[int, PhotoRecord], *, by_picture: bool) -> None:
        records: dict[bytes | None, list[PhotoRecord]] = {}
        for record in photos.values():
            records.setdefault(record.picture if by_picture else record.content_hash, []).append(record)
        rest = []
        for task in self.tasks:
            content = self._contents.get(id(task))
            candidates = []
            if content is not None:
                candidates = [
                    record
                    for record in records.get(content.picture.hash if by_picture else content.hash, ())
                    if (not by_picture or content.shows(record)) and self._is_absent(record)
                ]
            if not candidates:
                rest.append(task)
                continue
            found = max(candidates, key=lambda record: _common_end(record.relpath, task.relpath))
            records[found.picture if by_picture else found.content_hash].remove(found)
            self._found(found, Match(found, task, content))
        self.tasks = rest

    def _is_absent(self, record: PhotoRecord) -> bool:
        """Return whether a photo is no longer where it was; a file in another folder may be a copy."""
        return record.id not in self._in_place or not exists(self._plan.path_of(record))

    def _found(self, record: PhotoRecord, match: Match, *, kept: bool = False) -> None:
        self._plan.held.take(match.task.name)  # it need not be read again
        if kept:
            self.moves.kept.append(match)
        elif record.id in self._away:
            self.moves.returned.append(match)
        else:
            self.moves.moved.append(match)
        self.left.pop(record.id, None)
        self.others.pop(record.id, None)


def _name(relpath: str) -> str:
    return relpath.rpartition("/")[2]


def _by_key(items: Iterable[tuple[_Item, _Key]]) -> dict[_Key, list[_Item]]:
    found: dict[_Key, list[_Item]] = {}
    for item, key in items:
        found.setdefault(key, []).append(item)
    return found


def _common_end(one: str, other: str) -> int:
    """Return how many parts at the ends of two paths are equal."""
    number = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a != b:
            break
        number += 1
    return number


def _without_moved(tasks: Sequence[Task], moved: set[int]) -> list[Task]:
    return [
        replace(task, known=None) if task.known is not None and task.known.id in moved else task
        for task in tasks
    ]
