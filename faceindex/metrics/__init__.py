"""Scores of clusterings, identification and search, computed from arrays."""

from faceindex.metrics.album import (
    AlbumScores,
    clusters_per_person,
    count_doubles,
    junk_faces,
    people_per_cluster,
    score_album,
)
from faceindex.metrics.identification import TopOne, leave_one_out, rank_people, weigh_people
from faceindex.metrics.intervals import Bin, Interval, bootstrap_f, score_bins
from faceindex.metrics.open_set import OpenSet, OperatingPoint, Reliability, open_set, reliability
from faceindex.metrics.people import Confusion, Person, confusions, per_person
from faceindex.metrics.scores import (
    Scores,
    VMeasure,
    bcubed,
    bcubed_of_faces,
    pairwise,
    recall_at_k,
    v_measure,
)
from faceindex.metrics.similarities import Sample, Similarities, sample_similarities

__all__ = [
    "AlbumScores",
    "Bin",
    "Confusion",
    "Interval",
    "OpenSet",
    "OperatingPoint",
    "Person",
    "Reliability",
    "Sample",
    "Scores",
    "Similarities",
    "TopOne",
    "VMeasure",
    "bcubed",
    "bcubed_of_faces",
    "bootstrap_f",
    "clusters_per_person",
    "confusions",
    "count_doubles",
    "junk_faces",
    "leave_one_out",
    "open_set",
    "pairwise",
    "people_per_cluster",
    "per_person",
    "rank_people",
    "recall_at_k",
    "reliability",
    "sample_similarities",
    "score_album",
    "score_bins",
    "v_measure",
    "weigh_people",
]
