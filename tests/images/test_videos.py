"""Decoding videos in a child process: formats, moments, damaged and hostile files."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from video_files import frame_of, scenes, write_video

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.images.video_file import turn_upright
from faceindex.images.video_process import VideoProcess, VideoSample

pytest.importorskip("av", reason="PyAV is not installed")

ANNA, BEN = (64, 64, 128), (128, 64, 128)


@pytest.fixture(scope="module")
def process() -> Iterator[VideoProcess]:
    with VideoProcess(1) as process:
        yield process


def samples(process: VideoProcess, path: Path, interval: float = 1.0, most: int = 100) -> list[VideoSample]:
    return [found for found in process.sample(path, interval, most) if isinstance(found, VideoSample)]


def person(pixels: np.ndarray) -> tuple[int, ...]:
    """Return the colour of the middle of a frame in steps of 32, as coding changes it a little."""
    return tuple(np.rint(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2] / 32).astype(int).tolist())


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264rgb"),
        ("a.m4v", "libx264"),
        ("a.mov", "mjpeg"),
        ("a.mkv", "ffv1"),
        ("a.avi", "mpeg4"),
        ("a.3gp", "mpeg4"),
        ("a.mts", "libx264"),
    ],
)
def test_frames_by_interval_and_scene(process: VideoProcess, tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, scenes((ANNA, 2.0), (BEN, 1.5)), codec=codec)
    found = samples(process, path)
    assert [person(each.image) for each in found if each.milliseconds < 2000] == [person(frame_of(ANNA))] * (
        sum(each.milliseconds < 2000 for each in found)
    )
    cuts = [each for each in found if each.is_cut]
    assert len(cuts) == 1
    assert 2000 <= cuts[0].milliseconds <= 2200
    assert person(cuts[0].image) == person(frame_of(BEN))
    assert 4 <= len(found) <= 6
    for each in found:  # the same frame again, in any order, and known by it
        frame = process.moment(path, each.milliseconds)
        assert np.array_equal(images.decode(frame, name).image, each.image)
    again = [process.moment(path, each.milliseconds) for each in reversed(found)]
    assert len({frame.identity for frame in again}) == len(found)
    assert process.moment(path, found[-1].milliseconds).identity == again[0].identity


def test_any_frame_is_a_moment_also_one_that_no_other_refers_to(
    process: VideoProcess, tmp_path: Path
) -> None:
    """Such frames are skipped before a moment; the moment itself is not, and no picture differs."""
    import av

    path = write_video(tmp_path / "a.mp4", scenes((ANNA, 1.5), (BEN, 1.5)), codec="libx264")
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert any(int(frame.pict_type) == 3 for frame in frames)  # B pictures
    order = np.random.default_rng(3).permutation(len(frames)).tolist()
    for number in [*range(len(frames)), *order]:
        frame = process.moment(path, 100 * number)
        expected = frames[number].to_ndarray(format="rgb24", interpolation="BICUBIC").astype(int)
        assert np.abs(images.decode(frame, path.name).image - expected).max() <= 2


def test_a_moment_keeps_its_identity_when_the_tags_or_the_container_change(
    process: VideoProcess, tmp_path: Path
) -> None:
    frames = scenes((ANNA, 2.0))
    tags = {"creation_time": "2020-05-17T10:00:00Z", "title": "x"}
    one = write_video(tmp_path / "a.mp4", frames)
    other = write_video(tmp_path / "b.mkv", frames)
    tagged = write_video(tmp_path / "c.mp4", frames, metadata=tags)
    first = process.moment(one, 1300)
    assert first.identity == process.moment(other, 1300).identity == process.moment(tagged, 1300).identity
    assert process.about(one).identity == process.about(tagged).identity
    assert process.moment(tagged, 1300).taken == 1_589_709_600 + 1
    with pytest.raises(ImageError) as error:
        process.moment(one, 1350)  # between two frames
    assert error.value.reason is Reason.CHANGED


def test_frames_at_varying_times(process: VideoProcess, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.9, 1.7, 1.71, 3.0, 3.05, 4.4]
    path = write_video(tmp_path / "a.mp4", [frame_of(ANNA, i) for i in range(8)], times=times)
    assert [each.milliseconds for each in samples(process, path)] == [0, 1700, 3000, 4400]


def test_no_more_frames_than_wanted(process: VideoProcess, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", scenes((ANNA, 8.0)))
    assert len(samples(process, path, 0.1, 10)) < 30  # the interval doubles


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 2), ((-1, 0, 0, -1), 3), ((0, -1, 1, 0), 1), ((-1, 0, 0, 1), 1)],
)
def test_display_matrices(matrix: tuple[int, int, int, int], corner: int) -> None:
    stored = np.zeros((2, 3, 3), np.uint8)
    for value, place in enumerate([(0, 0), (0, 2), (1, 0), (1, 2)]):
        stored[place] = value
    upright = turn_upright(stored, matrix)
    assert upright.shape == ((3, 2, 3) if matrix[0] == 0 else (2, 3, 3))
    assert upright[0, 0, 0] == corner


def test_a_rotated_recording(process: VideoProcess) -> None:
    path = Path(__file__).parents[3] / "shared/data/videos/video_rotate.mp4"
    if not path.exists():
        pytest.skip("../shared/data is not there")
    assert process.about(path).width == 80
    assert samples(process, path)[0].image.shape == (80, 60, 3)


# Damaged and hostile files -----------------------------------------------------------------------


def test_a_truncated_video_is_read_as_far_as_it_goes(process: VideoProcess, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", scenes((ANNA, 4.0)), codec="ffv1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = samples(process, path)
    assert 1 <= len(found) <= 3


@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_a_video_without_its_index_is_refused(process: VideoProcess, tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "a.mp4", scenes((ANNA, 1.0)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError) as error:
        process.about(path)
    assert error.value.reason in (Reason.TRUNCATED, Reason.NOT_AN_IMAGE)


def test_frames_of_enormous_size_are_refused(process: VideoProcess, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", scenes((ANNA, 0.5)), codec="rawvideo")
    data = path.read_bytes()
    assert struct.pack("<II", 64, 48) in data
    path.write_bytes(data.replace(struct.pack("<II", 64, 48), struct.pack("<II", 10_000, 10_000)))
    with pytest.raises(ImageError) as error:
        process.about(path)
    assert error.value.reason is Reason.TOO_LARGE
    path.write_bytes(data.replace(struct.pack("<II", 64, 48), struct.pack("<II", 60_000, 60_000)))
    assert samples(process, path) == []  # FFmpeg refuses these


def test_damaged_bytes_end_neither_this_process_nor_the_other(process: VideoProcess, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = write_video(tmp_path / "a.mp4", scenes((ANNA, 2.0))).read_bytes()
    for number in range(12):
        data = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(data), 30)
        data[places] = rng.integers(0, 256, 30)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(data.tobytes())
        try:
            samples(process, path)
        except ImageError as error:
            assert error.reason is not Reason.TOO_SLOW
    assert samples(process, write_video(tmp_path / "good.mp4", scenes((ANNA, 1.0))))


def child(script: str) -> list[str]:
    """Return a command that stands for the decoder; `answer` writes an answer."""
    head = "import sys, json, time\ndef answer(**a): print(json.dumps(a), flush=True)\nsys.stdin.readline()\n"
    return [sys.executable, "-S", "-c", head + script]


ENDLESS = "while True: answer(reached=5, bytes=0); time.sleep(0.01)"
FIRST = json.dumps({"identity": "00", "milliseconds": 9000, "frame": [4, 4], "taken": None, "bytes": 0})


@pytest.mark.parametrize(
    ("script", "reason", "text"),
    [
        ("time.sleep(60)", Reason.TOO_SLOW, "gave no frame"),
        (ENDLESS, Reason.TOO_SLOW, "ended at 0:00:00"),
        ("sys.exit(3)", Reason.CORRUPT, "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", Reason.CORRUPT, "signal 11"),
        ("import os; os.kill(os.getpid(), 9)", Reason.MEMORY, "memory"),
        (
            "answer(time=0, cut=False, size=[9, 9], bytes=3); print('abc', end='', flush=True)",
            Reason.CORRUPT,
            "wrong answer",
        ),
        ("answer(end=True, reason='nonsense', detail='x')", Reason.CORRUPT, "wrong answer"),
        ("print('[]', flush=True); time.sleep(60)", Reason.CORRUPT, "died"),
        ("answer(time=0, bytes=1 << 60); time.sleep(60)", Reason.CORRUPT, "died"),
    ],
)
def test_a_decoder_that_misbehaves_is_ended_and_named(
    tmp_path: Path, script: str, reason: Reason, text: str
) -> None:
    path = tmp_path / "poison.mp4"
    with VideoProcess(command=child(script), stall_seconds=0.5) as process:
        with pytest.raises(ImageError) as error:
            samples(process, path)
        assert process._process is None
    assert error.value.reason is reason
    assert text in error.value.problem
    assert str(path) in error.value.problem


def test_a_hang_after_some_frames_leaves_these(tmp_path: Path) -> None:
    script = f"""print({FIRST!r}, flush=True)
answer(time=700, cut=False, size=[1, 1], bytes=3)
print("abc", end="", flush=True)
time.sleep(60)"""
    with VideoProcess(command=child(script), stall_seconds=0.5) as process:
        answers = process.sample(tmp_path / "a.mp4", 1.0, 10)
        assert next(answers).milliseconds == 9000
        assert next(answers).milliseconds == 700
        with pytest.raises(ImageError, match="ended at 0:00:00"):
            next(answers)


def test_stopping_ends_the_decoder(tmp_path: Path) -> None:
    with VideoProcess(command=child("time.sleep(60)")) as process:
        assert list(process.sample(tmp_path / "a.mp4", 1.0, 10, lambda: True)) == []
        assert process._process is None
