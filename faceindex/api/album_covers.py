"""The faces that a page shows first: one of each of the largest groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from faceindex.page.bundle import quality_bytes, quantised
from faceindex.store.decisions import Label

if TYPE_CHECKING:
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
    group = np.where(state.cluster >= 0, 2 * state.cluster.astype(np.int64) + 1, -1)
    group = np.where(state.person >= 0, 2 * state.person.astype(np.int64), group)
    hidden = [2 * record.id for record in state.people if record.hidden]
    shown = (group >= 0) & ~np.isin(state.label, (Label.STRANGER, Label.NOT_A_FACE))
    if hidden:
        shown &= ~np.isin(group, hidden)
    group[~shown] = -1
    groups, first, sizes = np.unique(group, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    covers = []
    for wanted in groups[order[groups[order] >= 0][:most]].tolist():
        members = np.flatnonzero(group == wanted)
        similarity = quantised(state.similarity[members])
        typical = members[np.lexsort((members, -similarity.astype(np.int32)))[: len(members) // 2 + 1]]
        covers.append(int(state.face[typical[np.argmax(quality_bytes(state.quality[typical]))]]))
    return covers
