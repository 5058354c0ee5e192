"""The second file of a shot, where the first one cannot be read: the RAW beside a damaged JPEG.

A walk leaves out the RAW beside a JPEG, and the clip of a Live Photo, by their names. Whether the JPEG can be
read is only known once it was opened. So the companions of files that are to be opened wait in `Plan.beside`.
They are read in the same run if nothing of their shot is in the index then. In later runs, the companion of a
file that is known to be unreadable is listed like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from faceindex.images.special_files import shot_of
from faceindex.store import PhotoRecord, Status, Store

if TYPE_CHECKING:
    from faceindex.images import Candidate
    from faceindex.images.walk import Listing
    from faceindex.pipeline.file_ids import Compared
    from faceindex.pipeline.plan import Plan
    from faceindex.pipeline.root_paths import Roots

__all__ = ["Beside", "companions_to_list", "left_alone", "plan_companions"]

_Key = tuple[str, str]  # a root, and a path below it with forward slashes


class Beside(NamedTuple):
    """A companion of files that are to be opened.

    Attributes
    ----------
    candidate : Candidate
    key : (str, str)
        Its root and relative path.
    stills : tuple of (str, str)
        Those of the other files of the shot, of which one would count.
    kind : str
        ``"raw"`` or ``"clip"``.
    record : PhotoRecord or None
        The photo that is indexed at its path.
    """

    candidate: Candidate
    key: _Key
    stills: tuple[_Key, ...]
    kind: str
    record: PhotoRecord | None

    @property
    def is_unchanged(self) -> bool:
        """Whether it is in the index as it is."""
        record, found = self.record, self.candidate
        return (
            record is not None
            and record.status is Status.OK
            and (record.size, record.mtime_ns) == (found.size, found.mtime_ns)
        )


def companions_to_list(
    listing: Listing,
    roots: Roots,
    known: Mapping[_Key, PhotoRecord],
    seen: Collection[_Key],
    differing: Sequence[Compared],
    plan: Plan,
) -> Iterator[Candidate]:
    """Yield the companions of files that an earlier run could not read; the others are noted in a plan.

    Parameters
    ----------
    listing : Listing
        It was iterated over.
    roots : Roots
    known : mapping of (str, str) to PhotoRecord
        All indexed photos.
    seen : collection of (str, str)
        All files that were listed.
    differing : sequence of Compared
        Those of them that may be opened, besides the tasks of the plan.
    plan : Plan
    """
    # All of the arguments are complete only now, when the listing has been read to its end.
    found = [(roots.locate(one.root, one.relpath), one) for one in listing.companions()]
    if not found:
        return
    shots: dict[_Key, list[_Key]] = {(key[0], shot_of(key[1])[0]): [] for key, _ in found}
    for key in seen:
        stem, kind = shot_of(key[1])
        if kind == "still" and (stills := shots.get((key[0], stem))) is not None:
            stills.append(key)
    opening = {(task.root, task.relpath) for task in plan.tasks}
    opening |= {(one.root, one.relpath) for one in differing}
    for key, candidate in found:
        stem, kind = shot_of(key[1])
        stills = shots[key[0], stem]
        to_open = [still for still in stills if still in opening]
        closed = [known.get(still) for still in stills if still not in opening]
        if any(record is None or record.status is Status.OK for record in closed) or not stills:
            _note_left_out(known.get(key), plan)
        elif to_open:
            _note_left_out(known.get(key), plan)  # unless it is found to be needed
            plan.beside.append(Beside(candidate, key, tuple(stills), kind, known.get(key)))
        else:
            plan.companions[kind] -= 1
            yield candidate


def _note_left_out(record: PhotoRecord | None, plan: Plan) -> None:
    if record is not None:
        plan.left_out.add(record.id)


def left_alone(plan: Plan, store: Store, failed: Collection[_Key]) -> list[Beside]:
    """Return those of `Plan.beside` of whose shots the index has nothing else, now that the rest is done.

    One that is indexed stays while another file of the shot is still being written; a new one waits.

    Parameters
    ----------
    plan : Plan
    store : Store
    failed : collection of (str, str)
        The files that this run could not read.
    """
    ids = {root.path: root.id for root in store.roots()}
    found = []
    for one in plan.beside:
        indexed = one.record is not None and one.record.status is Status.OK
        if indexed or any(still in failed for still in one.stills):
            now = store.photos_at((ids[root], relpath) for root, relpath in one.stills if root in ids)
            if (now or indexed) and not any(record.status is Status.OK for record in now):
                found.append(one)
    return found


def plan_companions(plan: Plan, companions: Sequence[Beside], moved: Collection[int]) -> Plan:
    """Return a plan to open companions; in the given one they are not left out any more.

    Parameters
    ----------
    plan : Plan
    companions : sequence of Beside
        As `left_alone` returns them.
    moved : collection of int
        Ids of the photos that were found so far: no companion is one of these.
    """
    from faceindex.pipeline.plan import task_of

    kept = {one.record.id for one in companions if one.record is not None}
    plan.gone = [record for record in plan.gone if record.id not in kept]
    for one in companions:
        plan.companions[one.kind] -= 1
    found = {*kept, *moved}
    return replace(
        plan,
        tasks=[task_of(one.candidate, *one.key, one.record) for one in companions if not one.is_unchanged],
        gone=[record for record in plan.gone if record.id not in found],
        missing=[record for record in plan.missing if record.id not in found],
        elsewhere=[record for record in plan.elsewhere if record.id not in found],
        away=[record for record in plan.away if record.id not in found],
    )
