from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex.cli import pictures

REPOSITORY = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX systems")


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Replace the system's viewer by a shell script; returns the file that it may write."""

    def viewer(script: str) -> Path:
        folder, seen = tmp_path / "bin", tmp_path / "seen"
        folder.mkdir()
        for name in ("xdg-open", "open"):
            program = folder / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SEEN", str(seen))
        monkeypatch.delenv("SSH_CONNECTION", raising=False)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return seen

    return viewer


def eventually(path: Path) -> str:
    for _ in range(200):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was never written")


def on_terminal(*args: str, cwd: Path, answer: bytes = b"", **environment: str) -> tuple[int, bytes]:
    """Run the program on a pseudo-terminal that sends `answer` to a query of its attributes."""
    import pty

    program = "import fakes; fakes.register_fakes(); from faceindex.cli.app import main; main()"
    paths = [str(REPOSITORY), str(REPOSITORY / "tests")]
    kept = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "TERM_PROGRAM")}
    kept |= {"PYTHONPATH": os.pathsep.join(paths), "TERM": "xterm-256color", "NO_COLOR": "1", **environment}
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args],
        cwd=cwd, env=kept, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=lambda: _take_terminal(slave),
    )  # fmt: skip
    os.close(slave)
    output = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux raises it when the other side is closed
            break
        if not block:
            break
        if answer and b"\x1b[c" in output + block and b"\x1b[c" not in output:
            os.write(master, answer)
        output += block
    os.close(master)
    return process.wait(), output.replace(b"\r\n", b"\n")


def _take_terminal(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def test_csv_in_a_pipe(clustered, run) -> None:
    text = run("clusters").stdout
    assert text.startswith("cluster,faces,photos,cohesion,example,person\n")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["cluster"] for row in rows] == ["0", "1", "2"]
    assert {(row["faces"], row["photos"], row["cohesion"]) for row in rows} == {("4", "4", "1.000000")}
    assert rows[0]["example"].startswith("album/person")
    assert text == run("clusters", "--csv").stdout
    assert len(run("clusters", "--limit", "2").stdout.splitlines()) == 3


def test_json_and_the_meaning_of_cohesion(clustered, run) -> None:
    document = json.loads(run("clusters", "--json", "--limit", "1").stdout)
    assert document["schema"] == "faceindex/clusters/1"
    assert (document["total"], document["unclustered"], len(document["clusters"])) == (3, 0, 1)
    (first,) = document["clusters"]
    faces = json.loads(run("faces", "--cluster", str(first["cluster"]), "--json").stdout)["faces"]
    similarities = [face["similarity_to_cluster"] for face in faces]
    assert first["cohesion"] == pytest.approx(np.mean(similarities), abs=1e-6)
    assert first["faces"] == len(faces)
    assert first["example"]["face"] in [face["face"] for face in faces]


def test_one_cluster_has_the_rows_of_faces_most_typical_first(clustered, run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("clusters", "1").stdout)))
    expected = list(csv.DictReader(io.StringIO(run("faces", "--cluster", "1").stdout)))
    assert sorted(rows, key=lambda row: int(row["face"])) == expected
    similarities = [float(row["similarity_to_cluster"]) for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert len(run("clusters", "1", "--limit", "2").stdout.splitlines()) == 3
    document = json.loads(run("clusters", "1", "--json").stdout)
    assert document["schema"] == "faceindex/faces/1"
    assert [str(face["face"]) for face in document["faces"]] == [row["face"] for row in rows]


def test_absolute_paths(clustered, run, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("clusters", "--absolute").stdout)))
    assert all(row["example"].startswith(f"{tmp_path}/album/") for row in rows)
    found = json.loads(run("clusters", "--absolute", "--json").stdout)["clusters"]
    assert [cluster["example"]["photo"] for cluster in found] == [row["example"] for row in rows]
    (first, *_) = csv.DictReader(io.StringIO(run("clusters", "0", "--absolute").stdout))
    assert Path(first["photo"]).is_absolute()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_cluster_is_saved_as_a_picture(clustered, run, tmp_path: Path, suffix: str) -> None:
    result = run("clusters", "1", "--save", f"a{suffix}", "--limit", "3")
    assert result.exit_code == 0
    assert "The picture has the 3 most typical of 4 faces; --limit 4 draws all." in result.stderr
    assert f"Saved a{suffix}." in result.stderr
    with PillowImage.open(tmp_path / f"a{suffix}") as picture:
        assert picture.size == (3 * 112 + 2 * 4, 112 + 18)  # a line of text below each face
        assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[suffix]


