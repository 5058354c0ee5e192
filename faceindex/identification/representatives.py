"""The faces by which the people of an index are identified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from faceindex.quality import POOR_QUALITY
from faceindex.types import F32, I64, BoolArray

__all__ = ["Representatives", "shown_well"]

_MEMBERS = 64  # representatives of a cluster that its centroid is the mean of
_SHOWN_WELL = 0.25  # share of the faces of a cluster that must not be poor


@dataclass(frozen=True, slots=True)
class Representatives:
    """The faces that represent their cluster in identification; computed once for all queries.

    Attributes
    ----------
    clusters : (n,) int64
        The cluster that each face represents, -1 for none.
    counts : mapping of int to int
        Number of representatives of each cluster; clusters without any are left out.
    first : mapping of int to int
        For clusters of a person with several, the lowest of these; other clusters are left out.
    """

    clusters: I64
    counts: Mapping[int, int]
    first: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, clusters: I64, mask: BoolArray | None = None, people: Mapping[int, int] | None = None
    ) -> Representatives:
        """Build from the cluster of each face.

        Parameters
        ----------
        clusters : (n,) int64
            -1 for none.
        mask : (n,) bool, optional
            The representatives; None means all.
        people : mapping of int to int, optional
            The person of each cluster that has one; the others are of one person each.
        """
        represented = clusters if mask is None else np.where(mask, clusters, -1)
        ids, counts = np.unique(represented[represented >= 0], return_counts=True)
        by_cluster = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        of_person: dict[int, list[int]] = {}
        for cluster in by_cluster:
            if people is not None and cluster in people:
                of_person.setdefault(people[cluster], []).append(cluster)
        first = {cluster: own[0] for own in of_person.values() if len(own) > 1 for cluster in own}
        return cls(represented, by_cluster, first)

    def without(self, positions: I64) -> Representatives:
        """Return the same without the faces at some positions."""
        clusters, counts = self.clusters.copy(), dict(self.counts)
        for cluster in clusters[positions].tolist():
            if cluster >= 0:
                counts[cluster] -= 1
                if not counts[cluster]:
                    del counts[cluster]
        clusters[positions] = -1
        return replace(self, clusters=clusters, counts=counts)

    def person(self, cluster: int) -> int:
        """Return the cluster that stands for the person of a cluster."""
        return self.first.get(cluster, cluster)

    def people(self) -> dict[int, int]:
        """Return the number of representatives of each person, by the cluster that stands for them."""
        numbers: dict[int, int] = {}
        for cluster, number in self.counts.items():
            person = self.person(cluster)
            numbers[person] = numbers.get(person, 0) + number
        return numbers

    def all_of(self, cluster: int) -> I64:
        """Return positions of the representatives of a cluster."""
        return np.flatnonzero(self.clusters == cluster)

    def some_of(self, cluster: int) -> I64:
        """Return positions of the representatives of a cluster, of 64 of them if there are more."""
        positions = self.all_of(cluster)
        if len(positions) <= _MEMBERS:
            return positions
        return positions[np.linspace(0, len(positions) - 1, _MEMBERS).astype(np.int64)]


def shown_well(clusters: I64, quality: F32) -> BoolArray:
    """Select the faces of clusters that can be identified: at least a quarter of their faces are not poor.

    Blurred faces, backs of heads and hands resemble each other. A cluster of these shows nobody, and every
    poor face is similar to it: in an index of 1,000 photos of celebrities, such clusters were the best match
    of 271 of 988 bystanders of lfw/. If no cluster has enough faces that are not poor, all are selected.

    Parameters
    ----------
    clusters : (n,) int64
        -1 for none.
    quality : (n,) float32
        0..1.

    Returns
    -------
    (n,) bool
    """
    ids, codes = np.unique(clusters, return_inverse=True)
    good = np.bincount(codes, weights=quality >= POOR_QUALITY, minlength=len(ids))
    well = (good >= _SHOWN_WELL * np.bincount(codes, minlength=len(ids))) & (ids >= 0)
    selected: BoolArray = well[codes] if well.any() else np.ones(len(clusters), bool)
    return selected
