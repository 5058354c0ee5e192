from __future__ import annotations

import json
from pathlib import Path


def test_the_table_shows_size_and_examples(indexed, run) -> None:
    result = run("cluster")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "3 clusters of 12 faces, and 0 faces in none"
    assert lines[3].split() == ["cluster", "faces", "for", "example"]
    rows = [line.split(maxsplit=2) for line in lines[4:]]
    assert [row[1] for row in rows] == ["4", "4", "4"]
    for _, _, examples in rows:
        people = {photo.split("/")[1] for photo in examples.split(", ")}
        assert examples.count(", ") == 1
        assert len(people) == 1


def test_absolute_paths(indexed, run, tmp_path) -> None:
    lines = run("cluster", "--absolute").stdout.splitlines()
    for line in lines[4:]:
        _, _, examples = line.split(maxsplit=2)
        assert all(photo.startswith(f"{tmp_path}/album/person") for photo in examples.split(", "))
    clusters = json.loads(run("cluster", "--absolute", "--json").stdout)["clusters"]
    assert all(Path(photo).is_file() for cluster in clusters for photo in cluster["examples"])


def test_json(indexed, run) -> None:
    document = json.loads(run("cluster", "--seed", "5", "--min-size", "3", "--json").stdout)
    assert document["schema"] == "faceindex/cluster/1"
    assert document["algorithm"] == "album"
    assert document["seed"] == 5
    assert document["parameters"]["min_size"] == 3
    assert (document["faces"], document["unclustered"], document["kept"]) == (12, 0, 0)
    assert document["threshold"] > 0.85
    assert [cluster["faces"] for cluster in document["clusters"]] == [4, 4, 4]
    again = json.loads(run("cluster", "--seed", "5", "--min-size", "3", "--json").stdout)
    assert again["kept"] == 12


def test_only_the_largest_are_listed_without_verbose(index_album, run, fake_models, tmp_path) -> None:
    for person in range(12):
        colour = (32 + 32 * (person % 6), 64 + 96 * (person // 6), 128)
        for number in range(2):
            fake_models.make_photo(
                tmp_path / "many" / f"{person}-{number}.png", colour, mark=2 * person + number
            )
    index_album("many")
    short = run("cluster").stdout
    assert "and 2 smaller clusters; -v shows all" in short
    assert len(run("cluster", "-v").stdout.splitlines()) == len(short.splitlines()) + 1


def test_kmeans(indexed, run) -> None:
    assert run("cluster", "--algorithm", "kmeans").exit_code == 2
    document = json.loads(run("cluster", "--algorithm", "kmeans", "--k", "3", "--json").stdout)
    assert document["threshold"] is None
    assert len(document["clusters"]) == 3
    too_many = run("cluster", "--algorithm", "kmeans", "--k", "13")
    assert too_many.exit_code == 2
    assert "12 faces" in too_many.stderr


def test_no_clusters_is_an_empty_answer(indexed, run) -> None:
    result = run("cluster", "--min-size", "5")
    assert result.exit_code == 1
    assert result.stdout.startswith("0 clusters of 0 faces, and 12 faces in none")


def test_an_index_without_faces(index_album, run, fake_models, tmp_path) -> None:
    fake_models.make_photo(tmp_path / "dark" / "a.png", fake_models.NOBODY)
    assert index_album("dark").exit_code == 0
    result = run("cluster")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no faces" in result.stderr


def test_an_unknown_algorithm_suggests_a_similar_one(indexed, run) -> None:
    result = run("cluster", "--algorithm", "kmean")
    assert result.exit_code == 2
    assert "Did you mean 'kmeans'?" in result.stderr


def test_part_size(indexed, run) -> None:
    """Each person comes into a part of its own; the same option later changes nothing."""
    whole = run("cluster").stdout.splitlines()
    result = run("cluster", "--part-size", "4", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [cluster["faces"] for cluster in document["clusters"]] == [4, 4, 4]
    assert document["parameters"]["part_size"] == 4
    assert (document["started_over"], document["kept"]) == (True, 12)  # ids stay too
    assert not json.loads(run("cluster", "--part-size", "4", "--json").stdout)["started_over"]
    assert run("cluster", "--part-size", "100", "--rebuild").stdout.splitlines()[4:] == whole[4:]
    assert not [path for path in indexed.iterdir() if path.name.startswith(".parts-")]


def test_a_part_size_without_use(indexed, run) -> None:
    result = run("cluster", "--part-size", "1")
    assert result.exit_code == 2
    assert "--part-size is 1. Choose 2 or more." in " ".join(result.stderr.split())
    result = run("cluster", "--algorithm", "kmeans", "--k", "3", "--part-size", "4")
    assert result.exit_code == 2
    assert "kmeans" in result.stderr and "Leave out --part-size" in " ".join(result.stderr.split())
    run("cluster")
    assert run("cluster", "--restore", "--part-size", "4").exit_code == 2


def test_on_ray_is_checked_first_and_few_faces_start_nothing(indexed, run, monkeypatch) -> None:
    monkeypatch.setattr("faceindex.api.extraction.check_installed", lambda: None)
    for words, message in (
        (["--on", "dask"], "error: --on is 'dask'."),
        (["--actors", "2"], "error: --actors are of no use without --on. Pass --on ray too."),
        (
            ["--on", "ray", "--restore"],
            "error: --restore searches for no faces. Leave out --on and --actors.",
        ),
        (
            ["--on", "ray", "--algorithm", "kmeans", "--k", "3"],
            "error: --on divides the search for similar faces, which kmeans does not need. Leave out --on "
            "and --actors, or choose another --algorithm.",
        ),
    ):
        result = run("cluster", *words)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    assert "Ray" not in run("cluster", "--on", "ray").stderr
    few = run("cluster", "--on", "ray", "-v")
    assert few.exit_code == 0
    assert "Ray was not started: it searches among more than 20,000 faces, if many are new." in few.stderr
    run("cluster", "--part-size", "4")
    unchanged = run("cluster", "--part-size", "4", "--on", "ray", "-v")
    assert unchanged.exit_code == 0
    expected = "Ray was not started: nothing has changed, or at most 4 faces had to be grouped anew."
    assert expected in " ".join(unchanged.stderr.split())
