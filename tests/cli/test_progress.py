from __future__ import annotations

import io
import re
import sys
import time

import pytest

from faceindex.cli.progress import Bar, DownloadBar, IndexBar
from faceindex.cli.render import Output
from faceindex.errors import ImageError, Reason
from faceindex.pipeline.events import Loaded, Loading, PhotoDone, PhotoFailed, Planned, Scanning, Warned


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that tests set; replaces `time.monotonic` and the time of day."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


FAILED = PhotoFailed(ImageError("a[1].jpg", Reason.EMPTY, "the file is empty.", "Leave it out."))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(time, "strftime", lambda pattern: "12:34:56")
    return clock


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal of 80 columns."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def lines_of(terminal: Terminal) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain)]


def test_without_a_terminal_a_line_with_the_time_of_day_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with IndexBar(Output()) as bar:
        bar.on_event(Scanning(0))
        bar.on_event(Planned(100))
        for _ in range(40):
            clock.now += 0.5
            bar.on_event(PhotoDone("a.jpg", 1))
        bar.on_event(FAILED)
        bar.on_event(Warned("Careful."))
    assert capsys.readouterr() == (
        "",
        "12:34:56 20 of 100 photos, 2.0 photos/s, 40 s left\n"
        "12:34:56 40 of 100 photos, 2.0 photos/s, 30 s left\n"
        "error: a[1].jpg: the file is empty. Leave it out.\n"
        "warning: Careful.\n",
    )


def test_the_rate_does_not_include_loading_or_what_was_done_before(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with IndexBar(Output()) as bar:
        bar.on_event(Planned(100))
        for _ in range(20):  # moved photos
            bar.on_event(PhotoDone("a.jpg", 1))
        bar.on_event(Loading())
        clock.now += 60
        bar.on_event(Loaded())
        for _ in range(20):
            clock.now += 0.5
            bar.on_event(PhotoDone("a.jpg", 1))
    assert capsys.readouterr().err == "12:34:56 40 of 100 photos, 2.0 photos/s, 30 s left\n"


@pytest.mark.parametrize(
    ("bar", "text"),
    [(Bar, "Cutting faces: 2,000 of 5,000"), (DownloadBar, "Cutting faces: 2.0 kB of 5.0 kB")],
)
def test_other_work_prints_a_line_every_ten_seconds(
    bar: type[Bar], text: str, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with bar(Output(), "Cutting faces") as progress:
        progress.update(1000, 5000)
        clock.now += 11
        progress.update(2000, 5000)
        progress.update(3000, 5000)
    assert capsys.readouterr() == ("", f"12:34:56 {text}\n")


@pytest.mark.parametrize("bar", [Bar, DownloadBar])
def test_other_work_has_a_bar_on_a_terminal(bar: type[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with bar(Output(), "Cutting [b]faces") as progress:
        assert terminal.getvalue() == ""
        progress.update(1000, 5000)
        progress.update(5000, 5000)
    assert any(line.startswith("Cutting [b]faces ━") for line in lines_of(terminal))
    assert any(re.search(r"5000/5000|5\.0/5\.0 kB", line) for line in lines_of(terminal))


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with IndexBar(Output(quiet=True)) as bar:
        bar.on_event(Planned(2))
        clock.now += 60
        bar.on_event(PhotoDone("a.jpg", 1))
    with Bar(Output(quiet=True), "Cutting faces") as progress:
        clock.now += 60
        progress.update(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_has_a_bar_and_lines_above_it(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    out = Output()
    with IndexBar(out) as bar:
        bar.on_event(Scanning(3000))
        bar.on_event(Planned(20))
        for _ in range(19):
            bar.on_event(PhotoDone("a.jpg", 1))
        bar.on_event(FAILED)
        bar.on_event(FAILED)  # one that is not part of the plan
    out.note("after")
    text, lines = terminal.getvalue(), lines_of(terminal)
    assert ("\x1b[1;31merror:" in text) is not no_color
    assert lines.count("error: a[1].jpg: the file is empty. Leave it out.") == 2
    assert any(re.fullmatch(r"Indexing .* 21/21  [\d.]+ photos/s, 0\.0 s left", line) for line in lines)
    assert max(map(len, lines)) <= 80
    assert text.endswith("after\n")


def test_the_bar_shows_that_models_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with IndexBar(Output()) as bar:
        bar.on_event(Planned(20))
        bar.on_event(Loading())
        bar.on_event(Loaded())
        bar.on_event(PhotoDone("a.jpg", 1))
    stages = [line.partition(" ━")[0] for line in lines_of(terminal) if "━" in line]
    assert [stage for i, stage in enumerate(stages) if stage not in stages[:i]] == [
        "Indexing",
        "Loading the models",
    ]
    assert stages[-1] == "Indexing"


@pytest.mark.parametrize("seconds", [0.1, 60])
def test_only_a_long_walk_is_shown(seconds: float, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with IndexBar(Output()) as bar:
        bar.on_event(Scanning(0))
        clock.now += seconds
        bar.on_event(Scanning(3000))
        bar.on_event(Planned(0))
    assert ("Looking for photos" in terminal.getvalue()) is (seconds > 1)
