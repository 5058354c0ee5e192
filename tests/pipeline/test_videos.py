"""Videos in the index: their rows, their moments, and what becomes of both."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from video_files import scenes, write_video

from faceindex import FaceIndex, images
from faceindex.errors import Reason
from faceindex.images import video_reading
from faceindex.images.moments import split_moment
from faceindex.images.video_process import VideoProcess
from faceindex.pipeline import PhotoDone, PhotoFailed, Summary, Watching, plan, select, video_run, videos
from faceindex.pipeline.video_run import recognise_moments
from faceindex.pipeline.videos import search_video
from faceindex.recognition import LoadedPhoto, Recogniser
from faceindex.store import PhotoRecord, Status
from faceindex.types import Detections

pytest.importorskip("av", reason="PyAV is not installed")

ANNA, BEN, NOBODY = (64, 64, 128), (128, 64, 128), (0, 0, 0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of Anna, then of nobody, then of Ben."""
    return write_video(
        tmp_path_factory.mktemp("film") / "film.mp4",
        scenes((ANNA, 2.0), (NOBODY, 1.0), (BEN, 2.0)),
        metadata={"creation_time": "2020-05-17T10:00:00Z"},
    )


class _Kept(VideoProcess):
    """Stays for the next run: starting a process takes longer than a test."""

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture(scope="module")
def kept() -> Iterator[VideoProcess]:
    process = _Kept(1)
    yield process
    process.close()


@pytest.fixture(autouse=True)
def one_process(kept: VideoProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_run.VideoReader, "_new_process", staticmethod(lambda: kept))
    monkeypatch.setattr(video_reading, "_reader", lambda: kept)


@pytest.fixture
def folder(tmp_path: Path, film: Path, fake_models: ModuleType) -> Path:
    """A folder with the video and a photo of Anna."""
    folder = tmp_path / "album"
    fake_models.make_photo(folder / "anna.png", ANNA)
    shutil.copy(film, folder / "film.mp4")
    return folder


@pytest.fixture
def filled(index: FaceIndex, folder: Path) -> FaceIndex:
    summary = index.add(folder)
    assert (summary.videos, summary.moments, summary.new, summary.faces) == (1, 2, 2, 3)
    return index


def rows(index: FaceIndex) -> dict[str, PhotoRecord]:
    return {record.relpath: record for record in index._store.photos().values()}


def moments(index: FaceIndex, video: str = "film.mp4") -> dict[str, PhotoRecord]:
    return {name: row for name, row in rows(index).items() if (split_moment(name) or ("",))[0] == video}


def faces(index: FaceIndex) -> set[int]:
    return {face.face for face in index.faces()}


def counts(summary: Summary) -> dict[str, int]:
    names = ("new", "changed", "moved", "unchanged", "returned", "gone", "faces", "moments", "ignored")
    return {name: getattr(summary, name) for name in names if getattr(summary, name)}


def test_a_video_has_a_row_and_one_for_each_moment(filled: FaceIndex, folder: Path) -> None:
    row, found = rows(filled)["film.mp4"], moments(filled)
    assert (row.status, row.video_milliseconds, row.width, row.height, row.faces) == (
        Status.OK,
        5000,
        64,
        48,
        0,
    )
    assert [record.faces for record in found.values()] == [1, 1]
    first, last = sorted(found)
    assert split_moment(first)[1] < 2000 <= 3000 <= split_moment(last)[1]  # type: ignore[index]
    assert found[first].taken == row.taken + split_moment(first)[1] // 1000  # type: ignore[index, operator]
    for name, record in found.items():  # a moment is read again as it was indexed
        data = images.read(folder / name)
        assert images.content_hash(data) == record.content_hash
        assert images.read_picture(data).hash == record.picture
        colour = images.decode(data, name).image[20, 30]
        assert np.array_equal(colour, ANNA if name == first else BEN)
    counted = filled.counts()
    assert (counted.videos, counted.moments) == (1, 2)
    crop = filled.crop(next(face for face in filled.faces() if face.path.endswith(last)))
    assert tuple(crop[10, 10]) == BEN


def test_a_moment_and_a_photo_of_one_person_are_one_cluster(filled: FaceIndex) -> None:
    filled.cluster()
    (cluster,) = filled.clusters()
    assert {Path(face.path).name.partition(".")[0] for face in filled.faces(cluster=cluster.cluster)} == {
        "anna",
        "0:00:00",
    }


