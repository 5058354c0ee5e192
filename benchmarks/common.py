"""Helpers for all benchmarks: the shared options, running and measuring commands, targets, result files.

Imports only the standard library, so that scripts in a peer's environment can use it too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

__all__ = [
    "DATA",
    "RESULTS",
    "Spent",
    "argument_parser",
    "console_script",
    "environment",
    "group_photos",
    "median_seconds",
    "peak_mib",
    "people_photos",
    "ratios",
    "run_child",
    "seconds",
    "spend",
    "target",
    "use_weights_beside",
    "write_result",
]

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_PACKAGES = ("dlib-bin", "hnswlib", "numba", "numpy", "pillow", "scikit-learn", "torch")


def argument_parser(description: str | None, *, quick: str, data: bool = False) -> argparse.ArgumentParser:
    """Return a parser with ``--quick`` and, if wanted, ``--data``.

    Parameters
    ----------
    description : str
        The docstring of the script.
    quick : str
        What ``--quick`` does.
    data : bool
        Add ``--data``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    if data:
        parser.add_argument("--data", type=Path, default=DATA, help="folder with people/, lfw/ and groups/")
    return parser


def people_photos(data: Path) -> list[Path]:
    """Return the photos of people/, sorted; end the program if there are none."""
    paths = sorted(path for path in (data / "people").glob("*/*") if path.is_file())
    if not paths:
        raise SystemExit(f"There are no photos in {data / 'people'}.")
    return paths


def group_photos(data: Path) -> list[Path]:
    """Return the photos of groups/, sorted."""
    return sorted(path for path in (data / "groups").glob("*") if path.suffix in (".jpg", ".png"))


def use_weights_beside(data: Path) -> None:
    """Use the weight files in ``weights/`` beside the data, unless ``$FACEINDEX_WEIGHTS`` is set."""
    os.environ.setdefault("FACEINDEX_WEIGHTS", str(data.resolve().parent / "weights"))


def console_script() -> str:
    """Return the path of the installed command ``faceindex`` of this environment."""
    found = shutil.which("faceindex", path=str(Path(sys.executable).parent)) or shutil.which("faceindex")
    if found is None:
        raise SystemExit("The command faceindex is not installed. Run `pip install -e .` first.")
    return found


@dataclass(frozen=True)
class Spent:
    """Cost and output of one process: wall seconds, CPU seconds, peak MiB, standard output, exit code."""

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
    """Run a command and measure it with the operating system's accounting.

    The memory is that of the largest single process. Standard error is not captured.

    Parameters
    ----------
    codes : sequence of int
        Exit codes of success; any other ends the program.
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
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}.")
    return Spent(wall, used.ru_utime + used.ru_stime, _mib(used.ru_maxrss), output, process.returncode)


def run_child(script: str, *arguments: object, env: Mapping[str, str] | None = None) -> Any:
    """Run a benchmark script in a new process; return the JSON document that it prints, or None.

    Parameters
    ----------
    script : str
        ``__file__`` of the script.
    """
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    return json.loads(done.stdout) if done.stdout else None


def peak_mib() -> float:
    """Return the peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux ru_maxrss starts at the peak of the parent process
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return _mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _mib(ru_maxrss: int) -> float:
    return ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def seconds(run: Callable[[], object]) -> float:
    """Return the wall seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median of the wall seconds of several calls."""
    return median(seconds(run) for _ in range(repeats))


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Return ``a / b`` for each pair of values."""
    return [one / other for one, other in zip(a, b, strict=True)]


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
    """Compare a ratio with its target; print the outcome and return it as JSON values.

    Parameters
    ----------
    row : int
        Number of the row in the table of benchmarks/README.md.
    what : str
        What is compared, in a few words.
    ratios : sequence of float
        One for each pair of runs; the median counts. If `beyond` is more than `reach`, more is better.
    reach, beyond : float
        The target and the stretch goal.
    accuracy : mapping, optional
        The accuracy that belongs to the speed, such as B-cubed F or recall, of ours and of the peer.
    more
        Further values to store, such as medians of either side.
    """
    middle = median(ratios)

    def reached(limit: float) -> bool:
        return middle >= limit if beyond > reach else middle <= limit

    met = "beyond" if reached(beyond) else "reach" if reached(reach) else "missed"
    outcome = {"beyond": "stretch goal met", "reach": "target met", "missed": "missed"}[met]
    print(
        f"{row}. {what}: {middle:.3g} ({min(ratios):.3g} to {max(ratios):.3g}, {len(ratios)} pairs);"
        f" target {reach:g}, stretch goal {beyond:g}: {outcome}"
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
    """Return versions, hardware, commit and time of this run as JSON values."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        # Names only: results must not contain paths of a machine.
        "command": " ".join(Path(argument).name or argument for argument in sys.argv),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def write_result(name: str, payload: Mapping[str, object], *, quick: bool = False) -> Path:
    """Write a result with the environment to ``results/<name>.json``; `quick` appends ``_quick``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}{'_quick' if quick else ''}.json"
    document = {"benchmark": path.stem, "environment": environment(), **payload}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"wrote results/{path.name}")
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
