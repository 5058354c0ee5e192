"""``index.cluster`` and ``faceindex cluster`` on Ray: the same clusters, and no vectors are left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex
from faceindex.api.distributed import Runners
from faceindex.clustering import incremental, neighbours, partition
from faceindex.errors import EngineError, StoreError, UsageError
from faceindex.locks import FileLock
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, Faces

on_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")
PEOPLE, EACH, DIMENSION = 100, 12, 16


@pytest.fixture(autouse=True)
def _partition_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 300)
    monkeypatch.setattr(neighbours, "SHARD", 300)
    monkeypatch.setattr(partition, "SHARD", 400)


def _faces(seed: int, n: int) -> F32:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((PEOPLE, DIMENSION))
    vectors = centres[rng.integers(PEOPLE, size=n)] + 0.2 * rng.standard_normal((n, DIMENSION))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _commit(store: Store, vectors: F32, first: int) -> None:
    (root,) = store.roots()
    one, point = np.ones(1, np.float32), np.full((1, 5, 2), 2, np.float32)
    box = np.array([[1, 1, 3, 3]], np.float32)
    store.commit(
        [
            NewPhoto(
                root.id,
                f"{i}.jpg",
                9,
                9,
                i.to_bytes(20, "big"),
                64,
                48,
                faces=Faces(box, point, one, vector[None], one, one),
            )
            for i, vector in enumerate(vectors, first)
        ]
    )


@pytest.fixture
def directory(tmp_path: Path, fake_models: ModuleType) -> Path:
    """An index of made-up faces."""
    with Store.create(tmp_path / "index", Pins("fake", "fake", DIMENSION, {"min_face": 30.0})) as store:
        store.add_root(str(tmp_path / "photos"), "photos")
        _commit(store, _faces(1, PEOPLE * EACH), 0)
    return tmp_path / "index"


def _labels(index: FaceIndex, **more: Any) -> tuple[list[int | None], bool]:
    result = index.cluster(threshold=0.8, **more)
    return [face.cluster for face in index], result.distributed


def _parts(directory: Path) -> list[Path]:
    return list(directory.glob(".parts-*"))


@on_ray
def test_the_clusters_are_the_same(
    directory: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaceIndex.open(directory, write=True) as index:
        here, distributed = _labels(index)
        assert (len(set(here)), distributed) == (PEOPLE, False)
        assert _labels(index, rebuild=True, on="ray", actors=2) == (here, True)
        assert index.cluster(threshold=0.8, rebuild=True, on="ray", dry_run=True).distributed
        assert _labels(index, on="ray") == (here, False)  # nothing has changed
        assert not _parts(directory)

        # A part, by a partition that is searched for the new faces.
        monkeypatch.setattr(neighbours, "FEW_QUERIES", 10)
        monkeypatch.setattr(incremental, "PART_ABOVE", 500)
        _commit(index._store, _faces(2, 90), PEOPLE * EACH)
        expected = index.cluster(threshold=0.8, dry_run=True)
        grown, distributed = _labels(index, on="ray", actors=2)
        assert distributed
        assert len(set(grown)) == len(expected.sizes) == PEOPLE
        assert not _parts(directory)


@on_ray
def test_parts_are_the_same(directory: Path, ray_folder: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        here, distributed = _labels(index, part_size=300)
        assert (len(set(here)), distributed) == (PEOPLE, False)
        assert not _parts(directory)
        assert _labels(index, part_size=300, rebuild=True, on="ray", actors=2) == (here, True)
        assert not _parts(directory)


def test_parts_without_ray(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their arrays are in files while they are clustered, also after an error."""
    from faceindex.clustering import grouping, parts

    seen = []
    divide = grouping.divide

    def watched(*arguments: Any) -> Any:
        seen.append({path.name.split("-")[0] for path in _parts(directory)[0].iterdir()})
        return divide(*arguments)

    monkeypatch.setattr(parts, "divide", watched)
    with FaceIndex.open(directory, write=True) as index:
        whole = _labels(index)[0]
        here = _labels(index, part_size=300)[0]
        assert (len(set(here)), here) == (PEOPLE, _labels(index, part_size=300, rebuild=True)[0])
        assert sum(a == b for a, b in zip(here, whole, strict=True)) > 0.95 * len(here)
        assert {"ordered", "order", "graph.0.indices"} <= seen[0]
        assert not _parts(directory)
        monkeypatch.setattr(parts, "divide", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(StoreError, match="run it without `part_size`"):
            _labels(index, part_size=200)
        assert not _parts(directory)


def test_people_are_evaluated_in_parts_too(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that was clustered in parts may not fit into memory otherwise."""
    from faceindex.api import people_evaluation
    from faceindex.clustering import grouping, parts

    seen: list[Path] = []
    divide = grouping.divide

    def watched(*arguments: Any) -> Any:
        seen.extend(_parts(directory))
        return divide(*arguments)

    with FaceIndex.open(directory, write=True) as index:
        expected = _labels(index, part_size=300)[0]
    monkeypatch.setattr(parts, "divide", watched)
    with FaceIndex.open(directory) as index:
        found = people_evaluation._cluster_without_decisions(index._reader, index._reader.clustering())
    assert found.tolist() == expected
    assert len(seen) == 1
    assert not _parts(directory)


def test_a_dry_run_in_parts_of_an_index_that_cannot_be_written(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceindex.clustering import grouping, parts

    seen: list[Path] = []
    divide = grouping.divide
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def watched(*arguments: Any) -> Any:
        assert not _parts(directory)
        seen.extend(temporary.iterdir())
        return divide(*arguments)

    monkeypatch.setattr(parts, "divide", watched)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != directory and access(path, mode))
    with FaceIndex.open(directory) as index:
        assert len(index.cluster(threshold=0.8, part_size=300, dry_run=True).sizes) == PEOPLE
        (folder,) = seen
        assert folder.name.startswith("faceindex-parts-")
        assert not list(temporary.iterdir())
        monkeypatch.setattr(parts, "divide", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(StoreError, match="Make room on the disk of the temporary directory, or run it"):
            index.cluster(threshold=0.8, part_size=300, dry_run=True)
        monkeypatch.setattr(
            parts, "divide", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error"))
        )
        with pytest.raises(StoreError, match=r"error\. Remove the cause, or run it without `part_size`"):
            index.cluster(threshold=0.8, part_size=300, dry_run=True)


def test_few_faces_start_no_ray(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 20_000)
    monkeypatch.setattr("faceindex.engine.pool.RayEngine.start", lambda self: pytest.fail("Ray is started"))
    monkeypatch.setattr("faceindex.api.extraction.check_installed", lambda: None)
    with FaceIndex.open(directory, write=True) as index:
        here, distributed = _labels(index, on="ray")
        assert (len(set(here)), distributed) == (PEOPLE, False)


class Here:
    """An engine in this process."""

    def start(self) -> int:
        return 1

    def map(self, make: Any, batches: Any, **more: Any) -> Any:
        worker = make()
        for batch in batches:
            yield [*zip(batch, worker.work(batch), strict=True)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, EngineError("Ray is gone.", "Look.")])
def test_the_folder_goes_away_after_an_error(tmp_path: Path, error: Any) -> None:
    engine: Any = Here()
    with (
        pytest.raises((KeyboardInterrupt, EngineError)),
        contextlib.ExitStack() as folders,
        Runners(engine, tmp_path, folders)() as runner,
    ):
        runner.arrays.put("vectors", np.ones((3, 2), np.float32))
        (folder,) = _parts(tmp_path)
        assert os.name == "nt" or folder.stat().st_mode & 0o777 == 0o700
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "token", "vectors-1.npy"]
        raise error
    assert not list(tmp_path.iterdir())


def test_two_runs_share_engine_and_folder(tmp_path: Path) -> None:
    engine: Any = Here()
    vectors = _faces(3, 900)
    with contextlib.ExitStack() as folders:
        runners = Runners(engine, tmp_path, folders)
        assert not runners.started
        first = neighbours.near_neighbours(vectors, 5, make_runner=runners)
        (folder,) = _parts(tmp_path)
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "token"]
        second = neighbours.near_neighbours(vectors, 5, make_runner=runners)
    np.testing.assert_array_equal(first[0], second[0])


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "vectors-1.npy")

    engine: Any = Here()
    monkeypatch.setattr("faceindex.clustering.shards.FileArrays.put", full)
    with contextlib.ExitStack() as folders, pytest.raises(StoreError) as raised:
        neighbours.near_neighbours(_faces(3, 900), 5, make_runner=Runners(engine, tmp_path, folders))
    assert str(raised.value) == (
        "vectors-1.npy cannot be written: No space left on device. "
        "Make room on the disk of the index, or run it without `on`."
    )
    assert not list(tmp_path.iterdir())


def test_errors_before_anything_starts(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceindex.engine.pool.RayEngine.start", lambda self: pytest.fail("Ray is started"))
    monkeypatch.setattr("faceindex.api.extraction.check_installed", lambda: None)
    with FaceIndex.open(directory, write=True) as index:
        for words, message in (
            ({"on": "dask"}, "`on` is 'dask'"),
            ({"on": "ray", "actors": 0}, "`actors` is 0"),
            ({"actors": 2}, "`actors` are of no use without `on`"),
        ):
            with pytest.raises(UsageError, match=message):
                index.cluster(**words)
        with pytest.raises(UsageError, match="`on` divides the search for similar faces, which kmeans does"):
            index.cluster("kmeans", k=2, on="ray")
        monkeypatch.undo()
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(EngineError, match=r"Ray is not installed.*faceindex\[ray\]"):
            index.cluster(on="ray")


def test_what_a_killed_run_left_bothers_nobody_and_goes_with_the_next_writer(directory: Path) -> None:
    left = directory / ".parts-killed"
    left.mkdir(mode=0o700)
    (left / "lock").touch()
    (left / "vectors-1.npy").write_bytes(b"vectors of faces")
    with FaceIndex.open(directory) as index:
        assert len(index) == PEOPLE * EACH
    (problem,) = FaceIndex.doctor(directory).problems
    assert (problem.file, problem.kind) == (".parts-killed", "unused")
    assert "vectors of faces that a killed run of `cluster` left" in problem.what
    assert left.exists()  # a reader changes nothing
    with FileLock(left / "lock"):  # as a run that is at work
        assert FaceIndex.doctor(directory).problems == ()
    FaceIndex.open(directory, write=True).close()
    assert not left.exists()


def test_doctor_removes_what_a_killed_run_left(directory: Path) -> None:
    left = directory / ".parts-killed"
    left.mkdir(mode=0o700)
    (left / "lock").touch()
    (left / "vectors-1.npy").write_bytes(b"vectors of faces")
    health = FaceIndex.doctor(directory, repair=True)
    assert [problem.file for problem in health.repaired] == [".parts-killed"]
    assert health.problems == ()
    assert not left.exists()


@pytest.mark.skipif(os.name == "nt", reason="sends signals of Unix")
def test_sigterm_removes_the_folder_of_parts(directory: Path, tmp_path: Path) -> None:
    site = """
import os, signal
import fakes
from faceindex.clustering import parts
fakes.register_fakes()
parts.divide = lambda *arguments: os.kill(os.getpid(), signal.SIGTERM)
"""
    words = ["--threshold", "0.8", "--part-size", "300"]
    command = _start(tmp_path, site, words)
    assert command.wait(60) == 143
    assert not _parts(directory)


# The command, with its own Ray -----------------------------------------------------------------------

_OPTIONS = ("--threshold", "0.8", "--on", "ray", "--actors", "1")
_SITE = """
import time

import fakes
from faceindex.clustering import neighbours
from faceindex.engine.stages import EngineRunner

fakes.register_fakes()
neighbours.EXACT_UP_TO = 300
run = EngineRunner.run

def slowly(*arguments, **options):
    result = run(*arguments, **options)
    time.sleep(1)
    return result

EngineRunner.run = slowly
"""


def _start(tmp_path: Path, text: str = _SITE, options: Sequence[str] = _OPTIONS) -> subprocess.Popen[bytes]:
    site = tmp_path / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(text, encoding="utf-8")
    tests = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [site, tests, tests.parent]))
    words = ["cluster", "--index", "index", *options]
    return subprocess.Popen([sys.executable, "-m", "faceindex", *words], cwd=tmp_path, env=environment)


@on_ray
@pytest.mark.skipif(os.name == "nt", reason="sends signals of Unix")
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_is_stopped_and_killed(directory: Path, tmp_path: Path, signal_: signal.Signals) -> None:
    command = _start(tmp_path)
    try:
        for _ in range(600):
            if found := list(directory.glob(".parts-*/by_group-*.npy")):  # of the second stage
                break
            time.sleep(0.1)
        assert found
        command.send_signal(signal_)
        assert command.wait(60) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(signal_, -signal_)
    finally:
        command.kill()
        command.wait()
    assert len(_parts(directory)) == (signal_ == signal.SIGKILL)
    with FaceIndex.open(directory, write=True) as index:
        assert not _parts(directory)
        assert len(set(_labels(index)[0])) == PEOPLE