def test_an_unchanged_video_is_not_opened(filled: FaceIndex, folder: Path, opened: list[str]) -> None:
    assert counts(filled.add(folder)) == {"unchanged": 2}
    assert counts(filled.add(folder, retry_failed=True)) == {"unchanged": 2}
    os.utime(folder / "film.mp4", (1, 1))
    assert counts(filled.add(folder)) == {"unchanged": 2}
    assert opened == [str(folder / "film.mp4")]
    assert {row.mtime_ns for row in (rows(filled)["film.mp4"], *moments(filled).values())} == {10**9}
    assert counts(filled.add(folder, check_content=True)) == {"unchanged": 2}


def test_moments_move_with_their_video(filled: FaceIndex, folder: Path) -> None:
    before, ids = moments(filled), faces(filled)
    (folder / "2020").mkdir()
    (folder / "film.mp4").rename(folder / "2020/new.mp4")
    assert counts(filled.add(folder)) == {"moved": 1, "unchanged": 1}
    after = moments(filled, "2020/new.mp4")
    assert [record.id for record in after.values()] == [record.id for record in before.values()]
    assert faces(filled) == ids
    assert set(rows(filled)) == {"anna.png", "2020/new.mp4", *after}


def test_moments_go_and_return_with_their_video(filled: FaceIndex, folder: Path, film: Path) -> None:
    ids = faces(filled)
    (folder / "film.mp4").unlink()
    assert counts(filled.add(folder)) == {"gone": 1, "unchanged": 1}
    assert set(rows(filled)) == {"anna.png"}
    assert len(faces(filled)) == 1
    shutil.copy(film, folder / "back.mp4")
    assert counts(filled.add(folder)) == {"returned": 1, "unchanged": 1}
    assert faces(filled) == ids
    assert len(moments(filled, "back.mp4")) == 2
    (folder / "back.mp4").unlink()
    filled.add(folder, prune=True)
    assert set(rows(filled)) == {"anna.png"}
    assert filled._store.count_away().photos == 0


def test_a_changed_video_has_other_moments(filled: FaceIndex, folder: Path, film: Path) -> None:
    before = moments(filled)
    write_video(folder / "film.mp4", scenes((BEN, 1.0)))
    assert counts(filled.add(folder)) == {"changed": 1, "unchanged": 1, "faces": 1, "moments": 1}
    (now,) = moments(filled).values()
    assert now.content_hash not in {record.content_hash for record in before.values()}
    shutil.copy(film, folder / "film.mp4")  # and back
    assert counts(filled.add(folder)) == {"returned": 1, "unchanged": 1}
    assert {r.content_hash for r in moments(filled).values()} == {r.content_hash for r in before.values()}


def test_new_tags_keep_the_moments(filled: FaceIndex, folder: Path) -> None:
    ids = faces(filled)
    tags = {"creation_time": "2020-05-17T10:00:00Z", "title": "Our holiday in a place with a long name"}
    write_video(folder / "film.mp4", scenes((ANNA, 2.0), (NOBODY, 1.0), (BEN, 2.0)), metadata=tags)
    summary = filled.add(folder)
    assert (summary.new_metadata, summary.unchanged, summary.faces) == (1, 1, 0)
    assert faces(filled) == ids


def test_a_video_that_becomes_unreadable_loses_its_moments(filled: FaceIndex, folder: Path) -> None:
    for content, reason in ((b"", Reason.EMPTY), (b"\0\0\0\x18ftypisom garbage", Reason.TRUNCATED)):
        (folder / "film.mp4").write_bytes(content)
        summary = filled.add(folder)
        assert summary.unreadable == {reason.value: 1}
        assert moments(filled) == {}
        assert rows(filled)["film.mp4"].status is Status.UNREADABLE
    again = filled.add(folder)
    assert (again.known_unreadable, again.opened) == (1, 0)
    assert filled.add(folder, retry_failed=True).opened == 1


def test_a_hanging_decoder_is_named_and_the_run_goes_on(
    index: FaceIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]

    def hanging() -> VideoProcess:
        return VideoProcess(command=command, stall_seconds=0.3)

    with monkeypatch.context() as patched:
        patched.setattr(video_run.VideoReader, "_new_process", staticmethod(hanging))
        events: list[object] = []
        summary = index.add(folder, on_event=events.append)
    assert (summary.new, summary.unreadable) == (1, {Reason.TOO_SLOW.value: 1})
    (failure,) = [event for event in events if isinstance(event, PhotoFailed)]
    assert failure.error.path == str(folder / "film.mp4")
    assert index.add(folder, retry_failed=True).moments == 2


