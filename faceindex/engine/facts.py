"""What must be the same in this process and in the workers of an engine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from faceindex import __version__
from faceindex.errors import EngineError

__all__ = ["Facts"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What must be the same, and where that is.

    Attributes
    ----------
    host : str
        Name of the machine.
    same : mapping of str to str
        Versions, extras and digests of weights, by what they are of.
    """

    host: str
    same: Mapping[str, str]

    @classmethod
    def of_this_process(cls, more: Mapping[str, str]) -> Facts:
        """Collect the versions of faceindex and Python, and more."""
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(platform.node(), {"faceindex": __version__, "Python": python, **more})

    def check(self, other: object) -> None:
        """Compare with the facts of a worker; raises `EngineError`, which names both, if they differ."""
        assert isinstance(other, Facts)
        for what, here in self.same.items():
            there = other.same.get(what)
            if there != here:
                raise EngineError(
                    f"{what} differs: {there} at a worker on {other.host}, {here} on {self.host}.",
                    "Install the same on all machines.",
                )
