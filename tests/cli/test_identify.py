from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from faceindex.cli.app import app
from faceindex.errors import FaceIndexError, WeightsNotFound

KNOWN = (64, 64, 128)
STRANGER = (224, 0, 0)


@pytest.fixture
def known(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "known.png", KNOWN, mark=500)
    return "known.png"


@pytest.fixture
def stranger(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "stranger.png", STRANGER, mark=501)
    return "stranger.png"


@pytest.fixture
def nobody(fake_models, tmp_path: Path) -> str:
    fake_models.make_photo(tmp_path / "nobody.png", fake_models.NOBODY)
    return "nobody.png"


@pytest.fixture
def run_with() -> Callable[..., Any]:
    """Run a command in this process with bytes on standard input."""
    return lambda data, *args: CliRunner().invoke(app, [str(arg) for arg in args], input=data)


def test_a_known_person(clustered, run, known: str) -> None:
    result = run("identify", known, "--neighbours", "2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "known.png: 1 face"
    assert lines[1].startswith("  face 1 at 24,24 to 72,72: cluster ")
    assert "similarity 1.0000" in lines[1]
    assert "margin" in lines[1]
    assert len(lines) == 5
    assert all("album/person0/" in line for line in lines[3:])


def test_a_stranger_is_unknown(clustered, run, stranger: str) -> None:
    result = run("identify", stranger, "--neighbours", "0")
    assert result.exit_code == 0
    assert "unknown (nearest is cluster" in result.stdout
    assert len(result.stdout.splitlines()) == 2
    generous = run("identify", stranger, "--threshold", "-1")
    assert "unknown" not in generous.stdout


def test_json(clustered, run, known: str, stranger: str) -> None:
    result = run("identify", known, stranger, "--neighbours", "3", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "faceindex/identify/3"
    assert document["clustered"] is True
    first, second = document["photos"]
    (face,) = first["faces"]
    assert face["box"] == [24.0, 24.0, 72.0, 72.0]
    assert face["cluster"] == face["nearest_cluster"]
    assert face["similarity"] == pytest.approx(1, abs=1e-5)
    assert len(face["nearest"]) == 3
    assert face["nearest"][0]["photo"].startswith("album/person0/")
    assert Path(face["nearest"][0]["path"]).is_file()
    assert second["faces"][0]["cluster"] is None
    assert second["faces"][0]["similarity"] < second["faces"][0]["needed"]
    assert document["max_false_alarms"] == 0.01
    assert face["confidence"] == "certain"
    assert face["probability"] > 0.99 > 0.01 > face["false_alarm"]
    assert second["faces"][0]["confidence"] == "unknown"
    assert second["faces"][0]["probability"] < 0.5


def test_rates_of_false_alarms(clustered, run, known: str) -> None:
    needed = []
    for options, rate in (
        (["--max-false-alarms", "5%"], 0.05),
        (["--max-false-alarms", "0.01"], 0.01),
        (["--strict"], 0.001),
    ):
        document = json.loads(run("identify", known, "--json", *options).stdout)
        assert document["max_false_alarms"] == rate
        needed.append(document["photos"][0]["faces"][0]["needed"])
    assert needed == sorted(needed)
    document = json.loads(run("identify", known, "--json", "--threshold", "0.9").stdout)
    assert document["max_false_alarms"] is None
    assert document["photos"][0]["faces"][0]["needed"] == 0.9


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--max-false-alarms", "few"], "is 'few', which is not a share"),
        (["--max-false-alarms", "nan"], "is 'nan', which is not a share"),
        (["--max-false-alarms", "0"], "--max-false-alarms is 0."),
        (["--max-false-alarms", "1"], "--max-false-alarms is 1."),
        (["--max-false-alarms", "1%", "--strict"], "exclude each other"),
        (["--threshold", "0.9", "--strict"], "--strict and --threshold exclude each other"),
    ],
)
def test_rates_that_cannot_be(clustered, run, known: str, options: list[str], problem: str) -> None:
    result = run("identify", known, *options)
    assert result.exit_code == 2
    assert problem in result.stderr.replace("\n", " ")


