"""Architecture: which room may import which, which module may use a library, what a plain import loads.

A room is a module or a package directly under faceindex/. `ORDER` is the only list of rooms and of their
order.
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

# From top to bottom. A room may import only rooms on the lines below its own.
ORDER: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("review",),
    ("api",),
    ("interchange",),
    ("pipeline",),
    ("engine",),
    ("people",),
    ("identification",),
    ("export",),
    ("evaluation",),
    ("metrics",),
    ("evidence",),
    ("drawn_faces",),
    ("recognition",),
    ("second_looks",),
    ("clustering",),
    ("store",),
    ("quality",),
    ("detect",),
    ("align",),
    ("embed",),
    ("compiled", "devices", "onnx_sessions", "state_dicts"),
    ("models",),
    ("images",),
    ("matching", "orientation", "page", "scratch"),
    ("cores", "types", "errors", "files", "locks", "documents", "tables"),
    ("safe_open", "turns", "paths", "addresses"),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

SIBLINGS = {"detect", "embed", "store"}
"""Rooms on different lines that never import each other; `recognition` and `pipeline` connect them."""

ARRAYS = {"compiled", "cores", "errors", "evidence", "models", "quality", "types"}
"""Rooms that use neither the store nor photos nor networks."""

MAY_IMPORT = {
    "review": {"addresses", "api", "documents", "errors", "page", "paths", "safe_open", "types"},
    "evidence": {"models", "quality", "types"},
    "interchange": {
        "addresses",
        "documents",
        "errors",
        "files",
        "images",
        "orientation",
        "safe_open",
        "store",
        "tables",
        "types",
    },
    "engine": {
        "addresses",
        "clustering.shards",
        "clustering.workers",
        "cores",
        "errors",
        "files",
        "locks",
        "safe_open",
        "scratch",
        "store.neighbours",
        "store.records",
        "types",
    },
    "identification": ARRAYS,
    "metrics": ARRAYS,
    "clustering": ARRAYS | {"store.records"},
    "evaluation": ARRAYS | {"clustering", "files", "metrics", "store", "tables"},
}
"""Rooms, or single modules, that a room is limited to: the first three rooms work on arrays."""

PUBLIC = ("api", "recognition")
"""Rooms of the names that the package exports."""

HOMES: dict[str, tuple[str, ...]] = {
    "hnswlib": ("store/hnsw.py",),
    "sqlite3": ("store/sqlite.py", "interchange/databases.py"),
    "sklearn": ("clustering/kmeans.py",),
    "starlette": ("review/*",),
    "uvicorn": ("review/*",),
    "threadpoolctl": ("clustering/workers.py",),
    "numba": ("compiled.py",),
    "dlib": ("detect/dlib_*", "align.py"),
    "ray": ("engine/*",),
    "torch": ("detect/*", "embed/*", "devices.py", "state_dicts.py", "recognition.py"),
    "onnxruntime": ("onnx_sessions.py",),
    "matplotlib": ("evaluation/plots.py",),
    "pandas": ("api/contents.py", "api/frames.py"),
    "pyarrow": ("export/embeddings.py",),
    "PIL": ("images/*",),
    "pillow_heif": ("images/*",),
    "pillow_jxl": ("images/*",),
    "rawpy": ("images/*",),
    "av": ("images/*",),
    "pathspec": ("images/*",),
    "fsspec": ("images/remote.py",),
    "s3fs": (),  # fsspec imports it
    "lxml": ("interchange/*",),
    "pymilvus": ("engine/milvus*",),
    "milvus_lite": ("engine/milvus*",),
    "fcntl": ("files.py", "locks.py"),
    "msvcrt": ("locks.py",),
    "ctypes": ("cli/host.py", "images/libraw.py", "images/libtiff.py", "review/memory.py"),
    "typer": ("cli/*",),
    "rich": ("cli/*",),
    "shellingham": ("cli/completion.py",),
    # Only its weight files are used. They are found by its metadata; importing it needs torchvision.
    "facenet_pytorch": (),
    "torchvision": (),
    "face_recognition_models": (),  # its import needs pkg_resources
    "face_recognition": (),
    "pickle": (),
}
"""The modules that may import a library."""

HEAVY = (
    "ray",
    "torch",
    "onnxruntime",
    "dlib",
    "_dlib_pybind11",
    "sklearn",
    "numba",
    "hnswlib",
    "pymilvus",
    "milvus_lite",
    "numpy",
    "scipy",
    "PIL",
)


@dataclass(frozen=True)
class Import:
    """One import."""

    module: str  # dotted; `from a import b` is an import of a, but `from faceindex import b` of faceindex.b
    line: int
    lazy: bool  # inside a function or an `if TYPE_CHECKING`


def imports(source: str, package: str) -> list[Import]:
    """List the imports anywhere in a module; its relative imports start at `package`."""
    return list(_imports(ast.parse(source), package, lazy=False))


def _imports(node: ast.AST, package: str, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy)
        elif isinstance(child, ast.ImportFrom):
            base = _resolve(child.module or "", child.level, package)
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
    """List the forbidden imports of one file; `path` is relative to the package."""
    parts = path.removesuffix(".py").split("/")
    room = parts[0]
    if room != "__init__" and room not in LEVEL:
        return [f"{path}: its room is not in ORDER"]
    package = ".".join(["faceindex", *parts[:-1]])
    found = []
    for used in imports(source, package):
        top, _, rest = used.module.partition(".")
        if top == "faceindex":
            if problem := _problem(room, rest, lazy=used.lazy):
                found.append(f"{path}:{used.line}: {problem}")
        elif top in HOMES and not any(fnmatch(path, home) for home in HOMES[top]):
            only = f"only {', '.join(HOMES[top])}" if HOMES[top] else "no module"
            found.append(f"{path}:{used.line}: {only} may import {top}")
    return found


def _problem(room: str, module: str, *, lazy: bool) -> str | None:
    """Return why a room may not import a module of faceindex; None if it may."""
    target = module.partition(".")[0]
    if target in ("", "__version__") or target == room:
        return None
    if target in faceindex.__all__:  # `from faceindex import FaceIndex`
        target = module = "recognition" if target == "Recogniser" else "api"
    if room == "__init__":
        allowed = lazy and target in PUBLIC
        return (
            None if allowed else f"the package may import only {' and '.join(PUBLIC)}, lazily; not {target}"
        )
    if target not in LEVEL:
        return f"{target} is not in ORDER"
    if LEVEL[target] <= LEVEL[room]:
        return f"{room} may not import {target}: it is not below"
    if {room, target} <= SIBLINGS:
        return f"{room} may not import {target}: siblings"
    if room in MAY_IMPORT and not {target, module} & MAY_IMPORT[room]:
        return f"{room} may not import {module}: only {', '.join(sorted(MAY_IMPORT[room]))}"
    return None


def sources() -> list[tuple[str, str]]:
    return [
        (path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def test_rooms_import_only_what_they_may() -> None:
    files = sources()
    assert len(files) > 10
    found = [problem for path, source in files for problem in violations(path, source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("store/store.py", "from faceindex.clustering import Clusterer", "store may not import clustering"),
        ("metrics/people.py", "from faceindex.evaluation import labels", "metrics may not import evaluation"),
        ("types.py", "from faceindex import errors", "types may not import errors: it is not below"),
        ("locks.py", "from faceindex.files import sync_file", "locks may not import files: it is not below"),
        (
            "images/decoder.py",
            "from faceindex import models",
            "images may not import models: it is not below",
        ),
        ("images/decoder.py", "from ..models import spec", "images may not import models: it is not below"),
        ("images/decoder.py", "from .. import models", "images may not import models: it is not below"),
        ("images/deep/er.py", "from ...store import Store", "images may not import store: it is not below"),
        ("store/store.py", "def f():\n    from faceindex.detect import Detector", "siblings"),
        ("store/store.py", "if TYPE_CHECKING:\n    from faceindex.embed import Embedder", "siblings"),
        ("detect/mtcnn.py", "from faceindex.embed import Embedder", "detect may not import embed: siblings"),
        ("clustering/kmeans.py", "from faceindex.store import Clustering", "only compiled, cores, errors"),
        ("clustering/kmeans.py", "from faceindex.store import records", "clustering may not import store:"),
        ("clustering/kmeans.py", "from faceindex.store.store import Store", "may not import store.store:"),
        ("clustering/kmeans.py", "if TYPE_CHECKING:\n    from ..store.photos import Photo", "store.photos:"),
        ("clustering/kmeans.py", "from faceindex.images import decode", "may not import images: only"),
        ("identification.py", "from faceindex.store.records import Assignments", "store.records: only"),
        ("metrics/scores.py", "from faceindex.images import decode", "metrics may not import images: only"),
        (
            "metrics/scores.py",
            "from faceindex.clustering import graph",
            "metrics may not import clustering: only",
        ),
        ("evaluation/report.py", "from faceindex.recognition import Recogniser", "recognition: only"),
        ("evaluation/report.py", "from faceindex.api import FaceIndex", "evaluation may not import api"),
        ("recognition.py", "from faceindex import FaceIndex", "recognition may not import api"),
        ("align.py", "from faceindex import Recogniser", "align may not import recognition"),
        ("embed/facenet.py", "import importlib\nimportlib.import_module('faceindex.api')", "import api"),
        ("attic.py", "import os", "its room is not in ORDER"),
        ("api/index.py", "from faceindex import attic", "attic is not in ORDER"),
        ("__init__.py", "from faceindex.api import FaceIndex", "lazily"),
        ("__init__.py", "def f():\n    from faceindex import models", "lazily; not models"),
        ("api/index.py", "import torch.nn", "only detect/*, embed/*, devices.py"),
        ("store/search.py", "class A:\n    def f(self):\n        import hnswlib", "only store/hnsw.py may"),
        ("store/catalog.py", "from sqlite3 import Row", "only store/sqlite.py, interchange/databases.py may"),
        ("clustering/kernels.py", "import numba", "only compiled.py may import numba"),
        ("clustering/overview.py", "import sklearn.cluster", "only clustering/kmeans.py may import sklearn"),
        ("clustering/kmeans.py", "import threadpoolctl", "only clustering/workers.py may"),
        ("api/results.py", "import pandas", "only api/contents.py, api/frames.py may import pandas"),
        ("evaluation/report.py", "import matplotlib", "only evaluation/plots.py may import matplotlib"),
        ("detect/mtcnn.py", "from facenet_pytorch import MTCNN", "no module may import facenet_pytorch"),
        ("detect/mtcnn.py", "import dlib", "only detect/dlib_*, align.py may import dlib"),
    ],
)
def test_the_checker_reports_forbidden_imports(path: str, source: str, problem: str) -> None:
    (found,) = violations(path, source)
    assert problem in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("compiled.py", "import numba"),
        ("clustering/incremental.py", "from faceindex.store.records import Assignments"),
        ("clustering/chinese_whispers.py", "from faceindex.clustering import ClusterOptions"),
        ("evaluation/sweep.py", "from faceindex.clustering.incremental import cluster_faces"),
        (
            "evaluation/report.py",
            "from faceindex.metrics import bcubed\nfrom faceindex.store import FaceTable",
        ),
        ("recognition.py", "from faceindex.detect import Detector\nfrom faceindex.align import cut_chips"),
        ("api/index.py", "from faceindex import images, models, __version__"),
        ("store/sqlite.py", "import sqlite3"),
        ("api/frames.py", "import pandas"),
        ("clustering/workers.py", "import threadpoolctl"),
        ("detect/dlib_hog.py", "import dlib"),
        ("detect/mtcnn.py", "from .boxes import nms\nfrom . import boxes\nimport torch"),
        ("__init__.py", "if TYPE_CHECKING:\n    from faceindex.api import FaceIndex"),
        ("__init__.py", "def f():\n    from faceindex.recognition import Recogniser"),
        ("__main__.py", "from faceindex.cli.app import main"),
        ("types.py", "import numpy as np"),
    ],
)
def test_the_checker_allows_other_imports(path: str, source: str) -> None:
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


def test_importing_the_api_and_the_pipeline_loads_no_network() -> None:
    program = "import sys, faceindex.api, faceindex.pipeline; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()
    assert "faceindex.pipeline" in loaded
    assert not {"torch", "onnxruntime", "dlib", "sklearn", "numba"} & set(loaded)
