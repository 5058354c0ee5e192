"""Patterns of files and folders that a walk leaves out, with the rules of gitignore(5).

A folder may have a file ``.faceindexignore``, which holds for what is in the folder, at any depth. The last
pattern that matches decides, and a file in a folder decides before one in a folder above. Patterns of the
caller decide before all of them; they hold from each walked folder. What is in a folder that is left out
cannot be taken in again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from faceindex import paths
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec, RegexPattern

__all__ = ["Rules", "read_rules", "rules_from", "rules_of"]

_BELOW = "ps_d"  # pathspec's name of the slash behind a folder that a pattern matches
_MOST_BYTES = 1 << 20  # of such a file
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class Rules(NamedTuple):
    """Patterns, and those that decide where these do not match.

    Attributes
    ----------
    spec : GitIgnoreSpec
    prefix : str
        The folder from which they hold, with a slash at its end; "" for the walked folder.
    next : Rules or None
    lines : tuple of str
        The patterns as they are written.
    """

    spec: GitIgnoreSpec
    prefix: str
    next: Rules | None
    lines: tuple[str, ...] = ()

    def exclude(self, relpath: str) -> bool:
        """Return whether a path is left out; that of a folder ends with a slash."""
        rules: Rules | None = self
        while rules is not None:
            matched = _decide(rules.spec, relpath[len(rules.prefix) :])
            if matched is not None:
                return matched
            rules = rules.next
        return False

    def exclude_member(self, archive: str, member: str, folders: dict[str, bool]) -> bool:
        """Return whether a member, or a folder in its archive, is left out.

        `folders` holds the answers for the folders of the archive, and is filled.
        """
        folder, _, _ = member.rpartition("/")
        waiting = []
        while folder and folder not in folders:
            waiting.append(folder)
            folder = folder.rpartition("/")[0]
        out = bool(folder) and folders[folder]
        for folder in reversed(waiting):
            out = out or self.exclude(f"{archive}/{folder}/")
            folders[folder] = out
        return out or self.exclude(f"{archive}/{member}")

    def text(self) -> str:
        """Return all patterns and where they hold, in a fixed form."""
        parts: list[tuple[str, tuple[str, ...]]] = []
        rules: Rules | None = self
        while rules is not None:
            parts.append((rules.prefix, rules.lines))
            rules = rules.next
        return repr(parts)


def rules_of(patterns: Sequence[str]) -> Rules | None:
    """Return the patterns of a caller as rules; None if there are none.

    Raises
    ------
    UsageError
        If one is not a pattern.
    """
    if not patterns:
        return None
    return Rules(_spec(patterns, strict=True), "", None, tuple(patterns))


def read_rules(path: str, prefix: str, above: Rules | None, given: Rules | None) -> Rules | None:
    """Read the ``.faceindexignore`` of a folder.

    Parameters
    ----------
    path : str
        Of the file.
    prefix : str
        Of the folder, as in `Rules`.
    above : Rules or None
        Those of the folder above.
    given : Rules or None
        Those of the caller, the first of `above`.

    Raises
    ------
    OSError
        If it cannot be read: what it leaves out must not be taken in then.
    """
    descriptor = paths.open_descriptor(path, _FLAGS)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return above
        data = file.read(_MOST_BYTES)
    return rules_from(data, prefix, above, given)


def rules_from(data: bytes, prefix: str, above: Rules | None, given: Rules | None) -> Rules:
    """Return the patterns in the content of a ``.faceindexignore``; parameters as in `read_rules`."""
    lines = tuple(data.decode("utf-8-sig", "surrogateescape").splitlines())
    spec = _spec(lines, strict=False)
    if given is None:
        return Rules(spec, prefix, above, lines)
    assert above is not None  # it begins with `given`
    return given._replace(next=Rules(spec, prefix, above.next, lines))


def _decide(spec: GitIgnoreSpec, relpath: str) -> bool | None:
    """Return what the last pattern that matches a path itself says; None if there is none.

    `GitIgnoreSpec.check_file` also compares patterns with the folders above, for callers that do not walk,
    and takes ``sub/**`` for a match of the folder ``sub/``.
    """
    path = relpath.rstrip("/")
    for pattern in reversed(cast("Sequence[RegexPattern]", spec.patterns)):
        if pattern.include is None or pattern.regex is None:
            continue
        found = pattern.regex.search(path)
        matches = found is not None and found.groupdict().get(_BELOW) is None
        if not matches and path != relpath and _BELOW in pattern.regex.groupindex:  # a pattern of folders
            ends = (one.start(_BELOW) for one in pattern.regex.finditer(relpath))
            matches = len(path) in ends
        if matches:
            return pattern.include
    return None


def _spec(lines: Sequence[str], *, strict: bool) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        good = [line for line in lines if _is_pattern(line)]
        if strict:
            bad = next((line for line in lines if line not in good), "")
            raise UsageError(
                f"'{bad}' is not a pattern.",
                "Write it as in a .gitignore file, for example 'scans/' or '*.png'.",
            ) from None
        return GitIgnoreSpec.from_lines(good)  # git passes over the others, too


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
