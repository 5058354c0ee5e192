"""Pictures on the terminal, in the system's viewer, and in files."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.addresses import is_address
from faceindex.cli.render import Output
from faceindex.errors import FaceIndexError, UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.types import Image

__all__ = [
    "NoViewer",
    "can_draw",
    "check_files",
    "draw",
    "no_pictures",
    "numbered_files",
    "open_in_viewer",
    "protocol",
    "write_picture",
    "write_temporary",
]

_ANSWER_SECONDS = 0.3  # the longest wait for a terminal's answer
_FAILURE_SECONDS = 2.0  # a viewer that cannot start ends within this time

_KITTY = ("kitty", "ghostty")
_ITERM = ("iTerm.app", "WezTerm", "mintty")

_SUFFIXES = (".png", ".jpg", ".jpeg")
_JPEG_SIDE = 65_500  # pixels; libjpeg's limit
_JPEG_QUALITY = 88


def can_draw(out: Output) -> bool:
    """Return whether the answer goes to a terminal as text, so that pictures may accompany it."""
    return out.terminal and not out.json and not out.quiet


def protocol(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return how the terminal shows pictures: ``"kitty"``, ``"iterm"``, ``"sixel"``, or None if it does not.

    Kitty, Ghostty, iTerm2, WezTerm and similar terminals identify themselves in the environment. Others are
    queried for their device attributes if standard input and output are terminals. Inside tmux and screen,
    which would swallow or misplace pictures, the result is None.
    """
    if environment.get("TMUX") or environment.get("STY") or environment.get("TERM") == "dumb":
        return None
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    if program in _ITERM or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if environment.get("KITTY_WINDOW_ID") or program in _KITTY or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if sys.stdin.isatty() and sys.stdout.isatty() and _has_sixel_terminal():
        return "sixel"
    return None


def draw(out: Output, image: Image, how: str) -> None:
    """Draw a picture on the terminal, below the text written so far."""
    from faceindex.images import terminal

    encode = {
        "kitty": terminal.kitty_sequence,
        "iterm": terminal.iterm_sequence,
        "sixel": terminal.sixel_sequence,
    }
    out.picture(encode[how](image))
    out.flush()


def numbered_files(target: str, names: Sequence[str]) -> list[Path]:
    """Choose the file of each picture for ``--save``.

    Parameters
    ----------
    target : str
        A file for one picture; ``-1``, ``-2`` and so on precede its suffix for several. If it is a folder,
        or ends in a slash, each picture gets a file in it.
    names : sequence of str
        A name for each picture, for its file in a folder.

    Raises
    ------
    UsageError
        If the suffix is not one of ``.png``, ``.jpg`` and ``.jpeg``, or the folder does not exist.
    """
    from faceindex.export.names import UniqueNames

    path = Path(target)
    if path.is_dir() or target.endswith(("/", os.sep)):
        unique = UniqueNames()
        return [path / f"{unique.add(name, '.png', str(i))}.png" for i, name in enumerate(names)]
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"--save {target} is neither a .png or .jpg file nor a folder.",
            "Name a file such as faces.png, or a folder that exists.",
        )
    if not path.parent.is_dir():
        raise UsageError(
            f"There is no folder {path.parent}.", "Create it, or choose another FILE for --save."
        )
    if len(names) == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(names) + 1)]


def check_files(out: Output, index: FaceIndex, files: Sequence[Path], photos: Iterable[str] = ()) -> None:
    """Check that no file to be written is a photo of the index or one of `photos`.

    Warns of files in an indexed folder.

    Raises
    ------
    UsageError
    """
    real = {os.path.realpath(photo) for photo in photos}
    for file in filter(Path.exists, files):
        if os.path.realpath(file) in real:
            raise UsageError(f"--save {file} would overwrite a photo.", "Choose another FILE.")
        index.check_writable(file)
    roots = [root.path for root in index.roots() if not is_address(root.path)]
    for file in files[:1]:  # all are in one folder
        if any(Path(os.path.realpath(file)).is_relative_to(root) for root in roots):
            out.warning(f"{file} is in an indexed folder: the next `faceindex index` adds it as a photo.")


