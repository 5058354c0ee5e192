"""A photo that ends the process: recorded before it is decoded, tried alone, set aside and named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from faceindex import FaceIndex
from faceindex.errors import ImageError, Reason
from faceindex.images import limits
from faceindex.pipeline import PhotoFailed, suspects
from faceindex.pipeline.plan import Task
from faceindex.pipeline.suspects import examine
from faceindex.store import PhotoRecord, Status
from faceindex.store.suspects import InWork, Suspect, take_leftover

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed by a signal")

# In every process of a test: registers the fake models, and kills the process that decodes a photo of
# 97 pixels' width.
_KILLER = """
import os, signal, sys
from fakes import register_fakes
import faceindex.images.decoder as decoder
register_fakes()
load = decoder._load
def deadly(opened):
    if opened.size[0] == 97:
        os.kill(os.getpid(), signal.SIGKILL)
    load(opened)
decoder._load = deadly
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command of faceindex in a process that one photo kills."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_KILLER, encoding="utf-8")
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tmp_path / "site"), str(tests), str(tests.parent)])

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "faceindex", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    return run


_INDEX = ("index", "album", "--detector", "fake", "--embedder", "fake", "--json")


def _widen(path: Path, width: int) -> None:
    from PIL import Image

    Image.new("RGB", (width, 96), (64, 64, 128)).save(path)


def test_a_photo_that_kills_is_set_aside_by_the_second_run(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, fake_models: ModuleType
) -> None:
    album = fake_models.make_album(tmp_path / "album", people=2, photos=2)
    bad = album / "person0" / "9 bad.png"
    _widen(bad, 97)
    first = run(*_INDEX)
    assert first.returncode == -signal.SIGKILL
    assert "9 bad.png" in (tmp_path / ".faceindex" / "in-work").read_text(encoding="utf-8")

    second = run(*_INDEX)
    assert second.returncode == 1, second.stderr
    summary: dict[str, Any] = json.loads(second.stdout)
    assert (summary["new"], summary["unreadable_by_reason"]) == (4, {"ended the run": 1})
    assert "9 bad.png: it ended the run twice: alone, the process that decoded it died (signal 9)." in (
        second.stderr
    )
    assert not (tmp_path / ".faceindex" / "in-work").exists()

    _widen(bad, 96)  # it no longer kills
    again = run(*_INDEX[:2], "--retry-failed", "--json")
    assert (again.returncode, json.loads(again.stdout)["new"]) == (0, 1), again.stderr


def test_a_photo_that_kills_the_networks_is_in_work_alone_at_last(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch, fake_models: ModuleType
) -> None:
    """It can be decoded. After the second death it is in work alone, and after the third it is set aside."""
    bad, record = str(album / "person0" / "0.png"), index.directory / "in-work"
    in_work: list[dict[str, bool]] = []
    detect = fake_models.FakeDetector.detect

    def look(self: Any, *arguments: Any, **more: Any) -> Any:
        in_work.append(take_leftover(record))
        return detect(self, *arguments, **more)

    monkeypatch.setattr(fake_models.FakeDetector, "detect", look)
    for _ in range(2):
        record.write_bytes(b"+" + os.fsencode(bad) + b"\0")
        assert index._store.suspects()
    assert index.add([album]).new == 12
    assert in_work[0] == {bad: True}
    assert all(bad not in others for others in in_work[1:])
    assert index._store.suspects() == {}


# Without processes that die --------------------------------------------------------------------


def test_suspects_that_can_be_decoded_go_on_as_usual(index: FaceIndex, album: Path) -> None:
    """As after a power cut."""
    names = [str(path) for path in sorted(album.rglob("*.png"))]
    (index.directory / "in-work").write_bytes(b"".join(b"+" + os.fsencode(name) + b"\0" for name in names))
    summary = index.add([album])
    assert (summary.new, summary.unreadable.total()) == (12, 0)
    assert index._store.suspects() == {}
    assert not (index.directory / "in-work").exists()


