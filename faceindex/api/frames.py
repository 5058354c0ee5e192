"""Faces as a pandas DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from faceindex.errors import UsageError
from faceindex.store import FaceTable
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    import pandas

__all__ = ["faces_as_frame"]


def faces_as_frame(table: FaceTable, names: PhotoNames) -> pandas.DataFrame:
    """Return faces as a DataFrame, one per row; see `faceindex.FaceIndex.to_pandas`."""
    try:
        import pandas
    except ImportError:
        raise UsageError("pandas is not installed.", "Install it with `pip install pandas`.") from None
    records = [names.by_id[photo] for photo in table.photo.tolist()]
    index = pandas.Index(table.face, name="face")
    x1, y1, x2, y2 = table.boxes.T
    cluster = pandas.array(np.where(table.cluster < 0, 0, table.cluster), dtype="Int64")
    cluster[table.cluster < 0] = pandas.NA
    return pandas.DataFrame(
        {
            # Objects: the str dtype of pandas 3 cannot hold undecodable file names.
            "photo": pandas.Series(map(names.name, records), index, dtype=object),
            "path": pandas.Series(map(names.path, records), index, dtype=object),
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
            "score": table.scores,
            "quality": table.quality,
            "turn": table.turns,
            "cluster": cluster,
            "similarity": table.similarity,
        },
        index=index,
    )
