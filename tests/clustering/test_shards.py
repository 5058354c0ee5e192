"""Arrays in files: few of them are open at a time."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from faceindex.api.distributed import _runner_in_files
from faceindex.clustering.shards import Arrays, FileArrays, MemoryArrays
from faceindex.errors import StoreError

_FEW_FILES = """
import resource, sys
from functools import partial
from pathlib import Path

import numpy as np

from faceindex.clustering.shards import FileArrays, ThreadRunner
from faceindex.clustering.shuffling import (
    Shards, gather, make_edges, prepare_sending, read_rows, send, write_rows
)

def send_edges(arrays, shard, *, shards):
    to = np.arange(shards.n, dtype=np.int32)
    send(arrays, "edge", shard, make_edges(to, np.full_like(to, shard), to.astype(np.float32)), shards)

def gather_edges(arrays, shard, *, shards):
    write_rows(arrays, "graph", shard, gather(arrays, "edge", shard, shards, add=True))

def read(arrays, shard):
    graph = read_rows(arrays, "graph", shard)
    return graph.indices.tolist(), graph.weights.tolist()

n = 200
resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
with ThreadRunner(FileArrays(Path(sys.argv[1]))) as runner:
    shards = Shards.of(n, n)
    prepare_sending(runner.arrays, "edge", n, shards)
    for stage in (send_edges, gather_edges):
        runner.run(partial(stage, shards=shards), range(n))
    for shard, found in enumerate(runner.run(read, range(n))):
        assert found == (list(range(n)), [float(shard)] * n)
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_many_shards_need_few_open_files(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _FEW_FILES, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert run.stdout == "done\n", run.stderr[-2000:]


def test_an_array_outlives_its_place_among_the_open_ones(tmp_path: Path) -> None:
    arrays = FileArrays(tmp_path)
    for i in range(150):
        arrays.put(f"a{i}", np.arange(i, i + 5))
    first = arrays["a0"]
    for i in range(150):
        assert arrays[f"a{i}"].tolist() == [*range(i, i + 5)]
    assert first.tolist() == [0, 1, 2, 3, 4]
    assert arrays["a0"].tolist() == first.tolist()


@pytest.mark.parametrize("make", [MemoryArrays, FileArrays])
def test_an_array_gets_another_name(make: Callable[..., Arrays], tmp_path: Path) -> None:
    arrays = make(tmp_path) if make is FileArrays else make()
    arrays.put("one", np.arange(5))
    arrays.put("other", np.zeros(3))
    arrays.rename("one", "other")
    assert arrays["other"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises((KeyError, FileNotFoundError)):
        arrays["one"]
    arrays.put("one", np.ones(2))
    assert arrays["one"].tolist() == [1, 1]
    assert arrays.rows("other", 3, 5).tolist() == [3, 4]
    arrays.remove("one", "other")
    assert not list(tmp_path.iterdir())


def test_rows_are_those_of_a_slice(tmp_path: Path) -> None:
    arrays = FileArrays(tmp_path)
    for dtype in (np.float32, np.bool_, [("a", np.int32), ("b", np.float32)]):
        for shape in ((7,), (7, 3), (0,), (0, 3), (7, 0)):
            stored = np.arange(np.prod(shape)).astype(np.int32).reshape(shape).astype(dtype)
            arrays.put("a", stored)
            for start, stop in ((0, 7), (2, 4), (5, 9), (3, 3), (8, 9), (4, 2)):
                found = arrays.rows("a", start, stop)
                assert found.dtype == stored.dtype
                np.testing.assert_array_equal(found, stored[start:stop])
                found[...] = 0  # a copy
    (path,) = tmp_path.iterdir()
    arrays.put("a", np.arange(100))
    (path,) = tmp_path.iterdir()
    with path.open("r+b") as file:
        file.truncate(200)
    with pytest.raises(OSError, match="ends early"):
        arrays.rows("a", 0, 100)


def test_too_many_open_files_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised, _runner_in_files(tmp_path):
        raise OSError(errno.EMFILE, "Too many open files", "graph-0.npy")
    assert raised.value.problem == "graph-0.npy cannot be opened: Too many open files."
    assert "ulimit -n" in raised.value.remedy
