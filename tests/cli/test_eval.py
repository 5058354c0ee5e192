from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex, models
from faceindex.evaluation.sweep import ThresholdClusters


def document(result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_tables(clustered, run) -> None:
    result = run("eval")
    assert result.exit_code == 0
    text = result.stdout
    assert text.startswith("12 photos of 3 people\n")
    assert "labels from folder names, on the largest face of each photo: 12 faces" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("person")]
    assert [row[0] for row in rows] == ["person", "person0", "person1", "person2"]
    assert all(row[1:6:4] == ["4", "100.0%"] for row in rows[1:])
    assert "each face, searched on the other photos: 100.00% right (12 of 12)" in text
    assert "share a cluster" not in text
    assert result.stderr == ""


def test_json_has_all_scores(clustered, run) -> None:
    found = document(run("eval", "--json", "--sweep"))
    assert found["schema"] == "faceindex/eval/1"
    assert (found["photos"], found["faces"], found["labels"], found["face"]) == (12, 12, "folders", "largest")
    assert found["clustering"]["bcubed"] == {"precision": 1, "recall": 1, "f": 1}
    assert found["clustering"]["people"] == found["clustering"]["clusters"] == 3
    assert [person["accuracy"] for person in found["people"]] == [1, 1, 1]
    assert len({person["one_to_one_cluster"] for person in found["people"]}) == 3
    assert found["identification"]["leave_one_out"]["top1"] == 1
    targets = [point["fpir_target"] for point in found["identification"]["open_set"]["points"]]
    assert targets == [0.01, 0.001, None]
    assert found["sweep"]["best"]["bcubed"]["f"] == max(p["bcubed"]["f"] for p in found["sweep"]["points"])
    assert document(run("eval", "--json"))["sweep"] is None


def test_mistakes_are_listed_with_their_photos(clustered, run, tmp_path: Path) -> None:
    rows = [f"album/person{p}/{n}.png,{'Ann' if p < 2 else 'Bob'}" for p in range(3) for n in range(4)]
    rows[4] = "album/person1/0.png,Bob"
    (tmp_path / "labels.csv").write_text("\n".join(["photo,label", *rows, "no.png,Ann"]))
    result = run("eval", "--labels", "labels.csv")
    assert "People who share a cluster\n" in result.stdout
    assert "Ann + Bob: 1 face misplaced in cluster" in result.stdout
    assert "      album/person1/0.png\n" in result.stdout
    assert "left out 1 row with a photo that is not in the index (line 14: no.png)" in result.stderr
    found = document(run("eval", "--labels", "labels.csv", "--json", "-q"))
    (confusion,) = found["confusions"]
    assert [face["photo"] for face in confusion["faces"]] == ["album/person1/0.png"]
    (wrong,) = found["identification"]["leave_one_out"]["wrong"]
    assert (wrong["photo"], wrong["person"], wrong["taken_for"]) == ("album/person1/0.png", "Bob", "Ann")
    ann, bob = found["people"]
    assert (ann["photos"], ann["in_cluster"], ann["accuracy"]) == (7, 4, 4 / 7)
    assert (bob["photos"], bob["in_cluster"], bob["accuracy"]) == (5, 4, 4 / 5)


def test_absolute_paths(clustered, run, tmp_path: Path) -> None:
    rows = [f"album/person{p}/{n}.png,{'Ann' if p < 2 else 'Bob'}" for p in range(3) for n in range(4)]
    rows[4] = "album/person1/0.png,Bob"
    (tmp_path / "labels.csv").write_text("\n".join(["photo,label", *rows]))
    photo = str(tmp_path / "album" / "person1" / "0.png")
    assert f"      {photo}\n" in run("eval", "--labels", "labels.csv", "--absolute").stdout
    found = document(run("eval", "--labels", "labels.csv", "--absolute", "--json"))
    assert found["confusions"][0]["faces"][0]["photo"] == photo
    assert found["identification"]["leave_one_out"]["wrong"][0]["photo"] == photo