def test_a_photo_of_the_index_is_recognised_by_its_content(
    clustered, run, known: str, tmp_path: Path
) -> None:
    shutil.copy("album/person0/2.png", "copy.png")
    lines = run("identify", "copy.png", known).stdout.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == ["copy.png: 1 face (already in the index as album/person0/2.png)", "known.png: 1 face"]
    photos = json.loads(run("identify", "copy.png", known, "gone.png", "--json").stdout)["photos"]
    assert [photo["indexed_as"] for photo in photos] == ["album/person0/2.png", None, None]


def test_absolute_paths(clustered, run, known: str, tmp_path: Path) -> None:
    shutil.copy("album/person0/2.png", "copy.png")
    lines = run("identify", "copy.png", "--absolute").stdout.splitlines()
    original = tmp_path / "album" / "person0" / "2.png"
    assert lines[0] == f"{tmp_path / 'copy.png'}: 1 face (already in the index as {original})"
    assert all(f"  {tmp_path}/album/" in line for line in lines[3:])
    (photo,) = json.loads(run("identify", "copy.png", "--absolute", "--json").stdout)["photos"]
    assert (photo["photo"], photo["indexed_as"]) == (str(tmp_path / "copy.png"), str(original))
    assert all(near["photo"] == near["path"] for near in photo["faces"][0]["nearest"])


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_save_writes_the_labelled_sheet(clustered, run, known: str, name: str) -> None:
    result = run("identify", known, "--neighbours", "2", "--save", name)
    assert result.exit_code == 0
    assert result.stderr == f"Saved {name}.\n"
    assert result.stdout == run("identify", known, "--neighbours", "2").stdout
    with PillowImage.open(name) as picture:
        assert picture.size == (3 * 112 + 2 * 4, 96 + 4 + 112 + 2 * 18)
        grey = picture.convert("L")
        for column in range(3):  # both lines below each face have text
            for top in (212, 230):
                strip = grey.crop((column * 116, top, column * 116 + 112, top + 18))
                assert strip.getextrema()[0] < 100
        assert picture.convert("RGB").getpixel((25, 60))[:2] == pytest.approx((255, 213), abs=40)  # a box