def test_largest_first(fake_models, album, index_album, run) -> None:
    for number in range(3):
        fake_models.make_photo(album / "more" / f"{number}.png", (128, 64, 128), mark=900 + number)
    index_album("album")
    run("cluster")
    sizes = [row["faces"] for row in json.loads(run("clusters", "--json").stdout)["clusters"]]
    assert sizes == [7, 4, 4]


def test_no_clusters(indexed, run) -> None:
    result = run("clusters")
    assert result.exit_code == 1
    assert "faceindex cluster" in result.stderr
    run("cluster", "--min-size", "5")
    result = run("clusters")
    assert result.exit_code == 1
    assert result.stdout == "cluster,faces,photos,cohesion,example,person\n"
    assert "There are no clusters" in result.stderr


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--csv", "--json"), "Choose one"),
        (("--open", "0", "--json"), "one cluster"),
        (("--open",), "one cluster"),
        (("--open", "77"), "no cluster 77"),
        (("--open", "-1"), "no cluster -1"),
        (("--open=-1",), "no cluster -1"),
        (("--show", "0"), "--open 0"),
        (("--show", "0"), "--save FILE.png"),
        (("--limit", "0"), "--limit"),
        (("--opne", "0"), "Did you mean --open?"),
        (("x",), "Nobody has the name 'x'"),
        (("0", "--save", "a.gif"), "neither a .png or .jpg file"),
        (("0", "--save", "no/a.png"), "There is no folder no."),
        (("0", "--save", "album/person0/0.png"), "one of the indexed photos"),
    ],
)
def test_wrong_usage(clustered, run, args: tuple[str, ...], word: str) -> None:
    result = run("clusters", *args)
    assert result.exit_code == 2
    assert word in result.stderr


@POSIX
@pytest.mark.parametrize("words", [("--open", "1"), ("--open=1",), ("1", "--open")])
def test_open_shows_a_private_picture_in_the_viewer(clustered, run, viewer, words: tuple[str, ...]) -> None:
    wait = 'n=0; while [ ! -e "$SEEN.end" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done'
    seen = viewer(f'printf "%s" "$1" > "$SEEN"; {wait}; touch "$SEEN.closed"')
    result = run("clusters", *words)
    assert not Path(f"{seen}.closed").exists()  # the program does not wait for the end of the viewer
    Path(f"{seen}.end").touch()
    assert result.exit_code == 0, result.stderr
    path = Path(eventually(seen))
    assert str(path) in result.stderr
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with PillowImage.open(path) as picture:
        assert picture.size == (4 * 112 + 3 * 4, 112 + 18)  # four faces in a row, each with its photo's name
        assert picture.getpixel((56, 56))[2] == pytest.approx(128, abs=8)
        assert picture.crop((0, 112, 112, 130)).convert("L").getextrema()[0] < 100


@POSIX
def test_a_viewer_that_fails_names_the_file(clustered, run, viewer) -> None:
    viewer("exit 3")
    result = run("clusters", "--open", "1")
    assert result.exit_code == 2
    found = re.search(r"It is in (.*\.jpg); open it", result.stderr)
    assert found is not None
    assert Path(found[1]).is_file()
    assert "--save FILE.png" in result.stderr