def test_without_pyav_videos_are_counted(
    index: FaceIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(plan, "videos_are_readable", lambda: False)
        for _ in range(3):
            summary = index.add(folder, on_event=events.append)
            assert (summary.videos_left_out, summary.ignored, summary.complete) == (1, 0, True)
    assert not [event for event in events if isinstance(event, PhotoFailed)]
    summary = index.add(folder)
    assert (summary.new, summary.moments, summary.videos_left_out) == (1, 2, 0)
    monkeypatch.setattr(plan, "videos_are_readable", lambda: False)
    assert counts(index.add(folder)) == {"unchanged": 2}
    write_video(folder / "film.mp4", scenes((BEN, 1.0)))
    summary = index.add(folder)
    assert (summary.videos_left_out, len(moments(index))) == (1, 2)  # what is known stays


def test_videos_are_left_out_on_request(index: FaceIndex, folder: Path) -> None:
    assert index.add(folder, selection=select(videos=False)).videos_left_out == 1
    summary = index.add(folder, selection=select(video_interval=0.5))
    assert (summary.new, summary.videos) == (1, 1)


def test_files_that_an_older_version_ignored_are_tried_once(index: FaceIndex, folder: Path) -> None:
    (folder / "module.mts").write_text("export const a = 1;\n")
    index.add(folder, selection=select(videos=False))
    with index._store._catalog.transaction():
        index._store._catalog.execute(
            "UPDATE images SET reason = 'not an image', detail = 'not an image of a known format.'"
            " WHERE status = 'ignored'"
        )
    summary = index.add(folder)
    assert (summary.videos, summary.ignored) == (1, 1)
    assert index.add(folder).opened == 0


def test_sound_without_pictures_is_ignored(index: FaceIndex, tmp_path: Path) -> None:
    import av

    path = tmp_path / "album/sound.mp4"
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert index.add(path.parent).ignored == 1
    assert index.add(path.parent).opened == 0


def test_a_stopped_run_leaves_the_video_for_the_next(index: FaceIndex, folder: Path) -> None:
    stop = False

    def on_event(event: object) -> None:
        nonlocal stop
        stop |= isinstance(event, Watching)

    summary = index.add(folder, on_event=on_event, should_stop=lambda: stop)
    assert summary.interrupted
    assert set(rows(index)) == {"anna.png"}
    stop = False
    assert counts(index.add(folder)) == {"new": 1, "unchanged": 1, "faces": 2, "moments": 2}


def test_a_video_of_nobody_has_only_a_row(index: FaceIndex, tmp_path: Path, fake_models: ModuleType) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    write_video(folder / "nobody.mp4", scenes((NOBODY, 1.5)))
    events: list[object] = []
    summary = index.add(folder, on_event=events.append)
    assert (summary.videos, summary.moments, summary.without_face) == (1, 0, 1)
    assert [event.faces for event in events if isinstance(event, PhotoDone)] == [0]
    assert set(rows(index)) == {"nobody.mp4"}


def test_identify_names_the_moment(filled: FaceIndex, folder: Path, film: Path) -> None:
    filled.cluster()
    paths = filled.moments(film)
    assert [split_moment(path)[0] for path in paths] == [str(film)] * 2  # type: ignore[index]
    first, last = filled.identify_many(paths)
    assert first.faces[0].cluster is not None
    assert last.faces[0].cluster is None
    assert first.indexed_as is not None
    assert first.indexed_as.endswith(Path(paths[0]).name)


@pytest.mark.parametrize("upright", [True, False])
def test_moments_of_an_upright_video_are_searched_once(
    film: Path, kept: VideoProcess, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, upright: bool
) -> None:
    recogniser = Recogniser.load("fake", "fake")
    found = search_video(kept, str(film), recogniser, kept.about(film))
    assert found is not None
    assert found.upright
    seconds = []

    def detect(self: Recogniser, photos: Sequence[LoadedPhoto]) -> list[Detections]:
        seconds.append(self.second_looks)
        return [Detections.empty() for _ in photos]

    monkeypatch.setattr(Recogniser, "detect", detect)
    recognise_moments(kept, str(film), replace(found, upright=upright), recogniser)
    assert set(seconds) == {not upright}


def test_a_video_is_upright_if_the_detector_is_sure_of_most_faces() -> None:
    assert videos._is_upright([0.95, 0.92, 0.7], 0.9)
    assert not videos._is_upright([0.95, 0.85, 0.7, 0.8], 0.9)  # some are found upside down, too
    assert not videos._is_upright([], 0.9)
    assert videos._is_upright([0.6], None)  # photos with a face are not searched again then
