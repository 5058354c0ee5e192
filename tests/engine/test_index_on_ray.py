"""`FaceIndex.add` and `faceindex index` on Ray: the same index, photos that kill, stops, kills, and logs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from engine_fakes import DEADLY

from faceindex import FaceIndex, models
from faceindex.pipeline import Event, PhotoFailed
from faceindex.pipeline.events import Loaded, Loading
from faceindex.types import F32

pytestmark = [
    # Not `importorskip`: Ray that is started for a run must not be imported before.
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed"),
    pytest.mark.skipif(os.name == "nt", reason="processes are killed by a signal"),
]


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    """Photos of three people, one without a face, one that is none, and an archive."""
    album: Path = fake_models.make_album(tmp_path / "album", people=3, photos=14)
    fake_models.make_photo(album / "black.png", fake_models.NOBODY)
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    with zipfile.ZipFile(album / "old.zip", "w") as archive:
        archive.write(album / "person1" / "3.png", "1987/a.png")
    return album


def _add(
    folder: Path, album: Path, detector: str = "fake", **more: Any
) -> tuple[list[tuple[Any, ...]], F32, list[Event], dict[str, int]]:
    """Index an album; return faces, vectors, events and the reasons of unreadable photos."""
    events: list[Event] = []
    with FaceIndex.create(folder, detector=detector, embedder="fake") as index:
        summary = index.add([album], on_event=events.append, **more)
        index.cluster()
        faces = [(face.photo, face.box, face.score, face.quality, face.cluster) for face in index]
        return faces, index.vectors(), events, dict(summary.unreadable)


def test_the_index_is_the_same(tmp_path: Path, album: Path, ray_folder: Path) -> None:
    here = _add(tmp_path / "here", album)
    there = _add(tmp_path / "there", album, on="ray", actors=2)
    assert len(here[0]) == 43
    assert any("old.zip/1987/a.png" in face[0] for face in there[0])
    assert there[0] == here[0]
    np.testing.assert_array_equal(there[1], here[1])
    assert there[3] == here[3] == {"truncated": 1}
    # The same events, but for the time at which batches are committed.
    kinds = [[type(event).__name__ for event in run[2]] for run in (here, there)]
    assert set(kinds[0]) == set(kinds[1])
    assert [kind.count("PhotoDone") for kind in kinds] == [44, 44]
    assert [event for event in there[2] if isinstance(event, (Loading, Loaded))] == [Loading(), Loaded()]


def test_logs_of_ray_have_no_paths_and_no_vectors(tmp_path: Path, album: Path, ray_folder: Path) -> None:
    _, vectors, events, _ = _add(tmp_path / "index", album, on="ray")
    assert any(isinstance(event, PhotoFailed) for event in events)  # errors could be logged, too
    words = [str(album).encode(), b"person1", b"broken.jpg", f"{vectors[0, 0]:.6g}".encode()]
    words += [vectors[0, :2].tobytes(), repr(float(vectors[0, 1])).encode()]
    files = [path for path in (ray_folder / "r").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name.startswith("python-core-worker") for path in files)
    for path in files:
        content = path.read_bytes()
        assert not [word for word in words if word in content], path


def test_a_photo_that_kills_its_worker_is_set_aside_and_named(
    tmp_path: Path, fake_models: ModuleType, ray_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    models.register(DEADLY)
    album = fake_models.make_album(tmp_path / "album", people=2, photos=4)
    bad = album / "person0" / "9 bad.png"
    Image.new("RGB", (97, 96), (64, 64, 128)).save(bad)
    faces, _, events, unreadable = _add(tmp_path / "index", album, "deadly", on="ray", actors=2)
    assert (len(faces), unreadable) == (8, {"ended the run": 1})
    errors = [event.error for event in events if isinstance(event, PhotoFailed)]
    assert [str(error) for error in errors] == [
        f"{bad}: it ended its worker: 4 died while they worked on it, the last two on it alone. "
        "Make a smaller copy, or leave it out; `retry_failed=True` tries it again."
    ]
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        assert index._store.suspects() == {}
        again = index.add([album], on="ray")
        assert (again.opened, again.known_unreadable) == (0, 1)
        Image.new("RGB", (96, 96), (64, 64, 128)).save(bad)
        assert index.add([album], on="ray").new == 1
    printed = capfd.readouterr()
    assert (printed.out, "died" in printed.err) == ("", False)  # Ray would print that workers died


def test_a_stop_commits_what_is_done(tmp_path: Path, album: Path, ray_folder: Path) -> None:
    done: list[Event] = []
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        first = index.add(
            [album], on="ray", actors=1, on_event=done.append, should_stop=lambda: bool(_photos(done))
        )
        assert first.interrupted
        assert 0 < first.new < 43
        second = index.add([album], on="ray")
        assert (first.new + second.new, second.interrupted) == (44, False)
        assert len(index) == 43


def _photos(events: list[Event]) -> list[Event]:
    return [event for event in events if type(event).__name__ == "PhotoDone"]


def test_weights_that_differ_are_an_error_that_names_both(
    tmp_path: Path, album: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceindex.engine.facts import Facts
    from faceindex.errors import EngineError
    from faceindex.pipeline import remote

    here = remote.facts_of

    def other(detector: Any, embedder: Any) -> Facts:
        facts = here(detector, embedder)
        return replace(facts, same={**facts.same, "net.pt": "SHA-256 aa"})

    monkeypatch.setattr(remote, "facts_of", other)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        with pytest.raises(EngineError, match=r"^net\.pt differs: .* at a worker on .*, SHA-256 aa on "):
            index.add([album], on="ray")
        assert len(index) == 0


# The command, with its own Ray -----------------------------------------------------------------------

_SITE = """
import fakes
fakes.register_fakes()
fakes.FakeDetector.delay = 0.2
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes that a test starts; they end with it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def _start(tmp_path: Path, temporary: Path) -> subprocess.Popen[str]:
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    tests = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [tmp_path / "site", tests, tests.parent]))
    environment["TMPDIR"] = str(temporary)
    words = [
        "index",
        "album",
        "--detector",
        "fake",
        "--embedder",
        "fake",
        "--on",
        "ray",
        "--actors",
        "1",
        "--json",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "faceindex", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_faces(index: Path) -> None:
    for _ in range(600):
        if (index / "catalog.sqlite").exists():
            with FaceIndex.open(index) as opened:
                if len(opened):
                    return
        time.sleep(0.1)
    raise AssertionError("nothing was committed in a minute")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_command_is_killed_and_goes_on_and_leaves_nothing(
    tmp_path: Path, fake_models: ModuleType, command: list[subprocess.Popen[str]]
) -> None:
    import tempfile

    fake_models.make_album(tmp_path / "album", people=6, photos=14)
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as temporary:
        killed = _start(tmp_path, Path(temporary))
        command.append(killed)
        _wait_for_faces(tmp_path / ".faceindex")
        killed.kill()
        killed.communicate()
        assert _until(lambda: not _with_text(temporary)), "processes of Ray are left"
        left = list(Path(temporary).glob("fi-ray-*"))
        assert len(left) == 1  # goes away with the next run
        with FaceIndex.open(tmp_path / ".faceindex") as opened:
            committed = len(opened)
        assert 0 < committed < 84

        stopped = _start(tmp_path, Path(temporary))
        command.append(stopped)
        assert _until(lambda: list(Path(temporary).glob("fi-ray-*")) not in (left, [])), "Ray did not start"
        stopped.send_signal(signal.SIGINT)
        output, errors = stopped.communicate(timeout=120)
        summary = json.loads(output)
        assert (stopped.returncode, summary["interrupted"]) == (1, True), errors
        assert summary["unchanged"] == committed
        assert _until(lambda: not _with_text(temporary))
        assert list(Path(temporary).glob("fi-ray-*")) == []
        with FaceIndex.open(tmp_path / ".faceindex") as opened:
            assert len(opened) == committed + summary["new"]


def _until(true: Any) -> bool:
    for _ in range(300):
        if true():
            return True
        time.sleep(0.1)
    return False


def _with_text(text: str) -> list[str]:
    """Return the processes with a text in their environment, but for two helpers that end a minute later.

    They look for their parent now and then, and have nothing to do with photos.
    """
    helpers = (b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if text.encode() not in Path(f"/proc/{pid}/environ").read_bytes():
                continue
            if not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(helpers):
                found.append(pid)
    return found
