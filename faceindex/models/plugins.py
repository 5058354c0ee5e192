"""Models of other installed packages, found by their entry points.

A package offers a model with an entry point in the group ``faceindex.detectors``,
``faceindex.embedders`` or ``faceindex.clusterers``, whose name is that of the model and whose
object is its spec (https://packaging.python.org/en/latest/specifications/entry-points/). One broken
package never stands in the way of other models.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions, entry_points

from faceindex.errors import BrokenModel
from faceindex.models.spec import ClustererSpec, DetectorSpec, EmbedderSpec, Kind, Spec
from faceindex.models.validate import spec_fault

__all__ = ["GROUPS", "Plugin", "forget", "in_words", "plugins"]

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
    """A model that another package offers.

    Attributes
    ----------
    kind : {"detector", "embedder", "clusterer"}
    name : str
    distribution : str
        The package, as pip names it.
    spec : Spec or None
        None if it cannot be used.
    reason : str
        Why it cannot be used, as a clause; empty if it can.
    """

    kind: Kind
    name: str
    distribution: str
    spec: Spec | None
    reason: str = ""

    def error(self) -> BrokenModel:
        """What is raised when somebody wants to use it and cannot."""
        return BrokenModel(
            f"The {self.kind} '{self.name}' of {self.distribution} cannot be used: {self.reason}.",
            f"Repair it with `pip install --upgrade {self.distribution}`, or uninstall it.",
        )


@functools.cache
def plugins(kind: Kind) -> dict[str, Plugin]:
    """The models of one kind that other packages offer, by name, in alphabetical order.

    Looked up once in a process; `forget` makes it look again.
    """
    offered: defaultdict[str, dict[str, EntryPoint]] = defaultdict(dict)
    for entry in _entries(GROUPS[kind]):
        # Of a package that is on the path twice, the first is the one that would be imported.
        offered[entry.name].setdefault(_distribution(entry), entry)
    return {name: _plugin(kind, name, offered[name]) for name in sorted(offered)}


def forget() -> None:
    """Look for entry points anew, after packages were installed or removed in this process."""
    plugins.cache_clear()


def in_words(error: BaseException) -> str:
    """An exception as a clause on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")


def _entries(group: str) -> list[EntryPoint]:
    try:
        return list(entry_points(group=group))
    except Exception:
        # One package's unreadable list of entry points, whatever they are for, spoils the whole lookup.
        found: list[EntryPoint] = []
        for distribution in distributions():
            with contextlib.suppress(Exception):
                found.extend(distribution.entry_points.select(group=group))
        return found


def _plugin(kind: Kind, name: str, entries: dict[str, EntryPoint]) -> Plugin:
    if len(entries) > 1:
        # Which one an index was made with could not be told.
        packages = " and ".join(sorted(entries))
        return Plugin(kind, name, packages, None, f"{packages} both offer one; uninstall one of them")
    ((distribution, entry),) = entries.items()
    if not entry.pattern.match(entry.value):
        reason = f"its entry point is '{entry.value}', not 'module:NAME'"
        return Plugin(kind, name, distribution, None, reason)
    try:
        # Standard output is for answers; what a module prints while it is imported is none.
        with contextlib.redirect_stdout(sys.stderr):
            spec = entry.load()
    except (Exception, SystemExit) as error:
        reason = f"{entry.value} does not load ({in_words(error)})"
        return Plugin(kind, name, distribution, None, reason)
    if reason := _fault(spec, kind, name, entry.value):
        return Plugin(kind, name, distribution, None, reason)
    return Plugin(kind, name, distribution, spec)


def _fault(spec: object, kind: Kind, name: str, value: str) -> str:
    if not isinstance(spec, (DetectorSpec, EmbedderSpec, ClustererSpec)):
        return f"{value} is not a {_SPECS[kind].__name__} but of type {type(spec).__name__}"
    if not isinstance(spec, _SPECS[kind]):
        return f"{value} describes a {spec.kind}, and the entry point is in the group {GROUPS[kind]}"
    if spec.name != name:
        return f"its spec is named '{spec.name}', and its entry point '{name}'"
    return spec_fault(spec)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"
