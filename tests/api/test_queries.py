"""`FaceIndex.identify_many`: any number of photos, with fake models."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceindex import FaceIndex, Identification
from faceindex.errors import BrokenModel, ImageError, Reason, UsageError
from faceindex.pipeline import Event, Loaded, Loading, batches, load
from faceindex.store import Store


@pytest.fixture
def queries(tmp_path: Path, fake_models: ModuleType) -> list[Path]:
    """Forty photos of the three people in turn."""
    return [
        fake_models.make_photo(tmp_path / "new" / f"{i:02}.png", fake_models.colour_of(i % 3), mark=500 + i)
        for i in range(40)
    ]


@pytest.fixture
def most_in_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The most bytes of photos in memory at any time so far."""
    most = [0]
    add = load._Budget.add

    def spy(self: Any, size: int) -> None:
        add(self, size)
        most[0] = max(most[0], self._used)

    monkeypatch.setattr(load._Budget, "add", spy)
    yield most


def clusters(answers: list[Identification]) -> list[int | None]:
    return [answer.faces[0].cluster for answer in answers]


def no_threads_left() -> bool:
    return not any(thread.name.startswith("faceindex-") for thread in threading.enumerate())


def test_the_answers_are_those_for_single_photos_in_the_order_of_the_photos(
    index: FaceIndex, queries: list[Path]
) -> None:
    answers = list(index.identify_many(queries))
    assert [answer.photo for answer in answers] == list(map(str, queries))
    alone = [index.identify(path) for path in queries]
    assert clusters(answers) == clusters(alone)
    assert len(set(clusters(alone))) == 3
    for one, other in zip(answers, alone, strict=True):
        (face,), (expected,) = one.faces, other.faces
        assert face.box == expected.box
        assert face.similarity == pytest.approx(expected.similarity, abs=1e-5)
        assert len(face.neighbours) == len(expected.neighbours)
    assert clusters(index.identify(queries)) == clusters(alone)


def test_a_batch_takes_one_search(
    index: FaceIndex, queries: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    search = Store.search

    def spy(self: Store, vectors: np.ndarray, *more: object) -> object:
        sizes.append(len(vectors))
        return search(self, vectors, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "search", spy)
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 10)
    list(index.identify_many(queries))
    assert sizes == [10] * 4


def test_a_photo_named_twice_is_answered_twice(index: FaceIndex, queries: list[Path]) -> None:
    photos = [queries[0], queries[1], queries[0]]
    found = clusters(list(index.identify_many(photos)))
    assert found[0] == found[2] != found[1]


def test_unreadable_photos_are_answered_in_their_place(
    index: FaceIndex, queries: list[Path], tmp_path: Path, fake_models: ModuleType
) -> None:
    text = tmp_path / "note.jpg"
    text.write_text("no photo")
    nobody = fake_models.make_photo(tmp_path / "nobody.png", fake_models.NOBODY)
    photos = [tmp_path / "gone.png", *queries[:5], text, nobody, tmp_path, *queries[5:20], text]
    answers = list(index.identify_many(photos))
    assert [answer.photo for answer in answers] == list(map(str, photos))
    reasons = {i: answer.error.reason for i, answer in enumerate(answers) if answer.error is not None}
    assert reasons == {
        0: Reason.MISSING,
        6: Reason.NOT_AN_IMAGE,
        8: Reason.NOT_AN_IMAGE,
        24: Reason.NOT_AN_IMAGE,
    }
    assert [i for i, answer in enumerate(answers) if not answer.faces] == [0, 6, 7, 8, 24]


def test_many_unreadable_files_do_not_wait_for_a_photo(index: FaceIndex, tmp_path: Path) -> None:
    text = tmp_path / "note.txt"
    text.write_text("no photo")
    index.embed(np.full((96, 96, 3), 64, np.uint8))  # the models are loaded
    answers = index.identify_many(text for _ in itertools.count())
    assert all(answer.error is not None for answer in itertools.islice(answers, 300))
    answers.close()


def test_every_kind_of_photo(index: FaceIndex, queries: list[Path]) -> None:
    path = queries[1]
    with Image.open(path) as opened:
        photos = [
            *(path, str(path), path.read_bytes(), bytearray(path.read_bytes())),
            *(np.asarray(opened), opened, memoryview(path.read_bytes()), queries[2]),
        ]
        answers = list(index.identify_many(photos))
    assert len(set(clusters(answers)[:7])) == 1
    assert clusters(answers)[7] != clusters(answers)[0]
    assert [answer.photo for answer in answers[2:7]] == [
        *("<bytes>", "<bytes>", "<ndarray>", "<PngImageFile>", "<bytes>")
    ]


