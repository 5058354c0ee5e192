"""Scores of each person, and pairs of people who share clusters: small cases by hand."""

from __future__ import annotations

import numpy as np

from faceindex.metrics import Person, confusions, per_person

NAMES = ["Ann", "Bob", "Cai", "Dee", "Eve"]
# Ann: three photos in 4, one in none. Bob: two in 4, one in 7. Cai: one in 7. Dee: two, both in none.
PEOPLE = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3])
LABELS = np.array([4, 4, 4, -1, 4, 4, 7, 7, -1, -1])
PHOTOS = np.arange(10)
PHOTOS_OF = np.array([5, 3, 1, 2, 2])  # one of Ann's and two of Eve's have no face


def test_per_person_by_hand() -> None:
    ann, bob, cai, dee, eve = per_person(LABELS, PEOPLE, PHOTOS, NAMES, PHOTOS_OF)
    assert ann == Person("Ann", 5, 1, 4, cluster=4, in_cluster=3, others=2, own_cluster=4, in_own=3)
    assert ann.accuracy == 3 / 5
    # Cluster 4 is Ann's, so cluster 7 is left for Bob.
    assert bob == Person("Bob", 3, 0, 3, cluster=4, in_cluster=2, others=3, own_cluster=7, in_own=1)
    assert bob.own_accuracy == 1 / 3
    # Cai is only in cluster 7, which is Bob's: nothing is left.
    assert cai == Person("Cai", 1, 0, 1, cluster=7, in_cluster=1, others=1, own_cluster=None, in_own=0)
    assert (cai.accuracy, cai.own_accuracy) == (1, 0)
    # A face in no cluster counts as a cluster of its own.
    assert dee == Person("Dee", 2, 0, 2, cluster=None, in_cluster=1, others=0, own_cluster=None, in_own=1)
    assert eve == Person("Eve", 2, 2, 0, cluster=None, in_cluster=0, others=0, own_cluster=None, in_own=0)


def test_two_faces_of_a_photo_in_one_cluster_count_once() -> None:
    (ann,) = per_person(
        np.array([1, 1, 2]), np.zeros(3, np.int64), np.array([8, 8, 9]), ["Ann"], np.array([2])
    )
    assert (ann.photos, ann.faces, ann.in_cluster, ann.no_face) == (2, 3, 1, 0)


def test_a_cluster_comes_before_a_face_in_no_cluster() -> None:
    (ann,) = per_person(np.array([-1, 9]), np.zeros(2, np.int64), np.array([0, 1]), ["Ann"], np.array([2]))
    assert (ann.cluster, ann.in_cluster) == (9, 1)


def test_confusions_by_hand() -> None:
    found = confusions(LABELS, PEOPLE, NAMES)
    assert [(c.owner, c.other, c.clusters) for c in found] == [
        ("Ann", "Bob", [(4, 3, 2)]),
        ("Bob", "Cai", [(7, 1, 1)]),
    ]
    assert found[0].misplaced.tolist() == [4, 5]
    assert len(found[1].misplaced) == 1


def test_two_people_who_share_two_clusters_are_one_pair() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    people = np.array([0, 1, 1, 1, 0, 0, 1])
    (found,) = confusions(labels, people, ["Ann", "Bob"])
    assert (found.owner, found.other) == ("Bob", "Ann")  # four faces against three
    assert found.clusters == [(0, 3, 1), (1, 1, 2)]
    assert found.misplaced.tolist() == [0, 6]  # of the person with fewer faces in each cluster


def test_faces_in_no_cluster_are_not_confused() -> None:
    assert confusions(np.array([-1, -1]), np.array([0, 1]), ["Ann", "Bob"]) == []
