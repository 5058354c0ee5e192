"""Photos on an engine, with an engine in this process: what travels, what is compared, what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex import FaceIndex
from faceindex.api.extraction import check_place
from faceindex.engine import Lost
from faceindex.errors import EngineError, ImageError, Reason, UsageError
from faceindex.pipeline import index_photos
from faceindex.pipeline.batches import Outcome
from faceindex.pipeline.remote import Answer, RemoteRecognition, WorkerPlan, _decode_bytes, facts_of


class Here:
    """An engine with one worker, in this process; everything is pickled on its way."""

    def __init__(self, change: Callable[[Any], Any] = lambda answer: answer) -> None:
        self.change = change
        self.batches: list[list[Any]] = []

    def start(self) -> int:
        return 2

    def map(
        self,
        make: Any,
        batches: Iterable[Sequence[Any]],
        *,
        check: Callable[[object], None],
        should_stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> Iterator[list[tuple[Any, Any]]]:
        worker = pickle.loads(pickle.dumps(make))()
        check(pickle.loads(pickle.dumps(worker.about())))
        for batch in batches:
            self.batches.append(list(batch))
            answers = pickle.loads(pickle.dumps(worker.work(pickle.loads(pickle.dumps(batch)))))
            yield [(item, self.change(answer)) for item, answer in zip(batch, answers, strict=True)]

    def close(self) -> None:
        pass


@pytest.fixture
def plan(fake_models: ModuleType) -> WorkerPlan:
    return WorkerPlan(fake_models.DETECTOR, fake_models.EMBEDDER, 20.0, "cpu", {}, 1 << 30)


def _run(index: FaceIndex, album: Path | str, engine: Here, plan: WorkerPlan, **more: Any) -> Any:
    def load() -> Any:
        raise AssertionError("this process needs no networks")

    return index_photos(index._store, load, [album], elsewhere=RemoteRecognition(engine, plan), **more)


def test_paths_travel_in_the_batches_of_a_local_run(index: FaceIndex, album: Path, plan: WorkerPlan) -> None:
    engine = Here()
    summary = _run(index, album, engine, plan)
    assert (summary.new, summary.faces, len(index)) == (12, 12, 12)
    assert [len(batch) for batch in engine.batches] == [6, 6]  # both workers have something to do
    paths = [path for batch in engine.batches for _, path in batch]
    assert sorted(paths) == sorted(str(path) for path in album.rglob("*.png"))
    assert not (index.directory / "in-work").exists()


def test_answers_keep_all_of_an_error() -> None:
    error = ImageError("a\udcff.jpg", Reason.CORRUPT, "it is cut off.", "Copy it again.")
    outcome = Outcome(None, b"1", None, error)  # type: ignore[type-var]
    answer = pickle.loads(pickle.dumps(Answer.of(outcome, "host")))
    found = answer.outcome(None).result
    assert (found.path, found.reason, str(found)) == (error.path, error.reason, str(error))


def test_a_photo_that_only_a_worker_cannot_read(index: FaceIndex, album: Path, plan: WorkerPlan) -> None:
    bad = str(sorted(album.rglob("*.png"))[3])

    def change(answer: Answer) -> Answer:
        return replace(answer, result=(bad, Reason.MISSING.value, "no such file.", "Look."), host="node7")

    with pytest.raises(EngineError) as raised:
        _run(index, album, Here(change), plan)
    assert "A worker on node7 cannot read " in raised.value.problem
    assert "(missing), but this machine" in raised.value.problem
    assert "at the same path" in raised.value.remedy
    assert len(index) == 0


@pytest.mark.parametrize(
    ("reason", "ends"),
    [(Reason.IO_ERROR, False), (Reason.MISSING, False), (Reason.DENIED, True), (Reason.UNSUPPORTED, True)],
)
def test_an_object_that_a_worker_cannot_read(
    index: FaceIndex, album: Path, plan: WorkerPlan, reason: Reason, ends: bool
) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for path in album.rglob("*.png"):
        system.pipe_file(f"/workers/{path.relative_to(album).as_posix()}", path.read_bytes())
    fails = iter([True])

    def change(answer: Answer) -> Answer:
        if not next(fails, False):
            return answer
        return replace(answer, result=("memory://workers/x", reason.value, "it failed.", "Look."))

    try:
        if ends:
            with pytest.raises(EngineError, match="give the same credentials"):
                _run(index, "memory://workers", Here(change), plan)
            return
        summary = _run(index, "memory://workers", Here(change), plan)
        assert (summary.new, summary.unreadable) == (11, {reason.value: 1})
        assert _run(index, "memory://workers", Here(), plan).new == 1
    finally:
        system.rm("/workers", recursive=True)


def test_no_object_is_held_while_workers_request_them(
    index: FaceIndex,
    tmp_path: Path,
    plan: WorkerPlan,
    fake_models: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec")
    from faceindex.pipeline import held

    system = fsspec.filesystem("memory")

    def put(first_mark: int) -> None:
        for number in range(5):
            colour = fake_models.colour_of(number)
            photo = fake_models.make_photo(tmp_path / "one.png", colour, mark=first_mark + number)
            system.pipe_file(f"/workers/{number}.png", photo.read_bytes())

    all_held: list[held.Held] = []
    make = held.Held.__init__

    def note(self: held.Held) -> None:
        make(self)
        all_held.append(self)

    monkeypatch.setattr(held.Held, "__init__", note)
    most: list[int] = []

    def look(answer: Answer) -> Answer:
        most.append(max(one._used for one in all_held))
        return answer

    try:
        put(1)
        assert _run(index, "memory://workers", Here(look), plan).new == 5
        put(20)
        assert _run(index, "memory://workers", Here(look), plan).changed == 5
    finally:
        system.rm("/workers", recursive=True)
    assert set(most) == {0}


def test_a_photo_that_nobody_can_read(index: FaceIndex, album: Path, plan: WorkerPlan) -> None:
    def change(answer: Answer) -> Answer:
        for path in album.rglob("*.png"):
            path.unlink()
        return replace(answer, result=("x", Reason.MISSING.value, "no such file.", "Look."), host="node7")

    assert _run(index, album, Here(change), plan).unreadable == {"missing": 12}


def test_a_lost_photo(index: FaceIndex, album: Path, plan: WorkerPlan) -> None:
    lost = iter([True])
    summary = _run(index, album, Here(lambda answer: Lost(4) if next(lost, False) else answer), plan)
    assert (summary.new, summary.unreadable) == (11, {"ended the run": 1})


def test_an_error_of_a_run_keeps_what_is_committed(
    index: FaceIndex, album: Path, plan: WorkerPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(99))

    def change(answer: Answer) -> Answer:
        if next(count) >= 6:
            raise EngineError("Ray is gone.", "Start it again.")
        return answer

    with pytest.raises(EngineError, match="Ray is gone"):
        _run(index, album, Here(change), plan)
    assert len(index) == 6
    assert _run(index, album, Here(), plan).new == 6


@pytest.mark.parametrize("what", ["faceindex", "Python", "the extra 'raw'", "net.pt"])
def test_facts_that_differ(plan: WorkerPlan, what: str) -> None:
    here = facts_of(plan.detector, plan.embedder)
    here = replace(here, same={**here.same, "net.pt": "SHA-256 aa"})
    here.check(here)
    there = replace(here, host="node7", same={**here.same, what: "another"})
    with pytest.raises(EngineError) as raised:
        here.check(there)
    assert raised.value.problem.startswith(
        f"{what} differs: another at a worker on node7, {here.same[what]} on "
    )


def test_workers_of_a_small_machine_decode_less(plan: WorkerPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "faceindex.pipeline.remote"
    monkeypatch.setattr(f"{module}.cores", lambda: 8)
    for available, expected in ((64 << 30, 1 << 30), (8 << 30, 256 << 20), (4 << 30, 128 << 20)):
        monkeypatch.setattr(f"{module}.available_memory", lambda available=available: available)
        assert _decode_bytes(plan) == expected


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_place(None, None) is None
    with pytest.raises(UsageError, match="`actors` are of no use without `on`"):
        check_place(None, 2)
    with pytest.raises(UsageError, match="`actors` is 0"):
        check_place("ray", 0)
    for device in ("auto", "cpu", "cuda", "mps"):
        assert check_place("ray", 2, device) is not None  # this machine need not have it
    with pytest.raises(UsageError, match="`device` is 'cuda:1', and Ray gives each worker a GPU"):
        check_place("ray", 2, "cuda:1")
    with pytest.raises(UsageError, match="There is no device 'gpu'"):
        check_place("ray", 2, "gpu")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        EngineError, match=r"Ray is not installed\. Install it with `pip install 'faceindex\[ray\]'`"
    ):
        check_place("ray", 2)


def test_the_device_of_workers_need_not_be_here(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = {"detector": "fake", "embedder": "fake", "device": "cuda"}
    with pytest.raises(UsageError, match="The device 'cuda' cannot be used"):
        FaceIndex.open_or_create(tmp_path / "index", **options)  # type: ignore[arg-type]
    for _ in range(2):  # created, and opened
        with FaceIndex.open_or_create(tmp_path / "index", load_models=False, **options) as index:  # type: ignore[arg-type]
            assert index._get_queries().recogniser(on_any_device=True).device != "cuda"


def test_a_new_index_can_leave_the_networks_to_the_workers(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("networks were loaded")

    monkeypatch.setattr("faceindex.api.pins.load_recogniser", load)
    with FaceIndex.create(tmp_path / "new", detector="fake", embedder="fake", load_models=False) as index:
        assert (index.pins.detector, len(index)) == ("fake", 0)
    with pytest.raises(AssertionError, match="networks were loaded"):
        FaceIndex.create(tmp_path / "other", detector="fake", embedder="fake")
    assert not (tmp_path / "other").exists()
