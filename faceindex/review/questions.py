"""The questions of the index, ahead of the page: the next ones are there when one is answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, get_args

from faceindex.documents import as_json
from faceindex.errors import FaceIndexError
from faceindex.review.answers import Refusal
from faceindex.review.verbs import Act, People

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.people_questions import Reply
    from faceindex.api.people_results import Decided
    from faceindex.api.question_results import Question
    from faceindex.documents import Json
    from faceindex.review.fields import Fields
    from faceindex.review.threads import IndexThread

__all__ = ["MOST_QUESTIONS", "Questions"]

MOST_QUESTIONS: Final = 50
"""In one request."""

_AHEAD: Final = 20  # questions that are kept ready
_REMEMBERED: Final = 2_000  # questions that can be answered
_PATIENCE: Final = 10.0  # seconds that a request waits for questions after a decision
_FIRST_PATIENCE: Final = 1.0  # seconds that it waits for the first ones


@dataclass(frozen=True, slots=True)
class _Ready:
    """Questions as of a generation."""

    generation: int
    questions: tuple[tuple[str, Question], ...]
    document: dict[str, Json]


class Questions:
    """Keeps the next questions ready.

    Parameters
    ----------
    thread : IndexThread
        Owns an index of its own: the first questions take seconds in a large one.
    """

    def __init__(self, thread: IndexThread) -> None:
        self.thread = thread
        self._ready: _Ready | None = None
        self._known: OrderedDict[str, Question] = OrderedDict()
        self._work: asyncio.Future[None] | None = None
        self._again = False
        self._most = _AHEAD

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
        until = loop.time() + (_PATIENCE if self._ready is not None else _FIRST_PATIENCE)
        while self._ready is None or self._ready.generation < seen or self._is_short(limit):
            remaining = until - loop.time()
            if remaining <= 0:
                break
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.prepare()), remaining)
        if self._ready is None:
            return {"state": "preparing", "questions": []}
        document = dict(self._ready.document)
        if "questions" in document:
            document["questions"] = document["questions"][:limit]  # type: ignore[index, call-overload]
        return document

    def _is_short(self, limit: int) -> bool:
        ready = self._ready
        return ready is not None and _AHEAD <= len(ready.questions) < min(limit, self._most)

    def prepare(self) -> asyncio.Future[None]:
        """Compute the questions anew; one computation at a time."""
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._prepare())
        return self._work

    def decided(self) -> None:
        """Compute the questions anew if they were asked for: the index has changed."""
        if self._ready is not None:
            self.prepare()

    async def _prepare(self) -> None:
        self._ready = await self.thread.reading(self._compute)

    def _compute(self, index: FaceIndex) -> _Ready:
        generation = index.generation
        try:
            questions = index.people.suggest(self._most)
            progress = index.people.progress()
        except FaceIndexError as error:
            problem = {"state": "unavailable", "problem": error.problem, "remedy": error.remedy}
            return _Ready(generation, (), {**problem, "questions": []})
        people = {title: id for id, title in index.people.titles().items()}
        named = tuple((_id_of(question), question) for question in questions)
        for id, question in named:
            self._known[id] = question
            self._known.move_to_end(id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        document: dict[str, Json] = {
            "state": "ready" if questions else "none",
            "generation": generation,
            "questions": [_document(id, question, people) for id, question in named],
            "progress": progress.as_dict(),
        }
        return _Ready(generation, named, document)

    # Answers -----------------------------------------------------------------------------------

    def read_answer(self, fields: Fields, uid: str, seen: int) -> Act:
        """Read the answer to a question as a decision; an answer that decides nothing is one, too."""
        question = self._find(fields.text("question"))
        reply, name = fields.text_or_none("reply"), fields.text_or_none("name")
        wrong = fields.integers("wrong")
        fields.end()
        from faceindex.api.people_questions import Reply

        if reply is not None and reply not in get_args(Reply):
            raise Refusal(400, f"`{reply[:40]}` is no answer.", f"Choose one of {', '.join(get_args(Reply))}.")
        if question.kind == "anyone":
            return self._sort_out(question, reply, wrong, uid, seen)

        def decide(index: FaceIndex, people: People) -> Decided | None:
            given: Any = reply
            return index.people.answer(question, given, name=name, wrong=wrong, uid=uid)

        faces = (*(face.face for face in question.faces), *(face.face for face in question.others))
        clusters = tuple(c for c in (question.cluster, question.other) if c is not None)
        return Act(uid, seen, "answer", decide, faces, clusters)
