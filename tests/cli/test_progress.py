from __future__ import annotations

import io
import re
import sys

import pytest

from faceindex.cli import progress as progress_module
from faceindex.cli.progress import IndexProgress
from faceindex.cli.render import Output
from faceindex.errors import ImageError, Reason
from faceindex.pipeline.events import PhotoDone, PhotoFailed, Planned, Scanning, Warned


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FAILED = PhotoFailed(ImageError("a[1].jpg", Reason.EMPTY, "the file is empty.", "Leave it out."))


def test_elsewhere_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    with IndexProgress(Output()) as progress:
        progress.on_event(Scanning(0))
        progress.on_event(Planned(100))
        for _ in range(40):
            now += 0.5
            progress.on_event(PhotoDone("a.jpg", 1))
        progress.on_event(FAILED)
        progress.on_event(Warned("Careful."))
    assert capsys.readouterr() == (
        "",
        "20 of 100 photos, 2.0 photos/s, 40 s left\n"
        "40 of 100 photos, 2.0 photos/s, 30 s left\n"
        "error: a[1].jpg: the file is empty. Leave it out.\n"
        "warning: Careful.\n",
    )


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    with IndexProgress(Output(quiet=True)) as progress:
        progress.on_event(Planned(2))
        now += 60
        progress.on_event(PhotoDone("a.jpg", 1))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_bar_and_lines_above_it(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", stderr)
    out = Output()
    with IndexProgress(out) as progress:
        progress.on_event(Scanning(3000))
        progress.on_event(Planned(20))
        for _ in range(19):
            progress.on_event(PhotoDone("a.jpg", 1))
        progress.on_event(FAILED)
        progress.on_event(FAILED)  # one that the walk had not planned
    out.note("after")
    text = stderr.getvalue()
    assert ("\x1b[1;31merror:" in text) is not no_color
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = re.split(r"[\r\n]+", plain)
    assert lines.count("error: a[1].jpg: the file is empty. Leave it out.") == 2
    assert any(re.fullmatch(r"Indexing .* 21/21  [\d.]+ photos/s, 0\.0 s left", line) for line in lines)
    assert max(map(len, lines)) <= 80
    assert text.endswith("after\n")


@pytest.mark.parametrize("seconds", [0.1, 60])
def test_a_walk_is_shown_only_when_it_takes_its_time(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now, stderr = 1000.0, Terminal()
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stderr)
    with IndexProgress(Output()) as progress:
        progress.on_event(Scanning(0))
        now += seconds
        progress.on_event(Scanning(3000))
        progress.on_event(Planned(0))
    assert ("Looking for photos" in stderr.getvalue()) is (seconds > 1)