def test_save_numbers_several_photos_by_their_order(clustered, run, known: str, stranger: str) -> None:
    result = run("identify", known, "gone.png", stranger, "--save", "a.png", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["photos"][1]["error"]["type"] == "ImageError"
    assert sorted(path.name for path in Path().glob("a*.png")) == ["a-1.png", "a-3.png"]


def test_save_into_a_folder(clustered, run, known: str, stranger: str) -> None:
    Path("more").mkdir()
    shutil.copy(known, "more/known.png")
    assert run("identify", known, stranger, "more/known.png", "--save", "sheets/").exit_code == 0
    names = sorted(path.name for path in Path("sheets").iterdir())
    assert len(names) == 3
    assert {"known.png", "stranger.png"} < set(names)
    assert run("identify", known, "--save", "sheets").exit_code == 0


def test_saving_into_an_indexed_folder_causes_a_warning(clustered, run, known: str) -> None:
    result = run("identify", known, "--save", "album/a.png")
    assert result.exit_code == 0
    assert "warning: album/a.png is in an indexed folder" in result.stderr
    assert "warning" not in run("identify", known, "--save", "a.png").stderr


def test_a_quoted_home_folder_is_expanded(clustered, run, known: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert run("identify", f"~/{known}", "--save", "~/a.png").exit_code == 0
    assert run("clusters", "0", "--save", "~/b.png").exit_code == 0
    assert {"a.png", "b.png"} < {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("a.gif", "neither a .png or .jpg file nor a folder"),
        ("nowhere/a.png", "There is no folder nowhere."),
        ("album/person0/0.png", "one of the indexed photos"),
        ("album/person0/", "one of the indexed photos"),
        ("known.png", "would overwrite a photo"),
    ],
)
def test_save_overwrites_no_photo(clustered, run, known: str, target: str, word: str) -> None:
    shutil.copy(known, "0.png")
    before = {path: path.read_bytes() for path in Path().rglob("*.png")}
    result = run("identify", known, "0.png", "--save", target) if target.endswith("/") else None
    result = result or run("identify", known, "--save", target)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert word in result.stderr
    assert {path: path.read_bytes() for path in Path().rglob("*.png")} == before


def test_collection_is_paused_only_while_models_are_loaded(
    clustered, run, known: str, fake_models, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    load, embed = fake_models.FakeEmbedder.__init__, fake_models.FakeEmbedder.embed

    def recorded(method: Callable[..., object]) -> Callable[..., object]:
        def record(*args: object, **options: object) -> object:
            states.append(gc.isenabled())
            return method(*args, **options)

        return record

    monkeypatch.setattr(fake_models.FakeEmbedder, "__init__", recorded(load))
    monkeypatch.setattr(fake_models.FakeEmbedder, "embed", recorded(embed))
    assert run("identify", known).exit_code == 0
    assert states == [False, False]  # loading, and the photo that waits for it
    states.clear()
    assert run("identify", known, known).exit_code == 0
    assert states == [False, True, True]
    assert gc.isenabled()


def test_a_bad_photo_does_not_stop_the_others(clustered, run, known: str, nobody: str) -> None:
    Path("note.jpg").write_text("no photo")
    result = run("identify", "gone.jpg", "note.jpg", nobody, known)
    assert result.exit_code == 1
    assert result.stdout.startswith("known.png: 1 face\n")
    problems = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in problems] == ["gone.jpg", "note.jpg", "nobody.png"]
    assert "no face was found" in problems[2]
    photos = json.loads(run("identify", "gone.jpg", nobody, known, "--json").stdout)["photos"]
    assert [photo["error"] and photo["error"]["type"] for photo in photos] == [
        "ImageError",
        "NoFaceFound",
        None,
    ]


def test_before_clustering_the_most_similar_faces_are_listed(indexed, run, known: str) -> None:
    result = run("identify", known, known)
    assert result.exit_code == 1
    assert result.stderr.count("faceindex cluster") == 1
    assert result.stdout.count(": unknown\n") == 2
    assert "album/person0/" in result.stdout
    document = json.loads(run("identify", known, "--json").stdout)
    assert document["clustered"] is False
    assert document["photos"][0]["faces"][0]["similarity"] is None
    assert len(document["photos"][0]["faces"][0]["nearest"]) == 5


def test_an_index_without_faces(index_album, run, known: str, nobody: str) -> None:
    assert index_album(nobody).exit_code == 0
    result = run("identify", known)
    assert result.exit_code == 1
    assert "no faces" in result.stderr


def heads(text: str) -> list[str]:
    """The names of the photos that were answered, and their numbers of faces."""
    return [line.split(" (")[0] for line in text.splitlines() if not line.startswith(" ")]


def test_a_folder_is_walked_as_index_walks_it(clustered, run, known: str, nobody: str) -> None:
    album = Path("album")
    (album / "notes.txt").write_text("not a photo")
    (album / "lies.jpg").write_text("not a photo")
    (album / ".hidden").mkdir()
    shutil.copy(known, album / ".hidden" / "0.png")
    shutil.copy(nobody, album / "nobody.png")
    (album / "broken.jpg").symlink_to("nowhere.jpg")
    shutil.copytree(".faceindex", album / "own.faceindex")
    result = run("identify", known, "album", "--index", "album/own.faceindex", "--neighbours", "0")
    assert result.exit_code == 1
    names = [f"album/person{i}/{j}.png" for i in range(3) for j in range(4)]
    assert heads(result.stdout) == [f"{name}: 1 face" for name in [known, *names]]
    problems = [line.split(". ")[0] for line in result.stderr.splitlines() if line.startswith("error")]
    assert problems == [
        "error: album/broken.jpg: a symbolic link to a missing file",
        "error: album/lies.jpg: not an image of a known format, although its name ends in .jpg",
        "error: album/nobody.png: no face was found",
    ]
    document = json.loads(run("identify", "album", "--json", "--absolute").stdout)
    assert [photo["photo"] for photo in document["photos"]] == [
        str((album / name).absolute())
        for name in ("broken.jpg", "lies.jpg", "nobody.png", *(name.removeprefix("album/") for name in names))
    ]


def test_a_folder_without_photos_is_named(clustered, run, known: str) -> None:
    for name in ("empty", "notes"):
        Path(name).mkdir()
    Path("notes/a.txt").write_text("not a photo")
    result = run("identify", known, "empty", "notes", "-v")
    assert result.exit_code == 1
    assert heads(result.stdout) == [f"{known}: 1 face"]
    assert "error: No photo was found in empty. Check the path." in result.stderr
    assert "error: No photo was found in notes. Check the path." in result.stderr
    assert "notes/a.txt: left out, not a photo" in result.stderr
    alone = run("identify", "empty", "--json")
    assert (alone.exit_code, json.loads(alone.stdout)["photos"]) == (1, [])


def test_a_photo_named_twice_is_answered_twice(clustered, run, known: str) -> None:
    Path("more").mkdir()
    shutil.copy(known, "more/a.png")
    result = run("identify", known, "more", known, "more", "--neighbours", "0")
    assert heads(result.stdout) == [f"{name}: 1 face" for name in (known, "more/a.png", known, "more/a.png")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_a_list_on_standard_input(clustered, run_with, known: str, stranger: str, end: str) -> None:
    text = end.join([known, "", "gone.png", "album/person1", stranger]) + end
    result = run_with(text.encode(), "identify", "-", known, "--neighbours", "0")
    assert result.exit_code == 1
    album = [f"album/person1/{i}.png" for i in range(4)]
    assert heads(result.stdout) == [f"{name}: 1 face" for name in (known, *album, stranger, known)]
    assert "gone.png: there is no such file" in result.stderr


def test_an_image_on_standard_input(clustered, run_with, known: str, nobody: str) -> None:
    data = Path("album/person0/2.png").read_bytes()
    result = run_with(data, "identify", "-", "--save", "a.png", "--absolute")
    assert result.exit_code == 0
    original = Path("album/person0/2.png").absolute()
    assert heads(result.stdout) == ["standard input: 1 face"]
    assert str(original) in result.stdout.splitlines()[0]
    with PillowImage.open("a.png") as picture:
        assert picture.getpixel((8, 8)) == pytest.approx((64, 64, 128), abs=4)
    document = json.loads(run_with(data, "identify", known, "-", "--json").stdout)
    assert [photo["photo"] for photo in document["photos"]] == [known, "standard input"]
    faceless = run_with(Path(nobody).read_bytes(), "identify", "-")
    assert (faceless.exit_code, "standard input: no face was found" in faceless.stderr) == (1, True)
    cut = run_with(data[:50], "identify", "-", known)
    assert (cut.exit_code, "error: standard input: the PNG" in cut.stderr) == (1, True)


def test_what_standard_input_cannot_be(clustered, run_with, run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(b"", "identify", "-")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: The list on standard input is empty. Check the command that writes it.\n"
    )
    result = run_with(b"\0\0\0\x18ftypmp42 a video", "identify", "-")
    assert result.exit_code == 1
    assert "standard input: neither an image of a known format nor a list of paths" in result.stderr
    result = run_with(b"known.png\n", "identify", "-", "-")
    assert (result.exit_code, "Standard input can be read only once" in result.stderr) == (2, True)


def test_one_document_for_any_number_of_photos(clustered, run, known: str, stranger: str) -> None:
    """It has the form of `Output.document`, although it is written photo by photo."""
    result = run("identify", *[known, stranger, "gone.png"] * 10, "--json")
    document = json.loads(result.stdout)
    assert list(document) == [
        "schema",
        "index",
        "clustered",
        "newer_faces",
        "max_false_alarms",
        "photos",
    ]
    assert len(document["photos"]) == 30
    assert result.stdout == json.dumps(document, indent=2) + "\n"


def test_missing_models_are_a_document_of_their_own(
    clustered, run, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise WeightsNotFound("There are no weights.", "Fetch them.")

    monkeypatch.setattr("faceindex.api.queries.load_recogniser", fail)
    result = run("identify", "gone.png", known, known, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["schema"] == "faceindex/error/1"


def test_many_photos_have_a_summary(clustered, run, known: str, stranger: str, nobody: str) -> None:
    result = run("identify", *[known] * 14, *[stranger] * 2, nobody, "gone.png")
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"18 photos in .*photos/s: 14 faces of known people, 2 faces unknown, "
        r"1 photo without a face, 1 photo unreadable",
        last,
    )
    assert "photos/s" not in run("identify", *[known] * 16).stderr
    assert "photos/s" not in run("identify", *[known] * 18, "-q").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_after_ctrl_c_the_answers_are_printed_and_the_rest_is_counted(
    clustered, start, fake_models, tmp_path: Path, json_flag: tuple[str, ...]
) -> None:
    fake_models.make_album(tmp_path / "new", people=4, photos=40)
    process = start("identify", "new", "--neighbours", "0", *json_flag, delay=0.03)
    first = b""
    while b".png" not in first:
        first += os.read(process.stdout.fileno(), 65536)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"Stopping" in err
    (left,) = map(int, re.findall(rb"Stopped: (\d+) of 160 photos were left", err))
    answered = len(json.loads(first + out)["photos"]) if json_flag else len(heads((first + out).decode()))
    assert 0 < answered < 160
    assert answered + left == 160


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
@pytest.mark.parametrize("redirected", [False, True])
def test_a_long_run_has_a_bar_that_leaves_the_answers_alone(
    clustered, fake_models, tmp_path: Path, redirected: bool
) -> None:
    import pty

    fake_models.make_album(tmp_path / "new", people=3, photos=20)
    master, slave = pty.openpty()
    code = (
        "import fakes; fakes.register_fakes(); fakes.FakeDetector.delay = 0.1\n"
        "from faceindex.cli import progress; progress._LONG_RUN = 0.2\n"
        "from faceindex.cli.app import main; main()"
    )
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "identify", "new", "--neighbours", "0"],
        stdout=subprocess.PIPE if redirected else slave,
        stderr=slave,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    os.close(slave)
    shown = b""
    answers: list[bytes] = []

    def read_answers() -> None:
        if process.stdout is not None:
            answers.append(process.stdout.read())
            process.stdout.close()

    reader = threading.Thread(target=read_answers)
    reader.start()
    with contextlib.suppress(OSError):  # Linux ends a closed terminal with an error
        while part := os.read(master, 65536):
            shown += part
    reader.join()
    os.close(master)
    assert process.wait() == 0
    text = shown.decode()
    assert re.search(r"Identifying .*\d+/60 ", text)
    assert "60 photos in " in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", answers[0].decode() if redirected else text)
    named = re.findall(r"(?:^|\r)(new/person\d/\d+\.png): 1 face", plain, re.MULTILINE)
    if redirected:
        assert "Identifying" not in plain
        assert len(plain.splitlines()) == 120
    assert len(named) == 60


def test_the_answer_is_given_even_if_the_viewer_fails(clustered, run, known: str, monkeypatch) -> None:
    def fail(path: Path) -> None:
        raise FaceIndexError("The picture could not be shown.", "Open it yourself.")

    monkeypatch.setattr("faceindex.cli.pictures.open_in_viewer", fail)
    result = run("identify", known, "--open", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["schema"] == "faceindex/identify/3"
    assert "could not be shown" in result.stderr


def test_plain_photos_are_identified_without_loading_the_commands(clustered, run, known: str) -> None:
    start = (
        "import sys, fakes; fakes.register_fakes()\n"
        "from faceindex.cli.start import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", start, "identify", known, "nowhere.png"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    parsed = run("identify", "--neighbours", "5", known, "nowhere.png")
    assert (done.returncode, done.stdout) == (parsed.exit_code, parsed.stdout)
    *notes, loaded = done.stderr.splitlines()
    assert notes == parsed.stderr.splitlines()
    assert "faceindex.identification" in loaded.split()
    assert not {"typer", "pydantic", "rich", "sklearn", "numba"} & set(loaded.split())


def name_clusters(*names: str) -> dict[str, int]:
    """Name the clusters of the people of the album; return the clusters by name."""
    from faceindex import FaceIndex

    with FaceIndex.open(write=True) as index:
        found = {Path(face.path).parent.name: face.cluster for face in index}
        clusters = [cluster for _, cluster in sorted(found.items()) if cluster is not None]
        for name, cluster in zip(names, clusters, strict=False):
            index.people.name(name, clusters=[cluster])
    return dict(zip(names, clusters, strict=False))


def test_people_are_named(clustered, run, known: str, stranger: str) -> None:
    anna = name_clusters("Anna")["Anna"]
    result = run("identify", known, stranger, "--neighbours", "6")
    lines = result.stdout.splitlines()
    assert re.search(r"face 1 at 24,24 to 72,72: Anna (over )?99\.\d % \(certain\), similarity", lines[1])
    assert lines[2].split() == ["similarity", "cluster", "person", "photo"]
    assert lines[3].split()[1:3] == [str(anna), "Anna"]
    assert lines[8].split()[2] == "-"  # in a cluster without a name
    assert "Anna" not in run("identify", stranger, "--neighbours", "0").stdout.replace("nearest is Anna", "")
    document = json.loads(run("identify", known, stranger, "--json").stdout)
    face, other = (photo["faces"][0] for photo in document["photos"])
    assert (face["person"], face["nearest_person"], face["source"]) == ("Anna", "Anna", "similarity")
    assert face["nearest"][0]["person"] == "Anna"
    assert (other["person"], other["source"]) == (None, "similarity")


def test_what_the_user_said_of_a_face_is_the_answer(clustered, run) -> None:
    from faceindex import FaceIndex

    name_clusters("Anna", "Ben", "Carl")
    with FaceIndex.open(write=True) as index:
        by_photo = {Path(face.path).relative_to(clustered).as_posix(): face.face for face in index}
        index.people.confirm([by_photo["person0/0.png"]])
        index.people.ignore(faces=[by_photo["person1/0.png"]])
        index.people.not_a_face(faces=[by_photo["person2/0.png"]])
    photos = [f"album/person{i}/{n}.png" for i in range(3) for n in (0, 1)]
    lines = run("identify", *photos, "--neighbours", "0").stdout.splitlines()[1::2]
    words = [line.split(": ")[1] for line in lines]
    assert words[0] == "Anna, certain (confirmed by you on this picture), similarity 1.0000"
    assert words[1] == "Anna, certain (named by you on this picture), similarity 1.0000"
    assert words[2] == "a stranger, by your word"
    assert words[3].startswith("Ben, certain (named")
    assert words[4] == "not a face, by your word"
    document = json.loads(run("identify", *photos, "--json").stdout)
    faces = [photo["faces"][0] for photo in document["photos"]]
    assert [face["source"] for face in faces] == [
        "confirmed", "named", "stranger", "named", "not a face", "named",
    ]  # fmt: skip
    assert [face["person"] for face in faces] == ["Anna", "Anna", None, "Ben", None, "Carl"]
    assert [face["probability"] for face in faces] == [1, 1, 0, 1, 0, 1]
    assert faces[0]["margin"] is faces[0]["needed"] is None


def test_a_doubtful_person_is_named_as_maybe() -> None:
    from faceindex.api.results import IdentifiedFace
    from faceindex.cli.answers import _answer
    from faceindex.cli.render import Output

    def words(**values: Any) -> str:
        numbers = {"similarity": 0.41, "needed": 0.55, "margin": 0.1, "false_alarm": 0.02}
        face = IdentifiedFace(
            box=(0, 0, 9, 9), score=0.9, quality=0.9, turn=0, neighbours=(), **{**numbers, **values}
        )
        return _answer(Output(), face)

    doubtful = {"cluster": None, "nearest_cluster": 7, "probability": 0.62, "confidence": "doubtful"}
    rest = "similarity 0.4100, margin 0.1000; 0.5500 needed"
    assert words(**doubtful, nearest_person="Anna") == f"unknown, maybe Anna 62 %, {rest}"
    assert words(**doubtful) == f"perhaps cluster 7, doubtful (62 %), {rest}"
    unknown = {**doubtful, "probability": 0.1, "confidence": "unknown"}
    assert words(**unknown, nearest_person="Anna") == f"unknown (nearest is Anna, {rest})"
    assert words(**unknown) == f"unknown (nearest is cluster 7, {rest})"
    by_threshold = {**unknown, "cluster": 7, "person": "Anna", "nearest_person": "Anna"}
    assert words(**by_threshold) == "Anna 10 %, similarity 0.4100, margin 0.1000"
