"""What every benchmark shares: how commands are measured, what counts as reached, where results go."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

__all__ = ["RESULTS", "Spent", "environment", "spend", "target", "write_result"]

RESULTS = Path(__file__).resolve().parent / "results"

_PACKAGES = ("dlib-bin", "hnswlib", "numba", "numpy", "pillow", "scikit-learn", "torch")


@dataclass(frozen=True)
class Spent:
    """What one process took: seconds, seconds of all cores, MiB at its peak; and what it printed."""

    wall: float
    cpu: float
    peak_mib: float
    output: str
    code: int


def spend(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> Spent:
    """Run a command to its end, with the operating system's own account of it; errors go to stderr.

    The memory is that of the largest single process.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        raise SystemExit(f"{' '.join(map(os.fspath, command))} ended with {process.returncode}.")
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Spent(wall, used.ru_utime + used.ru_stime, peak, output, process.returncode)


def target(
    row: int,
    what: str,
    ratios: Sequence[float],
    *,
    reach: float,
    beyond: float,
    accuracy: Mapping[str, object] | None = None,
    **more: object,
) -> dict[str, object]:
    """One line of the page's table: a ratio against its target; printed, and JSON-ready.

    Parameters
    ----------
    row : int
        Number of the line in the table of targets (benchmarks/README.md).
    what : str
        What is compared with what, in a few words.
    ratios : sequence of float
        One for each pair of runs; the median counts. If `beyond` is more than `reach`, more is better.
    reach, beyond : float
        What the ratio should be, and what it would be at best.
    accuracy : mapping, optional
        What the speed is worth: B-cubed F, recall...; of ours, of the peer.
    more
        Whatever else is to be kept: medians of either side, units.
    """
    middle = median(ratios)

    def reached(limit: float) -> bool:
        return middle >= limit if beyond > reach else middle <= limit

    met = "beyond" if reached(beyond) else "reach" if reached(reach) else "missed"
    print(
        f"{row}. {what}: {middle:.3g} ({min(ratios):.3g} to {max(ratios):.3g}, {len(ratios)} pairs);"
        f" reach {reach:g}, beyond {beyond:g}: {met}"
    )
    return {
        "row": row,
        "what": what,
        "ratio": middle,
        "ratios": list(ratios),
        "reach": reach,
        "beyond": beyond,
        "met": met,
        "accuracy": dict(accuracy or {}),
        **more,
    }


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
