"""``faceindex people suggest``: questions in the order of what an answer settles."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli import pictures
from faceindex.cli.errors import INTERRUPTED, PARTIAL, session
from faceindex.cli.host import map_arrays
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, count
from faceindex.errors import FaceIndexError, IndexLocked, UsageError
from faceindex.images.moments import at_moment

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.people_questions import AskingPeople, Reply
    from faceindex.api.people_results import Decided
    from faceindex.api.question_results import Question
    from faceindex.api.results import Face

__all__ = ["suggest"]

_SCHEMA = "faceindex/suggest/1"
_LIMIT = 10
_NEAR = 0.8  # similarity of a name to a known one from which it may be a slip
_KEYS = {
    "who": "a name, s skip, i ignore (a stranger), u undo, q quit",
    "same": "y yes, n no, or a name; s skip, i ignore (a stranger), u undo, q quit",
    "is": "y yes, n no, or a name; s skip, i ignore (a stranger), u undo, q quit",
    "all": "y all, n none, or the numbers of the wrong ones; s skip, i ignore (strangers), u undo, q quit",
    "anyone": "n none (strangers), y all, or the numbers of those; s skip, u undo, q quit",
}


def suggest(
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="N", min=1, help="At most N questions; 10 without a terminal."),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Print photos and positions only.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Answer questions about faces, those that settle most first.

    "Who is this?", "Are these two one person?", "Are these 4 faces all Anna?" On a terminal, shows the
    faces if the terminal can, and waits for an answer: y or n, a name, or the numbers of faces. Each answer
    is a decision at once: Ctrl-C loses nothing, and `u` takes the last one back. Without a terminal, or with
    --json, lists the questions and changes nothing.

    No question comes twice, or contradicts what you said before. Exit code 1 if there is no question.

    Examples:
      faceindex people suggest
      faceindex people suggest --json --limit 100
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        map_arrays()
        asking = _is_terminal() and out.terminal and not json
        if asking:  # before the first question: whether answers can be stored, in the format of today
            FaceIndex.open(index, write=True, wait=WAIT).close()
        with FaceIndex.open(index) as found:
            if asking:
                _Session(out, found, show=not no_pictures).run(limit)
            else:
                _list(out, found, _LIMIT if limit is None else limit)


def _list(out: Output, found: FaceIndex, limit: int) -> None:
    questions, progress = found.people.suggest(limit), found.people.progress()
    if not questions:
        out.exit_code = PARTIAL
    if out.json:
        out.document(
            _SCHEMA,
            index=str(found.directory),
            progress=progress.as_dict(),
            questions=[question.as_dict() for question in questions],
        )
        return
    for number, question in enumerate(questions, 1):
        _print(out, question, number)
    if not questions:
        out.note("There is no question.")
    elif not out.quiet:
        out.answer(
            f"{progress.share:.0%} of the faces are named. Answer on a terminal: faceindex people suggest"
        )


def _print(out: Output, question: Question, number: int) -> None:
    settles = count(question.settles, "face")
    where = "" if question.cluster is None else f" Cluster {question.cluster};"
    out.answer(f"{number}. {question.text}{where} settles {settles}.")
    for side, faces in (("", question.faces), ("compare with", question.others)):
        if side and faces:
            who = question.person or f"cluster {question.other}"
            out.answer(f"   {side} {who}:")
        for i, face in enumerate(faces, 1):
            out.answer(f"   {i}  {_place(face)}" if not side else f"      {_place(face)}")


def _place(face: Face) -> str:
    x1, y1, x2, y2 = (round(value) for value in face.box)
    return f"{at_moment(face.photo)} at {x1},{y1} to {x2},{y2} (f{face.face})"


class _Quit(Exception):
    """The user wants no more questions."""


class _Session:
    """Asks until there is no question, or the user quits.

    The index is open for writing only while an answer is stored, so that others can decide meanwhile.
    """

    def __init__(self, out: Output, found: FaceIndex, *, show: bool) -> None:
        self.out, self.found = out, found
        self.people: AskingPeople = found.people
        self.protocol = pictures.protocol() if show else None
        self.history: list[Question | int] = []  # skipped questions, and numbers of decisions
        self.answers = 0

    def run(self, limit: int | None) -> None:
        """Ask up to `limit` questions, and print what was reached."""
        number = 0
        with _completion(self.people):
            try:
                while limit is None or number < limit:
                    questions = self.people.suggest(1)
                    if not questions:
                        self.out.answer("There are no more questions." if number else "There is no question.")
                        if not number:
                            self.out.exit_code = PARTIAL
                        break
                    number += 1
                    self._ask(questions[0], number)
            except (_Quit, EOFError):
                self.out.answer()
            except KeyboardInterrupt:
                self.out.answer()
                self.out.exit_code = INTERRUPTED
        progress = self.people.progress()
        kept = f"{count(self.answers, 'answer')} kept. " if self.answers else ""
        self.out.answer(f"{kept}{progress.named:,} of {count(progress.faces, 'face')} are named.")

    def _ask(self, question: Question, number: int) -> None:
        _print(self.out, question, number)
        self._draw(question)
        several = question.kind == "is" and len(question.faces) > 1
        keys = _KEYS["all" if several else question.kind]
        while True:
            self.out.answer(f"[{keys}]")
            reply = self.out.ask("> ").strip()
            try:
                if self._take(question, reply):
                    return
            except (UsageError, IndexLocked) as error:
                self.out.answer(f"{error.problem} {error.remedy}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[AskingPeople]:
        """Open the index for one decision."""
        from faceindex.api import FaceIndex

        with FaceIndex.open(self.found.directory, write=True, wait=WAIT) as found:
            yield found.people

    def _decide(
        self,
        question: Question,
        reply: Reply | None = None,
        *,
        name: str | None = None,
        wrong: Sequence[int] = (),
    ) -> Decided | None:
        with self._writing() as people:
            decided = people.answer(question, reply, name=name, wrong=wrong)
        self.people.sort_out(question)
        return decided

    def _take(self, question: Question, reply: str) -> bool:
        """Make the decision of a reply; False if another one is needed."""
        key = reply.lower()
        if key in ("q", "quit"):
            raise _Quit
        if key in ("u", "undo"):
            return self._undo()
        if key in ("", "s", "skip"):
            self.people.skip(question)
            self.history.append(question)
            return True
        if key in ("y", "yes", "n", "no", "i", "ignore"):
            if question.kind == "who" and key[0] != "i":
                raise UsageError("The question is who this is.", "Type a name, or i, s, u or q.")
            words: dict[str, Reply] = {"y": "yes", "n": "no", "i": "ignore"}
            decided = self._decide(question, words[key[0]])
        elif question.kind in ("is", "anyone") and all(
            part.isdigit() for part in key.replace(",", " ").split()
        ):
            decided = self._decide(question, wrong=self._numbered(question, key))
        elif question.kind == "anyone" or (question.kind == "is" and len(question.faces) > 1):
            raise UsageError("That is none of the answers.", "Type y, n, or numbers such as 1 3.")
        elif question.kind == "same" and question.person is None:
            raise UsageError("That is none of the answers.", "Type y, n, i, s, u or q.")
        else:
            if len(reply) == 1 and reply.isascii() and not reply.isdigit():  # a slip, or a call for help
                raise UsageError("That is none of the answers.", "Type a longer name, or i, s, u or q.")
            name = self._known_name(reply)
            if name is None:
                return False
            decided = self._decide(question, name=name)
        self.answers += decided is not None
        self.history.append(question if decided is None or decided.number is None else decided.number)
        self._report()
        return True

    def _numbered(self, question: Question, reply: str) -> list[int]:
        """Return the faces that are wrong, or strangers, by the numbers that were typed."""
        numbers = {int(part) for part in reply.replace(",", " ").split()}
        faces = question.faces
        if not numbers or max(numbers) > len(faces) or min(numbers) < 1:
            raise UsageError(f"The faces have the numbers 1 to {len(faces)}.", "Type some of these.")
        chosen = [face.face for i, face in enumerate(faces, 1) if i in numbers]
        if question.kind == "is":
            return chosen
        strangers = [face.face for face in faces if face.face not in chosen]
        if not strangers:
            raise UsageError("These are all faces.", "Type y for all of them.")
        return strangers

    def _known_name(self, reply: str) -> str | None:
        """Return the name, or a known one that was meant; None if the user wants to type again."""
        known = self.people.names()
        folded = {name.casefold(): name for name in known}
        if reply.casefold() in folded:
            return folded[reply.casefold()]
        near = difflib.get_close_matches(reply.casefold(), folded, 1, _NEAR)
        if not near:
            return reply
        answer = self.out.ask(
            f"Nobody is called {reply} yet. y adds {reply}, n takes {folded[near[0]]}, Enter neither: "
        )
        return {"y": reply, "n": folded[near[0]]}.get(answer.strip().lower()[:1])

    def _undo(self) -> bool:
        if not self.history:
            self.out.answer(
                "There is nothing to undo here; `faceindex people undo` takes back earlier decisions."
            )
            return False
        last = self.history[-1]
        if isinstance(last, int):
            with self._writing() as people:
                ((entry, _),) = people.undo(expected=last)
        self.history.pop()
        if not isinstance(last, int):
            self.people.unskip(last)
            return True
        self.answers -= 1
        self.out.answer(f"Undone: {entry.command}")
        return True

    def _report(self) -> None:
        progress = self.people.progress()
        left = count(progress.questions, "question")
        self.out.answer(f"{progress.share:.0%} of the faces are named; about {left} left.")
        self.out.answer()

    def _draw(self, question: Question) -> None:
        """Show the faces where the terminal can."""
        if self.protocol is None:
            return
        faces = [*question.faces, *question.others]
        who = question.person or f"cluster {question.other}"
        labels = [str(i) for i in range(1, len(question.faces) + 1)] + [who] * len(question.others)
        try:
            pictures.draw(
                self.out, self.found.sheets.faces([face.face for face in faces], labels), self.protocol
            )
        except FaceIndexError as error:  # the photo is gone; its name is printed
            self.out.note(error.problem)


@contextlib.contextmanager
def _completion(people: AskingPeople) -> Iterator[None]:
    """Complete the names of people with Tab, where Python has readline."""
    try:
        import readline
    except ImportError:  # Windows
        yield
        return

    def complete(text: str, state: int) -> str | None:
        found = [name for name in people.names() if name.casefold().startswith(text.casefold())]
        return found[state] if state < len(found) else None

    before, delimiters = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    readline.set_completer_delims("")
    readline.parse_and_bind("bind ^I rl_complete" if _is_libedit(readline) else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)
        readline.set_completer_delims(delimiters)


def _is_libedit(module: object) -> bool:
    return "libedit" in (getattr(module, "__doc__", None) or "")


def _is_terminal() -> bool:
    return sys.stdin.isatty()
