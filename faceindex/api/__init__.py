"""The library's face: one object for one index."""

from faceindex.api.index import FaceIndex, find_index
from faceindex.api.results import Clustered, FaceRow, Query, QueryFace

__all__ = ["Clustered", "FaceIndex", "FaceRow", "Query", "QueryFace", "find_index"]
