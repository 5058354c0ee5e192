"""Videos on the command line: one film through index, status, identify and the exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from video_files import scenes, write_video

from faceindex.images import moments
from faceindex.pipeline import plan

pytest.importorskip("av", reason="PyAV is not installed")

ANNA, NOBODY = (64, 64, 128), (0, 0, 0)


@pytest.fixture
def film(album: Path) -> Path:
    return write_video(album / "film.mp4", scenes((NOBODY, 1.0), (ANNA, 1.5)))


def test_a_film_from_index_to_export(
    film: Path, index_album: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    done = index_album("album")
    assert done.exit_code == 0
    assert "videos 1 2.5 s, 1 moment kept" in " ".join(done.stdout.split())
    document = json.loads(run("index", "album", "--json").stdout)
    assert (document["unchanged"], document["videos"], document["videos_left_out"]) == (13, 0, 0)
    assert "12 indexed, 1 video with 1 moment" in run("status").stdout
    assert run("cluster").exit_code == 0
    found = run("identify", film)
    assert found.exit_code == 0
    assert "film.mp4 at 0:00:01: 1 face" in " ".join(found.stdout.split())
    (photo,) = json.loads(run("identify", film, "--json").stdout)["photos"]
    assert photo["photo"].startswith(f"{film}/0:00:01.")
    assert photo["indexed_as"].endswith(Path(photo["photo"]).name)
    assert run("export", "crops", "crops").exit_code == 0
    assert len(list((tmp_path / "crops").glob("film 0-00-01.*"))) == 1
    cluster = photo["faces"][0]["cluster"]
    assert run("export", "clusters", "people", "--photos", "--cluster", cluster).exit_code == 0
    (copy,) = (tmp_path / "people").rglob("*film 0-00-01.*")
    with PillowImage.open(copy) as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 48))
    assert run("gallery", "gallery", "--copy").exit_code == 0


def test_videos_that_are_not_read_are_no_error(
    film: Path, index_album: Callable[..., Any], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, moments):
        monkeypatch.setattr(module, "videos_are_readable", lambda: False)
    done = index_album("album")
    assert (done.exit_code, done.stderr.count("film.mp4")) == (0, 0)
    assert "videos left out 1 `pip install 'faceindex[video]'` reads them" in " ".join(done.stdout.split())
    assert json.loads(run("index", "album", "--json").stdout)["videos_left_out"] == 1


def test_nothing_is_to_be_installed_for_videos_that_are_not_wanted(
    film: Path, run: Callable[..., Any]
) -> None:
    done = run("index", "album", "--no-videos")
    assert "videos left out 1" in " ".join(done.stdout.split())
    assert "pip install" not in done.stdout


def test_a_film_of_nobody(album: Path, indexed: Path, run: Callable[..., Any]) -> None:
    film = write_video(album / "nobody.mp4", scenes((NOBODY, 1.0)))
    run("cluster")
    found = run("identify", film)
    assert found.exit_code == 1
    assert "no face was found in the video" in found.stderr


def test_an_interval_out_of_range(album: Path, run: Callable[..., Any]) -> None:
    done = run("index", "album", "--video-interval", "0")
    assert done.exit_code == 2
    assert "--video-interval is 0. Choose 0.04 to 3600 seconds." in done.stderr
