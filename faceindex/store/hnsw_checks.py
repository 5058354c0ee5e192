"""Checks of the content of an HNSW file before hnswlib gets it: hnswlib follows every number without a check.

A digest detects damage. It does not detect a file whose author computed the digest of a lie: a neighbour that
does not exist, or that is not on its layer, ends the process. Layout of hnswlib 0.8, for n elements of d
dimensions with M links:

- ``data_level0``: for each element 2 bytes number of links, 1 byte deletion mark, 1 byte unused, 2 M links
  (uint32), d float32, label (uint64);
- ``link_lists``: for each element and each of its layers from 1 on 2 bytes number of links, 2 bytes unused,
  M links (uint32);
- ``element_levels``: the highest layer of each element; ``label_lookup_external`` and
  ``label_lookup_internal``: labels and their elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from faceindex.store.records import HnswParams
from faceindex.types import F32, I64

__all__ = ["check_state"]

_HIGHEST_LAYER = 64  # random layers of M = 2 reach 30 at a thousand million elements
_MOST_THREADS = 4096
_MOST_EF = 1 << 20
_BLOCK = 8192  # vectors compared at a time

_ARRAYS = {
    "label_lookup_external": "<u8",
    "label_lookup_internal": "<u4",
    "element_levels": "<i4",
    "data_level0": "i1",
    "link_lists": "i1",
}


def check_state(state: dict[str, Any], covered: int, vectors: F32, params: HnswParams) -> None:
    """Check the numbers and arrays of an index, as `hnswlib.Index` takes and returns them.

    Marks of deleted elements are removed: which rows are tombstones is for the catalog to say.

    Parameters
    ----------
    state : dict
        ``data_level0`` may be replaced.
    covered : int
        Rows of the vector file that the index covers.
    vectors : (n, d) float32
        All committed rows.
    params : HnswParams

    Raises
    ------
    ValueError
        If something contradicts something else.
    """
    count = _integer(state, "cur_element_count", 0, covered)
    _check_scalars(state, count, vectors.shape[1], params)
    width = int(state["size_data_per_element"])
    lengths = {
        "label_lookup_external": count,
        "label_lookup_internal": count,
        "element_levels": max(1, count),
        "data_level0": count * width,
    }
    for name, dtype in _ARRAYS.items():
        array = state[name]
        if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype):
            raise ValueError(f"its {name} has another type")
        if len(array) != lengths.get(name, len(array)):
            raise ValueError(f"its {name} has another length")
    levels = state["element_levels"][:count]
    top = int(levels.max()) if count else -1
    if count and not 0 <= int(levels.min()) <= top <= _HIGHEST_LAYER:
        raise ValueError("a layer is out of range")
    if state["max_level"] != top:
        raise ValueError("its highest layer is another one")
    if count and levels[_integer(state, "enterpoint_node", 0, count - 1)] != top:
        raise ValueError("its first element is not on the highest layer")
    if int(levels.sum(dtype=np.int64)) * state["size_links_per_element"] != len(state["link_lists"]):
        raise ValueError("its link_lists has another length")
    if not count:
        return
    elements = state["data_level0"].view(np.uint8).reshape(count, width)
    _check_links(elements[:, : params.m * 8 + 4], count, params.m * 2)
    _check_upper_links(state["link_lists"].view(np.uint8), levels, params.m)
    labels = _check_labels(state, elements, covered)
    _check_vectors(elements, labels, vectors, params)
    if elements[:, 2].any():  # a live row that is marked would never be found
        cleared = elements.copy()
        cleared[:, 2] = 0
        state["data_level0"] = cleared.reshape(-1).view(np.int8)


def _integer(state: dict[str, Any], name: str, least: int, most: int) -> int:
    value = state[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"its {name} is out of range")
    return value


def _check_scalars(state: dict[str, Any], count: int, dimension: int, params: HnswParams) -> None:
    """Everything that follows from the parameters must have that very value, and type."""
    links, upper = params.m * 8 + 4, params.m * 4 + 4
    expected: dict[str, object] = {
        "ser_version": 1,
        "index_inited": True,
        "normalize": False,
        "has_deletions": True,
        "allow_replace_deleted": False,
        "ep_added": count > 0,
        "max_elements": max(1, count),
        "max_M": params.m,
        "max_M0": 2 * params.m,
        "offset_level0": 0,
        "offset_data": links,
        "label_offset": links + 4 * dimension,
        "size_data_per_element": links + 4 * dimension + 8,
        "size_links_per_element": upper,
    }
    for name, value in expected.items():
        if state[name] != value or type(state[name]) is not type(value):
            if name == "ep_added":  # true from the first call that adds elements, even if it has none
                continue
            raise ValueError(f"its {name} is another one")
    _integer(state, "num_threads", 1, _MOST_THREADS)
    _integer(state, "ef", 1, _MOST_EF)
    if not isinstance(state["ep_added"], bool) or not isinstance(state["mult"], float):
        raise ValueError("its numbers have other types")
    if not math.isclose(state["mult"], 1 / math.log(params.m) if params.m > 1 else math.inf, rel_tol=1e-6):
        raise ValueError("its mult is another one")


def _check_links(lists: np.ndarray[Any, np.dtype[np.uint8]], count: int, most: int) -> None:
    """Check lists of links, one a row of bytes: number, marks, and the links themselves."""
    # One contiguous copy: the bytes of an element are not aligned.
    words = np.ascontiguousarray(lists).view("<u4")
    number = words[:, 0] & 0xFFFF
    if int(number.max(initial=0)) > most:
        raise ValueError("an element has too many links")
    # Slots that are not used may hold anything.
    wrong = words[:, 1:] >= count
    if wrong.any() and (wrong & (np.arange(most) < number[:, None])).any():
        raise ValueError("a link leads to an element that does not exist")


def _check_upper_links(lists: np.ndarray[Any, np.dtype[np.uint8]], levels: Any, m: int) -> None:
    """Check the lists of all layers above the lowest; they must lead to elements of the same layer."""
    if not len(lists):
        return
    count = len(levels)
    words = np.ascontiguousarray(lists).view("<u4").reshape(-1, m + 1)
    _check_links(words.view(np.uint8), count, m)
    high = np.flatnonzero(levels)
    number = levels[high].astype(np.int64)
    start = np.cumsum(number) - number
    layer = 1 + np.arange(len(words)) - np.repeat(start, number)
    used = np.arange(m) < (words[:, :1] & 0xFFFF)
    target = np.where(used, words[:, 1:], 0)
    if (used & (levels[target] < layer[:, None])).any():
        raise ValueError("a link leads to an element that is not on its layer")


def _check_labels(state: dict[str, Any], elements: Any, covered: int) -> I64:
    """Check that labels and elements correspond, and that labels are rows; return those of the elements."""
    count = len(elements)
    labels, inner = state["label_lookup_external"], state["label_lookup_internal"]
    if int(labels.max()) >= covered or int(inner.max()) >= count:
        raise ValueError("a label is out of range")
    stored: I64 = np.ascontiguousarray(elements[:, -8:]).view("<u8")[:, 0].astype(np.int64)
    if (np.bincount(inner, minlength=count) != 1).any() or (stored[inner] != labels.astype(np.int64)).any():
        raise ValueError("its labels contradict each other")
    if len(np.unique(stored)) != count:
        raise ValueError("a label is there twice")
    return stored


def _check_vectors(elements: Any, labels: I64, vectors: F32, params: HnswParams) -> None:
    """Check that every element has the vector of its row."""
    first, end = params.m * 8 + 4, params.m * 8 + 4 + 4 * vectors.shape[1]
    for start in range(0, len(labels), _BLOCK):
        rows = labels[start : start + _BLOCK]
        here = vectors[rows[0] : rows[-1] + 1] if (np.diff(rows) == 1).all() else vectors[rows]
        stored = elements[start : start + _BLOCK, first:end]
        if not np.array_equal(stored, np.ascontiguousarray(here).view(np.uint8)):
            raise ValueError("it has other vectors")
