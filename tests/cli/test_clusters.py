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
    """Put a shell script in place of the system's viewer; gives the file in which it may write."""

    def viewer(script: str) -> Path:
        folder, seen = tmp_path / "bin", tmp_path / "seen"
        folder.mkdir()
        for name in ("xdg-open", "open"):
            program = folder / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SEEN", str(seen))
        monkeypatch.setattr(pictures.tempfile, "tempdir", str(tmp_path))
        return seen

    return viewer


def eventually(path: Path) -> str:
    for _ in range(200):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was never written")


def on_terminal(*args: str, cwd: Path, answer: bytes = b"", **environment: str) -> tuple[int, bytes]:
    """Run the program on a pseudo-terminal that answers a question for its attributes."""
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
        except OSError:  # Linux says so when the other side is closed
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
    assert text.startswith("cluster,faces,photos,cohesion,example\n")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["cluster"] for row in rows] == ["0", "1", "2"]
    assert {(row["faces"], row["photos"], row["cohesion"]) for row in rows} == {("4", "4", "1.000000")}
    assert rows[0]["example"].startswith("album/person")
    assert text == run("clusters", "--csv").stdout
    assert len(run("clusters", "--limit", "2").stdout.splitlines()) == 3


def test_json_and_what_cohesion_is(clustered, run) -> None:
    document = json.loads(run("clusters", "--json", "--limit", "1").stdout)
    assert document["schema"] == "faceindex/clusters/1"
    assert (document["total"], document["unclustered"], len(document["clusters"])) == (3, 0, 1)
    (first,) = document["clusters"]
    faces = json.loads(run("faces", "--cluster", str(first["cluster"]), "--json").stdout)["faces"]
    similarities = [face["similarity_to_cluster"] for face in faces]
    assert first["cohesion"] == pytest.approx(np.mean(similarities), abs=1e-6)
    assert first["faces"] == len(faces)
    assert first["example"]["face"] in [face["face"] for face in faces]


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


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--csv", "--json"), "Choose one"),
        (("--open", "0", "--json"), "one cluster"),
        (("--open", "77"), "no cluster 77"),
        (("--open", "-1"), "no cluster -1"),
        (("--show", "0"), "--open 0"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_wrong_usage(clustered, run, args: tuple[str, ...], word: str) -> None:
    result = run("clusters", *args)
    assert result.exit_code == 2
    assert word in result.stderr


@POSIX
def test_open_hands_a_private_picture_to_the_viewer(clustered, run, viewer, fake_models) -> None:
    wait = 'n=0; while [ ! -e "$SEEN.end" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done'
    seen = viewer(f'printf "%s" "$1" > "$SEEN"; {wait}; touch "$SEEN.closed"')
    result = run("clusters", "--open", "1")
    assert not Path(f"{seen}.closed").exists()  # nobody waits for the viewer to be closed
    Path(f"{seen}.end").touch()
    assert result.exit_code == 0, result.stderr
    path = Path(eventually(seen))
    assert str(path) in result.stderr
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with PillowImage.open(path) as picture:
        assert picture.size == (4 * 112 + 3 * 4, 112)  # four faces in a row
        assert picture.getpixel((56, 56))[2] == pytest.approx(128, abs=8)


@POSIX
def test_a_viewer_that_fails_names_the_file(clustered, run, viewer) -> None:
    viewer("exit 3")
    result = run("clusters", "--open", "1")
    assert result.exit_code == 2
    path = re.search(r"It is in (.*\.jpg); open it", result.stderr)[1]
    assert Path(path).is_file()


def test_no_viewer_at_all(clustered, run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures.sys, "platform", "linux")
    monkeypatch.setattr(pictures.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("clusters", "--open", "1")
    assert result.exit_code == 2
    assert "xdg-open is not installed" in result.stderr
    assert ".jpg" in result.stderr


@POSIX
def test_identify_opens_the_face_and_the_nearest_ones(clustered, run, viewer, fake_models, tmp_path) -> None:
    seen = viewer('printf "%s" "$1" > "$SEEN"')
    fake_models.make_photo(tmp_path / "who.png", (64, 64, 128), mark=500)
    result = run("identify", "who.png", "--open", "--neighbours", "3")
    assert result.exit_code == 0, result.stderr
    with PillowImage.open(eventually(seen)) as picture:
        assert picture.size == (4 * 112 + 3 * 4, 112)


def test_identify_shows_only_on_terminals(clustered, run, fake_models, tmp_path: Path) -> None:
    fake_models.make_photo(tmp_path / "who.png", (64, 64, 128), mark=500)
    result = run("identify", "who.png", "--show")
    assert result.exit_code == 2
    assert "--open" in result.stderr


@POSIX
def test_kitty_gets_a_face_of_each_cluster(clustered, tmp_path: Path) -> None:
    code, output = on_terminal("clusters", cwd=tmp_path, KITTY_WINDOW_ID="1")
    assert code == 0
    assert output.startswith(b"cluster  faces  photos  cohesion  example\n")
    chunks = re.findall(rb"\x1b_G[^;]*;([^\x1b]*)\x1b\\", output)
    with PillowImage.open(io.BytesIO(base64.b64decode(b"".join(chunks)))) as picture:
        assert picture.size == (3 * 112 + 2 * 4, 112)
    _, plain = on_terminal("clusters", "--no-pictures", cwd=tmp_path, KITTY_WINDOW_ID="1")
    assert b"\x1b" not in plain


@POSIX
def test_a_terminal_that_says_sixel(clustered, tmp_path: Path) -> None:
    code, output = on_terminal("clusters", "--show", "2", cwd=tmp_path, answer=b"\x1b[?62;4;22c")
    assert code == 0
    assert b'\x1bP0;1;0q"1;1;460;112' in output


@POSIX
@pytest.mark.parametrize("answer", [b"", b"\x1b[?62;22c", b"\x1b[?64;14;44c"])
def test_a_terminal_that_does_not(clustered, tmp_path: Path, answer: bytes) -> None:
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
def test_terminals_are_known_by_the_environment(environment: dict[str, str], expected: str | None) -> None:
    assert pictures.protocol(environment) == expected
