from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex, models
from faceindex.errors import Uncalibrated
from faceindex.models.calibrations import calibration_path


@pytest.fixture
def uncalibrated(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The fake embedder without a calibration; its vectors vary a little from photo to photo."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    models.register(fake_models.UNCALIBRATED)
    embed = fake_models.FakeEmbedder.embed

    def vary(self: Any, chips: Any) -> Any:
        vectors, norms = embed(self, chips)
        rng = np.random.default_rng(int(chips.sum()) % 2**32)
        vectors = vectors + 0.12 * rng.standard_normal(vectors.shape).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), norms

    monkeypatch.setattr(fake_models.FakeEmbedder, "embed", vary)
    yield "uncalibrated"


@pytest.fixture
def people(fake_models: ModuleType, tmp_path: Path) -> Path:
    """20 people of 8 photos; the colours of the photos of a person differ by less than a step."""
    rng = np.random.default_rng(0)
    steps = rng.permutation([(r, g, b) for r in range(1, 8) for g in range(1, 8) for b in range(1, 8)])
    for person, step in enumerate(steps[:20]):
        for number in range(8):
            red, green, blue = (
                int(c) * 32 - 7 + int(d) for c, d in zip(step, rng.integers(0, 14, 3), strict=True)
            )
            fake_models.make_photo(
                tmp_path / "people" / f"p{person:02}" / f"{number}.png", (red, green, blue), mark=number
            )
    return tmp_path / "people"


def test_an_uncalibrated_embedder_indexes_and_never_guesses(
    run: Callable[..., Any], uncalibrated: str, album: Path
) -> None:
    first = run("index", "album", "--detector", "fake", "--embedder", uncalibrated)
    assert first.exit_code == 0
    assert "faceindex models calibrate uncalibrated" in first.stderr.replace("\n", " ")
    again = run("index", "album")
    assert "calibrate" not in again.stderr
    photo = album / "person0" / "0.png"
    for command in (("cluster",), ("identify", photo), ("eval", "--sweep")):
        result = run(*command)
        assert result.exit_code in (1, 2), command
        assert "calibrate" in result.stderr or "cluster" in result.stderr
    error = json.loads(run("cluster", "--json").stdout)
    assert (error["type"], error["exit_code"]) == ("Uncalibrated", 2)
    assert run("cluster", "--threshold", "0.8").exit_code == 0
    assert run("identify", photo, "--threshold", "0.8").exit_code == 0
    answer = json.loads(run("identify", photo, "--threshold", "0.8", "--json").stdout)
    (face,) = answer["photos"][0]["faces"]
    assert face["cluster"] is not None
    assert (face["confidence"], face["probability"], face["false_alarm"]) == (None, None, None)
    assert run("eval").exit_code == 0
    assert run("cluster", "--algorithm", "kmeans", "--k", "3").exit_code == 0
    with FaceIndex.open() as index:
        for guess in (lambda: index.identify(photo), index.evaluation.threshold, index.evaluation.sweep):
            with pytest.raises(Uncalibrated):
                guess()


