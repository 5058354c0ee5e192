"""Build the environments of the programs that faceindex is compared with.

Each peer gets its own virtual environment in one folder, made with venv and pip. An environment that
exists is kept; ``--again`` builds it anew::

    python benchmarks/peers.py [NAME...] [--into DIR] [--again]
    python benchmarks/peers.py --list

- facenet-pytorch: 2.5.3 with the torch and torchvision that pip chooses. If torchvision's compiled
  operators do not load with that torch, ``peer_scripts/torchvision_nms.py`` replaces its `nms`.
- face_recognition: with dlib compiled from source against OpenBLAS. Takes a quarter of an hour and needs a
  C++ compiler and OpenBLAS's library and headers.
- face_recognition-wheels: the same with the wheels of dlib-bin, which are built without BLAS.
- network-runtimes: LiteRT, ONNX Runtime and OpenVINO.
- opencv: the wheel, for its face detector (YuNet).
- insightface, deepface: installed only. They download their models on first use; if the files are missing,
  the peer cannot be measured and this script prints which file is missing.

The default folder is ``.peers`` beside ``benchmarks``; git ignores it. The benchmarks use the same default,
and take another folder with ``--peers DIR``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PEERS", "Peer", "about", "add_peers_argument", "interpreter", "left_out"]

FOLDER = Path(__file__).resolve().parents[1] / ".peers"

_FACE_RECOGNITION = ("face_recognition_models>=0.3", "setuptools<81", "numpy", "pillow", "click")
_DLIB_FACTS = "import dlib; facts = {'dlib_uses_blas': bool(dlib.DLIB_USE_BLAS)}"


@dataclass(frozen=True)
class Model:
    """A file that a peer downloads on first use."""

    path: str  # relative to the user's home
    source: str

    def exists(self) -> bool:
        return (Path.home() / self.path).is_file()


@dataclass(frozen=True)
class Peer:
    """How to make the environment of a peer.

    Attributes
    ----------
    installs : tuple of tuple of str
        Arguments of ``pip install``, one run after the other.
    packages : tuple of str
        Packages whose versions are recorded.
    facts : str
        Python code that runs in the environment and may set ``facts``, a dict that is recorded.
    from_source : bool
        Whether a compiler is needed.
    models : tuple of Model
    """

    installs: tuple[tuple[str, ...], ...]
    packages: tuple[str, ...]
    facts: str = "facts = {}"
    from_source: bool = False
    models: tuple[Model, ...] = ()


PEERS = {
    "facenet-pytorch": Peer(
        (("torch>=2.4,<2.14", "torchvision", "facenet-pytorch==2.5.3"),),
        ("facenet-pytorch", "torch", "torchvision", "numpy", "pillow"),
    ),
    "face_recognition": Peer(
        (
            ("--no-binary", "dlib", "dlib", *_FACE_RECOGNITION),
            ("--no-deps", "face_recognition==1.3.0"),
        ),
        ("face_recognition", "face_recognition_models", "dlib", "numpy", "pillow"),
        _DLIB_FACTS,
        from_source=True,
    ),
    "face_recognition-wheels": Peer(
        # Without its dependencies: pip would compile dlib.
        (("dlib-bin", *_FACE_RECOGNITION), ("--no-deps", "face_recognition==1.3.0")),
        ("face_recognition", "face_recognition_models", "dlib-bin", "numpy", "pillow"),
        _DLIB_FACTS,
    ),
    "network-runtimes": Peer(
        (("ai-edge-litert", "onnx", "onnxruntime", "openvino", "numpy"),),
        ("ai-edge-litert", "onnx", "onnxruntime", "openvino", "numpy"),
    ),
    "opencv": Peer(
        (("opencv-python-headless>=4.10",),),
        ("opencv-python-headless", "numpy"),
        "import cv2; facts = {'opencv': cv2.__version__}",
    ),
    "insightface": Peer(
        (("insightface", "onnxruntime"),),
        ("insightface", "onnxruntime", "numpy"),
        models=tuple(
            Model(
                f".insightface/models/buffalo_l/{name}",
                "https://github.com/deepinsight/insightface/releases (buffalo_l.zip)",
            )
            for name in ("det_10g.onnx", "w600k_r50.onnx")
        ),
    ),
    "deepface": Peer(
        (("deepface", "werkzeug"),),  # 0.0.103 imports werkzeug but does not declare it
        ("deepface", "onnxruntime", "numpy"),
        models=(
            Model(
                ".deepface/weights/facenet512_weights.onnx",
                "https://github.com/serengil/deepface_models/releases/download/v1.0/facenet512_weights.onnx",
            ),
        ),
    ),
}


def add_peers_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=Path, default=FOLDER, help="folder made by benchmarks/peers.py")


def interpreter(folder: Path, name: str) -> Path:
    """Return the Python of a peer's environment; end the program if it has not been built."""
    if not _facts_file(folder, name).is_file():
        raise SystemExit(
            f"The environment of {name} is not in {folder}. Build it: python benchmarks/peers.py {name}"
            + ("" if folder == FOLDER else f" --into {folder}")
        )
    return _python(folder / name)


