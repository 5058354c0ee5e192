"""``faceindex clusters diff``, ``cluster --restore`` and ``cluster --dry-run``; notes on newer faces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NEWER = "2 faces are newer than the clusters; run `faceindex cluster`"


@pytest.fixture
def merged(clustered: Path, run: Callable[..., Any]) -> Path:
    """The album, whose three clusters have been merged into one."""
    assert run("cluster", "--algorithm", "kmeans", "--k", "1").exit_code == 0
    return clustered


@pytest.fixture
def grown(clustered: Path, run: Callable[..., Any], fake_models: ModuleType) -> Path:
    """The clustered album, with two photos that were indexed later: one of person 0, one of somebody else."""
    fake_models.make_photo(clustered / "a.png", (64, 64, 128), mark=100)
    fake_models.make_photo(clustered / "b.png", (224, 64, 128), mark=101)
    assert run("index", "album").exit_code == 0
    return clustered


def test_the_table(merged: Path, run) -> None:
    result = run("clusters", "diff")
    assert result.exit_code == 0
    head, dates, empty, header, row = result.stdout.splitlines()
    assert head == "3 clusters before, 1 after: 1 merged"
    assert dates.startswith("(before: 20")
    assert empty == ""
    assert header.split() == ["change", "cluster", "faces", "details"]
    assert row.split(maxsplit=3)[0] == "merged"
    assert row.split(maxsplit=3)[2] == "12"
    assert row.endswith("from 0 (4 faces), 1 (4 faces), 2 (4 faces)")


def test_json(merged: Path, run) -> None:
    document = json.loads(run("clusters", "diff", "--json").stdout)
    assert document["schema"] == "faceindex/clusters-diff/1"
    assert document["newer_faces"] == 0
    changes = document["changes"]
    assert (changes["old_clusters"], changes["new_clusters"]) == (3, 1)
    assert [part["faces"] for part in changes["merged"][0]["parts"]] == [4, 4, 4]
    assert changes["moved"] == changes["joined"] == changes["left"] == []
    assert json.loads(run("--json", "--index", ".faceindex", "clusters", "diff").stdout) == document


def test_faces_that_moved(clustered: Path, run) -> None:
    run("cluster", "--min-size", "5")
    lines = run("clusters", "diff").stdout.splitlines()
    assert lines[0] == "3 clusters before, 0 after: 3 gone, 12 faces no longer in a cluster"
    assert [line.split()[0] for line in lines[4:]] == ["gone"] * 3 + ["left"] * 3
    assert lines[7].split(maxsplit=5)[:5] == ["left", "0", ">", "-", "4"]
    assert lines[7].endswith("album/person0/0.png, album/person0/1.png and 2 more")
    left = json.loads(run("clusters", "diff", "--json", "--absolute").stdout)["changes"]["left"]
    assert len(left) == 12
    assert all(Path(face["photo"]).is_absolute() and face["new_cluster"] is None for face in left)


def test_long_tables_are_cut(index_album, run, fake_models, tmp_path) -> None:
    for person in range(25):
        for number in range(2):
            colour = (32 + 32 * (person % 5), 32 + 32 * (person // 5), 128)
            fake_models.make_photo(
                tmp_path / "many" / f"{person}-{number}.png", colour, mark=2 * person + number
            )
    index_album("many")
    short = run("cluster", "--dry-run").stdout.splitlines()
    assert short[-1] == "and 5 more rows; -v shows all"
    assert len(run("cluster", "--dry-run", "-v").stdout.splitlines()) == len(short) + 4


def test_without_earlier_clusters(clustered: Path, run) -> None:
    for args in (("clusters", "diff"), ("cluster", "--restore")):
        result = run(*args)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: The index has no earlier clusters: ")
    assert json.loads(run("clusters", "diff", "--json").stdout)["type"] == "UsageError"


def test_diff_before_the_first_clustering(indexed: Path, run) -> None:
    result = run("clusters", "diff")
    assert result.exit_code == 1
    assert "Run `faceindex cluster`." in result.stderr


def test_restore(merged: Path, run) -> None:
    planned = run("cluster", "--restore", "--dry-run")
    assert planned.stdout.startswith("This would make 3 clusters of 12 faces, and 0 faces in none.")
    assert "split" in planned.stdout
    assert json.loads(run("status", "--json").stdout)["clusters"] == 1
    result = run("cluster", "--restore")
    assert result.exit_code == 0
    assert result.stdout.startswith("Restored: 3 clusters of 12 faces, and 0 faces in none\n(album")
    assert json.loads(run("status", "--json").stdout)["clustering"]["algorithm"] == "album"
    assert run("cluster").stdout.startswith("3 clusters")
    document = json.loads(run("cluster", "--restore", "--json").stdout)
    assert (document["restored"], document["dry_run"], document["algorithm"]) == (True, False, "kmeans")
    assert document["parameters"]["k"] == 1
    assert [cluster["faces"] for cluster in document["clusters"]] == [12]


@pytest.mark.parametrize("option", [["--k", "3"], ["--seed", "1"], ["--rebuild"], ["--algorithm", "kmeans"]])
def test_restore_takes_no_options_of_the_clustering(merged: Path, run, option: list[str]) -> None:
    result = run("cluster", "--restore", *option)
    assert result.exit_code == 2
    assert "--restore" in result.stderr
    assert json.loads(run("status", "--json").stdout)["clusters"] == 1


def test_dry_run(grown: Path, run) -> None:
    before = Path(".faceindex/catalog.sqlite").read_bytes()
    result = run("cluster", "--dry-run", "--algorithm", "kmeans", "--k", "1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "This would make 1 cluster of 14 faces, and 0 faces in none. Nothing was stored."
    assert lines[1] == "3 clusters before, 1 after: 1 merged"
    assert lines[2].endswith("; 2 faces newer than the clusters before, 2 of them in a cluster)")
    document = json.loads(run("cluster", "--dry-run", "--json").stdout)
    assert (document["dry_run"], document["kept"], document["moved"]) == (True, 12, 0)
    assert document["changes"]["newer_faces"] == document["newer_faces"] == 2
    assert document["changes"]["newer_unclustered"] == 1
    assert Path(".faceindex/catalog.sqlite").read_bytes() == before
    assert run("status").stdout.count(NEWER) == 1


def test_a_run_that_changes_clusters_says_so(clustered: Path, run) -> None:
    result = run("cluster", "--algorithm", "kmeans", "--k", "1")
    assert "8 faces left theirs: see `faceindex clusters diff`)" in result.stdout
    assert "left theirs" not in run("cluster", "--algorithm", "kmeans", "--k", "1").stdout


@pytest.mark.parametrize(
    "args", [["clusters"], ["clusters", "1"], ["identify", "album/a.png"], ["gallery", "page"]]
)
def test_commands_note_newer_faces(grown: Path, run, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    assert NEWER in result.stderr
    assert NEWER not in result.stdout
    assert "newer" not in run(*args, "--quiet").stderr
    document = json.loads(run(*args, "--json").stdout)
    if document["schema"] != "faceindex/faces/1":
        assert document["newer_faces"] == 2
    run("cluster")
    assert "newer" not in run(*args).stderr


def test_clusters_still_takes_numbers(clustered: Path, run) -> None:
    assert run("clusters", "1").stdout.count("\n") == 5
    assert run("clusters", "--", "1").stdout == run("clusters", "1").stdout
    assert run("clusters", "dif").stderr.startswith("error: Nobody has the name 'dif'")
    assert "There is no cluster -1." in run("clusters", "-1").stderr


def test_help(run) -> None:
    text = run("clusters", "--help").stdout
    assert "[CLUSTER]" in text
    assert "  diff  Compare the clusters with those before the last change." in text
    assert run("clusters", "diff", "--help").stdout.startswith("Usage: faceindex clusters diff [OPTIONS]\n")
    assert run("help", "clusters", "diff").stdout == run("clusters", "diff", "--help").stdout
    result = run("clusters", "diff", "5")
    assert result.stderr.startswith("error: `faceindex clusters diff` does not take '5'.")
