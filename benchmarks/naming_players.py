"""A simulated person at the page: sees the faces and texts that it shows, and presses, clicks and taps.

Every action counts one: a key, a click, a tap, a drag, a turn of the wheel over one screen, and a whole name
that is typed (its letters are counted apart). The person sees whose a picture is (`naming_truth`), and looks
at nothing that is not on the screen. After an action, the script waits until the page has stored it.
"""

# ruff: noqa: E501 - scripts for the page

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

from naming_truth import STRANGER, most_of

_SETTLED = """() => APP.then((app) => app.actions.unsaved === 0
  && !(app.current instanceof QuestionsView && (app.current.queue.loading || app.current.queue.state === "preparing")))"""
_NAMES = """() => APP.then(({ album }) => [...album.face].map((face, at) =>
  [face, isNobody(album.label[at]) ? "" : album.people.get(album.person[at])?.name ?? null]))"""
_QUESTION = """() => {
  const shown = (element) => [...element.querySelectorAll(".tile .thumb")].map((it) => Number(it.dataset.thumbnail));
  const [asked] = document.querySelectorAll(".questions .asked");
  const [others] = document.querySelectorAll(".questions .others");
  return { heading: document.querySelector(".questions .heading").textContent,
    faces: asked ? shown(asked) : [], others: others ? shown(others) : [] };
}"""
_CARDS = """() => [...document.querySelectorAll(".people .item, .people > *")].filter((it) => it.querySelector(".card")).map((it) => {
  const box = it.querySelector(".card").getBoundingClientRect();
  return { face: Number(it.querySelector(".thumb").dataset.thumbnail), label: it.querySelector(".card").ariaLabel,
    named: it.querySelector(".name-field, .naming") === null, x: box.x + box.width / 2, y: box.y + box.height / 3 };
}).filter(({ y }) => y > 60 && y < innerHeight - 60).sort((a, b) => Math.round((a.y - b.y) / 40) || a.x - b.x)"""
_FACES = """() => [...document.querySelectorAll(".faces .face")].map((it) => {
  const thumb = it.matches("[data-thumbnail]") ? it : it.querySelector("[data-thumbnail]");
  const box = it.getBoundingClientRect();
  return { face: Number(thumb.dataset.thumbnail), confirmed: it.classList.contains("confirmed"),
    x: box.x + box.width / 2, y: box.y + box.height / 2 };
}).filter(({ y }) => y > 70 && y < innerHeight - 10).sort((a, b) => Math.round((a.y - b.y) / 30) || a.x - b.x)"""
_CHOSEN = """() => document.activeElement.closest(".name-field")
  ?.querySelector("[role=option][aria-selected=true] .name")?.textContent ?? null"""


class Person(ABC):
    """What all players share: sight, counting, and typing names.

    Parameters
    ----------
    page : playwright page, open
    names : dict of int to str
        Whose each face is; `STRANGER` for nobody whom the person knows.
    most : int
        Actions after which the person gives up.

    Attributes
    ----------
    actions : int
    kinds : Counter of str
    letters : int
        Of all typed names.
    right : list of float
        Share of the labelled faces that have their name, after each action.
    """

    def __init__(self, page: Any, names: dict[int, str], most: int) -> None:
        self.page, self.names, self.most = page, names, most
        self.actions, self.letters = 0, 0
        self.kinds: Counter[str] = Counter()
        self.questions: Counter[str] = Counter()
        self.right = [0.0]
        self.known = {name for name in names.values() if name != STRANGER}

    @abstractmethod
    def play(self) -> None:
        """Name people until nothing is left to do."""

    @property
    def is_tired(self) -> bool:
        return self.actions >= self.most

    def see(self, what: str) -> Any:
        return self.page.evaluate(what)

    def whose(self, faces: list[int]) -> list[str]:
        return [self.names[face] for face in faces]

    def settle(self) -> None:
        for _ in range(1500):
            if self.see(_SETTLED):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("the page does not come to rest within 30 seconds")

    def did(self, kind: str) -> None:
        """Count an action."""
        self.actions += 1
        self.kinds[kind] += 1
        self.settle()
        shown = dict(self.see(_NAMES))
        labelled = [face for face, name in self.names.items() if name != STRANGER]
        self.right.append(sum(shown[face] == self.names[face] for face in labelled) / max(1, len(labelled)))

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.did("key")

    def click(self, target: Any, **options: Any) -> None:
        if isinstance(target, str):
            self.page.locator(target).filter(visible=True).first.click(**options)
        else:
            for key in options.get("modifiers", ()):
                self.page.keyboard.down(key)
            self.page.mouse.click(*target)
            for key in options.get("modifiers", ()):
                self.page.keyboard.up(key)
        self.did("click")

    def type_name(self, name: str) -> None:
        """Type a name into the field that has the focus, and take it."""
        self.page.keyboard.insert_text(name)
        self.letters += len(name)
        self.did("name")
        chosen = self.see(_CHOSEN)
        self.press("Enter" if chosen == name else "Shift+Enter")

    def errors(self) -> dict[str, Any]:
        """Return what is wrong or missing on the page now."""
        shown = dict(self.see(_NAMES))
        labelled = {face: name for face, name in self.names.items() if name != STRANGER}
        return {
            "named_wrong": sum(bool(shown[face]) and shown[face] != name for face, name in labelled.items()),
            "ignored": sum(shown[face] == "" for face in labelled),
            "without_name": sum(shown[face] is None for face in labelled),
            "strangers_named": sum(bool(shown[face]) for face in self.names if face not in labelled),
            "strangers_left": sum(shown[face] is None for face in self.names if face not in labelled),
        }


