from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_files
import pytest
import typer

from faceindex import models
from faceindex.cli.app import app
from faceindex.models import ModelOption, WeightFile, builtin

PROGRAM: Any = typer.main.get_command(app)
COMMANDS = PROGRAM.commands["models"].commands
CONTENT = b"layer by layer" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """URL of a weight file, ``net.pt``, on a local server."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "net.pt").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listener.server_port}/net.pt"
        listener.shutdown()
        thread.join()


@pytest.fixture
def fetchable(fake_models, address: str, folder: Path) -> str:
    """Name of a detector whose weights are only on the server."""
    file = WeightFile("net.pt", len(CONTENT), DIGEST, "https://example.org", url=address)
    models.register(dataclasses.replace(fake_models.DETECTOR, name="far", weights=(file,)))
    return "far"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's folder of weight files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("FACEINDEX_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return models.weights_folder()


@pytest.fixture
def missing(fake_models, monkeypatch: pytest.MonkeyPatch, tmp_path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = WeightFile("nowhere.pth", 1_500_000, "0" * 64, "https://example.org")
    models.register(dataclasses.replace(fake_models.DETECTOR, name="lacking", weights=(file,)))
    return "lacking"


def test_every_model_is_listed(run) -> None:
    result = run("models")
    assert result.exit_code == 0
    for kind in ("detector", "embedder", "clusterer"):
        for name in models.names(kind):
            assert f"\n  {name}\n" in result.stdout


def test_json_lists_the_details(run) -> None:
    document = json.loads(run("models", "--json").stdout)
    assert document["schema"] == "faceindex/models/1"
    embedder = next(m for m in document["models"] if (m["kind"], m["name"]) == ("embedder", "dlib"))
    assert embedder["dimension"] == 128
    assert embedder["licence"] == "CC0-1.0"
    assert {"name", "bytes", "sha256", "path"} <= set(embedder["weights"][0])
    assert embedder["ready"] == all(weight["path"] for weight in embedder["weights"])


def test_missing_weights_are_listed_with_their_command(run, missing: str) -> None:
    result = run("models")
    assert result.exit_code == 0
    assert "missing: nowhere.pth (1.5 MB)" in result.stdout
    assert "https://example.org" in result.stdout
    document = json.loads(run("models", "--json").stdout)
    model = next(m for m in document["models"] if m["name"] == missing)
    assert not model["ready"]
    assert model["weights"][0]["path"] is None
    assert model["weights"][0]["remedy"]


def test_no_index_is_created_if_weights_are_missing(run, missing: str, album, tmp_path) -> None:
    result = run("index", "album", "--detector", missing, "--embedder", "fake")
    assert result.exit_code == 2
    assert "nowhere.pth" in result.stderr
    assert not (tmp_path / ".faceindex").exists()
    assert "`faceindex models add lacking FILE`" in result.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_explained_and_has_the_common_options(command: str) -> None:
    assert COMMANDS[command].help
    assert [parameter.name for parameter in COMMANDS[command].params if not parameter.help] == []
    options = {name for parameter in COMMANDS[command].params for name in parameter.opts}
    assert options >= {"--json", "--quiet", "-q", "--verbose", "-v", "--debug"}


@pytest.mark.parametrize("args", [["list", "dlib"], ["path", "dlib"], ["verify", "mtcnn"]])
def test_nothing_heavy_is_imported(args: list[str], tmp_path: Path) -> None:
    heavy = {"torch", "dlib", "sklearn", "numba", "hnswlib", "numpy", "scipy", "PIL"}
    code = (
        "import sys\nfrom faceindex.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('heavy:', *sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "models", *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_models_that_were_not_run_are_marked(run, folder: Path) -> None:
    _, *after = run("models").stdout.split("\n  sface\n")
    assert "not run by us" in after[0].split("\n  arcface-r50\n")[0]
    document = json.loads(run("models", "--json").stdout)
    marked = {entry["name"] for entry in document["models"] if not entry.get("run_by_us", True)}
    assert marked == {"dsfd", "sface", "arcface-r50", "arcface-mbf", "adaface-ir18"}


def test_models_alone_is_the_list(run) -> None:
    assert run("models", "list").stdout == run("models").stdout
    assert run("models", "list", "--json").stdout == run("models", "--json").stdout


@pytest.mark.parametrize("spec", builtin.BUILTIN, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_a_name_gives_all_details(run, spec: models.Spec) -> None:
    result = run("models", "list", spec.name)
    assert result.exit_code == 0
    details = [getattr(spec, "threshold_source", None), getattr(spec, "licence", None)]
    details += [spec.target, *(option.summary for option in spec.options)]
    for weight in getattr(spec, "weights", ()):
        details += [weight.sha256, weight.url, weight.package, weight.package_path]
    if isinstance(spec, models.EmbedderSpec):
        details += [str(spec.dimension), f"{spec.alignment.size} px", spec.colour, spec.normalisation]
        if spec.calibration is not None:
            details += [f"slope {spec.calibration.slope:g}", spec.calibration.source]
    if not getattr(spec, "run_by_us", True):
        details.append("not run by us")
    for detail in details:
        assert detail is None or detail in result.stdout
    document = json.loads(run("models", "list", spec.name, "--json").stdout)
    (entry,) = (m for m in document["models"] if m["kind"] == spec.kind)
    fields = {field.name for field in dataclasses.fields(spec)}
    assert fields <= set(entry)
    assert entry.get("run_by_us", True) == getattr(spec, "run_by_us", True)


def test_verbose_gives_the_details_of_all_models(run, fake_models) -> None:
    option = ModelOption("upsample_it", 1, "how often it is made larger", most=3)
    models.register(dataclasses.replace(fake_models.DETECTOR, name="other", options=(option,)))
    text = run("models", "-v").stdout
    assert "--upsample-it N, 1 by default, 3 at most: how often it is made larger" in text
    assert text.count("SHA-256") > 3


def test_an_unknown_name_lists_the_valid_ones(run) -> None:
    for args in (["list"], ["fetch"], ["verify"], ["path"], ["add"]):
        result = run("models", *args, "mtccn", *(["x.pt"] if args == ["add"] else []))
        assert result.exit_code == 2
        assert "Did you mean 'mtcnn'?" in result.stderr


def test_options_may_come_before_the_command(run) -> None:
    assert run("models", "--json", "path").stdout == run("models", "path", "--json").stdout
    assert json.loads(run("models", "--json", "path").stdout)["schema"] == "faceindex/models-path/1"


class TestFetch:
    def test_a_file_is_downloaded_once(self, run, fetchable: str, folder: Path) -> None:
        result = run("models", "fetch", fetchable)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"fetched: {folder / 'net.pt'}\n"
        assert (folder / "net.pt").read_bytes() == CONTENT
        document = json.loads(run("models", "fetch", fetchable, "--json").stdout)
        assert document["schema"] == "faceindex/models-fetch/1"
        (file,) = document["files"]
        assert file == {
            "model": fetchable,
            "name": "net.pt",
            "path": str(folder / "net.pt"),
            "bytes": len(CONTENT),
            "fetched": False,
            "problem": None,
            "remedy": None,
        }

    def test_the_error_for_a_missing_file_names_it(self, run, fetchable: str, album, tmp_path: Path) -> None:
        indexing = ("index", "album", "--detector", fetchable, "--embedder", "fake")
        result = run(*indexing)
        assert result.exit_code == 2
        assert "`faceindex models fetch far`" in result.stderr
        assert "`faceindex models fetch far`" in run("models").stdout
        run("models", "fetch", "far")
        assert run(*indexing).exit_code == 0

    @pytest.mark.parametrize("how", ["--offline", "variable"])
    def test_offline_names_the_url_and_the_folder(
        self, run, fetchable: str, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        if how == "variable":
            monkeypatch.setenv("FACEINDEX_OFFLINE", "1")
        result = run("models", "fetch", fetchable, *([how] if how == "--offline" else []))
        assert result.exit_code == 2
        assert address in result.stderr
        assert f"{folder} as net.pt." in result.stderr
        assert not (folder / "net.pt").exists()

    def test_a_wrong_file_on_the_server_is_an_error(
        self, run, fetchable: str, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "served" / "net.pt").write_bytes(CONTENT[::-1])
        result = run("models", "fetch", fetchable)
        assert result.exit_code == 2
        assert DIGEST in result.stderr
        assert not (folder / "net.pt").exists()

    @pytest.mark.parametrize("json_flag", [[], ["--json"]], ids=["text", "json"])
    def test_other_files_are_downloaded_after_a_failure(
        self, run, fetchable: str, missing: str, folder: Path, json_flag: list[str]
    ) -> None:
        result = run("models", "fetch", missing, fetchable, *json_flag)
        assert result.exit_code == 2
        assert result.stderr.count("error:") == 1
        assert "nowhere.pth" in result.stderr
        assert (models.weights_folder() / "net.pt").read_bytes() == CONTENT
        if not json_flag:
            assert result.stdout.startswith("fetched: ")
            return
        failed, fetched = sorted(json.loads(result.stdout)["files"], key=lambda file: file["fetched"])
        assert (failed["model"], failed["path"], failed["bytes"]) == (missing, None, None)
        assert "nowhere.pth" in failed["problem"]
        assert failed["remedy"]
        assert Path(fetched["path"]).name == "net.pt"
        assert (fetched["problem"], fetched["remedy"]) == (None, None)

    def test_models_without_files(self, run) -> None:
        result = run("models", "fetch", "kmeans")
        assert result.exit_code == 0
        assert result.stderr == "The model has no weight files.\n"
        assert json.loads(run("models", "fetch", "kmeans", "--json").stdout)["files"] == []


class TestVerify:
    def test_published_files(self, run, fetchable: str) -> None:
        run("models", "fetch", fetchable)
        result = run("models", "verify", fetchable)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.split()[:3] == ["ok", "far", "net.pt"]

    def test_missing_and_wrong(self, run, fetchable: str, folder: Path) -> None:
        result = run("models", "verify", fetchable)
        assert result.exit_code == 1
        assert result.stdout.startswith("missing")
        run("models", "fetch", fetchable)
        (folder / "net.pt").write_bytes(CONTENT[:-1])
        result = run("models", "verify", fetchable, "--json")
        assert result.exit_code == 1
        (file,) = json.loads(result.stdout)["files"]
        assert file["state"] == "wrong"
        assert DIGEST in file["problem"]
        assert DIGEST in result.stderr


class TestAdd:
    def test_the_published_file(self, run, fetchable: str, folder: Path, tmp_path: Path) -> None:
        result = run("models", "add", fetchable, tmp_path / "served" / "net.pt")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"added: {folder / 'net.pt'}\n"
        assert run("models", "verify", fetchable).exit_code == 0

    def test_another_file_is_refused(self, run, fetchable: str, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.pt").write_bytes(b"mine")
        result = run("models", "add", fetchable, "mine.pt")
        assert result.exit_code == 2
        assert DIGEST in result.stderr
        assert hashlib.sha256(b"mine").hexdigest() in result.stderr
        assert not folder.exists()

    def test_unverified_is_pinned(self, run, fetchable: str, folder: Path, album, tmp_path: Path) -> None:
        (tmp_path / "mine.pt").write_bytes(b"mine")
        document = json.loads(run("models", "add", fetchable, "mine.pt", "--unverified", "--json").stdout)
        assert document["verified"] is False
        assert run("models", "verify", fetchable).stdout.startswith("ok, unverified")
        assert "(unverified)" in run("models", "list", fetchable).stdout

        indexing = ("index", "album", "--detector", fetchable, "--embedder", "fake")
        assert run(*indexing).exit_code == 0
        status = json.loads(run("status", "--json").stdout)
        assert status["weights"] == {"net.pt": hashlib.sha256(b"mine").hexdigest()}
        assert status["missing"] == []

        run("models", "add", fetchable, tmp_path / "served" / "net.pt")
        assert run("models", "verify", fetchable).stdout.startswith("ok  ")
        result = run("identify", "album/person0/0.png")
        assert result.exit_code == 2
        assert "made with another net.pt" in result.stderr

    @pytest.mark.parametrize("unverified", [[], ["--unverified"]], ids=["", "unverified"])
    def test_a_model_without_weight_files(
        self, run, folder: Path, tmp_path: Path, unverified: list[str]
    ) -> None:
        (tmp_path / "mine.pt").write_bytes(b"mine")
        result = run("models", "add", "kmeans", "mine.pt", *unverified)
        assert result.exit_code == 2
        assert result.stderr == "error: The model needs no weight files. There is nothing to add to it.\n"
        assert not folder.exists()


class TestOwnEmbedder:
    """``add NAME FILE --embedder --like``, and ``remove``."""

    @pytest.fixture(autouse=True)
    def network(self, folder: Path, tmp_path: Path) -> Path:
        path = tmp_path / "network.onnx"
        path.write_bytes(onnx_files.embedder(40))
        return path

    def test_it_is_added_listed_used_and_removed(self, run, album, folder: Path, index_album) -> None:
        result = run("models", "add", "mine", "network.onnx", "--embedder", "--like", "arcface")
        assert result.exit_code == 0
        assert (
            result.stdout == f"added: {folder / 'mine.own.onnx'}\nmine: 40 dimensions, input as for arcface\n"
        )
        text = run("models").stdout
        assert "40 dimensions; licence that of your file; not run by us; weights found" in text
        assert run("models", "verify", "mine").stdout.startswith("ok")
        assert run("models", "path", "mine").stdout.splitlines()[0] == str(folder / "mine.own.onnx")

        assert run("index", "album", "--detector", "fake", "--embedder", "mine").exit_code == 0
        status = json.loads(run("status", "--json").stdout)
        digest = hashlib.sha256(onnx_files.embedder(40)).hexdigest()
        assert status["weights"]["mine.own.onnx"] == digest

        result = run("models", "remove", "mine", "--json")
        assert json.loads(result.stdout)["path"] == str(folder / "mine.own.onnx")
        assert not list(folder.glob("mine*"))
        status = json.loads(run("status", "--json").stdout)
        assert any("if it was your own" in each["remedy"] for each in status["missing"])
        assert run("models", "remove", "mine").exit_code == 2

    def test_json(self, run, folder: Path) -> None:
        args = ("models", "add", "mine", "network.onnx", "--embedder", "--like", "sface", "--json")
        document = json.loads(run(*args).stdout)
        assert document == {
            "schema": "faceindex/models-add/1",
            "model": "mine",
            "path": str(folder / "mine.own.onnx"),
            "verified": True,
            "like": "sface",
        }

    @pytest.mark.parametrize(
        "flags", [["--embedder"], ["--like", "sface"], ["--embedder", "--like", "sface", "--unverified"]]
    )
    def test_flags_that_do_not_go_together(self, run, folder: Path, flags: list[str]) -> None:
        result = run("models", "add", "mine", "network.onnx", *flags)
        assert result.exit_code == 2
        assert "--embedder needs --like" in result.stderr
        assert not folder.exists()

    def test_a_name_that_is_taken(self, run, folder: Path) -> None:
        result = run("models", "add", "dlib", "network.onnx", "--embedder", "--like", "sface")
        assert result.exit_code == 2
        assert "'dlib' is taken" in result.stderr

    def test_an_unknown_template(self, run, folder: Path) -> None:
        result = run("models", "add", "mine", "network.onnx", "--embedder", "--like", "mtcnn")
        assert result.exit_code == 2
        assert "--like is 'mtcnn'" in result.stderr

    def test_a_damaged_description_is_listed(self, run, folder: Path) -> None:
        run("models", "add", "mine", "network.onnx", "--embedder", "--like", "sface")
        (folder / "mine.embedder.json").write_text("{}")
        text = run("models").stdout
        assert "cannot be used: its description is invalid" in text
        assert f"described in {folder / 'mine.embedder.json'}" in " ".join(text.split())
        assert run("models", "list", "mine", "--json").exit_code == 0
        assert run("models", "remove", "mine").exit_code == 0


class TestDamagedAcceptance:
    """The file that records the user's acceptance is damaged, so the weight file cannot be used."""

    @pytest.fixture
    def damaged(self, run, fetchable: str, folder: Path, tmp_path: Path) -> str:
        (tmp_path / "mine.pt").write_bytes(b"mine")
        run("models", "add", fetchable, "mine.pt", "--unverified")
        (folder / "net.pt.unverified.json").write_text("{")
        return fetchable

    def test_the_list_shows_it(self, run, damaged: str) -> None:
        for args in ((), ("list", damaged)):
            text = run("models", *args).stdout
            assert "net.pt.unverified.json is damaged" in text
            assert "missing: net.pt" not in text
        listed = json.loads(run("models", "list", damaged, "--json").stdout)["models"]
        assert listed[0]["ready"] is False
        (weight,) = listed[0]["weights"]
        assert Path(weight["path"]).name == "net.pt"
        assert "is damaged" in weight["problem"]
        assert "add the file again" in weight["remedy"]

    def test_the_path_is_printed(self, run, damaged: str, folder: Path) -> None:
        result = run("models", "path", damaged)
        assert (result.exit_code, result.stdout) == (1, f"{folder / 'net.pt'}\n")
        assert "is damaged" in result.stderr
        assert "not found" not in result.stderr

    def test_adding_the_file_again_repairs_it(self, run, damaged: str, tmp_path: Path) -> None:
        assert run("models", "add", damaged, "mine.pt", "--unverified").exit_code == 0
        assert run("models", "path", damaged).exit_code == 0


class TestPath:
    def test_the_folder_alone_on_a_line(self, run, folder: Path) -> None:
        assert run("models", "path").stdout == f"{folder}\n"

    def test_the_files_of_a_model(self, run, fetchable: str, folder: Path) -> None:
        result = run("models", "path", fetchable)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "models fetch far" in result.stderr
        run("models", "fetch", fetchable)
        assert run("models", "path", fetchable).stdout == f"{folder / 'net.pt'}\n"
