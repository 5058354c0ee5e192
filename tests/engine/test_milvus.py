"""Milvus behind the seam: Milvus Lite in the index directory, errors, and what must never appear."""

from __future__ import annotations

import ast
import logging
import os
import signal
import stat
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from faceindex.api.opening import connect_search
from faceindex.api.searching import IndexSearching
from faceindex.engine import milvus
from faceindex.engine.milvus import Milvus, connect, index_types
from faceindex.engine.milvus_embedded import Embedded
from faceindex.errors import SearchUnavailable
from faceindex.store import HnswParams, NewPhoto, Pins, Store
from faceindex.types import F32, Faces

DIMENSION, ID = 16, "ab" * 16
ADDRESS = "milvus:milvus.db"
EVERY = (1 << 63) - 1


def unit_vectors(n: int, seed: int) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    unit: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def commit(store: Store, vectors: F32, first: int) -> None:
    root = store.add_root("/photos", "photos").id
    one = np.ones(1, np.float32)
    photos = []
    for i, vector in enumerate(vectors, first):
        faces = Faces(
            boxes=np.array([[0, 0, 9, 9]], np.float32),
            landmarks=np.zeros((1, 5, 2), np.float32),
            scores=one,
            vectors=vector[None],
            norms=one,
            sharpness=one,
        )
        photos.append(NewPhoto(root, f"{i}.jpg", 1, 1, b"%d" % i, 10, 10, faces=faces))
    store.commit(photos)


def same_as_exact(store: Store, queries: F32) -> None:
    faces, similarities = store.search(queries, 7)
    expected, exact = store.search(queries, 7, exact=True)
    np.testing.assert_array_equal(faces, expected)
    np.testing.assert_allclose(similarities, exact, atol=1e-6)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    with Store.create(directory, Pins("mtcnn", "dlib", DIMENSION, {})) as created:
        created.searching.connect = connect_search
        yield created


@pytest.fixture
def lite() -> None:
    pytest.importorskip("pymilvus", reason="pip install 'faceindex[milvus]'")
    pytest.importorskip("milvus_lite", reason="pip install 'faceindex[milvus]'")


