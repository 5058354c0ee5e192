"""Make the decisions of pages, one after the other. The index is open for writing only meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from faceindex.errors import IndexLocked, StoreError
from faceindex.review.answers import BUSY, CONFLICT, Refusal
from faceindex.review.memory import give_back
from faceindex.review.threads import Thread

if TYPE_CHECKING:
    from faceindex.api.album_state import AlbumState
    from faceindex.api.people_results import Person
    from faceindex.documents import Json
    from faceindex.review.album import LiveAlbum
    from faceindex.review.verbs import Act

__all__ = ["Decisions", "ids_by_name", "person_of"]

_REMEMBERED: Final = 1_000  # decisions whose answer can be given again
_CHANGED: Final = "Look at what has changed, and decide again."


class Decisions:
    """Makes decisions on a thread of its own, so that an index is never open twice for writing.

    Parameters
    ----------
    directory : Path
    album : LiveAlbum
    """

    def __init__(self, directory: Path, album: LiveAlbum) -> None:
        self.thread = Thread("decisions")
        self._directory, self._album = directory, album
        self._made: OrderedDict[str, dict[str, Json]] = OrderedDict()
        self._reloaded: int | None = None  # when faces or photos were added or removed last

    async def act(self, act: Act, own: Sequence[int] = ()) -> dict[str, Json]:
        """Make a decision, unless it has been made.

        Parameters
        ----------
        act : Act
        own : sequence of int
            Numbers of earlier decisions of the same page, which it made on sight of the same generation.

        Returns
        -------
        dict
            ``decided``, and the ``changes`` since the generation that the page showed.

        Raises
        ------
        Refusal
            With status 409 if somebody else changed since what it is about, and 423 while another process is
            writing to the index. Nothing is stored then.
        FaceIndexError
            If it is not possible.
        """
        answer = await self.thread.call(lambda: self._act(act, own))
        self._album.decided(answer["changes"]["generation"])
        self.thread.submit(give_back)
        return answer

    def _act(self, act: Act, own: Sequence[int]) -> dict[str, Any]:
        state = self._state()  # before the lock: reading a large index takes a while
        if self._reloaded != state.history.reloaded:
            self._reloaded = state.history.reloaded
            self._made.clear()  # they have names, which may have been forgotten; the journal has the rest
        made = self._made.get(act.uid)
        if made is None:
            try:
                made = self._decide(act, own)
            except StoreError as error:
                made = self._stored(act, error)
            self._made[act.uid] = made
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return {**made, "changes": self._changes(act.seen)}

    def _decide(self, act: Act, own: Sequence[int]) -> dict[str, Json]:
        from faceindex.api import FaceIndex

        with ExitStack() as stack:
            try:
                index = stack.enter_context(FaceIndex.open(self._directory, write=True))
            except IndexLocked as error:
                holder = self._album.thread.read(lambda index: index.writer()).result()
                raise Refusal(
                    BUSY, error.problem, error.remedy, holder=None if holder is None else str(holder)
                ) from None
            state = self._state()  # nobody else can change it any more
            decided = None if act.repeats else index.people.made(act.uid)
            if decided is None:
                self._check(state, act, own)
                decided = act.decide(index, lambda id: person_of(state, id))
        return {"decided": None if decided is None else decided.as_dict(), **act.more}

    def _stored(self, act: Act, error: StoreError) -> dict[str, Json]:
        """Return a decision that was stored before an error came, else raise the error."""
        decided = None
        with suppress(StoreError):
            decided = self._album.thread.read(lambda index: index.people.made(act.uid)).result()
        if decided is None:
            raise error
        return {"decided": decided.as_dict(), **act.more}

    def _check(self, state: AlbumState, act: Act, own: Sequence[int]) -> None:
        """Refuse a decision about what somebody else has changed since the page showed it."""
        if act.number is not None:
            if act.number not in (state.decision, state.undo_number):
                raise self._conflict("Another decision has been made since.", act.seen)
            return
        problem = state.conflict(act.faces, act.clusters, act.people, act.seen, own)
        if problem is not None:
            raise self._conflict(problem, act.seen)

    def _conflict(self, problem: str, seen: int, remedy: str = _CHANGED) -> Refusal:
        return Refusal(CONFLICT, problem, remedy, changes=self._changes(seen))

    def _state(self) -> AlbumState:
        return self._album.thread.read(self._album.follow).result()

    def _changes(self, seen: int) -> dict[str, Json]:
        return self._album.thread.read(lambda index: self._album.changes(index, seen)).result()


def person_of(state: AlbumState, id: int) -> Person:
    """Return a person of the album by id."""
    from faceindex.api.people_results import Person

    for record in state.people:
        if record.id == id:
            return Person(
                id, record.uid, _title(record.uid, record.name),
                record.born, record.died, record.hidden, record.note,
                (), 0, 0, 0, 0, None, None,
            )  # fmt: skip
    raise Refusal(400, f"There is no person {id} in the index.", "Reload the page.")


def ids_by_name(state: AlbumState) -> dict[str, int]:
    """Return the ids of people by the names that the library takes."""
    return {_title(record.uid, record.name): record.id for record in state.people}


def _title(uid: str, name: str | None) -> str:
    return name or f"person {uid[:6]}"
