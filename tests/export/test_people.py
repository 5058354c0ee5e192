from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.export.names import clash_key
from faceindex.export.people import Choice, folder_names, merge_people

HARD = [
    *("A/B", "A_B", "A\\B", "CON", "com1.txt", "..", ".", "Zoë. ", "anna", "Anna", "ANNA"),
    *("cluster-7", "Cluster-7", "7", "unclustered", "李雷", "Мария Ивановна", "a\u202eb", "a\x00b", "-rf"),
    *("x" * 300, "x" * 299 + "y", "é" * 120, "Ñandú", unicodedata.normalize("NFD", "Ñandú")),
]


def test_folders_are_distinct_and_valid_on_every_system() -> None:
    folders = folder_names(HARD)
    assert len({clash_key(folder) for folder in folders.values()}) == len(HARD)
    for folder in folders.values():
        assert len(folder.encode()) <= 190
        assert not set(folder) & set('/\\:*?"<>|\0\u202e')
        assert not folder.startswith((".", "-"))
        assert not folder.endswith((".", " "))
        assert folder.split(".")[0].upper() not in ("CON", "COM1")
        assert folder.lower() not in ("cluster-7", "7", "unclustered")


def test_a_name_that_is_a_valid_folder_is_its_folder() -> None:
    folders = folder_names(HARD)
    for name in ("A_B", "李雷", "Мария Ивановна", "Ñandú"):
        assert folders[name] == name
    assert folders["A/B"].startswith("A_B-")
    assert folder_names(["cluster-7"]) == {"cluster-7": "_cluster-7"}
    assert folder_names(["A/B"]) == {"A/B": "A_B"}
    assert folder_names(reversed(HARD)) == folders


def test_choice() -> None:
    labels = np.array([0, 1, 2, 3, 3, -1])
    names, hidden = {1: "Anna", 2: "Anna", 3: "Ben", 9: "Gone"}, {3, 9}
    assert Choice().of(labels, names, hidden) == {0, 1, 2}
    assert Choice(hidden=True).of(labels, names, hidden) == {0, 1, 2, 3}
    assert Choice(clusters=[0], people=["Anna"]).of(labels, names, hidden) == {0, 1, 2}
    assert Choice(people=["Ben"]).of(labels, names, hidden) == {3}
    with pytest.raises(UsageError, match="There is no cluster 9"):
        Choice(clusters=[9]).of(labels, names, hidden)
    with pytest.raises(UsageError, match="Gone has no faces in clusters"):
        Choice(people=["Anna", "Gone"]).of(labels, names, hidden)


def test_the_clusters_of_a_person_are_joined() -> None:
    labels, clusters = merge_people(np.array([3, -1, 9, 5, 9]), {5: "Anna", 9: "Anna", 2: "Anna", 3: "Ben"})
    assert labels.tolist() == [3, -1, 5, 5, 5]
    assert clusters == {3: [3], 5: [5, 9]}
    labels, clusters = merge_people(np.empty(0, np.int64), {})
    assert (labels.shape, labels.dtype, clusters) == ((0,), np.dtype(np.int64), {})
