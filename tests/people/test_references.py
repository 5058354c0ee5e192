from __future__ import annotations

import pytest

from faceindex.errors import UsageError
from faceindex.people.references import looks_like_reference, parse_references
from faceindex.people.roster import clean_name


@pytest.mark.parametrize("word", ["7", "c7", "C7", "cluster:7", "cluster 7", "Cluster#7", " 7 ", "007"])
def test_clusters(word: str) -> None:
    assert parse_references([word]).clusters == (7,)


@pytest.mark.parametrize("word", ["f7", "F7", "face:7", "face 7", "FACE#7"])
def test_faces(word: str) -> None:
    assert parse_references([word]).faces == (7,)


@pytest.mark.parametrize("word", ["Anna", "anna maria", "f", "c", "7a", "Face", "R2D2", "f7b", ""])
def test_names(word: str) -> None:
    found = parse_references([word])
    assert found.names == (word,)
    assert found.clusters == found.faces == ()
    assert not looks_like_reference(word)


def test_the_order_of_the_words_stays_and_repetitions_go() -> None:
    found = parse_references(["f2", "Ben", "7", "f1", "face:2", "3", "c7", "Anna", "Ben"])
    assert (found.clusters, found.faces, found.names) == ((7, 3), (2, 1), ("Ben", "Anna"))


@pytest.mark.parametrize("word", ["7", "c7", "Cluster 7", "f12", "face:12", "Face 12", "-x"])
def test_nobody_can_have_a_name_that_is_a_reference(word: str) -> None:
    with pytest.raises(UsageError, match="looks like"):
        clean_name(word)
