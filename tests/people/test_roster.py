from __future__ import annotations

from dataclasses import replace

import pytest

from faceindex.errors import UsageError
from faceindex.people.roster import Roster, clean_name, name_key
from faceindex.store.decisions import PersonRecord

ANNA = PersonRecord(1, "a" * 32, "Anna Maria Müller", None, None, False, None, None, 1)
BEN = PersonRecord(2, "b" * 32, "Ben", None, None, False, None, None, 2)


@pytest.mark.parametrize("name", ["7", "c7", "C 7", "f12", "face 12", "cluster:3", "#4", "-h", "--all"])
def test_names_that_look_like_references_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="looks like"):
        clean_name(name)


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "\ud800", "x" * 201])
def test_names_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        clean_name(name)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("  Anna   Maria ", "Anna Maria"),
        ("Mu\u0308ller", "Müller"),
        ("昭和天皇", "昭和天皇"),
        ("F12 B", "F12 B"),
        ("Jo-Ann", "Jo-Ann"),
        ("\u200eAnna\u200b\ufeff", "Anna"),  # as copied from a page or an address book
        ("\u0645\u06cc\u200c\u0631", "\u0645\u06cc\u200c\u0631"),  # a joiner of letters is part of a name
    ],
)
def test_names_are_cleaned(name: str, clean: str) -> None:
    assert clean_name(name) == clean


def test_names_are_found_whatever_their_case_and_form() -> None:
    roster = Roster.of([ANNA, BEN])
    assert roster.find("anna  maria MU\u0308LLER") is roster.records[1]
    assert name_key("Straße") == name_key("STRASSE")


@pytest.mark.parametrize("name", ["Anna", "müller", "Anna Maria Muller", "ana maria müller", "Mulller"])
def test_unknown_names_list_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match="Did you mean 'Anna Maria Müller'"):
        Roster.of([ANNA, BEN]).find(name)


def test_several_near_names_are_listed() -> None:
    people = [replace(BEN, id=i, name=name) for i, name in enumerate(["Anne", "Anna", "Annika"], 1)]
    with pytest.raises(UsageError) as caught:
        Roster.of(people).find("Ann")
    assert caught.value.remedy == "Did you mean 'Anne', 'Anna' or 'Annika'?"


@pytest.mark.parametrize("name", ["Xerxes", ""])
def test_nothing_near_refers_to_the_list(name: str) -> None:
    with pytest.raises(UsageError, match="lists all names"):
        Roster.of([ANNA, BEN]).find(name)


def test_without_people_the_message_says_how_to_name_one() -> None:
    with pytest.raises(UsageError, match="no person is named yet") as caught:
        Roster.of([replace(BEN, name=None, written=0)]).find("Ben")
    assert "faceindex people name" in caught.value.remedy


def test_merged_people_are_parts_of_another() -> None:
    carl = replace(BEN, id=3, uid="c" * 32, name="Carl", into=2)
    roster = Roster.of([ANNA, replace(BEN, into=1), carl])
    assert roster.roots == {1: 1, 2: 1, 3: 1}
    assert [person.id for person in roster.people()] == [1]
    assert roster.members(1) == [1, 2, 3]
    assert roster.title(3) == "Anna Maria Müller"


def test_a_circle_of_merges_ends() -> None:
    roster = Roster.of([replace(ANNA, into=2), replace(BEN, into=1)])
    assert set(roster.roots) == {1, 2}


def test_undone_people_are_left_out() -> None:
    assert Roster.of([ANNA, replace(BEN, name=None, written=0)]).people() == [ANNA]