def about(folder: Path, name: str) -> dict[str, object]:
    """Return the versions and facts that were recorded when a peer's environment was built."""
    interpreter(folder, name)
    facts: dict[str, object] = json.loads(_facts_file(folder, name).read_text(encoding="utf-8"))
    return facts


def left_out() -> dict[str, str]:
    """Return, by name, why peers that can be installed are not measured."""
    reasons = {}
    for name, peer in PEERS.items():
        missing = [model for model in peer.models if not model.exists()]
        if missing:
            files = ", ".join(f"~/{model.path}" for model in missing)
            reasons[name] = f"its models are missing: {files} (from {missing[0].source})"
        elif peer.models:
            reasons[name] = "its models exist, but no row of the table compares with it"
    return reasons


def build(folder: Path, name: str) -> None:
    """Make the environment of a peer; end the program with the reason if that fails."""
    peer = PEERS[name]
    if peer.from_source:
        _check_compiler()
        print(f"{name}: compiling dlib from source, about a quarter of an hour", flush=True)
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", place], f"{name}: cannot make the virtual environment")
    python = _python(place)
    for arguments in peer.installs:
        _run([python, "-m", "pip", "install", "--quiet", *arguments], f"{name}: pip cannot install it")
    facts = _read_facts(python, peer)
    if peer.from_source and not facts["dlib_uses_blas"]:
        raise SystemExit(
            f"{name}: dlib was built without BLAS, perhaps before OpenBLAS was installed. "
            f"Remove that wheel with `{python} -m pip cache remove dlib`, then build again."
        )
    _facts_file(folder, name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: {json.dumps(facts)}")


def _read_facts(python: Path, peer: Peer) -> dict[str, object]:
    """Return the versions and facts of an environment."""
    code = (
        f"import importlib.metadata, json, platform\n{peer.facts}\n"
        f"versions = {{name: importlib.metadata.version(name) for name in {peer.packages!r}}}\n"
        "print(json.dumps({'python': platform.python_version(), 'versions': versions, **facts}))"
    )
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("The environment does not work; its error is above.")
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


def _check_compiler() -> None:
    packages = (
        "Install a C++ compiler and OpenBLAS with its headers: `apt install g++ libopenblas-dev`, "
        "`dnf install gcc-c++ openblas-devel`, or `brew install openblas`."
    )
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise SystemExit(f"face_recognition: no C++ compiler found; building dlib needs one. {packages}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text("#include <cblas.h>\nint main() { return cblas_isamax(0, nullptr, 1); }\n")
        command: list[str | Path] = [compiler, source, "-o", Path(folder) / "probe", "-lopenblas"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SystemExit(f"face_recognition: cannot link OpenBLAS. {packages}")


def _run(command: list[str | Path], problem: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{problem}; its error is above.")


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _facts_file(folder: Path, name: str) -> Path:
    return folder / name / "peer.json"  # written last: an environment with this file is complete


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PEERS)}; all by default")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder for the environments")
    parser.add_argument("--again", action="store_true", help="build again what exists")
    parser.add_argument("--list", action="store_true", help="only list what exists")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PEERS]:
        parser.error(f"unknown peer: {', '.join(unknown)}; choose from {', '.join(PEERS)}")
    folder = options.into.resolve()
    failed = False
    for name in options.names or PEERS:
        if _facts_file(folder, name).is_file() and not options.again:
            print(f"{name}: {json.dumps(about(folder, name))}")
        elif options.list:
            print(f"{name}: not built")
        else:
            try:
                build(folder, name)
            except SystemExit as problem:  # continue with the other peers
                print(problem, file=sys.stderr)
                failed = True
        if (reason := left_out().get(name)) and not options.list:
            print(f"  not measured: {reason}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