def test_labelled_folders(run: Callable[..., Any], uncalibrated: str, people: Path) -> None:
    result = run("models", "calibrate", uncalibrated, people, "--detector", "fake", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["schema"] == "faceindex/models-calibrate/1"
    assert (document["method"], document["faces"], document["people"]) == ("labels", 160, 20)
    assert document["same_pairs"] == 20 * 28
    assert document["path"] == str(calibration_path(uncalibrated))
    stored = models.get("embedder", uncalibrated).calibration
    assert stored is not None
    assert (stored.slope, stored.midpoint) == (document["slope"], document["midpoint"])
    assert "160 labelled faces of 20 people" in stored.source
    listed = run("models", "list", uncalibrated)
    assert "calibrated by you on" in listed.stdout
    assert stored.source.split(":")[0] in " ".join(listed.stdout.split())
    run("index", people, "--detector", "fake", "--embedder", uncalibrated)
    clusters = json.loads(run("cluster", "--json").stdout)
    assert len(clusters["clusters"]) == 20
    assert clusters["parameters"]["calibration"][:2] == [stored.slope, stored.midpoint]


def test_faces_are_clustered_again_if_the_calibration_changed(
    run: Callable[..., Any], uncalibrated: str, people: Path
) -> None:
    assert run("models", "calibrate", uncalibrated, people, "--detector", "fake").exit_code == 0
    run("index", people, "--detector", "fake", "--embedder", uncalibrated)
    assert not json.loads(run("cluster", "--json").stdout)["started_over"]
    assert not json.loads(run("cluster", "--json").stdout)["started_over"]
    spec = models.get("embedder", uncalibrated)
    models.save_calibration(
        spec, models.Calibration(slope=50.0, midpoint=0.99, source="made up"), replace=True
    )
    changed = json.loads(run("cluster", "--json").stdout)
    assert changed["started_over"]
    assert len(changed["clusters"]) != 20


def test_replace_and_forget(run: Callable[..., Any], uncalibrated: str, people: Path) -> None:
    calibrate = ("models", "calibrate", uncalibrated, people, "--detector", "fake")
    assert run(*calibrate).exit_code == 0
    refused = run(*calibrate)
    assert refused.exit_code == 2
    assert "--replace" in refused.stderr
    assert run(*calibrate, "--replace").exit_code == 0
    assert run("models", "calibrate", uncalibrated, "--forget").exit_code == 0
    assert models.get("embedder", uncalibrated).calibration is None
    nothing = run("models", "calibrate", uncalibrated, "--forget", "--json")
    assert nothing.exit_code == 1
    assert not json.loads(nothing.stdout)["forgotten"]
    built_in = run("models", "calibrate", "fake", people)
    assert built_in.exit_code == 2
    assert "--replace" in built_in.stderr


def test_too_few_pairs(run: Callable[..., Any], uncalibrated: str, album: Path) -> None:
    labelled = run("models", "calibrate", uncalibrated, album, "--detector", "fake")
    assert labelled.exit_code == 1
    assert "18 pairs of one person of 3 people" in " ".join(labelled.stderr.split())
    run("index", "album", "--detector", "fake", "--embedder", uncalibrated)
    alone = run("models", "calibrate", uncalibrated)
    assert alone.exit_code == 1
    assert "0 pairs of faces on 0 photos" in " ".join(alone.stderr.split())
    assert not calibration_path(uncalibrated).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_leaves_no_index_and_no_calibration(
    start: Callable[..., Any],
    uncalibrated: str,
    people: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    times: int,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    program = "from faceindex import models; models.register(fakes.UNCALIBRATED)"
    command = ("models", "calibrate", uncalibrated, people, "--detector", "fake", "-v")
    process = start(*command, delay=0.05, before=program)
    assert next(line for line in process.stderr if b": 1 face" in line)
    assert list((tmp_path / "temporary").glob("faceindex-*"))
    process.send_signal(signal.SIGTERM)
    if times == 2:
        assert next(line for line in process.stderr if b"Stopping" in line)
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (1 if times == 1 else 128 + signal.SIGTERM), err
    assert (b"nothing was measured" in err) == (times == 1)
    assert not list((tmp_path / "temporary").glob("faceindex-*"))
    assert not calibration_path(uncalibrated).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody",), "no embedder named 'nobody'"),
        (("uncalibrated",), "There is no index here"),
        (("uncalibrated", "lost"), "There is no folder lost"),
        (("uncalibrated", "album/person0"), "has no subfolders"),
        (("uncalibrated", "album", "--forget"), "--forget takes no FOLDER"),
        (("uncalibrated", "--face", "largest"), "--face chooses"),
    ],
)
def test_wrong_usage(
    run: Callable[..., Any], uncalibrated: str, album: Path, words: tuple[str, ...], message: str
) -> None:
    result = run("models", "calibrate", *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_an_index_of_another_embedder(run: Callable[..., Any], uncalibrated: str, indexed: Path) -> None:
    result = run("models", "calibrate", uncalibrated)
    assert result.exit_code == 2
    assert "was made with fake and fake" in " ".join(result.stderr.split())
    assert "--index" in result.stderr


def test_a_damaged_calibration_is_listed(run: Callable[..., Any], uncalibrated: str) -> None:
    path = calibration_path(uncalibrated)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    listed = " ".join(run("models", "list", uncalibrated).stdout.split())
    assert "calibration none" in listed
    assert "is damaged: it is not JSON" in listed
    document = json.loads(run("models", "list", uncalibrated, "--json").stdout)
    assert "is damaged" in document["models"][0]["calibrated_by_user"]["problem"]
    assert document["models"][0]["calibration"] is None
