"""Build the environments of the programs that faceindex is measured against.

Each peer gets a virtual environment of its own under one folder, made with venv and pip; what is there
already is left as it is, unless ``--again``::

    python benchmarks/peers.py [NAME...] [--into DIR] [--again]
    python benchmarks/peers.py --list

- facenet-pytorch: 2.5.3 with the torch and torchvision that pip finds. Where torchvision's compiled
  operators do not load beside that torch, a stand-in for its `nms` is used, see
  ``peer_scripts/torchvision_nms.py``.
- face_recognition: with dlib compiled from source against OpenBLAS: a quarter of an hour, and it needs a
  C++ compiler and OpenBLAS's library and headers.
- face_recognition-wheels: the same with the wheels of dlib-bin, which hold no BLAS.
- insightface, deepface: installed only. Their models are downloads; where those are not at hand, the
  peer cannot be measured, and this says which file it lacks.

The default folder is ``.peers`` beside ``benchmarks``, which git ignores; the benchmarks look there too
unless ``--peers DIR`` says otherwise.
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
    """A file that a peer downloads when it is first used."""

    path: str  # below the user's home
    source: str

    def is_there(self) -> bool:
        return (Path.home() / self.path).is_file()


@dataclass(frozen=True)
class Peer:
    """How an environment is made.

    `installs` are the arguments of ``pip install``, one run after the other; `packages` those whose
    versions are told; `facts` is Python that runs there and may set ``facts``.
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
        # Without its dependencies, of which dlib would be compiled.
        (("dlib-bin", *_FACE_RECOGNITION), ("--no-deps", "face_recognition==1.3.0")),
        ("face_recognition", "face_recognition_models", "dlib-bin", "numpy", "pillow"),
        _DLIB_FACTS,
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
        (("deepface", "werkzeug"),),  # 0.0.103 imports werkzeug without asking for it
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
    """The Python of a peer's environment; ends the program if it was not built."""
    if not _facts_file(folder, name).is_file():
        raise SystemExit(
            f"The environment of {name} is not under {folder}. Build it: python benchmarks/peers.py {name}"
            + ("" if folder == FOLDER else f" --into {folder}")
        )
    return _python(folder / name)


def about(folder: Path, name: str) -> dict[str, object]:
    """Versions and facts of a peer's environment, as they were when it was built."""
    interpreter(folder, name)
    facts: dict[str, object] = json.loads(_facts_file(folder, name).read_text(encoding="utf-8"))
    return facts


def left_out() -> dict[str, str]:
    """Why peers that can be installed are not measured, by name."""
    reasons = {}
    for name, peer in PEERS.items():
        missing = [model for model in peer.models if not model.is_there()]
        if missing:
            files = ", ".join(f"~/{model.path}" for model in missing)
            reasons[name] = f"installs, but its models are not here: {files} (from {missing[0].source})"
        elif peer.models:
            reasons[name] = "its models are here, but no row of the table compares with it"
    return reasons


def build(folder: Path, name: str) -> None:
    """Make the environment of a peer; ends the program with what is missing."""
    peer = PEERS[name]
    if peer.from_source:
        _check_compiler()
        print(f"{name}: dlib is compiled from source, which takes about a quarter of an hour", flush=True)
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", place], f"{name}: no virtual environment could be made")
    python = _python(place)
    for arguments in peer.installs:
        _run([python, "-m", "pip", "install", "--quiet", *arguments], f"{name}: pip could not install it")
    facts = _ask(python, peer)
    if peer.from_source and not facts["dlib_uses_blas"]:
        raise SystemExit(
            f"{name}: dlib was built without BLAS, perhaps before OpenBLAS was installed. "
            f"Remove that wheel, `{python} -m pip cache remove dlib`, and build again."
        )
    _facts_file(folder, name).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: {json.dumps(facts)}")


def _ask(python: Path, peer: Peer) -> dict[str, object]:
    """Versions and facts, as the environment itself has them."""
    code = (
        f"import importlib.metadata, json, platform\n{peer.facts}\n"
        f"versions = {{name: importlib.metadata.version(name) for name in {peer.packages!r}}}\n"
        "print(json.dumps({'python': platform.python_version(), 'versions': versions, **facts}))"
    )
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("The environment was made, but does not work; its error is above.")
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


def _check_compiler() -> None:
    packages = (
        "Install a C++ compiler and OpenBLAS with its headers: `apt install g++ libopenblas-dev`, "
        "`dnf install gcc-c++ openblas-devel`, or `brew install openblas`."
    )
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise SystemExit(f"face_recognition: there is no C++ compiler to build dlib with. {packages}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text("#include <cblas.h>\nint main() { return cblas_isamax(0, nullptr, 1); }\n")
        command: list[str | Path] = [compiler, source, "-o", Path(folder) / "probe", "-lopenblas"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SystemExit(f"face_recognition: OpenBLAS cannot be linked. {packages}")


def _run(command: list[str | Path], problem: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{problem}; its error is above.")


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _facts_file(folder: Path, name: str) -> Path:
    return folder / name / "peer.json"  # written last: what has it is whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PEERS)}; all by default")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder for the environments")
    parser.add_argument("--again", action="store_true", help="build anew what is there")
    parser.add_argument("--list", action="store_true", help="only say what is there")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PEERS]:
        parser.error(f"there is no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
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
            except SystemExit as problem:  # the others can be built all the same
                print(problem, file=sys.stderr)
                failed = True
        if (reason := left_out().get(name)) and not options.list:
            print(f"  left out of the benchmarks: {reason}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
