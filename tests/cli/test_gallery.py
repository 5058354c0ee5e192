from __future__ import annotations

import json
import re
from pathlib import Path

from faceindex import FaceIndex


def test_the_summary_has_counts_and_bytes(clustered, run) -> None:
    result = run("gallery", "page")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "3 clusters, 12 faces (0 in none) on 12 photos"
    assert re.fullmatch(r"\d files written, 0 unchanged, 0 removed", lines[1])
    assert re.fullmatch(r".*/page/index\.html: [\d.]+ [kM]B with its pictures", lines[2])
    assert run("gallery", "page", "--quiet").stdout == ""
    again = run("gallery", "page").stdout.splitlines()
    assert re.fullmatch(r"0 files written, \d unchanged, 0 removed", again[1])


def test_json(clustered, run) -> None:
    document = json.loads(run("gallery", "page", "--json").stdout)
    assert document["schema"] == "faceindex/gallery-summary/1"
    assert (document["clusters"], document["faces"], document["photos"]) == (3, 12, 12)
    page = Path(document["page"])
    files = [page, *(page.parent / "gallery").iterdir()]
    assert document["bytes"] == sum(path.stat().st_size for path in files)
    assert document["written"] == len(files)
    assert document["unreadable"] == document["kept"] == []


def test_copied_bytes_are_counted_apart(clustered, run) -> None:
    document = json.loads(run("gallery", "page", "--copy", "--json").stdout)
    copies = list((Path(document["page"]).parent / "photos").iterdir())
    assert document["copies"] == len(copies) == 12
    assert document["copied_bytes"] == sum(path.stat().st_size for path in copies)


def test_dry_run(clustered, run) -> None:
    result = run("gallery", "page", "--dry-run")
    assert result.exit_code == 0
    assert "would be written" in result.stdout
    assert not Path("page").exists()


def test_a_missing_photo_is_reported(clustered, run) -> None:
    gone = clustered / "person1" / "2.png"
    gone.unlink()
    result = run("gallery", "page")
    assert result.exit_code == 1
    assert str(gone) in result.stderr
    assert Path("page/index.html").is_file()
    document = json.loads(run("gallery", "page", "--json").stdout)
    assert document["unreadable"] == [{"photo": str(gone), "reason": "missing"}]


def test_a_folder_that_does_not_exist_is_one_error(clustered, run) -> None:
    clustered.rename(clustered.with_name("moved"))
    result = run("gallery", "page")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: The folder {clustered} does not exist; 12 photos could not be read. If its disk is not "
        "mounted, mount it; if the photos are elsewhere now, run "
        f"`faceindex roots relocate {clustered} NEW_FOLDER`.\n"
    )
    assert len(json.loads(run("gallery", "page", "--json").stdout)["unreadable"]) == 12
    clustered.mkdir()  # as a place where a disk can be mounted
    result = run("gallery", "page", "-v")
    assert result.stderr.count("\n") == 1
    assert f"{clustered} is empty; 12 photos" in result.stderr


def test_missing_photos_are_listed_apart_from_missing_folders(clustered, run) -> None:
    (clustered / "person0").rename(clustered / "away")
    (clustered / "person1" / "0.png").unlink()
    lines = run("gallery", "page").stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: The folder {clustered / 'person0'} does not exist; 4 photos ")
    assert lines[1].startswith(f"error: {clustered / 'person1' / '0.png'}: there is no such file.")


def test_ten_failures_are_listed_unless_verbose(clustered, run) -> None:
    for photo in sorted(clustered.glob("*/*.png")):
        photo.write_bytes(photo.read_bytes() + b"changed")
    lines = run("gallery", "page").stderr.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "error: 2 more like these. List them with -v."
    assert len(run("gallery", "page", "-v").stderr.splitlines()) == 12


def test_without_clusters_there_is_a_warning(indexed, run) -> None:
    result = run("gallery", "page")
    assert result.exit_code == 0
    assert "faceindex cluster" in result.stderr


def test_an_index_without_faces(fake_models, index_album, run, tmp_path: Path) -> None:
    fake_models.make_photo(tmp_path / "album" / "dark.png", fake_models.NOBODY)
    index_album("album")
    result = run("gallery", "page")
    assert result.exit_code == 1
    assert "no faces" in result.stderr
    assert Path("page/index.html").is_file()


def test_wrong_destinations(clustered, run) -> None:
    Path("file").write_text("mine")
    Path("theirs").mkdir()
    Path("theirs/index.html").write_text("mine")
    for destination in ("file", "theirs", ".faceindex", ".faceindex/page", "album", ""):
        result = run("gallery", destination)
        assert result.exit_code == 2, destination
        assert result.stderr.startswith("error: ")
    assert Path("theirs/index.html").read_text() == "mine"
    assert not list(clustered.glob("**/index.html"))


def test_ctrl_c_is_reported_with_what_is_kept(clustered, run, monkeypatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("faceindex.export.gallery.write_gallery", interrupt)
    monkeypatch.setattr("faceindex.export.crops.export_crops", interrupt)
    monkeypatch.setattr("faceindex.export.clusters.export_clusters", interrupt)
    for command in (("gallery",), ("export", "crops"), ("export", "clusters")):
        result = run(*command, "page")
        assert result.exit_code == 130
        assert "Interrupted. Finished files are kept" in result.stderr


def test_a_changed_page_is_an_error(clustered, run) -> None:
    run("gallery", "page")
    Path("page/index.html").write_text("mine now")
    sprites = list(Path("page/gallery").iterdir())
    result = run("gallery", "page")
    assert result.exit_code == 2
    assert "page/index.html is left as it is" in result.stderr
    assert list(Path("page/gallery").iterdir()) == sprites


def test_no_index(run) -> None:
    result = run("gallery", "page")
    assert result.exit_code == 2
    assert "faceindex index PATH" in result.stderr
    assert not Path("page").exists()


def test_named_and_hidden_people_are_counted(clustered, run) -> None:
    ids = sorted(row["cluster"] for row in json.loads(run("clusters", "--json").stdout)["clusters"])
    with FaceIndex.open(write=True) as index:
        index.people.name("Anna", clusters=ids[:2])
        index.people.name("Carl", clusters=ids[2:])
        index.people.hide("Carl")
    assert run("gallery", "page").stdout.startswith("1 named person, 2 clusters, 8 faces (0 in none)")
    document = json.loads(run("gallery", "page", "--with-hidden", "--json").stdout)
    assert (document["people"], document["clusters"], document["faces"]) == (2, 3, 12)


def test_photos_that_index_could_not_read_are_no_news(run, index_album, clustered: Path) -> None:
    path = clustered / "person0" / "0.png"
    path.rename(clustered.parent / "aside.png")
    for command in (("gallery", "page"), ("export", "crops", "faces")):
        assert run(*command).exit_code == 1
        assert run(*command, "--fail-on", "never").exit_code == 0
    with FaceIndex.open(write=True) as index:
        photo = next(record for record in index._store.photos().values() if path.match(record.relpath))
        index._store.mark_failed([(photo.id, "missing")])
    for command in (("gallery", "page"), ("export", "crops", "faces")):
        assert run(*command).exit_code == 0
        assert run(*command, "--fail-on", "any").exit_code == 1
        assert run(*command, "--fail-on", "none").exit_code == 2
