"""`faceindex.interchange.known_paths`: photos by paths of other machines."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.interchange.known_paths import FoundPath, KnownPaths, components

HERE = [
    "/home/me/Pictures/2001/a.jpg",
    "/home/me/Pictures/2002/a.jpg",
    "/home/me/Pictures/2002/b.jpg",
    "/home/me/Pictures/Zürich/c.JPG",
    "/home/me/album.zip/2002/b.jpg",
]


@pytest.mark.parametrize(
    ("path", "numbers", "tail", "whole"),
    [
        ("/home/me/Pictures/2001/a.jpg", (0,), 5, True),
        ("/mnt/old/Pictures/2001/a.jpg", (0,), 3, False),
        ("2002/a.jpg", (1,), 2, True),
        ("./x/../2002/a.jpg", (1,), 2, True),
        ("2002/b.jpg", (2, 4), 2, True),
        ("/Pictures/2002/b.jpg", (2,), 3, True),
        ("a.jpg", (0, 1), 1, True),
        ("/elsewhere/2005/a.jpg", (0, 1), 1, False),
        ("ZU\u0308RICH/C.jpg", (3,), 2, True),
        ("jpg", (), 0, False),
        ("xa.jpg", (), 0, False),
        ("", (), 0, False),
        ("/", (), 0, False),
    ],
)
def test_the_longest_common_tail_is_found(
    path: str, numbers: tuple[int, ...], tail: int, whole: bool
) -> None:
    found = KnownPaths(enumerate(HERE)).find(path)
    assert sorted(found.numbers) == list(numbers)
    assert (found.tail, found.whole) == (tail, whole)


def test_a_whole_path_is_found_exactly() -> None:
    known = KnownPaths(enumerate(HERE))
    assert [known.exact(path) for path in HERE] == [(i,) for i in range(len(HERE))]
    assert known.exact("Pictures/2001/a.jpg") == ()
    assert KnownPaths([]).find("a.jpg") == FoundPath(())


def test_it_agrees_with_a_comparison_of_all_paths() -> None:
    rng = np.random.default_rng(3)
    paths = ["/" + "/".join(rng.choice(["a", "b", "c", "ab"], rng.integers(1, 5))) for _ in range(60)]
    known = KnownPaths(enumerate(paths))
    for _ in range(200):
        path = "/".join(rng.choice(["a", "b", "c", "ab"], rng.integers(1, 5)))
        wanted = components(path)
        tails = []
        for other in map(components, paths):
            common = 0
            while common < min(len(other), len(wanted)) and other[-1 - common] == wanted[-1 - common]:
                common += 1
            tails.append(common)
        found = known.find(path)
        assert found.tail == max(tails)
        best = {i for i, tail in enumerate(tails) if tail and tail == max(tails)}
        assert set(found.numbers) == best


def test_bytes_that_are_no_text_and_all_of_unicode_are_compared() -> None:
    paths = ["/x/\udcff.jpg", "/y/\U0010fffe/a.jpg", "/y/\U0010ffff/a.jpg"]
    known = KnownPaths(enumerate(paths))
    assert [known.find(path[1:]).numbers for path in paths] == [(0,), (1,), (2,)]
    assert sorted(known.find("a.jpg").numbers) == [1, 2]
