"""The questions of the index, ahead of the page: the next ones are there when one is answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from faceindex.documents import as_json
from faceindex.errors import FaceIndexError, UsageError
from faceindex.review.answers import Refusal
from faceindex.review.decisions import ids_by_name
from faceindex.review.memory import give_back
from faceindex.review.verbs import Act, People

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.people_results import Decided
    from faceindex.api.question_results import Question
    from faceindex.documents import Json
    from faceindex.review.album import LiveAlbum
    from faceindex.review.fields import Fields
    from faceindex.review.threads import IndexThread

__all__ = ["MOST_QUESTIONS", "Questions"]

MOST_QUESTIONS: Final = 50
"""In one request."""

_AHEAD: Final = 20  # questions that are kept ready
_REMEMBERED: Final = 2_000  # questions that can be answered
_ID: Final = 32  # characters
_ATTEMPTS: Final = 3  # to read questions and people of one generation
_PATIENCE: Final = 10.0  # seconds that a request waits for questions after a decision
_FIRST_PATIENCE: Final = 1.0  # seconds that it waits for the first ones


@dataclass(frozen=True, slots=True)
class _Ready:
    """Questions as of a generation, of which at most `asked` were computed."""

    generation: int
    version: int
    asked: int
    document: dict[str, Json]


class Questions:
    """Keeps the next questions ready, once the page wants any.

    Parameters
    ----------
    thread : IndexThread
        Owns an index of its own: the first questions take seconds in a large one.
    album : LiveAlbum
    """

    def __init__(self, thread: IndexThread, album: LiveAlbum) -> None:
        self.thread = thread
        self._album = album
        self._ready: _Ready | None = None
        self._known: OrderedDict[str, tuple[Question, int | None]] = OrderedDict()  # by id, with the person
        self._work: asyncio.Task[None] | None = None
        self._again = False
        self._most = _AHEAD
        self._skipped: set[str] = set()  # ids; questions that are being computed may still have them
        self._version = 0  # of the skipped questions that are asked again

    async def next(self, limit: int, seen: int) -> dict[str, Json]:
        """Return the next questions.

        Parameters
        ----------
        limit : int
        seen : int
            They are as of this generation or a later one, unless they take longer than some seconds.
        """
        self._most = max(self._most, limit)
        loop = asyncio.get_running_loop()
        until = loop.time() + (_FIRST_PATIENCE if self._ready is None else _PATIENCE)
        while not self._is_enough(limit, seen):
            remaining = until - loop.time()
            if remaining <= 0:
                break
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._prepare()), remaining)
        if self._ready is None:
            return {"state": "preparing", "questions": []}
        document: Any = self._ready.document
        left = [question for question in document["questions"] if question["id"] not in self._skipped]
        state = "none" if document["state"] == "ready" and not left else document["state"]
        return {**document, "state": state, "questions": left[:limit]}

    def _is_enough(self, limit: int, seen: int) -> bool:
        ready = self._ready
        if ready is None or ready.generation < seen or ready.version < self._version:
            return False
        return ready.asked >= limit

    def decided(self) -> None:
        """Compute the questions anew if the page wants any: the index has changed."""
        if self._work is not None:
            self._again = not self._work.done()
            self._prepare()

    def _prepare(self) -> asyncio.Task[None]:
        """Compute the questions anew; one computation at a time."""
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._compute())
            # An error that no request waits for is not logged: the next one computes them again.
            self._work.add_done_callback(lambda work: work.cancelled() or work.exception())
        return self._work

    async def _compute(self) -> None:
        while True:
            self._again = False
            self._ready = await self.thread.reading(self._read)
            self.thread.submit(give_back)
            if not self._again:
                return

    def _read(self, index: FaceIndex) -> _Ready:
        asked, version = self._most, self._version
        for _ in range(_ATTEMPTS):
            # The questions are as of this generation, or of a later one if somebody commits meanwhile.
            generation = self._album.thread.read(self._album.follow).result().generation
            try:
                questions = index.people.suggest(asked)
                progress = index.people.progress()
            except FaceIndexError as error:
                problem: dict[str, Json] = {"problem": error.problem, "remedy": error.remedy}
                return _Ready(
                    generation, version, asked, {"state": "unavailable", **problem, "questions": []}
                )
            state = self._album.thread.read(self._album.follow).result()
            if state.generation == generation:
                break  # else, a person may have another name than in the questions
        people = ids_by_name(state)
        documents: list[Json] = []
        for question in questions:
            id = _id_of(question)
            self._known[id] = question, people.get(question.person or "")
            self._known.move_to_end(id)
            documents.append(_document(id, question, people))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        document: dict[str, Json] = {
            "state": "ready" if questions else "none",
            "questions": documents,
            "progress": progress.as_dict(),
        }
        return _Ready(generation, version, asked, document)

    # Answers -----------------------------------------------------------------------------------

    def read_answer(self, fields: Fields, uid: str, seen: int) -> Act:
        """Read the answer to a question; raises `Refusal` if it does not fit."""
        id = fields.text("question", most=_ID)
        question, person = self._find(id)
        reply, name = fields.text_or_none("reply"), fields.text_or_none("name")
        wrong = fields.integers("wrong")
        fields.end()
        if reply not in (None, "yes", "no", "ignore"):
            raise Refusal(400, "The answer is none of those to a question.", "Choose yes, no or ignore.")
        faces = tuple(face.face for face in question.faces)
        if question.kind == "anyone":
            if reply != "yes" and not {*wrong} <= {*faces}:
                raise Refusal(400, "A face is not in the question.", "Choose among its faces.")
            strangers = [] if reply == "yes" else list(faces) if reply is not None else wrong

            # The faces that are not of strangers are asked about one by one, and this not again.
            def sort_out(index: FaceIndex, people: People) -> Decided | None:
                return index.people.ignore(faces=strangers, uid=uid) if strangers else None

            return Act(uid, seen, "answer", sort_out, tuple(strangers), skips=id)

        def decide(index: FaceIndex, people: People) -> Decided | None:
            given: Any = reply
            # Somebody else may have the name by now.
            asked = question if person is None else replace(question, person=people(person).name)
            return index.people.answer(asked, given, name=name, wrong=wrong, uid=uid)

        others = tuple(face.face for face in question.others)
        clusters = tuple(c for c in (question.cluster, question.other) if c is not None)
        concerned = () if person is None else (person,)
        return Act(uid, seen, "answer", decide, (*faces, *others), clusters, concerned)

    async def skip(self, id: str, *, back: bool = False, sorted_out: bool = False) -> None:
        """Leave a question out, or with `back` ask it again.

        With `sorted_out`, its faces are asked about one by one instead.
        """
        question, _ = self._find(id)

        def skip(index: FaceIndex) -> None:
            with suppress(UsageError):  # what it is about is gone, and so it is not asked again
                if back:
                    index.people.unskip(question)
                elif sorted_out:
                    index.people.sort_out(question)
                else:
                    index.people.skip(question)

        await self.thread.reading(skip)
        if back:
            self._skipped.discard(id)
            self._version += 1
        else:
            self._skipped.add(id)
        self.decided()

    def _find(self, id: str) -> tuple[Question, int | None]:
        """Return a question, and the id of the person in it."""
        found = self._known.get(id)
        if found is None:
            raise Refusal(400, "This question is not asked any more.", "Answer the next one.")
        return found


def _id_of(question: Question) -> str:
    """Return the same id for the same question, as long as it is asked."""
    what = [question.kind, question.person, question.cluster, question.other]
    faces = [[face.face for face in side] for side in (question.faces, question.others)]
    return blake2b(repr((what, faces)).encode(), digest_size=_ID // 2).hexdigest()


def _document(id: str, question: Question, people: dict[str, int]) -> Json:
    return {
        "id": id,
        "kind": question.kind,
        "person": None if question.person is None else people.get(question.person),
        "cluster": question.cluster,
        "other": question.other,
        "faces": [face.face for face in question.faces],
        "others": [face.face for face in question.others],
        "settles": question.settles,
        "expected": as_json(question.expected),
        "probability": as_json(question.probability),
    }
