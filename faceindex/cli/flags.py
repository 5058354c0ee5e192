"""Flags of the command line in place of the library's parameters.

Messages of the library name Python parameters in backticks, as in "`min_size` is 0."; the command line
prints "--min-size is 0."
"""

from __future__ import annotations

import re

__all__ = ["FLAGS", "as_flags"]

_PARAMETER = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")
FLAGS = {
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("actors", "age_of", "from_list", "on", "only", "search", "since", "until"),
            *(
                "algorithm",
                "aligned",
                "cancel",
                "check_content",
                "detector",
                "device",
                "drop_missing",
                "embedder",
                "face",
            ),
            *("flip", "folders", "format", "half", "k", "labels", "like", "link", "margin"),
            *("named", "part_size", "public"),
            *(
                "max_false_alarms",
                "max_memory",
                "min_face",
                "min_size",
                "newer_than",
                "offline",
                "photos",
                "plot",
                "prune",
                "rebuild",
                "repeats",
                "replace",
            ),
            *("retry_failed", "seed", "sweep", "threshold", "unclustered"),
            *("unverified", "upsample", "video_interval"),
        )
    },
    "directory": "--index",
}
"""Parameters of the library that are flags of a command."""


def as_flags(text: str) -> str:
    """Replace parameters in backticks by command-line flags.

    ``min_size`` becomes ``--min-size``, ``link='copy'`` becomes ``--link copy``, ``prune=True`` becomes
    ``--prune`` and ``flip=False`` becomes ``--no-flip``.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in FLAGS:
            return match[0]
        if value == "False":
            return "--no-" + FLAGS[name].removeprefix("--")
        return FLAGS[name] if value in (None, "True") else f"{FLAGS[name]} {value.strip(chr(39))}"

    return _PARAMETER.sub(flag, text)
