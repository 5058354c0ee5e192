"""Names in docstrings, comments and documents exist, also after a rename.

In backticks, a name is one of Python objects: ``faceindex.store.Store``, ``Store.commit``, a parameter. The
checks read the source code and import nothing.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "faceindex"
FOLDERS = ("faceindex", "tests", "benchmarks", "docs")
PAGES = (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("benchmarks/*.md"))

_FULL = re.compile(r"(?<![\w./-])faceindex(?:\.[A-Za-z_]\w*)+(?![\w/-])")
_NAME = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(\))?`(?!`)")
_FILE = re.compile(r"(?<![\w/.])(?:faceindex|tests|benchmarks|docs)/[\w/-]+\.(?:py|md|txt|svg)\b")
_NOT_PYTHON = re.compile(r"faceindex\.(?:detectors|embedders|clusterers|html|sh|fish|b)")
"""Groups of entry points, scripts of shells, and an example of the test of the architecture."""

pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="the source code is not beside the tests")


@dataclass
class Module:
    """Names that a module defines or imports, and the attributes of its classes."""

    names: set[str] = field(default_factory=set)
    classes: dict[str, tuple[set[str], list[str]]] = field(default_factory=dict)


@cache
def modules() -> dict[str, Module]:
    """The modules of the package, by dotted name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = found[name] = Module()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            module.names |= names_in(node)
            if isinstance(node, ast.ClassDef):
                attributes = set().union(*(names_in(inner) for inner in ast.walk(node)))
                bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
                module.classes[node.name] = attributes, bases
    return found


def names_in(node: ast.AST) -> set[str]:
    """The names that one node of a syntax tree contains."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
            return {name}
        case ast.keyword(arg=str(name)):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            names = [alias.asname or alias.name for alias in aliases] + [getattr(node, "module", None) or ""]
            return {part for name in names for part in name.split(".")}
        case ast.Constant(value=str(text)) if text.isidentifier():
            return {text}  # the name of an option, of a lazy import, or of a key
    return set()


def has_attribute(name: str, attribute: str) -> bool:
    """Whether a class of this name has the attribute; bases from other packages may have any."""
    found = [module.classes[name] for module in modules().values() if name in module.classes]
    return not found or any(
        attribute in attributes or any(has_attribute(base, attribute) for base in bases)
        for attributes, bases in found
    )


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module of the package, or to something in one."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        if module := modules().get(".".join(parts[:i])):
            inner = parts[i:]
            return not inner or (
                inner[0] in module.names and (len(inner) == 1 or has_attribute(inner[0], inner[1]))
            )
    return False


@cache
def known() -> tuple[set[str], set[str], set[str]]:
    """The classes, the last parts of the modules' names, and all names of the package."""
    classes = {name for module in modules().values() for name in module.classes}
    short = {name.rpartition(".")[2] for name in modules()}
    return classes, short, short.union(*(module.names for module in modules().values()))


def problems(text: str, *, code: bool) -> Iterator[str]:
    """Yield the names in a text that do not exist; `code` is whether it is part of the package."""
    yield from (name for name in _FULL.findall(text) if not (exists(name) or _NOT_PYTHON.fullmatch(name)))
    yield from (file for file in _FILE.findall(text) if not (REPOSITORY / file).exists())
    classes, short, words = known()
    for name in _NAME.findall(text):
        first, *rest = name.split(".")
        if first == "faceindex":
            continue
        if first in classes and rest:
            right = has_attribute(first, rest[0])
        elif code and first in short and rest:
            inside = [module for module in modules() if module.endswith(f".{first}")]
            right = any(exists(f"{module}.{'.'.join(rest)}") for module in inside)
        else:
            right = not code or bool(rest) or first in words
        if not right:
            yield name


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of the comments and strings of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline)
    yield from ((t.start[0], t.string) for t in tokens if t.type in {tokenize.COMMENT, tokenize.STRING})


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_in_docstrings_and_comments_exist(folder: str) -> None:
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {name}"
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        if file != Path(__file__)
        for line, text in texts(file)
        for name in problems(text, code=folder == "faceindex")
    ]
    assert found == []


def test_names_in_documents_exist() -> None:
    found = [
        f"{page.relative_to(REPOSITORY)}: {name}"
        for page in PAGES
        if page.name != "CHANGELOG.md"  # lists old names
        for name in problems(page.read_text(encoding="utf-8"), code=False)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See `faceindex.store.Store.commit`, `Store.commit` and `min_face`.", []),
        ("See faceindex.store.hnsw and ``anything.else``.", []),
        ("See `faceindex.stores.Store`.", ["faceindex.stores.Store"]),
        ("See `faceindex.store.Store.no_such_method`.", ["faceindex.store.Store.no_such_method"]),
        ("See `Store.no_such_method`.", ["Store.no_such_method"]),
        ("See `records.NoSuchRecord`.", ["records.NoSuchRecord"]),
        ("The parameter `no_such_parameter`.", ["no_such_parameter"]),
        ("Measured by benchmarks/no_such_script.py.", ["benchmarks/no_such_script.py"]),
    ],
)
def test_the_check_of_names_can_fail(text: str, expected: list[str]) -> None:
    assert list(problems(text, code=True)) == expected


def documented(docstring: str, section: str) -> list[str]:
    """The names in a section of a docstring in NumPy's format."""
    text = re.search(rf"^{section}\n-+\n(.*?)(?=^\w[\w ]*\n---|\Z)", docstring, re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^(\w[\w, *]*)(?: :.*)?$", text[1], re.MULTILINE) if text else []
    return [name.strip(" *") for head in heads for name in head.split(",")]


def test_documented_parameters_and_attributes_exist() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            docstring = ast.get_docstring(node) or ""
            inside = set().union(*(names_in(inner) for inner in ast.walk(node)))
            found += [
                f"{file.relative_to(REPOSITORY)}:{node.lineno} {node.name}: {name}"
                for section in ("Parameters", "Attributes")
                for name in documented(docstring, section)
                if name not in inside
            ]
    assert found == []