class Keyboard(Person):
    """Answers the questions, with keys alone."""

    def play(self) -> None:
        for key in "gq":  # one after the other
            self.page.keyboard.press(key)
        self.page.wait_for_selector(".questions .heading")
        self.did("key")
        self.did("key")
        while not self.is_tired:
            question = self.see(_QUESTION)
            if not question["faces"]:
                return
            self.answer(**question)

    def answer(self, heading: str, faces: list[int], others: list[int]) -> None:
        shown = self.whose(faces)
        most = most_of(shown)
        self.questions[
            heading.split()[0] if heading.startswith("Can") else " ".join(heading.split()[:2])
        ] += 1
        if heading == "Who is this?":
            self.stranger() if most == STRANGER else self.name(most)
        elif heading.startswith("Can you name"):
            self.some([name != STRANGER for name in shown], none="no", all_="yes")
        elif heading.startswith("Are these two"):
            if most == STRANGER:
                self.stranger()
            else:
                self.yes_or_no(most == most_of(self.whose(others)))
        else:
            asked = heading.removesuffix("?").partition(" all " if " all " in heading else "this face ")[2]
            asked = asked or heading.removesuffix("?").removeprefix("Is this ")
            if len(faces) > 1 and " all " in heading:
                self.some([name != asked for name in shown], none="yes", all_="no")
            elif most == asked:
                self.yes_or_no(True)
            elif most == STRANGER:
                self.stranger()
            else:
                self.somebody_else(most)

    def some(self, marks: list[bool], *, none: str, all_: str) -> None:
        """Mark faces of a question, or answer for all of them."""
        if all(marks) or not any(marks):
            self.yes_or_no((all_ if all(marks) else none) == "yes")
            return
        for number, is_marked in enumerate(marks, 1):
            if is_marked:
                self.mark(number)
        self.take_marks()

    def mark(self, number: int) -> None:
        self.press(str(number))

    def take_marks(self) -> None:
        self.press("Enter")

    def yes_or_no(self, yes: bool) -> None:
        self.press("y" if yes else "n")

    def stranger(self) -> None:
        in_field = self.see("() => document.activeElement.matches('.questions input')")
        self.press("Delete" if in_field else "i")

    def name(self, name: str) -> None:
        self.type_name(name)

    def somebody_else(self, name: str) -> None:
        self.press("w")
        self.type_name(name)


class Touch(Keyboard):
    """Answers the questions on a phone, with taps; only new names are typed."""

    def play(self) -> None:
        self.tap("#tab-questions")
        self.page.wait_for_selector(".questions .heading")
        while not self.is_tired:
            question = self.see(_QUESTION)
            if not question["faces"]:
                return
            self.answer(**question)

    def tap(self, what: str, text: str | None = None) -> None:
        found = self.page.locator(what).filter(visible=True)
        (found.get_by_text(text, exact=True) if text else found).first.tap()
        self.did("tap")

    def mark(self, number: int) -> None:
        self.page.locator(".asked .tile-face").nth(number - 1).tap()
        self.did("tap")

    def take_marks(self) -> None:
        self.tap(".main-answers .choice")

    def yes_or_no(self, yes: bool) -> None:
        self.page.locator(".main-answers .choice").filter(visible=True).nth(0 if yes else 1).tap()
        self.did("tap")

    def stranger(self) -> None:
        self.tap(".more-answers .choice", "Stranger")

    def name(self, name: str) -> None:
        chip = self.page.locator(".chips button").filter(visible=True).get_by_text(name, exact=True)
        if chip.count():
            chip.first.tap()
            self.did("tap")
            return
        self.tap(".questions .name-field input")
        self.take_name(name)

    def take_name(self, name: str) -> None:
        offered = self.page.locator(".name-options [role=option] .name").filter(visible=True)
        found = offered.get_by_text(name, exact=True)
        if found.count():
            found.first.tap()
            self.did("tap")
        else:
            self.type_name(name)

    def somebody_else(self, name: str) -> None:
        self.tap(".more-answers .choice", "Somebody else")
        self.take_name(name)