def test_photos_are_taken_as_they_are_needed(index: FaceIndex, queries: list[Path]) -> None:
    taken = itertools.count()
    answers = index.identify_many(queries[next(taken) % 40] for _ in itertools.count())
    assert len(list(itertools.islice(answers, 20))) == 20
    waiting = (batches.count_workers() + 2) * batches.BATCH_PHOTOS + load._AHEAD + 1
    assert next(taken) <= 20 + waiting
    answers.close()
    assert no_threads_left()


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_memory_is_bounded(
    index: FaceIndex,
    queries: list[Path],
    kind: str,
    most_in_memory: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = 96 * 96 * 3
    monkeypatch.setattr(batches, "BUDGET_BYTES", 6 * one)
    photos: Any = queries if kind == "files" else (np.asarray(Image.open(path)) for path in queries)
    expected = clusters([index.identify(path) for path in queries])
    assert clusters(list(index.identify_many(photos))) == expected
    file = max(path.stat().st_size for path in queries) if kind == "files" else 0
    # Each thread may admit the photo that exceeds the limit.
    assert 0 < most_in_memory[0] <= (6 + batches.DECODE_THREADS) * (one + file)


def test_an_error_in_the_networks_affects_only_its_photo(
    index: FaceIndex, queries: list[Path], fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = fake_models.make_photo(queries[0].with_name("poison.png"), (255, 0, 0))
    detect = fake_models.FakeDetector.detect_one

    def breaks(self: object, image: np.ndarray) -> object:
        if tuple(image[50, 50]) == (255, 0, 0):
            raise RuntimeError("the network fails")
        return detect(self, image)

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", breaks)
    answers = list(index.identify_many([*queries[:3], poison, *queries[3:6]]))
    assert [len(answer.faces) for answer in answers] == [1, 1, 1, 0, 1, 1, 1]
    error = answers[3].error
    assert error is not None
    assert (error.reason, error.path) == (Reason.FAILED, str(poison))
    assert isinstance(error.__cause__, RuntimeError)
    with pytest.raises(ImageError, match="the network fails"):
        index.identify(poison)


def test_an_error_that_is_not_about_a_photo_ends_the_run(
    index: FaceIndex, queries: list[Path], fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_models.FakeDetector, "detect", lambda self, images, **_: [])
    with pytest.raises(BrokenModel):
        list(index.identify_many(queries))
    with pytest.raises(UsageError, match="type int"):
        list(index.identify_many([queries[0], 5]))  # type: ignore[list-item]
    assert no_threads_left()


def test_arguments_are_checked_at_once(index: FaceIndex) -> None:
    with pytest.raises(UsageError, match="`neighbours` is -1"):
        index.identify_many([], neighbours=-1)


def test_stopping_answers_the_photos_in_work(
    index: FaceIndex, queries: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 2)
    answers: list[Identification] = []
    answers.extend(index.identify_many(queries, should_stop=lambda: len(answers) >= 4))
    assert 4 <= len(answers) <= 4 + 2 * (batches.count_workers() + 1)
    assert [answer.photo for answer in answers] == list(map(str, queries[: len(answers)]))
    assert list(index.identify_many(queries, should_stop=lambda: True)) == []


def test_an_interrupt_ends_all_threads(
    index: FaceIndex, queries: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 2)
    monkeypatch.setattr(batches, "BUDGET_BYTES", 1)

    def photos() -> Iterator[Path]:
        yield from queries[:10]
        raise KeyboardInterrupt

    answers: list[Identification] = []
    with pytest.raises(KeyboardInterrupt):
        answers.extend(index.identify_many(photos()))
    assert len(answers) < 10
    assert no_threads_left()
    assert clusters([index.identify(queries[0])])


def test_events_of_loading(index: FaceIndex, queries: list[Path]) -> None:
    events: list[Event] = []
    with FaceIndex.open(index.directory) as reader:
        assert len(list(reader.identify_many(queries[:2], on_event=events.append))) == 2
        assert [type(event) for event in events] == [Loading, Loaded]
        list(reader.identify_many(queries[:2], on_event=events.append))
    assert len(events) == 2


def test_an_iterator_that_is_left_behind_does_not_keep_the_program_alive(
    index: FaceIndex, queries: list[Path]
) -> None:
    """Its threads wait for memory that nobody will release."""
    program = f"""
        import itertools, fakes; fakes.register_fakes()
        from pathlib import Path
        from faceindex import FaceIndex
        from faceindex.pipeline import batches
        batches.BUDGET_BYTES = 1
        index = FaceIndex.open({str(index.directory)!r})
        photos = sorted(Path({str(queries[0].parent)!r}).iterdir())
        answers = index.identify_many(itertools.cycle(photos))
        print(next(answers).photo)
        import sys; sys.keep = answers
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(queries[0]), "")
