"""Models of other packages: found by their entry points, harmless if they are broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faceindex import models
from faceindex.errors import BrokenModel, ModelError, UnknownModel, WeightsNotFound
from faceindex.models import builtin, plugins, registry

Install = Callable[..., None]

SPEC = """
from faceindex.models import ClustererSpec
print("output at import")
good = ClustererSpec("toy-good", "toy_none:Model", "a toy", "graph", "made up")
kmeans = ClustererSpec("kmeans", "toy_none:Model", "a toy", "graph", "made up")
number = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Create a distribution with entry points and a module of specs, as pip installs it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(distribution: str, source: str = SPEC, **groups: dict[str, str]) -> None:
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "".join(
                f"[faceindex.{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
                for group, entries in groups.items()
            )
        )
        (site / f"{distribution}.py").write_text(source)
        plugins.clear_cache()

    plugins.clear_cache()
    with registry.isolated():
        yield install
    plugins.clear_cache()


def test_models_of_other_packages_are_listed_after_built_in_ones(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("toy_fine", clusterers={"toy-good": "toy_fine:good"})
    assert models.names("clusterer") == ["album", "chinese-whispers", "kmeans", "toy-good"]
    spec = models.get("clusterer", "toy-good")
    assert spec.summary == "a toy"
    assert models.get("clusterer", "toy-good") is spec
    assert models.unusable("clusterer") == []
    assert capsys.readouterr().out == ""  # output of the module goes to standard error


def test_built_in_models_are_found_without_reading_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(kind: object) -> None:
        raise AssertionError("read the entry points")

    monkeypatch.setattr(registry, "plugins", scan)
    for spec in builtin.BUILTIN:
        assert models.get(spec.kind, spec.name) is spec


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ("toy_bad:nothing", "clusterer", "does not load (AttributeError: "),
        ("toy_bad_gone:spec", "clusterer", "does not load (ModuleNotFoundError: "),
        ("toy_bad:number", "clusterer", "is not a ClustererSpec but of type int"),
        (
            "toy_bad:good",
            "detector",
            "describes a clusterer, but the entry point is in the group faceindex.detectors",
        ),
        ("toy_bad:kmeans", "clusterer", "named 'kmeans', but its entry point 'toy-bad'"),
        ("", "clusterer", "its entry point is '', not 'module:NAME'"),
        ("toy bad:good", "clusterer", "its entry point is 'toy bad:good', not 'module:NAME'"),
    ],
)
def test_a_broken_model_has_a_reason_and_does_not_affect_others(
    install: Install, value: str, kind: models.Kind, reason: str
) -> None:
    install("toy_bad", **{f"{kind}s": {"toy-bad": value}})
    (plugin,) = models.unusable(kind)
    assert (plugin.name, plugin.distribution) == ("toy-bad", "toy_bad")
    assert reason in plugin.reason
    assert "toy-bad" not in models.names(kind)
    assert len(models.names(kind)) == sum(spec.kind == kind for spec in builtin.BUILTIN)
    with pytest.raises(BrokenModel, match="toy-bad' of toy_bad cannot be used") as info:
        models.get(kind, "toy-bad")
    assert reason in info.value.problem
    with pytest.raises(UnknownModel) as unknown:
        models.get(kind, "toy-worse")
    assert "toy-bad" not in unknown.value.remedy


@pytest.mark.parametrize("source", ["raise SystemExit(3)", "raise ZeroDivisionError", "def ("])
def test_a_module_that_cannot_be_imported(install: Install, source: str) -> None:
    install("toy_failing", source, detectors={"toy": "toy_failing:spec"})
    (plugin,) = models.unusable("detector")
    assert "does not load" in plugin.reason
    assert "mtcnn" in models.names("detector")


def test_an_unreadable_list_of_entry_points_hides_only_its_own_models(
    install: Install, tmp_path: Path
) -> None:
    install("toy_garbled", clusterers={"toy-bad": "toy_garbled:good"})
    with (tmp_path / "site/toy_garbled-1.0.dist-info/entry_points.txt").open("a") as file:
        file.write("no equals sign\n")
    install("toy_fine", clusterers={"toy-good": "toy_fine:good"})
    assert models.names("clusterer") == ["album", "chinese-whispers", "kmeans", "toy-good"]