def test_no_viewer_at_all(clustered, run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    result = run("clusters", "--open", "1")
    assert result.exit_code == 2
    assert "xdg-open is not installed" in result.stderr
    assert ".jpg" in result.stderr
    assert "--save FILE.png" in result.stderr


@POSIX
def test_over_ssh_the_viewer_is_not_started(clustered, run, viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = viewer('printf "%s" "$1" > "$SEEN"')
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = run("clusters", "1", "--open")
    assert result.exit_code == 2
    assert "this ssh session has no screen" in result.stderr
    assert "--save FILE.png" in result.stderr
    assert not seen.exists()
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    assert run("clusters", "1", "--open").exit_code == 0
    assert eventually(seen)


@POSIX
def test_identify_opens_the_photo_and_the_nearest_faces(
    clustered, run, viewer, fake_models, tmp_path
) -> None:
    seen = viewer('printf "%s" "$1" > "$SEEN"')
    fake_models.make_photo(tmp_path / "who.png", (64, 64, 128), mark=500)
    result = run("identify", "who.png", "--open", "--neighbours", "3")
    assert result.exit_code == 0, result.stderr
    with PillowImage.open(eventually(seen)) as picture:
        # The photo, and a row of four faces with two lines of text below each.
        assert picture.size == (4 * 112 + 3 * 4, 96 + 4 + 112 + 2 * 18)


def test_identify_shows_only_on_terminals(clustered, run, fake_models, tmp_path: Path) -> None:
    fake_models.make_photo(tmp_path / "who.png", (64, 64, 128), mark=500)
    result = run("identify", "who.png", "--show")
    assert result.exit_code == 2
    assert "--open" in result.stderr
    assert "--save FILE.png" in result.stderr


@POSIX
def test_one_cluster_on_a_terminal_is_a_table(clustered, tmp_path: Path) -> None:
    code, output = on_terminal("clusters", "1", "--limit", "3", cwd=tmp_path)
    lines = output.decode().splitlines()
    assert code == 0
    assert lines[0] == "Cluster 1: 4 faces on 4 photos"
    assert lines[1].split() == ["face", "cluster", "similarity", "quality", "score", "box", "photo"]
    assert len(lines) == 6
    assert lines[5] == "and 1 less typical face; --limit 4 shows all"


@POSIX
def test_kitty_shows_a_face_of_each_cluster(clustered, tmp_path: Path) -> None:
    code, output = on_terminal("clusters", cwd=tmp_path, KITTY_WINDOW_ID="1")
    assert code == 0
    assert output.startswith(b"cluster  faces  photos  cohesion  example\n")
    chunks = re.findall(rb"\x1b_G[^;]*;([^\x1b]*)\x1b\\", output)
    with PillowImage.open(io.BytesIO(base64.b64decode(b"".join(chunks)))) as picture:
        assert picture.size == (3 * 112 + 2 * 4, 112 + 18)  # "cluster 0" and so on below each face
    _, plain = on_terminal("clusters", "--no-pictures", cwd=tmp_path, KITTY_WINDOW_ID="1")
    assert b"\x1b" not in plain


@POSIX
def test_a_terminal_with_sixel(clustered, tmp_path: Path) -> None:
    code, output = on_terminal("clusters", "--show", "2", cwd=tmp_path, answer=b"\x1b[?62;4;22c")
    assert code == 0
    assert b'\x1bP0;1;0q"1;1;460;130' in output


@POSIX
@pytest.mark.parametrize("answer", [b"", b"\x1b[?62;22c", b"\x1b[?64;14;44c"])
def test_a_terminal_without_sixel(clustered, tmp_path: Path, answer: bytes) -> None:
    code, output = on_terminal("clusters", cwd=tmp_path, answer=answer)
    assert code == 0
    assert b"\x1bP" not in output
    assert b"album/person0/" in output


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, None),
        ({"TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, None),
        ({}, None),
    ],
)
def test_terminals_are_recognised_by_the_environment(
    environment: dict[str, str], expected: str | None
) -> None:
    assert pictures.protocol(environment) == expected