def test_photos_without_a_face_and_unreadable_ones(album, index_album, run, fake_models) -> None:
    fake_models.make_photo(album / "person0" / "empty.png", fake_models.NOBODY)
    (album / "person0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert index_album("album").exit_code == 1
    run("cluster")
    found = document(run("eval", "--json"))
    assert (found["photos"], found["photos_without_face"], found["photos_unreadable"]) == (13, 1, 1)
    assert (found["people"][0]["photos"], found["people"][0]["no_face"]) == (5, 1)
    assert found["people"][0]["accuracy"] == 4 / 5
    assert "13 photos of 3 people" in run("eval").stdout
    assert "1 photo without one; 1 unreadable photo left out" in run("eval").stdout


def test_faces_can_be_labelled_one_by_one(clustered, run, tmp_path: Path) -> None:
    lines = run("faces", "--csv").stdout.splitlines()
    names = ["label", *(f"P{i // 4}" for i in range(12))]
    (tmp_path / "l.csv").write_text(
        "\n".join(f"{line},{name}" for line, name in zip(lines, names, strict=True))
    )
    found = document(run("eval", "--labels", "l.csv", "--json"))
    assert (found["face"], found["faces"], found["clustering"]["bcubed"]["f"]) == (None, 12, 1)
    result = run("eval", "--labels", "l.csv", "--face", "all")
    assert result.exit_code == 2
    assert "--face" in result.stderr


def test_labels_by_boxes(clustered, index_album, run, fake_models, tmp_path: Path) -> None:
    """The fake detector finds a face in the middle of each photo; the boxes cover head and hair."""
    fake_models.make_photo(clustered / "person0" / "empty.png", fake_models.NOBODY)
    index_album("album")
    run("cluster")
    rows = [f"person{p}/{n}.png,20,5,76,75,P{p}" for p in range(3) for n in range(4)]
    rows[0] += "\nperson0/0.png,0,0,20,20,P2\nperson0/empty.png,20,5,76,75,P0"
    rows[-1] = "person2/3.png,0,0,20,20,P2"
    (clustered / "boxes.csv").write_text("\n".join(["file,x1,y1,x2,y2,name", *rows]))
    found = document(run("eval", "--labels", clustered / "boxes.csv", "--json"))
    assert (found["face"], found["faces"], found["clustering"]["bcubed"]["f"]) == (None, 11, 1)
    assert (found["boxes"]["boxes"], found["boxes"]["photos"]) == (14, 13)
    assert [(box["line"], box["label"]) for box in found["boxes"]["without_face"]] == [
        (3, "P2"),
        (4, "P0"),
        (15, "P2"),
    ]
    assert found["boxes"]["without_face"][1]["photo"] == "album/person0/empty.png"
    assert [face["photo"] for face in found["boxes"]["faces_without_box"]] == ["album/person2/3.png"]
    assert [(person["photos"], person["no_face"]) for person in found["people"]] == [(5, 1), (4, 0), (5, 2)]
    text = run("eval", "--labels", clustered / "boxes.csv").stdout
    assert text.startswith("14 boxes of 3 people on 13 photos\n")
    assert "11 faces; 3 boxes without a face, 1 face on these photos without a box" in text
    assert run("eval", "--labels", clustered / "boxes.csv", "--face", "all").exit_code == 2


def test_a_malformed_box_is_named(clustered, run, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("photo,x1,y1,x2,y2,label\nalbum/person0/0.png,0,0,9,9px,Ann\n")
    result = run("eval", "--labels", "boxes.csv")
    assert result.exit_code == 2
    assert "boxes.csv, line 2: y2 is '9px', which is not a number" in result.stderr
    assert "Write pixels" in result.stderr


def test_scores_of_the_whole_album(clustered, run, tmp_path: Path) -> None:
    rows = [f"album/person{p}/{n}.png,Ann" for p in range(2) for n in range(2)]
    (tmp_path / "labels.csv").write_text("\n".join(["photo,label", *rows]))
    found = document(run("eval", "--labels", "labels.csv", "--json"))
    assert found["album"] == {
        "faces": 12,
        "doubles": 0,
        "junk": 4,  # the cluster of the third person
        "junk_clusters": 1,
        "people_per_cluster": 1,
        "clusters_per_person": 2,
    }
    assert found["clustering"]["bcubed_f_interval"] is None  # of one person
    text = run("eval", "--labels", "labels.csv").stdout
    assert "The whole album (12 faces, 8 without a label)" in text
    assert "faces in 1 cluster with few labelled faces" in text
    assert "interval" not in text


def test_scores_by_size_and_quality(clustered, run, fake_models, index_album) -> None:
    for number in range(20):
        fake_models.make_photo(clustered / "person0" / f"more{number}.png", (64, 64, 128), mark=60 + number)
    index_album("album")
    run("cluster", "--rebuild")
    found = document(run("eval", "--json"))
    (size,) = found["by_size"]
    assert (size["from"], size["to"], size["faces"], size["people"]) == (None, None, 32, 3)
    assert size["bcubed"] == found["clustering"]["bcubed"]
    assert size["bcubed_f_interval"] == found["clustering"]["bcubed_f_interval"] == [1, 1]
    assert sum(part["faces"] for part in found["by_quality"]) == 32
    assert "By face size" in run("eval", "--all").stdout
    assert "By face" not in run("eval").stdout


def test_only_the_worst_of_many_people_are_listed(album, index_album, run, fake_models) -> None:
    for i in range(30):
        colour = (32 * (i % 6) + 64, 32 * (i // 6) + 64, 255)
        fake_models.make_photo(album / f"single{i:02}" / "0.png", colour)
    index_album("album")
    run("cluster")
    text = run("eval").stdout
    assert "The 20 worst of 33 people" in text
    assert text.count("single") <= 20
    assert sum(line.startswith("single") for line in run("eval", "--all").stdout.splitlines()) == 30


def test_faces_added_after_clustering_cause_a_warning(clustered, index_album, run, fake_models) -> None:
    fake_models.make_photo(clustered / "person0" / "late.png", (64, 64, 128), mark=77)
    index_album("album")
    result = run("eval")
    assert result.exit_code == 0
    assert "1 face was added after the last `faceindex cluster`" in result.stderr


def test_before_clustering_the_error_names_the_command(indexed, run) -> None:
    result = run("eval")
    assert result.exit_code == 1
    assert "Run `faceindex cluster`" in result.stderr


def test_an_empty_index(index_album, run, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    index_album("nothing")
    run("cluster")
    result = run("eval")
    assert result.exit_code == 1
    assert "No face of the index has a label" in result.stderr
    assert run("status", "--plot", "a.png").exit_code == 1


@pytest.mark.parametrize(
    "args",
    [
        ("--face", "biggest"),
        ("--labels", "no.csv"),
        ("--repeats", "0"),
        ("--seed", "-1"),
        ("--plot", "a.jpg"),
        ("--plot", "no/a.png"),
    ],
)
def test_invalid_options(args: tuple[str, ...], clustered, run) -> None:
    result = run("eval", *args)
    assert result.exit_code == 2
    assert args[0] in result.stderr or args[1].split("/")[0] in result.stderr
    assert result.stdout == ""


def test_a_sweep_changes_nothing_and_lists_the_defaults(clustered, run) -> None:
    before = run("faces", "--csv").stdout
    lines = run("eval", "--sweep").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Clusters by constant"))
    rows = [line.split() for line in lines[start + 2 :]]
    assert sum(row[-1] == "best" for row in rows) == 1
    thresholds = [float(row[0]) for row in rows if row[0] != "defaults"]
    assert thresholds == sorted(thresholds)
    (default,) = (i for i, row in enumerate(rows) if row[0] == "defaults")
    calibrated = float(rows[default][-1])
    assert float(rows[default - 1][0]) <= calibrated + 1e-4 < float(rows[default + 1][0]) + 2e-4
    assert run("faces", "--csv").stdout == before


@pytest.mark.parametrize("threshold", [-0.3, 0.0, 0.4, 0.999])
def test_a_sweep_makes_the_same_clusters_as_cluster(
    threshold: float, album, index_album, run, fake_models
) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        colour = tuple(int(value) for value in rng.integers(2, 8, 3) * 32)
        fake_models.make_photo(album / "more" / f"{i}.png", colour, mark=i)
    index_album("album")
    with FaceIndex.open(write=True) as index:
        index.cluster(threshold=threshold, rebuild=True)
        expected = index.table().cluster
        calibration = models.get("embedder", "fake").calibration
        labels = ThresholdClusters(index.table(), index.vectors(), calibration).at(threshold)
    assert ((labels < 0) == (expected < 0)).all()
    pairs = set(zip(labels.tolist(), expected.tolist(), strict=True))
    assert len(pairs) == len(set(labels.tolist())) == len(set(expected.tolist()))


@pytest.mark.parametrize("args", [(), ("--sweep",)])
def test_plots(args: tuple[str, ...], clustered, run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("eval", *args, "--plot", "a.svg", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema"] == "faceindex/eval/1"
    assert "Drawn: a.svg" in result.stderr
    assert "12 labelled faces of 3 people" in (tmp_path / "a.svg").read_text()


def test_status_plots_without_labels_or_clusters(indexed, run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("status", "--plot", "a.svg")
    assert result.exit_code == 0
    assert result.stdout == run("status").stdout
    text = (tmp_path / "a.svg").read_text()
    assert "How alike are 12 faces?" in text
    assert "Two faces with" not in text


def test_a_constant_threshold_is_drawn_in_the_plot(indexed, run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run("cluster", "--threshold", "0.77")
    run("status", "--plot", "a.svg")
    assert "threshold 0.7700" in (tmp_path / "a.svg").read_text()


def test_a_plot_never_overwrites_a_photo(clustered, run) -> None:
    photo = clustered / "person0" / "0.png"
    before = photo.read_bytes()
    for command in ("eval", "status"):
        refused = run(command, "--plot", photo)
        assert refused.exit_code == 2
        assert "is one of the indexed photos" in refused.stderr
        assert photo.read_bytes() == before


def decide(*, confirm: bool = True) -> None:
    """Name the three clusters, confirm two faces of each of two people, and ignore one face."""
    with FaceIndex.open(write=True) as index:
        found = {Path(face.path).parent.name: face.cluster for face in index}
        photos = {"/".join(Path(face.path).parts[-2:]): face.face for face in index}
        for (_, cluster), name in zip(sorted(found.items()), ("Anna", "Ben", "Carl"), strict=True):
            index.people.name(name, clusters=[cluster or 0])
        if confirm:
            index.people.confirm([photos[f"person{p}/{n}.png"] for p in (0, 1) for n in (0, 1)])
            index.people.ignore(faces=[photos["person2/0.png"]])


def test_scores_by_decisions(clustered, run) -> None:
    decide()
    found = document(run("eval", "--people", "--json"))
    assert found["schema"] == "faceindex/eval-people/1"
    assert (found["faces"], found["confirmed"], found["named"]) == (4, 4, 0)
    assert (found["strangers"], found["not_faces"]) == (1, 0)
    clustering = found["clustering"]
    assert clustering["bcubed"] == {"precision": 1, "recall": 1, "f": 1}
    assert (clustering["people"], clustering["people_split"], clustering["clusters_mixed"]) == (2, 0, 0)
    # Without the decision, the stranger is among the other faces of Carl, of whom none is confirmed.
    assert clustering["nobody"] == {"faces": 1, "with_people": 0, "in_other_clusters": 1}
    assert [(p["person"], p["faces"], p["clusters"]) for p in found["people"]] == [
        ("Anna", 2, 1),
        ("Ben", 2, 1),
    ]
    identified = found["identification"]
    assert (identified["searched"], identified["right"], identified["wrong"]) == (4, 4, 0)
    assert (identified["nobody"], identified["nobody_named"]) == (1, 1)  # it looks like Carl
    assert [(row["faces"], row["right"]) for row in identified["reliability"]] == [(5, 0.8)]
    named = document(run("eval", "--people", "--named", "--json"))
    assert (named["faces"], named["confirmed"], named["named"]) == (11, 4, 7)
    assert named["clustering"]["nobody"]["with_people"] == 1
    text = run("eval", "--people", "--named").stdout
    assert text.startswith("4 confirmed faces and 7 faces named with their cluster, of 3 people\n")
    assert "known people named right: 100.00% (11 of 11; 0 named wrong, 0 not named)" in text
    assert "1 face of nobody: 1 among the faces of people, 0 in other clusters" in text


def test_scores_by_decisions_are_not_those_of_clusters_that_obey_them(clustered, run) -> None:
    """The user says that two faces of one colour are two people: without that, they are in one cluster."""
    decide(confirm=False)
    with FaceIndex.open(write=True) as index:
        photos = {"/".join(Path(face.path).parts[-2:]): face.face for face in index}
        index.people.name("Dora", faces=[photos["person0/0.png"], photos["person0/1.png"]])
        index.people.confirm([photos["person0/2.png"], photos["person0/3.png"]])
    found = document(run("eval", "--people", "--json"))
    assert [p["person"] for p in found["people"]] == ["Anna", "Dora"]
    assert found["clustering"]["bcubed"]["precision"] == 0.5
    assert found["clustering"]["bcubed"]["recall"] == 1
    assert found["clustering"]["clusters_mixed"] == 1
    assert all(p["others_in_largest"] == 2 for p in found["people"])
    assert found["identification"]["searched"] == 4
    text = run("eval", "--people").stdout
    assert "1 cluster with faces of several people" in text


def test_a_person_on_one_picture_cannot_be_searched(clustered, run, tmp_path: Path) -> None:
    decide(confirm=False)
    with FaceIndex.open(write=True) as index:
        photos = {"/".join(Path(face.path).parts[-2:]): face.face for face in index}
        index.people.name("Dora", faces=[photos["person0/0.png"]])
        # A copy of the picture with other metadata is the same picture.
        from PIL import Image, PngImagePlugin

        text = PngImagePlugin.PngInfo()
        text.add_text("Title", "copy")
        with Image.open(clustered / "person0" / "0.png") as photo:
            photo.save(clustered / "copy.png", pnginfo=text)
        index.add(clustered)
    found = document(run("eval", "--people", "--json"))
    assert found["faces"] == 2
    assert found["identification"]["searched"] == 0
    assert found["identification"]["on_no_other_picture"] == 2
    assert "of people who are on no other picture" in run("eval", "--people").stdout


def test_no_decisions_to_score_by(clustered, run) -> None:
    result = run("eval", "--people")
    assert result.exit_code == 1
    assert "No face is confirmed." in result.stderr
    assert "faceindex people confirm" in result.stderr
    decide(confirm=False)
    result = run("eval", "--people")
    assert result.exit_code == 1
    assert "--named" in result.stderr
    assert run("eval", "--people", "--named").exit_code == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--named"], "--named needs --people."),
        (["--people", "--sweep"], "--people and --sweep exclude each other."),
        (["--people", "--face", "all"], "--people and --face exclude each other."),
        (["--people", "--seed", "-1"], "--seed is -1."),
    ],
)
def test_decisions_with_other_options(clustered, run, options: list[str], problem: str) -> None:
    result = run("eval", *options)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_clusters_are_shown_with_the_names_of_the_user(clustered, run, tmp_path: Path) -> None:
    assert "your name" not in run("eval").stdout
    decide(confirm=False)
    lines = run("eval").stdout.splitlines()
    header = next(line for line in lines if line.startswith("person "))
    assert header.split()[:7] == ["person", "photos", "no", "face", "cluster", "your", "name"]
    rows = [line.split() for line in lines if line.startswith("person") and line != header]
    assert [(row[0], row[4]) for row in rows] == [
        ("person0", "Anna"),
        ("person1", "Ben"),
        ("person2", "Carl"),
    ]
    found = document(run("eval", "--json"))
    assert [person["cluster_person"] for person in found["people"]] == ["Anna", "Ben", "Carl"]
    labels = [f"album/person{p}/{n}.png,{'Ann' if p < 2 else 'Bob'}" for p in range(3) for n in range(4)]
    labels[4] = "album/person1/0.png,Bob"
    (tmp_path / "labels.csv").write_text("\n".join(["photo,label", *labels]))
    text = run("eval", "--labels", "labels.csv").stdout
    assert " Ben (3 + 1)" in text
