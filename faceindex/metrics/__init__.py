"""Scores of clusterings, identification and search, computed from arrays."""

from faceindex.metrics.identification import TopOne, leave_one_out, rank_people, weigh_people
from faceindex.metrics.open_set import OpenSet, OperatingPoint, Reliability, open_set, reliability
from faceindex.metrics.people import Confusion, Person, confusions, per_person
from faceindex.metrics.scores import Scores, VMeasure, bcubed, pairwise, recall_at_k, v_measure
from faceindex.metrics.similarities import Sample, Similarities, sample_similarities

__all__ = [
    "Confusion",
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
    "confusions",
    "leave_one_out",
    "open_set",
    "pairwise",
    "per_person",
    "rank_people",
    "recall_at_k",
    "reliability",
    "sample_similarities",
    "v_measure",
    "weigh_people",
]
