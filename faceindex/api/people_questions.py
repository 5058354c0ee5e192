"""The questions of ``index.people``: what to decide next, and the decisions that answers make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from faceindex.api.deciding import PersonRef, command_text, face_words, unique
from faceindex.api.people import IndexPeople
from faceindex.api.question_results import Explanation, Progress, Question, Split
from faceindex.errors import ModelError, NotClustered, UsageError
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.asking import Asking
    from faceindex.api.people_results import Decided
    from faceindex.api.reader import Reader
    from faceindex.api.results import Face
    from faceindex.people.asked import Asked, Key
    from faceindex.people.editor import Editor

__all__ = ["AskingPeople", "Reply"]

Reply = Literal["yes", "no", "ignore", "skip"]


_COUNTED: Final = 20_000  # faces up to which the questions about each person are counted


class AskingPeople(IndexPeople):
    """The verbs of `IndexPeople`, and questions in the order of what an answer settles."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._state: Asking | None = None
        self._skipped: set[Key] = set()

    def suggest(self, limit: int | None = 10) -> Sequence[Question]:
        """Return the questions whose answers settle most, the best first.

        The first call reads all faces; later ones only what has changed since.

        Parameters
        ----------
        limit : int, optional
            None means all.

        Raises
        ------
        NotClustered
            If the faces are not clustered.
        Uncalibrated
            If the embedder has no calibration.
        """
        with self._store.snapshot():
            state = self._asking()
            ranked = state.ranked(limit, self._skipped)
            faces = state.faces(ranked)
        return [_question(state, asked, faces) for asked in ranked]

    def answer(
        self,
        question: Question,
        reply: Reply | None = None,
        *,
        name: str | None = None,
        wrong: Iterable[int] = (),
        uid: str | None = None,
    ) -> Decided | None:
        """Make the decision that an answer means.

        A decision needs no list of questions. So one `FaceIndex` can keep it, open for reading, while another
        one that was just opened for writing decides. `skip` and `sort_out` belong to the former.

        Parameters
        ----------
        question : Question
            From `suggest`.
        reply : {"yes", "no", "ignore", "skip"}, optional
            ``"ignore"`` means that the faces in question are of strangers. ``"skip"`` decides nothing, and
            the question is not asked again until the index is opened again.
        name : str, optional
            Who it is, instead of `reply`.
        wrong : iterable of int
            Of an *is* question: the shown faces that are not the person, while the others are. Of *anyone*:
            the faces of strangers, while the others are of people that you can name (`sort_out`).
        uid : str, optional
            Of the decision; if the journal has it, nothing is decided again.

        Returns
        -------
        Decided or None
            None if the question is skipped.

        Raises
        ------
        UsageError
            If the answer does not fit the question.
        """
        wrong = unique(wrong)
        faces, others = [f.face for f in question.faces], [f.face for f in question.others]
        if (reply is None) == (name is None and not wrong):
            raise UsageError("The answer is missing, or there are two.", "Give `reply`, `name` or `wrong`.")
        if question.kind in ("is", "anyone") and (unknown := [face for face in wrong if face not in faces]):
            raise UsageError(f"Face {unknown[0]} is not in the question.", "Choose among its faces.")
        if reply == "skip":
            self.skip(question)
            return None
        if question.kind == "anyone":
            return self._sort_out(question, reply, wrong, uid)
        if (made := self._decider.made(uid)) is not None:
            return self._decider.recorded(made)
        clusters = [] if question.cluster is None else [question.cluster]
        single = faces if question.cluster is None else []
        if reply == "ignore":
            return self.ignore(clusters=clusters, faces=single, uid=uid)
        if name is not None:
            return self.name(name, clusters=clusters, faces=single, uid=uid)
        if question.kind == "who":
            raise UsageError("The question is who this is.", "Give `name`, or ignore or skip it.")
        if question.kind == "is":
            assert question.person is not None
            wrong = faces if reply == "no" else wrong
            return self._sort(question.person, [face for face in faces if face not in wrong], wrong, uid)
        if question.person is not None:
            if reply == "yes":
                return self.name(question.person, clusters=clusters, faces=single, uid=uid)
            return self.reject(faces, question.person, uid=uid)
        return (
            self.same([*faces, *others], uid=uid)
            if reply == "yes"
            else self.different(faces, others, uid=uid)
        )

    def progress(self) -> Progress:
        """Count the named faces, and the questions that are left."""
        state = self._asking()
        named, faces = state.named()
        return Progress(faces, named, state.questions.count())

    def count_questions(self) -> int:
        """Count the questions that are left, nearly: without those about doubtful faces of clusters."""
        return self._asking().questions.count()

    def count_questions_by_person(self) -> dict[int, int] | None:
        """Count the questions that are left about each person, by the ids of the people.

        Returns
        -------
        dict of int to int or None
            None without clusters or a calibration of the embedder, and in an index of more than 20,000 faces,
            where counting takes seconds.
        """
        if self._store.count_faces() > _COUNTED:
            return None
        try:
            state = self._asking()
        except (ModelError, NotClustered):
            return None
        found: dict[int, int] = {}
        for asked in state.questions.ranked(None):
            if asked.person >= 0:
                found[asked.person] = found.get(asked.person, 0) + 1
        return found

    def skip(self, question: Question) -> None:
        """Leave a question out of `suggest` until `unskip`, or until the index is opened again."""
        self._skipped.add(self._key(question))

    def unskip(self, question: Question) -> None:
        """Ask a skipped question again."""
        from faceindex.api.asking import key_of

        self._skipped -= {self._key(question), key_of(question, sorted_out=True)}

    def sort_out(self, question: Question) -> None:
        """Ask about the faces of an *anyone* question one by one, but for those that are ignored by then.

        `answer` does it; call it if another `FaceIndex` decides.
        """
        if question.kind == "anyone":
            from faceindex.api.asking import key_of

            self._skipped.add(key_of(question, sorted_out=True))

    # Splitting and explaining -------------------------------------------------------------------

    def propose_split(self, what: PersonRef | int, faces: Iterable[int] = ()) -> Split:
        """Divide the faces of a person or a cluster, and change nothing.

        A person with several clusters is divided by clusters if these differ clearly. Faces that the user
        confirmed stay, unless they are given.

        Parameters
        ----------
        what : str, Person or int
            A person, or the id of a cluster.
        faces : iterable of int
            Faces of the part to split off. Faces that resemble them more than the rest go with them. None
            means the division into the two sides that differ most.

        Raises
        ------
        NotClustered
            If the faces are not clustered.
        UsageError
            If a face is not among those of `what`, or without `faces`, no division is better than chance.
        """
        from faceindex.api.split import propose

        return propose(self._reader, self._decider, what, unique(faces))

    def split(
        self,
        what: PersonRef | int | Split,
        faces: Iterable[int] = (),
        *,
        name: str | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> tuple[Split, Decided]:
        """Split a person or a cluster in two, in one decision.

        The part is rejected from the person, or kept apart from the rest of the unnamed cluster. It is a new
        cluster, with a name if one is given.

        Parameters
        ----------
        what : str, Person, int or Split
            As in `propose_split`, or what it returned.
        faces : iterable of int
            As in `propose_split`.
        name : str, optional
            Who the part is.
        uid : str, optional
            Of the decision. If the journal has it, nothing is decided again. Of the split, unless it is
            `what`, only the part is returned then, as far as the journal has it.
        dry_run : bool

        Raises
        ------
        NotClustered, UsageError
            As `propose_split`, or if the name cannot be used.
        """
        from faceindex.api.split import already, carry_out

        if (made := self._decider.made(uid)) is not None:
            split = what if isinstance(what, Split) else already(self._decider, made, unique(faces))
            decided = self._decider.recorded(made)
            return split, replace(decided, number=None) if dry_run else decided
        split = what if isinstance(what, Split) else self.propose_split(what, faces)
        decided = carry_out(self._decider, split, name, uid=uid, dry_run=dry_run)
        return split, replace(decided, number=None) if dry_run else decided

    def why(self, face: int, neighbours: int = 5) -> Explanation:
        """Explain why a face shows whom it shows: what it resembles, the decisions, and the rules.

        Parameters
        ----------
        face : int
        neighbours : int
            Number of most similar faces to return.

        Raises
        ------
        UsageError
            If the face is not in the index.
        """
        from faceindex.api.why import explain

        return explain(self._reader, face, neighbours)

    def _sort_out(
        self, question: Question, reply: Reply | None, strangers: Sequence[int], uid: str | None
    ) -> Decided | None:
        """Ignore the strangers of an *anyone* question; the other faces are asked about one by one."""
        if reply in ("no", "ignore"):
            strangers = [face.face for face in question.faces]
        elif reply is None and not strangers:
            raise UsageError("The question is whether you can name anyone.", "Answer yes or no, or skip it.")
        self.sort_out(question)
        return self.ignore(faces=strangers, uid=uid) if strangers else None

    def _sort(self, person: str, right: Sequence[int], wrong: Sequence[int], uid: str | None) -> Decided:
        """Confirm some faces of a person and reject others, in one decision."""
        id = self._decider.person(person)

        def work(editor: Editor) -> None:
            if right:
                editor.label(id, self._decider.marks(right), Label.CONFIRMED)
            if wrong:
                editor.reject(id, self._decider.marks(wrong))

        if not wrong:
            command = command_text("confirm", *face_words(right), options={"as": person})
        elif not right:
            command = command_text("reject", *face_words(wrong), options={"from": person})
        else:
            words = ["confirm", *face_words(right), "as", person, "and", "reject", *face_words(wrong)]
            command = command_text(*words)
        return self._decider.decide(command, work, [*right, *wrong], uid=uid, dry_run=False)

    def _asking(self) -> Asking:
        from faceindex.api.asking import Asking

        self._reader.clustering()
        if self._state is None:
            self._state = Asking(self._reader)
        else:
            self._state.follow()
        return self._state

    def _key(self, question: Question) -> Key:
        person = -1
        if question.kind == "is" and question.person is not None:
            with suppress(UsageError):  # renamed since: the question comes back with the new name
                person = self._decider.person(question.person)
        from faceindex.api.asking import key_of

        return key_of(question, person)


def _question(state: Asking, asked: Asked, faces: Mapping[int, Face]) -> Question:
    ids = state.board.ids
    return Question(
        kind=asked.kind,
        person=None if asked.person < 0 else state.roster.title(asked.person),
        cluster=None if asked.slot < 0 else ids[asked.slot],
        other=None if asked.other < 0 else ids[asked.other],
        faces=tuple(faces[place] for place in asked.faces),
        others=tuple(faces[place] for place in asked.others),
        settles=asked.settles,
        expected=round(asked.expected, 3),
        probability=round(asked.probability, 4),
    )
