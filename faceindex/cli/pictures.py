"""Pictures on the terminal, where it can show them, and in the system's viewer."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.cli.render import Output
from faceindex.errors import FaceIndexError, UsageError

if TYPE_CHECKING:
    from faceindex.types import Image

__all__ = ["can_draw", "draw", "no_pictures", "open_in_viewer", "protocol", "write_pictures"]

_ANSWER_SECONDS = 0.3  # for a terminal to say what it is
_FAILURE_SECONDS = 2.0  # for a viewer to say that it cannot start

_KITTY = ("kitty", "ghostty")
_ITERM = ("iTerm.app", "WezTerm", "mintty")


def can_draw(out: Output) -> bool:
    """Whether pictures may be asked for: the answer goes to a terminal, as text."""
    return out.terminal and not out.json and not out.quiet


def protocol(environment: Mapping[str, str] = os.environ) -> str | None:
    """How the terminal shows pictures: ``"kitty"``, ``"iterm"``, ``"sixel"``, or None if it does not.

    Kitty, Ghostty, iTerm2, WezTerm and their like say in the environment who they are. Others are asked
    for their device attributes if standard input and output are terminals. Inside tmux and screen
    there are no pictures: they would swallow or misplace them.
    """
    if environment.get("TMUX") or environment.get("STY") or environment.get("TERM") == "dumb":
        return None
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    if program in _ITERM or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if environment.get("KITTY_WINDOW_ID") or program in _KITTY or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if sys.stdin.isatty() and sys.stdout.isatty() and _says_sixel():
        return "sixel"
    return None


def draw(out: Output, image: Image, how: str) -> None:
    """Draw a picture on the terminal below what was written so far."""
    from faceindex.images import terminal

    encode = {
        "kitty": terminal.kitty_sequence,
        "iterm": terminal.iterm_sequence,
        "sixel": terminal.sixel_sequence,
    }
    out.answer(encode[how](image))
    out.flush()


def write_pictures(pictures: Sequence[tuple[str, Image]]) -> list[Path]:
    """Write pictures as JPEG to a new folder that only this user can look into.

    Parameters
    ----------
    pictures : sequence of (str, (h, w, 3) uint8)
        Each with a name that viewers may show.
    """
    from faceindex.export.names import safe_name
    from faceindex.images.thumbnails import encode_jpeg

    if not pictures:
        return []
    # It must outlive this program, as the viewer does: the system clears its folder for such files.
    folder = Path(tempfile.mkdtemp(prefix="faceindex-"))
    written = []
    for name, image in pictures:
        path = folder / f"{safe_name(name)}.jpg"
        path.write_bytes(encode_jpeg(image, quality=88))
        written.append(path)
    return written


def open_in_viewer(path: Path) -> None:
    """Show a file with the program that the system has for it, without waiting for that.

    Raises
    ------
    FaceIndexError
        If there is no such program, or it fails at once; names the file.
    """
    if sys.platform == "win32":
        try:
            os.startfile(path)
        except OSError as error:
            raise _no_viewer(path, str(error.strerror)) from None
        return
    name = "open" if sys.platform == "darwin" else "xdg-open"
    program = shutil.which(name)
    if program is None:
        raise _no_viewer(path, f"{name} is not installed")
    try:
        process = subprocess.Popen(
            [program, os.fspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C here does not close it
        )
    except OSError as error:
        raise _no_viewer(path, str(error.strerror)) from None
    try:
        code = process.wait(_FAILURE_SECONDS)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it is showing the picture; nobody waits for its end
        return
    if code:
        raise _no_viewer(path, f"{name} ended with code {code}")


def no_pictures(instead: str) -> FaceIndexError:
    """What to say where pictures were asked for and cannot be drawn; `instead` is another command."""
    return UsageError(
        "Standard output is not a terminal that is known to show pictures (kitty, iTerm2, sixel).",
        f"Use {instead}.",
    )


def _no_viewer(path: Path, why: str) -> FaceIndexError:
    return FaceIndexError(
        f"The picture could not be shown: {why}.", f"It is in {path}; open it with a program of your choice."
    )


def _says_sixel() -> bool:
    """Ask for primary device attributes (ECMA-48 DA); a 4 among the answers means sixel."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        os.close(terminal)
        return False
    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)
        os.write(terminal, b"\x1b[c")
        answer = _read_answer(terminal)
    finally:
        # What else was typed meanwhile is thrown away with the rest of a late answer.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.close(terminal)
    return _has_sixel(answer)


def _read_answer(terminal: int) -> bytes:
    answer = b""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not answer.endswith(b"c") and (left := deadline - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        answer += os.read(terminal, 64)
    return answer


def _has_sixel(answer: bytes) -> bool:
    """Whether ``ESC [ ? 62 ; 4 ; ... c`` lists attribute 4."""
    _, found, rest = answer.rpartition(b"\x1b[?")
    return bool(found) and rest.endswith(b"c") and b"4" in rest[:-1].split(b";")[1:]