def write_picture(path: Path, image: Image) -> None:
    """Write a picture as PNG or JPEG, by the suffix of its path; creates its folder.

    Only this user may read a new file: it shows faces.

    Raises
    ------
    FaceIndexError
        If the picture is too large for a JPEG.
    """
    from faceindex.images.encode import encode

    suffix = path.suffix.lower()
    if suffix != ".png" and max(image.shape) > _JPEG_SIDE:
        raise FaceIndexError(f"The picture is too large for {path}, a JPEG.", "Save it as .png.")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    content = encode(image, suffix, quality=_JPEG_QUALITY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(content)


def write_temporary(pictures: Iterable[tuple[str, Image]]) -> list[Path]:
    """Write pictures to a new temporary folder that only this user can read; return their paths.

    Parameters
    ----------
    pictures : iterable of (str, (h, w, 3) uint8)
        Each with a name, which viewers may display.
    """
    from faceindex.export.names import safe_name

    folder: Path | None = None
    written = []
    for name, image in pictures:
        # The viewer outlives this program, so the folder must, too; the system clears temporary files.
        folder = folder or Path(tempfile.mkdtemp(prefix="faceindex-"))
        suffix = ".png" if max(image.shape) > _JPEG_SIDE else ".jpg"
        written.append(folder / (safe_name(name) + suffix))
        write_picture(written[-1], image)
    return written


def open_in_viewer(path: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Show a file with the system's program for it, and do not wait for its end.

    Raises
    ------
    FaceIndexError
        If there is no screen or no such program, or the program fails at once; names the file.
    """
    if environment.get("SSH_CONNECTION") and not (
        environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    ):
        raise NoViewer(path, "this ssh session has no screen")
    if sys.platform == "win32":
        try:
            os.startfile(path)
        except OSError as error:
            raise NoViewer(path, str(error.strerror)) from None
        return
    name = "open" if sys.platform == "darwin" else "xdg-open"
    program = shutil.which(name)
    if program is None:
        raise NoViewer(path, f"{name} is not installed")
    try:
        process = subprocess.Popen(
            [program, os.fspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C here does not close it
        )
    except OSError as error:
        raise NoViewer(path, str(error.strerror)) from None
    try:
        code = process.wait(_FAILURE_SECONDS)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # the viewer keeps running, about which Python would warn
        return
    if code:
        raise NoViewer(path, f"{name} ended with code {code}")


def no_pictures(instead: str) -> FaceIndexError:
    """Return the error for a terminal that cannot show pictures; `instead` is another way to see them."""
    return UsageError(
        "Standard output is not a terminal known to show pictures (kitty, iTerm2, sixel).", f"Use {instead}."
    )


class NoViewer(FaceIndexError):
    """The system cannot show a file; `why` is part of a sentence."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The picture could not be shown: {why}.",
            f"It is in {path}; open it with another program, or choose a file for it with --save FILE.png.",
        )
        self.why = why


def _has_sixel_terminal() -> bool:
    """Query the terminal's primary device attributes (ECMA-48 DA); attribute 4 means sixel."""
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
        # This discards a late answer, and with it anything typed meanwhile.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.close(terminal)
    return _lists_sixel(answer)


def _read_answer(terminal: int) -> bytes:
    answer = b""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not answer.endswith(b"c") and (left := deadline - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        answer += os.read(terminal, 64)
    return answer


def _lists_sixel(answer: bytes) -> bool:
    """Return whether ``ESC [ ? 62 ; 4 ; ... c`` lists attribute 4."""
    _, found, rest = answer.rpartition(b"\x1b[?")
    return bool(found) and rest.endswith(b"c") and b"4" in rest[:-1].split(b";")[1:]