class Mouse(Person):
    """Names the clusters under People, and looks through each person and the unclustered faces, by mouse."""

    def play(self) -> None:
        self.name_clusters()
        self.ignore_clusters()
        self.look_through()
        self.sort_unclustered()

    def name_clusters(self) -> None:
        """Name every cluster that is on the screen and whose cover is of somebody known."""
        while not self.is_tired:
            open_ = [
                card
                for card in self.see(_CARDS)
                if not card["named"] and self.names[card["face"]] != STRANGER
            ]
            if not open_:
                return
            editing = self.see(
                "() => Number(document.activeElement.closest('.is-naming')?.querySelector('.thumb').dataset.thumbnail ?? -1)"
            )
            if editing < 0 or self.names[editing] == STRANGER:
                target = open_[0]
                self.click(f"{self.item(target['face'])} > .naming")
                editing = target["face"]
            self.type_name(self.names[editing])

    def item(self, face: int) -> str:
        return f".people :has(> .card .thumb[data-thumbnail='{face}'])"

    def ignore_clusters(self) -> None:
        """Select the clusters of strangers, and ignore them at once."""
        strangers = [card for card in self.see(_CARDS) if not card["named"]]
        if strangers and self.see("() => document.activeElement.matches('.people input')"):
            self.press("Escape")  # the list of names may cover a card
        for card in strangers:
            self.click(f"{self.item(card['face'])} > .card", modifiers=["Control"])
        if strangers:
            self.click(".action-bar button:text-is('Ignore')")

    def look_through(self) -> None:
        """Look at the doubtful faces of each person, one after the other, and correct those that are wrong."""
        self.page.evaluate("scrollTo(0, 0)")
        first = next((card for card in self.see(_CARDS) if card["named"]), None)
        if first is None:
            return
        self.click((first["x"], first["y"]))
        self.page.locator(".actions select").filter(visible=True).select_option("doubtful")
        self.did("choice")
        while not self.is_tired:
            name = self.see("() => document.querySelector('.view .heading').textContent")
            wrong = [it for it in self.see(_FACES) if self.names[it["face"]] != name and not it["confirmed"]]
            if wrong:
                self.take_together(wrong)
            elif name in self.known and self.see(
                "() => document.querySelector('.together a:last-child').hasAttribute('href')"
            ):
                self.click(".together a:last-child")
            else:
                return  # the clusters without a name come after the people

    def take_together(self, shown: list[dict[str, Any]]) -> None:
        """Select the faces of one of the people who are shown, and say who it is."""
        who = most_of(self.names[it["face"]] for it in shown)
        those = [it for it in shown if self.names[it["face"]] == who]
        for it in those:
            if it["y"] > self.see(
                "() => innerHeight - (document.querySelector('.action-bar:not([hidden])')?.offsetHeight ?? 0) - 30"
            ):
                self.scrolled(160)  # the bar covers it
            now = [other for other in self.see(_FACES) if other["face"] == it["face"]]
            if not now and self.scrolled(-160):  # it is above the screen now
                now = [other for other in self.see(_FACES) if other["face"] == it["face"]]
            for place in now:
                self.click((place["x"], place["y"]), modifiers=["Control"])
        if who == STRANGER:
            self.click(".action-bar button:text-is('Ignore')")
        else:
            self.click(".action-bar button:has-text('…'):not(:has-text('Split'))")
            self.take_name(who)

    def take_name(self, name: str) -> None:
        found = (
            self.page.locator("dialog[open] [role=option] .name")
            .filter(visible=True)
            .get_by_text(name, exact=True)
        )
        if found.count():
            found.first.click()
            self.did("click")
        else:
            self.type_name(name)

    def sort_unclustered(self) -> None:
        """Name the unclustered faces of everybody known, then ignore all others at once."""
        self.click("#tab-none")
        while not self.is_tired:
            shown = [it for it in self.see(_FACES) if self.names[it["face"]] != STRANGER]
            if shown:
                self.take_together(shown)
            elif not self.scrolled():
                break
        if self.see(_FACES):
            self.press("Control+a")
            self.click(".action-bar button:text-is('Ignore')")

    def scrolled(self, by: int = 560) -> bool:
        """Scroll; false at the end of the page."""
        before = self.see("() => scrollY")
        self.page.mouse.move(600, 400)
        self.page.mouse.wheel(0, by)
        self.page.wait_for_timeout(100)
        if self.see("() => scrollY") == before:
            return False
        self.did("wheel")
        return True
