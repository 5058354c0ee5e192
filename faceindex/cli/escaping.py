"""Show text on terminals as text: control and direction characters become visible escapes.

A name of a file or of a person may contain anything. Sent to a terminal as it is, a control character can
move the cursor, change colours, answer a query or forge a line, and a direction character can show
``exe.gpj`` as ``jpg.exe``. `escaped` is applied by `faceindex.cli.render.Output` to all that it prints; the
documents of ``--json`` escape by themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

__all__ = ["STYLE", "escaped", "mark", "shell_quoted", "shown"]

# C0 with DEL, C1, soft hyphen, Unicode's invisible and directional format characters (general category Cf,
# without the joiners of Persian, Indic and emoji, and without visible signs), line and paragraph separators,
# tags, and surrogates, which are bytes of names that are not UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)

# Two private characters, drawn anew for each process: no name can contain them on purpose.
STYLE = "".join(chr(0xF0000 + int.from_bytes(os.urandom(2), "big") % 0xFFFE) for _ in range(2))
"""Begins a style in text on its way to `shown`; one character of `mark` follows."""


def escaped(text: str) -> str:
    """Return text with unsafe characters as Python writes them: ``\\x1b``, ``\\n``, ``\\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_escape, text)


def mark(number: int) -> str:
    """Return the mark that begins style `number`, 1 to 9; 0 ends it."""
    return f"{STYLE}{number}"


def shown(text: str, sequence: Callable[[int], str]) -> str:
    """Return marked text for a terminal.

    Parameters
    ----------
    text : str
    sequence : callable
        Returns the escape sequence of a style's number.
    """
    first, *styled = text.split(STYLE)
    return escaped(first) + "".join(sequence(int(part[0])) + escaped(part[1:]) for part in styled)


def shell_quoted(word: str | os.PathLike[str]) -> str:
    """Quote a path or a name for use in a shell command.

    A word with characters that terminals must not get is quoted as in bash and zsh, ``$'\\x1b'``.
    """
    import shlex

    word = os.fspath(word)
    if escaped(word) == word:
        return shlex.quote(word)
    parts = []
    for letter in word:
        if letter in "\\'":
            parts.append("\\" + letter)
        elif escaped(letter) == letter:
            parts.append(letter)
        else:
            parts += [f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape")]
    return f"$'{''.join(parts)}'"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\t\n\r":
        return repr(match[0])[1:-1]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
