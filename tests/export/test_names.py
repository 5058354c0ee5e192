from __future__ import annotations

import pytest

from faceindex.export.names import Names, safe_name, split_suffix


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


def test_names_are_distinct_also_where_case_does_not_count() -> None:
    names = Names()
    assert names.take("x", ".jpg", "a/x.jpg") == "x"
    assert names.take("x", ".png", "a/x.png") == "x"
    second = names.take("X", ".jpg", "b/X.jpg")
    assert second.startswith("X-")
    assert len(second) == len("X-01234567")
    assert names.take("x?", ".jpg", "a/x?.jpg") == "x_"
    assert names.take("x*", ".jpg", "a/x*.jpg").startswith("x_-")


def test_later_names_depend_on_what_they_name_alone() -> None:
    one, two = Names(), Names()
    one.take("x", ".jpg", "a")
    two.take("x", ".jpg", "b")
    two.take("x", ".jpg", "c")
    assert one.take("x", ".jpg", "d") == two.take("x", ".jpg", "d")
    # The very same question twice still gives two names.
    assert one.take("x", ".jpg", "d") != two.take("y", ".jpg", "d")
    assert one.take("x", ".jpg", "d") not in {"x", two.take("z", ".jpg", "d")}