@pytest.mark.usefixtures("lite")
def test_a_life_with_milvus_lite(store: Store, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit(store, unit_vectors(200, 1), 0)
    assert store.searching.choose(ADDRESS) is None
    assert store.searching.require_up_to_date() == 200
    queries = unit_vectors(20, 2)
    same_as_exact(store, queries)
    commit(store, unit_vectors(20, 3), 200)
    same_as_exact(store, unit_vectors(20, 3))  # not written yet
    gone = sorted(photo.id for photo in store.photos().values())[::10]
    store.remove_photos(gone)
    same_as_exact(store, queries)
    assert store.searching.require_up_to_date() == 18
    assert store.searching.check(50, 7, 0.95) == ([], 1.0)
    same_as_exact(store, queries)

    # Forgetting: no file has the vectors any more.
    face = store.faces().face[0]
    row = store.faces([int(face)]).row
    fragment = store.vectors(row)[0].tobytes()
    assert any(fragment in path.read_bytes() for path in (directory / "milvus.db").rglob("*.idx"))
    with store.forgetting.deleting([]) as deleting:
        deleting.faces([int(face)])
    store.forgetting.finish()
    store.searching.require_up_to_date()
    assert store.searching.note is None
    files = [path for path in (directory / "milvus.db").rglob("*") if path.is_file()]
    assert not any(fragment in path.read_bytes() for path in files)
    same_as_exact(store, queries)
    store.close()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {0o600} or os.name == "nt"
    with Store.open(directory) as reader:
        reader.searching.connect = connect_search
        same_as_exact(reader, queries)
    assert not caplog.records
    with Store.open(directory, write=True) as writer:
        writer.searching.connect = connect_search
        assert writer.searching.choose(None) is None
    assert not (directory / "milvus.db").exists()


@pytest.mark.usefixtures("lite")
def test_one_process_at_a_time(store: Store, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit(store, unit_vectors(50, 1), 0)
    store.searching.choose(ADDRESS)
    store.searching.require_up_to_date()
    with Store.open(directory) as reader, caplog.at_level(logging.WARNING):
        reader.searching.connect = connect_search
        same_as_exact(reader, unit_vectors(3, 2))
    (record,) = caplog.records
    assert "is in use by another process" in record.getMessage()


@pytest.mark.usefixtures("lite")
def test_other_index_types_and_single_ranges(directory: Path) -> None:
    directory.mkdir()
    index = connect(ADDRESS, ID, directory, HnswParams(), True)
    try:
        assert index.dimension() is None
        index.create(DIMENSION)
        vectors = unit_vectors(300, 1)
        index.upsert(np.arange(300), vectors)
        index.upsert(np.arange(10), vectors[:10])
        index.settle()
        exact = np.argsort(-(vectors[:30] @ vectors.T), 1)[:, :20]
        for kind in ("HNSW", "IVF_FLAT", "FLAT"):
            index._set_type(kind, 300)
            near = index.search(vectors[:30], 20)
            recall = np.mean([len(np.intersect1d(a, b)) / 20 for a, b in zip(near, exact, strict=True)])
            assert recall > 0.95, kind
        assert index.count(0, EVERY) == 300
        index.delete(np.array([3, 4, 999]))
        assert index.ids(0, 8).tolist() == [0, 1, 2, 5, 6, 7]
        index.delete_range(290, EVERY)
        assert index.count(0, EVERY) == 288
        ids, found = index.vectors(np.array([2, 3, 5]))
        assert ids.tolist() == [2, 5]
        np.testing.assert_array_equal(found, vectors[[2, 5]])
    finally:
        index.close()


def test_index_types_by_size() -> None:
    assert index_types(1000) == ("FLAT",)
    assert index_types(100_000) == ("HNSW", "IVF_FLAT", "FLAT")


@pytest.mark.parametrize(
    ("current", "faces", "tried", "found"),
    [
        ("FLAT", 100, [], "FLAT"),
        ("HNSW", 100, ["FLAT"], "FLAT"),
        ("FLAT", 100_000, ["HNSW", "IVF_FLAT"], "IVF_FLAT"),
        ("IVF_FLAT", 100_000, [], "IVF_FLAT"),  # not HNSW again and again
        ("DISKANN", 100_000, ["HNSW", "IVF_FLAT"], "IVF_FLAT"),
    ],
)
def test_the_index_type_that_a_server_can_build(
    monkeypatch: pytest.MonkeyPatch, current: str, faces: int, tried: list[str], found: str
) -> None:
    index = Milvus("http://nas:19530", "", "Milvus at http://nas:19530", ID, HnswParams())
    index._type, asked = current, []

    def set_type(kind: str, faces: int) -> None:
        asked.append(kind)
        if kind == "HNSW":
            raise SearchUnavailable("It takes too long.", "Wait.")
        index._type = kind

    monkeypatch.setattr(index, "_set_type", set_type)
    monkeypatch.setattr(index, "_load", lambda: None)
    index.finish(faces)
    assert (asked, index._type) == (tried, found)


@pytest.mark.usefixtures("lite")
@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_in_a_database_are_refused(directory: Path, tmp_path: Path) -> None:
    (directory / "milvus.db").mkdir(parents=True)
    (directory / "milvus.db" / "collections").symlink_to(tmp_path)
    with pytest.raises(SearchUnavailable, match="is a link"):
        connect(ADDRESS, ID, directory, HnswParams(), True)


@pytest.mark.usefixtures("lite")
@pytest.mark.parametrize("end", ["close", "forget to close", "interrupt"])
def test_nothing_outlives_the_process(directory: Path, end: str) -> None:
    directory.mkdir()
    endings = {
        "close": "index.close()",
        "forget to close": "pass",
        "interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(20)",
    }
    program = (
        "from pathlib import Path; import numpy as np\n"
        "from faceindex.engine.milvus import connect; from faceindex.store import HnswParams\n"
        f"index = connect({ADDRESS!r}, {ID!r}, Path({str(directory)!r}), HnswParams(), True)\n"
        "index.create(16); index.upsert(np.arange(5), np.eye(5, 16, dtype=np.float32)); index.settle()\n"
        f"{endings[end]}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    assert ("KeyboardInterrupt" in done.stderr) == (end == "interrupt")
    assert [path.name for path in directory.iterdir()] == ["milvus.db"]  # the socket is gone
    index = connect(ADDRESS, ID, directory, HnswParams(), True)  # and the lock is free
    try:
        assert index.count(0, EVERY) == 5
    finally:
        index.close()


@pytest.mark.parametrize("missing", ["pymilvus", "milvus_lite"])
def test_a_missing_package_names_the_extra(
    directory: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", types.ModuleType("pymilvus"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SearchUnavailable, match=missing) as caught:
        connect(ADDRESS, ID, directory, HnswParams(), True).reach()
    assert not directory.exists()
    assert "pip install 'faceindex[milvus]'" in caught.value.remedy


class Refusing(types.ModuleType):
    """A pymilvus whose server repeats what it was sent."""

    def MilvusClient(self, uri: str, token: str, **more: object) -> object:  # noqa: N802
        raise RuntimeError(f"login of {token} at {uri} failed; password {token.split(':')[1]}")


def test_a_token_never_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", Refusing("pymilvus"))
    server = Milvus("http://nas:19530", "root:hunter2", "Milvus at http://nas:19530", ID, HnswParams())
    with pytest.raises(SearchUnavailable) as caught:
        server.reach()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


@pytest.mark.usefixtures("lite")
def test_an_unreachable_server_is_an_error_with_a_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("faceindex.engine.milvus._CONNECT_SECONDS", 1.0)
    monkeypatch.setenv("MILVUS_TOKEN", "root:hunter2")
    with pytest.raises(SearchUnavailable, match=r"^Milvus at http://127\.0\.0\.1:1 ") as caught:
        store.searching.choose("milvus:http://127.0.0.1:1")
    assert "search='auto'" in caught.value.remedy
    assert store.searching.address is None
    assert "hunter2" not in str(caught.value) + "".join(capfd.readouterr())
    assert b"hunter2" not in (store.directory / "catalog.sqlite").read_bytes()


@pytest.mark.parametrize("value", ["localhost:19530", "admin:hunter2@host:19530"])
@pytest.mark.usefixtures("lite")
def test_a_variable_that_pymilvus_rejects_is_of_no_consequence(value: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, pathlib\n"
            "from faceindex.engine.milvus import _imported\n"
            "_imported('pymilvus')\n"
            "print(os.environ['MILVUS_URI'])",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MILVUS_URI": value},
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, value, "")


@pytest.mark.usefixtures("lite")
def test_going_back_erases_a_database_that_another_process_has_open(store: Store, directory: Path) -> None:
    searching = IndexSearching(store)
    searching.choose("milvus:milvus.db")
    commit(store, unit_vectors(9, 0), 0)
    store.searching.catch_up()
    store.searching.close()
    other = Embedded(directory / "milvus.db", create=False)
    try:
        assert searching.choose("auto") is None
        assert not (directory / "milvus.db").exists()
    finally:
        other.close()


@pytest.mark.parametrize("command", ["--help", "identify --help", "identify nothing.jpg", "index nothing"])
def test_commands_import_nothing_of_it(command: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom faceindex.cli.start import main\n"
        f"sys.argv = ['faceindex', *{command.split()!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *(m for m in sys.modules if m.split('.')[0] in ('pymilvus', 'milvus_lite', 'grpc')"
        " or m == 'faceindex.engine.milvus'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1].strip() == "LOADED"


def test_every_request_has_a_time_limit() -> None:
    """The client's methods that send nothing are the only ones without."""
    tree = ast.parse(Path(milvus.__file__).read_text("utf-8"))
    without = {
        call.func.attr
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == "self._client"
        and "timeout" not in {keyword.arg for keyword in call.keywords}
    }
    assert without == {"create_schema", "prepare_index_params"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address: Milvus Lite at a TCP port."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, threading\n"
            "from milvus_lite.adapter.grpc.server import start_server_in_thread as start\n"
            "server, database, port = start(sys.argv[1], host='127.0.0.1', port=0)\n"
            "print(port, flush=True)\n"
            "threading.Event().wait()",
            str(tmp_path / "served"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, f"milvus:http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
@pytest.mark.usefixtures("lite")
def test_a_server_that_hangs_costs_one_wait(
    server: tuple[subprocess.Popen[str], str],
    store: Store,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    process, address = server
    commit(store, unit_vectors(50, 1), 0)
    store.searching.choose(address)
    store.searching.require_up_to_date()
    monkeypatch.setattr(milvus, "_REQUEST_SECONDS", 1.0)
    with Store.open(directory) as reader, caplog.at_level(logging.WARNING, "faceindex"):
        reader.searching.connect = connect_search
        outside = reader.searching.outside()
        assert outside is not None
        index = outside.index()
        assert index.dimension() == DIMENSION
        process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(SearchUnavailable):
            index.count(0, EVERY)  # loads first
        for seed in range(20):
            same_as_exact(reader, unit_vectors(2, seed))
        assert time.monotonic() - begun < 15
        process.send_signal(signal.SIGCONT)
    assert len(caplog.records) == 1
