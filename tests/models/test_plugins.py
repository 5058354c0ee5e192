"""Models of other packages: found by their entry points, and harmless when they are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faceindex import models
from faceindex.errors import BrokenModel, ModelError, UnknownModel
from faceindex.models import plugins, registry

Install = Callable[..., None]

SPEC = """
from faceindex.models import ClustererSpec
print("a module that talks")
good = ClustererSpec("toy-good", "toy_none:Model", "a toy", "graph", "made up")
kmeans = ClustererSpec("kmeans", "toy_none:Model", "a toy", "graph", "made up")
number = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make a distribution with entry points, and a module of specs, as pip would leave them."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
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
        plugins.forget()

    plugins.forget()
    yield install
    plugins.forget()


def test_a_model_of_another_package_is_listed_after_our_own(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("toy_fine", clusterers={"toy-good": "toy_fine:good"})
    assert models.names("clusterer") == ["chinese-whispers", "kmeans", "toy-good"]
    spec = models.get("clusterer", "toy-good")
    assert spec.summary == "a toy"
    assert models.get("clusterer", "toy-good") is spec
    assert models.unusable("clusterer") == []
    assert capsys.readouterr().out == ""  # what it prints is not part of an answer


def test_our_own_are_found_without_looking_around(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(kind: object) -> None:
        raise AssertionError("looked at the installed packages")

    monkeypatch.setattr(registry, "plugins", scan)
    for spec in registry.BUILTIN:
        assert models.get(spec.kind, spec.name) is spec


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ("toy_bad:nothing", "clusterer", "does not load (AttributeError: "),
        ("toy_bad_gone:spec", "clusterer", "does not load (ModuleNotFoundError: "),
        ("toy_bad:number", "clusterer", "is not a ClustererSpec but of type int"),
        ("toy_bad:good", "detector", "describes a clusterer"),
        ("toy_bad:kmeans", "clusterer", "named 'kmeans', and its entry point 'toy-bad'"),
    ],
)
def test_a_broken_one_has_a_reason_and_harms_nobody(
    install: Install, value: str, kind: models.Kind, reason: str
) -> None:
    install("toy_bad", **{f"{kind}s": {"toy-bad": value}})
    (plugin,) = models.unusable(kind)
    assert (plugin.name, plugin.distribution) == ("toy-bad", "toy_bad")
    assert reason in plugin.reason
    assert "toy-bad" not in models.names(kind)
    assert len(models.names(kind)) == sum(spec.kind == kind for spec in registry.BUILTIN)
    with pytest.raises(BrokenModel, match="toy-bad' of toy_bad cannot be used") as info:
        models.get(kind, "toy-bad")
    assert reason in info.value.problem
    with pytest.raises(UnknownModel) as unknown:
        models.get(kind, "toy-worse")
    assert "toy-bad" not in unknown.value.remedy


@pytest.mark.parametrize("source", ["raise SystemExit(3)", "raise ZeroDivisionError", "def ("])
def test_one_that_fails_while_it_is_imported(install: Install, source: str) -> None:
    install("toy_failing", source, detectors={"toy": "toy_failing:spec"})
    (plugin,) = models.unusable("detector")
    assert "does not load" in plugin.reason
    assert "mtcnn" in models.names("detector")


def test_names_of_our_own_are_taken(install: Install) -> None:
    install("toy_thief", clusterers={"kmeans": "toy_thief:kmeans"})
    assert models.get("clusterer", "kmeans") in registry.BUILTIN
    assert models.names("clusterer").count("kmeans") == 1
    (plugin,) = models.unusable("clusterer")
    assert plugin.reason == "faceindex itself has a clusterer of this name"


def test_of_two_that_offer_one_name_neither_is_guessed(install: Install) -> None:
    install("toy_one", clusterers={"toy-good": "toy_one:good"})
    install("toy_two", clusterers={"toy-good": "toy_two:good"})
    assert "toy-good" not in models.names("clusterer")
    with pytest.raises(BrokenModel, match="toy_one and toy_two both offer one"):
        models.get("clusterer", "toy-good")


def test_a_target_that_cannot_be_imported_names_the_package(install: Install) -> None:
    install("toy_hollow", clusterers={"toy-good": "toy_hollow:good"})
    with pytest.raises(ModelError, match="toy_none") as info:
        models.load(models.get("clusterer", "toy-good"))
    assert "pip install --upgrade toy_hollow" in info.value.remedy
    ours = replace(registry.BUILTIN[-1], target="faceindex.cluster.kmeans:Nothing")
    with pytest.raises(ModelError, match="Nothing"):
        models.load(ours)