def test_the_name_of_a_built_in_model_is_taken(install: Install) -> None:
    install("toy_thief", clusterers={"kmeans": "toy_thief:kmeans"})
    assert models.get("clusterer", "kmeans") in builtin.BUILTIN
    assert models.names("clusterer").count("kmeans") == 1
    (plugin,) = models.unusable("clusterer")
    assert plugin.reason == "faceindex itself has a clusterer of this name"


def test_two_packages_that_offer_the_same_name_are_both_unusable(install: Install) -> None:
    install("toy_one", clusterers={"toy-good": "toy_one:good"})
    install("toy_two", clusterers={"toy-good": "toy_two:good"})
    assert "toy-good" not in models.names("clusterer")
    with pytest.raises(BrokenModel, match="toy_one and toy_two both offer one"):
        models.get("clusterer", "toy-good")


def test_the_error_for_a_missing_target_names_the_package(install: Install) -> None:
    install("toy_hollow", clusterers={"toy-good": "toy_hollow:good"})
    with pytest.raises(ModelError, match="toy_none") as info:
        models.load(models.get("clusterer", "toy-good"))
    assert "pip install --upgrade toy_hollow" in info.value.remedy
    ours = replace(builtin.BUILTIN[-1], target="faceindex.clustering.kmeans:Nothing")
    with pytest.raises(ModelError, match="Nothing"):
        models.load(ours)


TARGETS = """
from faceindex.errors import WeightsNotFound
from faceindex.models import ClustererSpec

class Failing:
    def __init__(self, spec):
        raise ZeroDivisionError("division\\nby zero")

class Leaving:
    def __init__(self, spec):
        raise SystemExit(3)

class Hungry:
    def __init__(self, spec):
        raise WeightsNotFound("The weight file is nowhere.", "Get it.")

class Idle:
    def __init__(self, spec):
        self.spec = spec

number = 3
spec = ClustererSpec("toy", "toy_models:TARGET", "a toy", "graph", "made up")
"""


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("Failing", r"toy_models:Failing cannot be built \(ZeroDivisionError: division by zero\)"),
        ("Leaving", r"toy_models:Leaving cannot be built \(SystemExit: 3\)"),
        ("number", r"toy_models:number cannot be built \(TypeError: 'int' object is not callable\)"),
        ("Nothing", r"toy_models:Nothing does not load \(AttributeError: "),
        ("Idle", r"toy_models:Idle has no fit\."),
    ],
)
def test_the_error_for_a_failing_target_names_the_package(
    install: Install, monkeypatch: pytest.MonkeyPatch, target: str, reason: str
) -> None:
    monkeypatch.delitem(sys.modules, "toy_models", raising=False)
    install("toy_models", TARGETS.replace("TARGET", target), clusterers={"toy": "toy_models:spec"})
    with pytest.raises(BrokenModel, match=f"'toy' of toy_models cannot be used: {reason}") as info:
        models.load(models.get("clusterer", "toy"))
    assert "toy_models" in info.value.remedy


def test_errors_of_faceindex_are_raised_unchanged(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "toy_models", raising=False)
    install("toy_models", TARGETS.replace("TARGET", "Hungry"), clusterers={"toy": "toy_models:spec"})
    with pytest.raises(WeightsNotFound):
        models.load(models.get("clusterer", "toy"))


def test_errors_in_built_in_models_are_raised_unchanged(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "toy_models", raising=False)
    install("toy_models", TARGETS, clusterers={"toy": "toy_models:spec"})
    with pytest.raises(ZeroDivisionError):
        models.load(replace(builtin.BUILTIN[-1], target="toy_models:Failing"))


def test_a_spec_with_wrong_types_is_reported_before_it_is_used(install: Install) -> None:
    source = (
        "from faceindex.models import DetectorSpec\n"
        "spec = DetectorSpec('toy', 'toy_models:Model', 'a toy', False, 'half', 'made up', 'MIT')\n"
    )
    install("toy_typeless", source, detectors={"toy": "toy_typeless:spec"})
    (plugin,) = models.unusable("detector")
    assert plugin.reason == "threshold in its spec is 'half', expected float"
    assert "toy" not in models.names("detector")