def test_a_run_that_ends_otherwise_leaves_no_suspects(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("faceindex.pipeline.run._Run._settle", fail)
    with pytest.raises(KeyboardInterrupt):
        index.add([album])
    assert not (index.directory / "in-work").exists()
    assert index._store.suspects() == {}


def _task(name: str, reason: Reason | None = None) -> Task:
    known = None
    if reason is not None:
        known = PhotoRecord(1, 1, name, 1, 1, None, 0, 0, Status.UNREADABLE, reason.value, "", 0)
    return Task(Path(name), "/", name, 1, 1, known)


class _FakeTrial:
    """Answers by name; counts the photos."""

    answers: ClassVar[dict[str, str | None]] = {}
    tried: ClassVar[list[str]] = []

    def __enter__(self) -> _FakeTrial:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def decode(self, path: str, should_stop: Callable[[], bool]) -> str | None:
        self.tried.append(path)
        return self.answers.get(path)


@pytest.fixture
def fake_trial(monkeypatch: pytest.MonkeyPatch) -> type[_FakeTrial]:
    monkeypatch.setattr(_FakeTrial, "tried", [])
    monkeypatch.setattr(_FakeTrial, "answers", {})
    monkeypatch.setattr(suspects, "_Trial", _FakeTrial)
    return _FakeTrial


def _names(tasks: Sequence[Task]) -> list[str]:
    return [task.name for task in tasks]


def test_who_is_tried_and_what_follows(fake_trial: type[_FakeTrial]) -> None:
    tasks = [_task(name) for name in ("fine", "once", "twice", "bad", "alone")]
    tasks += [_task("aside", Reason.ENDED_RUN), _task("corrupt", Reason.CORRUPT)]
    known = {"once": Suspect(1, 0), "twice": Suspect(2, 0), "bad": Suspect(1, 0), "alone": Suspect(3, 1)}
    fake_trial.answers = {"bad": "it died"}
    found = examine(tasks, known, lambda: False)
    assert fake_trial.tried == ["once", "twice", "bad", "aside"]
    assert _names(found.clear) == ["fine", "once", "aside", "corrupt"]
    assert _names(found.alone) == ["twice"]
    errors = {task.name: error for task, error in found.failed}
    assert errors.keys() == {"bad", "alone"}
    assert all(
        isinstance(error, ImageError) and error.reason is Reason.ENDED_RUN for error in errors.values()
    )
    assert found.suspected == {*known, "aside"}


def test_a_stop_leaves_suspects_for_the_next_run(fake_trial: type[_FakeTrial]) -> None:
    found = examine([_task("a"), _task("b")], {"b": Suspect(1, 0)}, lambda: True)
    assert (_names(found.clear), found.failed, fake_trial.tried) == (["a"], [], [])


def test_a_photo_that_takes_too_much_memory_or_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_models: ModuleType
) -> None:
    """A real process. Its limits are real too: the decoder of the photo takes 300 MB more than estimated."""
    good = fake_models.make_photo(tmp_path / "good.png", (9, 9, 9))
    site = tmp_path / "sitecustomize.py"
    site.write_text(
        "import faceindex.images.decoder as decoder, time\nload = decoder._load\n"
        "def greedy(opened):\n"
        "    if opened.size[0] == 97: held = bytearray(500 << 20)\n"
        "    if opened.size[0] == 98: time.sleep(60)\n"
        "    load(opened)\ndecoder._load = greedy\n",
        encoding="utf-8",
    )
    package = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(package)]))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    greedy, slow = tmp_path / "greedy.png", tmp_path / "slow.png"
    _widen(greedy, 97)
    _widen(slow, 98)
    monkeypatch.setattr(suspects, "SECONDS", 5.0)
    with limits.limit_memory("850M"), suspects._Trial() as trial:
        assert trial.decode(str(good), lambda: False) is None
        if sys.platform.startswith("linux"):
            message = trial.decode(str(greedy), lambda: False)
            assert message == "alone, it takes more than 82 MiB of memory"
        monkeypatch.setattr(suspects, "SECONDS", 0.5)
        assert trial.decode(str(slow), lambda: False) == "alone, it took more than 0 seconds"
        monkeypatch.setattr(suspects, "SECONDS", 5.0)
        assert trial.decode(str(tmp_path / "missing.png"), lambda: False) is None  # the run reports it


# The record --------------------------------------------------------------------------------------


def test_what_is_in_work_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in-work"
    with InWork(path) as watch:
        for name in ("a", "b\n", os.fsdecode(b"c\xff")):
            watch.begin(name)
        watch.end("a")
        watch.end("never begun")
        assert take_leftover(path) == {"b\n": False, os.fsdecode(b"c\xff"): False}
        assert path.stat().st_mode & 0o777 == 0o600
        monkeypatch.setattr("faceindex.store.suspects._MOST_BYTES", 1)
        watch.alone = True
        watch.begin("d")
        watch.end("b\n")
        assert path.stat().st_size == len(b"+c\xff\0!d\0")
        assert take_leftover(path) == {os.fsdecode(b"c\xff"): False, "d": True}
    assert not path.exists()


def test_a_record_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with InWork(tmp_path / "missing" / "in-work") as watch:
        watch.begin("a")
        watch.end("a")


def test_a_damaged_record_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "in-work"
    path.write_bytes(b"+a\0?x\0\0+b\0-a\0+cut")
    assert take_leftover(path) == {"b": False}
    path.unlink()
    assert take_leftover(path) == {}
    (tmp_path / "target").write_bytes(b"+a\0")
    path.symlink_to(tmp_path / "target")
    assert take_leftover(path) == {}


def test_deaths_are_counted(index: FaceIndex) -> None:
    record = index.directory / "in-work"
    for content in (b"+/a\0+/b\0", b"+/a\0!/c\0"):
        record.write_bytes(content)
        found = index._store.suspects()
    assert found == {"/a": Suspect(2, 0), "/b": Suspect(1, 0), "/c": Suspect(1, 1)}
    index._store.remove_suspects(["/a", "/unknown"])
    assert index._store.suspects().keys() == {"/b", "/c"}


def test_the_error_names_the_photo(index: FaceIndex, album: Path, fake_trial: type[_FakeTrial]) -> None:
    bad = str(album / "person0" / "0.png")
    (index.directory / "in-work").write_bytes(b"+" + os.fsencode(bad) + b"\0")
    fake_trial.answers = {bad: "alone, it died"}
    failed = []
    summary = index.add([album], on_event=lambda event: failed.append(event))
    errors = [event.error for event in failed if isinstance(event, PhotoFailed)]
    assert [str(error) for error in errors] == [
        f"{bad}: it ended the run twice: alone, it died. Make a smaller copy, or leave it out; "
        "`retry_failed=True` tries it again."
    ]
    assert (summary.new, summary.unreadable) == (11, {"ended the run": 1})
    assert index._store.suspects() == {}
    fake_trial.answers = {}
    assert index.add([album]).known_unreadable == 1
    assert index.add([album], retry_failed=True).new == 1
    assert fake_trial.tried == [bad, bad]
