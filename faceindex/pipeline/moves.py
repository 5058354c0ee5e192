"""Find photos that were moved, renamed, touched, or got new metadata. They keep their faces and clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from faceindex.errors import ImageError
from faceindex.pipeline.content import Content, read_contents
from faceindex.pipeline.plan import Plan, Task
from faceindex.store import PhotoRecord, Status

__all__ = ["MOST_EXTRA", "Match", "Moves", "find_moves", "movable"]

MOST_EXTRA = 100
"""New files that are read for each photo that is gone, to find it without loading the models.

Renamed photos are about as many as those that are gone. A large import beside one deleted photo must not be
read twice.
"""


@dataclass(frozen=True, slots=True)
class Match:
    """A file that contains an indexed photo, whose content or picture it has."""

    record: PhotoRecord
    task: Task
    content: Content

    @property
    def rewritten(self) -> bool:
        """Whether the file has the same picture, but other bytes: its metadata are new."""
        return self.content.hash != self.record.content_hash


@dataclass(slots=True)
class Moves:
    """Photos with known content, and the files that are left to open.

    Attributes
    ----------
    kept : list of Match
        The path is unchanged: the photo was touched, or its metadata are new.
    moved : list of Match
        The content or the picture was indexed under another path, which is gone or has another picture now.
    tasks : list of Task
        Files to open. `known` is None where the photo that was indexed under the path has moved.
    lost : list of PhotoRecord
        Photos that are gone, and may be among `tasks` with new metadata: not all of these were read.
    """

    kept: list[Match] = field(default_factory=list)
    moved: list[Match] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    lost: list[PhotoRecord] = field(default_factory=list)


def find_moves(plan: Plan, *, threads: int, should_stop: Callable[[], bool]) -> Moves:
    """Find moved and rewritten photos by the hashes of their content and of their picture.

    These files are read:

    - files whose size matches that of a photo that is gone or changed;
    - changed files, if the index has the hash of the picture;
    - all new files, if photos are gone of which the index has that hash: a photo may have been renamed and
      given new metadata, so that its size is another. Not if these are more than `MOST_EXTRA` files for each
      photo: then they are compared with `Moves.lost` when they are opened.

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
    left = movable(plan)
    sizes = {record.size for record in left.values()}
    with_picture = {record.id for record in left.values() if record.picture is not None}
    lost = with_picture.intersection(record.id for record in (*plan.gone, *plan.missing))
    suspects = [
        task
        for task in plan.tasks
        if task.size in sizes or (task.known is not None and task.known.id in with_picture)
    ]
    read_all = len(plan.tasks) - len(suspects) <= MOST_EXTRA * (len(lost) + 1)
    if lost and read_all:
        suspects = plan.tasks
    contents = {
        id(task): content
        for task, content in read_contents(
            suspects,
            threads=threads,
            should_stop=should_stop,
            pictures={record.picture for record in left.values()},
        )
        if not isinstance(content, ImageError)  # reported when the file is opened
    }

    moves = Moves()
    rest: list[Task] = []
    for task in plan.tasks:
        known, content = task.known, contents.get(id(task))
        if (
            known is not None
            and content is not None
            and known.id in left
            and (known.content_hash == content.hash or content.shows(known))
        ):
            moves.kept.append(Match(known, task, content))
            del left[known.id]
        else:
            rest.append(task)
    rest = _match(rest, contents, left, moves.moved, by_picture=False)  # the same bytes are a better match
    rest = _match(rest, contents, left, moves.moved, by_picture=True)
    moves.tasks = _without_moved(rest, {match.record.id for match in moves.moved})
    if not read_all:
        moves.lost = [record for record in left.values() if record.id in lost]
    return moves


def _match(
    tasks: Sequence[Task],
    contents: Mapping[int, Content],
    left: dict[int, PhotoRecord],
    moved: list[Match],
    *,
    by_picture: bool,
) -> list[Task]:
    """Move files with the content or the picture of photos in `left` to `moved`; return the other files."""
    records: dict[bytes | None, list[PhotoRecord]] = {}
    for record in left.values():
        records.setdefault(record.picture if by_picture else record.content_hash, []).append(record)
    rest = []
    for task in tasks:
        content = contents.get(id(task))
        if content is not None:
            candidates = records.get(content.picture.hash if by_picture else content.hash, [])
            found = next((record for record in candidates if not by_picture or content.shows(record)), None)
            if found is not None:
                candidates.remove(found)
                del left[found.id]
                moved.append(Match(found, task, content))
                continue
        rest.append(task)
    return rest


def movable(plan: Plan) -> dict[int, PhotoRecord]:
    """Return the photos that are gone or changed, by id: files of their sizes are read by `find_moves`."""
    return {
        record.id: record
        for record in (*plan.gone, *plan.missing, *(task.known for task in plan.tasks))
        if record is not None and record.status is Status.OK and record.content_hash is not None
    }


def _without_moved(tasks: Sequence[Task], moved: set[int]) -> list[Task]:
    return [
        replace(task, known=None) if task.known is not None and task.known.id in moved else task
        for task in tasks
    ]
