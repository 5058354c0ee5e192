"""Find the person that a query face shows; arrays only.

A person may have several clusters, such as those of a child and of the adult. They are one answer: its
evidence is that of the best of them, and its rival is a cluster of another person. Each cluster is one more
chance for a stranger, so the false alarms that a person may cause are shared among the person's clusters, by
the square roots of their numbers of faces (`faceindex.evidence`). Without that, 4 % instead of 2 % of the
strangers of diverse/ were named (`benchmarks/named_people.py`, people of half A).
"""

from faceindex.identification.matching import Judge, Match, identify
from faceindex.identification.representatives import Representatives, shown_well

__all__ = ["Judge", "Match", "Representatives", "identify", "shown_well"]
