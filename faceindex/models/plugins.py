"""Models of other installed packages, found by their entry points.

A package offers a model with an entry point in the group ``faceindex.detectors``,
``faceindex.embedders`` or ``faceindex.clusterers``. The entry point has the name of the model and refers
to its spec (https://packaging.python.org/en/latest/specifications/entry-points/). A broken package does
not affect the models of other packages.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, distributions, entry_points

from faceindex.errors import BrokenModel
from faceindex.models.spec import ClustererSpec, DetectorSpec, EmbedderSpec, Kind, Spec
from faceindex.models.validate import spec_problem

__all__ = ["GROUPS", "Plugin", "clear_cache", "one_line", "plugins"]

GROUPS: dict[Kind, str] = {
    "detector": "faceindex.detectors",
    "embedder": "faceindex.embedders",
    "clusterer": "faceindex.clusterers",
}
_SPECS: dict[Kind, type[Spec]] = {
    "detector": DetectorSpec,
    "embedder": EmbedderSpec,
    "clusterer": ClustererSpec,
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A model of another package.

    Attributes
    ----------
    kind : {"detector", "embedder", "clusterer"}
    name : str
    distribution : str
        Name of the package, as in ``pip install``.
    spec : Spec or None
        None if the model cannot be used.
    reason : str
        Why the model cannot be used, as a clause; empty if it can.
    own : bool
        Whether it is an embedder of the user's own (`faceindex.models.own`); `distribution` is then the path
        of its description.
    """

    kind: Kind
    name: str
    distribution: str
    spec: Spec | None
    reason: str = ""
    own: bool = False

    def provides(self, spec: Spec) -> bool:
        """Return whether a spec is the one of this model; its calibration may be the user's."""
        if isinstance(spec, EmbedderSpec) and isinstance(self.spec, EmbedderSpec):
            return replace(spec, calibration=self.spec.calibration) == self.spec
        return spec is self.spec

    def error(self) -> BrokenModel:
        """Create the error to raise when this unusable model is requested."""
        if self.own:
            return BrokenModel(
                f"Your own embedder '{self.name}' cannot be used: {self.reason}.",
                f"Remove it with `faceindex models remove {self.name}`, and add it again.",
            )
        return BrokenModel(
            f"The {self.kind} '{self.name}' of {self.distribution} cannot be used: {self.reason}.",
            f"Repair it with `pip install --upgrade {self.distribution}`, or uninstall it.",
        )


@functools.cache
def plugins(kind: Kind) -> dict[str, Plugin]:
    """Find the models of one kind that other packages offer, by name, in alphabetical order.

    The result is cached for the life of the process; `clear_cache` discards it.
    """
    offered: defaultdict[str, dict[str, EntryPoint]] = defaultdict(dict)
    for entry in _entries(GROUPS[kind]):
        # If a package is on the path twice, Python imports the first.
        offered[entry.name].setdefault(_distribution(entry), entry)
    return {name: _plugin(kind, name, offered[name]) for name in sorted(offered)}


def clear_cache() -> None:
    """Make `plugins` read the entry points again, after packages were installed or removed."""
    plugins.cache_clear()


def one_line(error: BaseException) -> str:
    """Format an exception as one line without a full stop."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")


def _entries(group: str) -> list[EntryPoint]:
    try:
        return list(entry_points(group=group))
    except Exception:
        # One unreadable entry_points.txt of any package makes the lookup above fail: read them one by one.
        found: list[EntryPoint] = []
        for distribution in distributions():
            with contextlib.suppress(Exception):
                found.extend(distribution.entry_points.select(group=group))
        return found


def _plugin(kind: Kind, name: str, entries: dict[str, EntryPoint]) -> Plugin:
    if len(entries) > 1:
        # The index stores only the model's name, not its package.
        packages = " and ".join(sorted(entries))
        return Plugin(kind, name, packages, None, f"{packages} both offer one; uninstall one of them")
    ((distribution, entry),) = entries.items()
    if not entry.pattern.match(entry.value):
        reason = f"its entry point is '{entry.value}', not 'module:NAME'"
        return Plugin(kind, name, distribution, None, reason)
    try:
        # Standard output is for results, so output of the imported module goes to standard error.
        with contextlib.redirect_stdout(sys.stderr):
            spec = entry.load()
    except (Exception, SystemExit) as error:
        reason = f"{entry.value} does not load ({one_line(error)})"
        return Plugin(kind, name, distribution, None, reason)
    if reason := _problem(spec, kind, name, entry.value):
        return Plugin(kind, name, distribution, None, reason)
    return Plugin(kind, name, distribution, spec)


def _problem(spec: object, kind: Kind, name: str, value: str) -> str:
    if not isinstance(spec, (DetectorSpec, EmbedderSpec, ClustererSpec)):
        return f"{value} is not a {_SPECS[kind].__name__} but of type {type(spec).__name__}"
    if not isinstance(spec, _SPECS[kind]):
        return f"{value} describes a {spec.kind}, but the entry point is in the group {GROUPS[kind]}"
    if spec.name != name:
        return f"its spec is named '{spec.name}', but its entry point '{name}'"
    return spec_problem(spec)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"
