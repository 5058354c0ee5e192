"""Walks of random folders, compared with a simple recursive walk."""

# Paths are text here, as in the module under test.
# ruff: noqa: PTH102, PTH104, PTH107, PTH112, PTH113, PTH114, PTH116, PTH118, PTH123, PTH208, PTH211

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceindex.errors import Reason
from faceindex.images import walk
from faceindex.images.walk import Listing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege, and names are text")

FOLDERS = ("a", "a b", "a-1", "caf\udce9", "z.jpg", ".cache", "@eaDir")
NAMES = (
    *("a", "a.jpg", "a b.jpg", "b.PNG", "日.jpg", "caf\udce9.jpg", "line\nbreak.jpg", "z", "z.jpg"),
    *(".hidden.jpg", ".nomedia", "Thumbs.db"),
)
JUNK = {"@eadir", "thumbs.db"}


@dataclass(frozen=True)
class File:
    size: int
    time: int


@dataclass(frozen=True)
class Link:
    """A symbolic link; `target` chooses among all paths of the tree and a few others."""

    target: int


@dataclass(frozen=True)
class Pipe:
    pass


Tree: TypeAlias = "dict[str, File | Link | Pipe | Tree]"
Found: TypeAlias = "tuple[str, str, int, int, bool]"  # root, relpath, size, mtime_ns, whether it is an error

LEAVES = st.one_of(
    st.builds(File, st.integers(0, 5), st.integers(0, 10)),
    st.builds(File, st.integers(0, 5), st.integers(0, 10)),
    st.builds(Link, st.integers(0, 40)),
    st.just(Pipe()),
)
PATHS = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), st.sampled_from(NAMES))


def nested(leaves: list[tuple[tuple[list[str], str], File | Link | Pipe]]) -> Tree:
    tree: Tree = {}
    for (folders, name), leaf in leaves:
        inner = tree
        for folder in folders:
            entry = inner.setdefault(folder, {})
            if not isinstance(entry, dict):  # a file of that name
                break
            inner = entry
        else:
            inner.setdefault(name, leaf)
    return tree


TREES = st.lists(st.tuples(PATHS, LEAVES), min_size=5, max_size=15, unique_by=str).map(nested)
CHOICES = st.lists(st.integers(0, 40), max_size=3)
SETTINGS = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@contextmanager
def made(tree: Tree) -> Iterator[tuple[str, list[str]]]:
    """The tree in a new folder: its path, and the paths of everything in it."""
    with tempfile.TemporaryDirectory() as folder:
        top = os.path.join(folder, "top")
        os.mkdir(top)
        links: list[tuple[str, int]] = []
        paths = [top]
        _make(tree, top, paths, links)
        targets = [*paths, ".", "..", "nowhere", os.path.join(top, "nowhere", "a")]
        for path, target in links:
            os.symlink(targets[target % len(targets)], path)
        yield top, paths


def _make(tree: Tree, folder: str, paths: list[str], links: list[tuple[str, int]]) -> None:
    for name, entry in tree.items():
        path = os.path.join(folder, name)
        try:
            match entry:
                case File():
                    with open(path, "wb") as file:
                        file.write(bytes(entry.size))
                    os.utime(path, ns=(0, entry.time))
                case Link():
                    links.append((path, entry.target))
                case Pipe():
                    os.mkfifo(path)
                case dict():
                    os.mkdir(path)
                    _make(entry, path, paths, links)
        except OSError:
            if sys.platform == "darwin":  # where file names are valid text
                continue
            raise
        paths.append(path)


def found_by(listing: Listing) -> list[Found]:
    return [(str(c.root), c.relpath, c.size, c.mtime_ns, c.error is not None) for c in listing]


def reference(arguments: list[str], exclude: list[str]) -> list[Found]:
    """What `walk` finds, by recursion and by real paths."""
    entered = {os.path.realpath(path) for path in exclude if os.path.isdir(path)}
    done = {_key(path) for path in exclude}
    given_files = {_key(path) for path in arguments if not os.path.isdir(path)}
    found: list[list[Found]] = []

    def look(root: str, relpath: str) -> bool:
        """Add a file or an error; whether the path is a folder."""
        try:
            status = os.stat(os.path.join(root, relpath))
        except OSError:
            found[-1].append((root, relpath, 0, 0, True))
            return False
        if stat.S_ISREG(status.st_mode):
            found[-1].append((root, relpath, status.st_size, status.st_mtime_ns, False))
        return stat.S_ISDIR(status.st_mode)

    def visit(root: str, prefix: str) -> None:
        folder = os.path.realpath(os.path.join(root, prefix))
        names = os.listdir(folder)
        if folder in entered or (prefix and ".nomedia" in names):
            return
        entered.add(folder)
        inner = []
        for name in names:
            key = (folder, name)
            if name.startswith(".") or name.lower() in JUNK or key in done:
                continue
            if key in given_files:
                done.add(key)
            if look(root, prefix + name):
                inner.append(f"{prefix}{name}/")
        for folder_prefix in sorted(inner):
            visit(root, folder_prefix)

    for path in arguments:
        found.append([])
        if os.path.isdir(path):
            visit(path, "")
        elif _key(path) not in done:
            done.add(_key(path))
            look(*os.path.split(path))
    return [candidate for part in found for candidate in sorted(part, key=lambda item: item[1])]


def _key(path: str) -> tuple[str, str]:
    folder, name = os.path.split(path)
    return os.path.realpath(folder), name


@SETTINGS
@given(tree=TREES, arguments=CHOICES, excluded=CHOICES, with_top=st.booleans())
def test_a_walk_finds_what_a_simple_walk_finds(
    tree: Tree, arguments: list[int], excluded: list[int], with_top: bool
) -> None:
    with made(tree) as (top, paths):
        given_paths = [paths[number % len(paths)] for number in arguments]
        if with_top or not given_paths:
            given_paths.append(top)
        exclude = [paths[number % len(paths)] for number in excluded if number % len(paths)]
        expected = reference(given_paths, exclude)
        listing = walk(given_paths, exclude=[Path(path) for path in exclude])
        assert found_by(listing) == expected
        for candidate in listing:
            assert candidate.error is None or candidate.error.reason is Reason.MISSING
        files_given = any(not os.path.isdir(path) for path in given_paths)
        assert (listing.digest is None) == (files_given or any(is_error for *_, is_error in expected))


@SETTINGS
@given(
    tree=TREES,
    number=st.integers(0, 99),
    change=st.sampled_from(["nothing", "size", "time", "remove", "rename"]),
)
def test_the_digest_changes_if_and_only_if_the_files_do(tree: Tree, number: int, change: str) -> None:
    with made(tree) as (top, paths):
        before = walk([top])
        files = [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
        if files:
            path = files[number % len(files)]
            status = os.stat(path)
            match change:
                case "size":
                    with open(path, "ab") as file:
                        file.write(b"more")
                    os.utime(path, ns=(0, status.st_mtime_ns))
                case "time":
                    os.utime(path, ns=(0, status.st_mtime_ns + 1))
                case "remove":
                    os.remove(path)
                case "rename":
                    os.rename(path, path + "~")
        after = walk([top])
        if before.digest is not None and after.digest is not None:
            assert (before.digest == after.digest) == (found_by(before) == found_by(after))
