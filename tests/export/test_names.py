from __future__ import annotations

import pytest

from faceindex.export.names import UniqueNames, safe_name, split_suffix


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("holiday", "holiday"),
        ("Zoë & 祖母 🎂", "Zoë & 祖母 🎂"),
        ("Zoe\u0308", "Zoë"),
        ('"><script>alert(1)<', "___script_alert(1)_"),
        ("../../x", "___.._x"),
        ("a\\b:c", "a_b_c"),
        ("-rf", "_rf"),
        (".hidden", "_hidden"),
        (".", "_"),
        ("..", "__"),
        ("", "_"),
        ("trailing. ", "trailing__"),
        ("two\nlines\x00", "two_lines_"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("bad\udcffbyte", "bad_byte"),
        ("CON", "_CON"),
        ("con.tar", "_con.tar"),
        ("lpt9 ", "lpt9_"),
        ("COM¹", "_COM¹"),
        ("CONTACT", "CONTACT"),
    ],
)
def test_safe_name(stem: str, name: str) -> None:
    assert safe_name(stem) == name


def test_a_long_name_is_cut_between_letters() -> None:
    name = safe_name("ж" * 500)
    assert name == "ж" * 90
    assert len(safe_name("x" * 179 + "ж").encode()) == 179


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.jpg", ("a", ".jpg")),
        ("a.JPG", ("a", ".JPG")),
        ("..jpg", (".", ".jpg")),
        ("Dr. Who", ("Dr. Who", "")),
        ("a.tar.png", ("a.tar", ".png")),
        ("jpg", ("jpg", "")),
    ],
)
def test_split_suffix(name: str, parts: tuple[str, str]) -> None:
    assert split_suffix(name) == parts


def test_names_are_distinct_where_case_is_ignored() -> None:
    names = UniqueNames()
    assert names.add("x", ".jpg", "a/x.jpg") == "x"
    assert names.add("x", ".png", "a/x.png") == "x"
    second = names.add("X", ".jpg", "b/X.jpg")
    assert second.startswith("X-")
    assert len(second) == len("X-01234567")
    assert names.add("x?", ".jpg", "a/x?.jpg") == "x_"
    assert names.add("x*", ".jpg", "a/x*.jpg").startswith("x_-")


def test_later_names_depend_only_on_their_key() -> None:
    one, two = UniqueNames(), UniqueNames()
    one.add("x", ".jpg", "a")
    two.add("x", ".jpg", "b")
    two.add("x", ".jpg", "c")
    assert one.add("x", ".jpg", "d") == two.add("x", ".jpg", "d")
    # Equal arguments still get two names.
    assert one.add("x", ".jpg", "d") != two.add("y", ".jpg", "d")
    assert one.add("x", ".jpg", "d") not in {"x", two.add("z", ".jpg", "d")}
