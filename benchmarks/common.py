"""What every benchmark shares: where results go, and on what machine they were measured."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["RESULTS", "environment", "write_result"]

RESULTS = Path(__file__).resolve().parent / "results"

_PACKAGES = ("dlib-bin", "hnswlib", "numba", "numpy", "pillow", "scikit-learn", "torch")


def environment() -> dict[str, object]:
    """Versions, hardware, commit and time of this run; JSON-ready."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "command": " ".join(
            Path(argument).name or argument for argument in sys.argv
        ),  # no paths of a machine
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def write_result(name: str, payload: Mapping[str, object]) -> Path:
    """Write `payload` with the environment beside it to ``results/<name>.json``; its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"benchmark": name, "environment": environment(), **payload}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        sha = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha.strip() + ("+changes" if changed.stdout.strip() else "")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
