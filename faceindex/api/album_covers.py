"""The faces that a page shows first: one of each of the largest groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from faceindex.page.bundle import quality_bytes, quantised
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.api.album_state import AlbumState

__all__ = ["cover_faces"]


def cover_faces(state: AlbumState, most: int) -> list[int]:
    """Return the covers of the largest people and clusters, as ``assets/album.js`` chooses and orders them.

    The largest groups come first; of equal ones, that with the lower first face. A cover is the best face of
    the more similar half of its group (`faceindex.clustering.overview.cover_faces`), by the rounded values
    that the page has. Strangers, what is not a face, and hidden people have none.

    Parameters
    ----------
    state : AlbumState
    most : int
        Of the number of groups.

    Returns
    -------
    list of int
        Face ids.
    """
    hidden = [record.id for record in state.people if record.hidden]
    out = (state.label == Label.STRANGER) | (state.label == Label.NOT_A_FACE)
    if hidden:
        out |= np.isin(state.person, hidden)
    known = state.person >= 0
    found: list[tuple[int, int, NDArray[np.int32], int]] = []  # of a group: -size, first face, column, id
    for column, shown in (
        (state.person, known & ~out),
        (state.cluster, (state.cluster >= 0) & ~known & ~out),
    ):
        at = np.flatnonzero(shown)
        ids, first, sizes = np.unique(column[at], return_index=True, return_counts=True)
        largest = np.lexsort((first, -sizes))[:most]
        found += [(int(-sizes[i]), int(at[first[i]]), column, int(ids[i])) for i in largest.tolist()]
    covers = []
    for _, _, column, wanted in sorted(found, key=lambda group: group[:2])[:most]:
        members = np.flatnonzero((column == wanted) & ~out & (known if column is state.person else ~known))
        similarity = quantised(state.similarity[members])
        typical = members[np.lexsort((members, -similarity.astype(np.int32)))[: len(members) // 2 + 1]]
        covers.append(int(state.face[typical[np.argmax(quality_bytes(state.quality[typical]))]]))
    return covers
