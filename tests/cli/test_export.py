from __future__ import annotations

import io
import json
import os
import shlex
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from faceindex.cli.completion import complete_people
from faceindex.export.archive import Archive


def test_crops(clustered, run, tmp_path) -> None:
    dry = run("export", "crops", "out", "--dry-run")
    assert dry.exit_code == 0
    assert (
        dry.stdout
        == "out: 12 faces on 12 photos; 12 files would be written, 0 unchanged, 0 would be removed\n"
    )
    assert not (tmp_path / "out").exists()
    first = run("export", "crops", "out")
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == "out: 12 faces on 12 photos; 12 files written, 0 unchanged, 0 removed\n"
    document = json.loads(run("export", "crops", "out", "--margin", "0", "--json").stdout)
    assert document == {
        "schema": "faceindex/export/1",
        "export": "crops",
        "destination": "out",
        "dry_run": False,
        "faces": 12,
        "photos": 12,
        "withheld": 0,
        "written": 12,
        "unchanged": 0,
        "removed": 0,
        "kept": [],
        "failed": [],
    }


def test_files_left_alone_and_unreadable_photos_are_reported(clustered, run, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0_0.png").write_text("mine")
    (clustered / "person2" / "3.png").unlink()
    result = run("export", "crops", "out")
    assert result.exit_code == 1
    assert "0_0.png is left as it is" in result.stderr
    assert "3.png: there is no such file" in result.stderr
    assert "10 files written" in result.stdout
    assert "1 foreign or changed file left alone; 1 photo could not be read" in result.stdout
    document = json.loads(run("export", "crops", "out", "--json").stdout)
    assert [entry["file"] for entry in document["kept"]] == ["0_0.png"]
    assert document["failed"][0]["reason"] == "missing"


def test_a_folder_that_does_not_exist_is_one_error(clustered, run) -> None:
    clustered.rename(clustered.with_name("moved"))
    for command in (("crops", "out"), ("clusters", "faces"), ("clusters", "photos", "--photos")):
        result = run("export", *command)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert f"The folder {clustered} does not exist; 12 photos could not be read." in result.stderr


def test_a_tilde_in_quotes_is_the_home_folder(clustered, run, tmp_path, monkeypatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for command in (
        ("export", "crops", "~/crops"),
        ("export", "clusters", "~/clusters"),
        ("export", "boxes", "~/boxes.csv"),
        ("export", "embeddings", "~/embeddings.npz"),
        ("gallery", "~/page"),
    ):
        assert run(*command).exit_code == 0
    names = {path.name for path in (tmp_path / "home").iterdir() if path.name[0] != "."}
    assert names == {"crops", "clusters", "boxes.csv", "embeddings.npz", "page"}


def test_clusters(clustered, run, tmp_path) -> None:
    result = run("export", "clusters", "out", "--folders", "--photos", "--link", "symlink")
    assert result.exit_code == 0
    assert (
        sorted(len(list(path.iterdir())) for path in (tmp_path / "out").iterdir() if path.name[0] != ".")
        == [4] * 3
    )
    none = run("export", "clusters", "large", "--min-size", "5")
    assert none.exit_code == 1
    assert "No faces match." in none.stderr
    wrong = run("export", "clusters", "x", "--link", "symlink")
    assert wrong.exit_code == 2
    assert "Pass --photos" in wrong.stderr


@pytest.fixture
def people(clustered, run) -> list[int]:
    """Give two of the three clusters the name Anna Belle, and hide the third one, Carl; return their ids."""
    ids = sorted(row["cluster"] for row in json.loads(run("clusters", "--json").stdout)["clusters"])
    for command in (f"name {ids[0]} {ids[1]} 'Anna Belle'", f"name {ids[2]} Carl", "hide Carl"):
        assert run("people", *shlex.split(command)).exit_code == 0
    return ids


def test_clusters_of_people(people, run, tmp_path) -> None:
    document = json.loads(run("export", "clusters", "out", "--folders", "--json").stdout)
    assert document["groups"] == [
        {"folder": "Anna Belle", "person": "Anna Belle", "clusters": people[:2], "faces": 8, "photos": 8}
    ]
    assert len(list((tmp_path / "out" / "Anna Belle").iterdir())) == 8
    both = run("export", "clusters", "out", "--folders", "--with-hidden")
    assert (both.exit_code, (tmp_path / "out" / "Carl").is_dir()) == (0, True)
    chosen = run("export", "clusters", "out", "--folders", "--person", "CARL", "--cluster", f"c{people[0]}")
    assert "8 faces on 8 photos; 0 files written, 8 unchanged, 4 removed" in chosen.stdout
    wrong = run("export", "clusters", "out", "--person", "Ana")
    assert wrong.exit_code == 2
    assert "Nobody has the name 'Ana'" in wrong.stderr
    assert "Did you mean 'Anna Belle'?" in wrong.stderr
    assert run("export", "clusters", "out", "--cluster", "99").exit_code == 2
    assert "'Carl' is not a cluster." in run("export", "clusters", "out", "--cluster", "Carl").stderr


def test_names_of_people_are_completed(people, tmp_path) -> None:
    def complete(incomplete: str) -> list[str]:
        return complete_people(SimpleNamespace(params={}), (), incomplete)

    assert complete("") == ["Anna Belle", "Carl"]
    assert complete("aN") == ["Anna Belle"]
    assert complete_people(SimpleNamespace(params={"index": tmp_path / "none"}), (), "") == []


def test_a_zip_file(people, run, tmp_path) -> None:
    result = run("export", "clusters", "anna.zip", "--person", "anna belle", "--photos", "--folders")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "anna.zip: 8 faces on 8 photos; 8 files written, 0 unchanged, 0 removed\n"
    with zipfile.ZipFile("anna.zip") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"Anna Belle"}
    (tmp_path / "mine.zip").write_bytes(b"mine")
    for command in (("crops", "mine.zip"), ("crops", "anna.zip"), ("crops", "nowhere/a.zip")):
        assert run("export", *command).exit_code == 2
    links = run("export", "clusters", "b.zip", "--photos", "--link", "symlink")
    assert links.exit_code == 2
    assert "Leave out --link, or choose a folder." in links.stderr
    assert run("gallery", "page.zip").exit_code == 2
    assert (tmp_path / "mine.zip").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["anna.zip", "mine.zip"]


def test_a_zip_file_that_is_interrupted(clustered, run, tmp_path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Archive, "finish", interrupt)
    result = run("export", "crops", "faces.zip")
    assert result.exit_code == 130
    assert "The file has not changed; run the same command again." in result.stderr
    assert not (tmp_path / "faces.zip").exists()


def test_clusters_before_cluster(indexed, run, tmp_path) -> None:
    result = run("export", "clusters", "out")
    assert result.exit_code == 1
    assert "faceindex cluster" in result.stderr
    assert not (tmp_path / "out").exists()


def test_boxes_to_standard_output(indexed, run) -> None:
    result = run("export", "boxes", "-")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "image_path,y_min,x_max,y_max,x_min"
    assert len(result.stdout.splitlines()) == 13
    assert result.stderr == ""
    assert json.loads(run("export", "boxes", "-", "--format", "json").stdout)["schema"] == "faceindex/boxes/1"
    both = run("export", "boxes", "-", "--json")
    assert both.exit_code == 2
    assert json.loads(both.stdout)["schema"] == "faceindex/error/1"


def test_a_foreign_file_is_an_error(indexed, run, tmp_path) -> None:
    (tmp_path / "b.csv").write_text("image_path,y_min,x_max,y_max,x_min\n")
    result = run("export", "boxes", "b.csv")
    assert result.exit_code == 2
    assert "b.csv is left as it is" in result.stderr
    assert run("export", "boxes", "nowhere/b.csv").exit_code == 2
    assert run("export", "boxes", "c.csv", "--format", "xml").exit_code == 2
    assert not (tmp_path / "c.csv").exists()
    assert not (tmp_path / ".faceindex-export").exists()


def test_a_file_exported_among_photos_does_not_make_their_folder_a_destination(clustered, run) -> None:
    folder = clustered / "person0"
    assert run("export", "crops", folder).exit_code == 2
    assert run("export", "boxes", folder / "boxes.csv").exit_code == 0
    refused = run("export", "crops", folder)
    assert refused.exit_code == 2
    assert "already contains" in refused.stderr
    assert not (folder / ".nomedia").exists()
    summary = json.loads(run("index", "album", "--json").stdout)
    assert summary["gone"] == 0


def test_a_dry_run_checks_the_format(indexed, run, monkeypatch) -> None:
    for what, name in (("boxes", "b.csv"), ("embeddings", "e.npz")):
        result = run("export", what, name, "--format", "xml", "--dry-run")
        assert result.exit_code == 2
        assert "There is no format 'xml'" in result.stderr
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    missing = run("export", "embeddings", "e.parquet", "--dry-run")
    assert missing.exit_code == 2
    assert "needs pyarrow" in missing.stderr


def test_embeddings(indexed, run, tmp_path) -> None:
    assert run("export", "embeddings", "e.npz").exit_code == 0
    with np.load(tmp_path / "e.npz", allow_pickle=False) as read:
        assert read["vectors"].shape == (12, 16)
    piped = run("export", "embeddings", "-", "--format", "npz")
    assert piped.exit_code == 0
    assert np.load(io.BytesIO(piped.stdout_bytes), allow_pickle=False)["face"].tolist() == list(range(1, 13))
    nameless = run("export", "embeddings", "e.dat")
    assert nameless.exit_code == 2
    assert "--format" in nameless.stderr


def test_an_index_without_faces(index_album, run, fake_models, tmp_path) -> None:
    fake_models.make_photo(tmp_path / "dark" / "a.png", fake_models.NOBODY)
    assert index_album("dark").exit_code == 0
    for what in (("crops", "out"), ("boxes", "b.csv"), ("embeddings", "e.npz")):
        result = run("export", *what)
        assert result.exit_code == 1, result.stderr
        assert "The index has no faces." in result.stderr


def test_usage(run, tmp_path) -> None:
    alone = run("export")
    assert alone.exit_code == 2
    assert "embeddings" in alone.stdout
    assert run("export", "crop", "out").exit_code == 2
    missing = run("export", "crops", "out")
    assert missing.exit_code == 2
    assert "no index" in missing.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_every_export_can_be_public(clustered, run, tmp_path) -> None:
    for kind, name in (
        ("boxes", "b.csv"),
        ("embeddings", "e.npz"),
        ("crops", "c.zip"),
        ("clusters", "k.zip"),
    ):
        for mode, flags in ((0o600, ()), (0o644, ("--public",))):
            assert run("export", kind, name, *flags).exit_code == 0
            assert (tmp_path / name).stat().st_mode & 0o777 == mode
