"""How similar strangers are, and from what evidence two faces on one photo are copies or kept apart.

Nothing is compiled here, so that reading these numbers does not load numba.
"""

from __future__ import annotations

from typing import Final

from faceindex.models.spec import Calibration

__all__ = ["APART", "COPIES", "stranger_similarity"]

COPIES: Final = 16.5
"""Evidence, in nats, from which two faces on one photo are copies of one picture.

On the photos of shared/data group_photos/ are 1,688 pairs, all of different people. Their greatest evidence
is 15.4 (dlib) and 16.2 (mobilefacenet). On collages of 31 faces with themselves (mirrored, grey, as a JPEG of
quality 30, or at 0.6 of the size), the least is 15.3 to 16.6 (dlib) and 17.4 to 19.6 (mobilefacenet)."""

APART: Final = 10.0
"""Log-odds against a pair of faces of one photo in one cluster. This and the constants of
`faceindex.clustering.same_photo` were chosen on one half of the people of shared/data;
`benchmarks/clusterers.py` leaves out their uses."""

# The evidence against the average pair of strangers, in nats: 13 to 15 for dlib, facenet and mobilefacenet.
_STRANGERS = 13.5


def stranger_similarity(calibration: Calibration) -> float:
    """Return the average similarity of two strangers, two different people, of a calibrated embedder."""
    return calibration.midpoint - _STRANGERS / calibration.slope
