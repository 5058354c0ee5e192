"""Shell completion: the scripts for the shells, and the values that can be completed.

A shell runs ``faceindex`` with the variable ``_FACEINDEX_COMPLETE`` at each press of the Tab key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import typer

from faceindex.cli.escaping import escaped
from faceindex.errors import FaceIndexError, UsageError

__all__ = [
    "SHELLS",
    "complete_clusters",
    "complete_from",
    "complete_models",
    "complete_people",
    "complete_references",
    "install_completion",
    "print_completion",
    "register_shells",
]

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")

_PROGRAM = "faceindex"
_VARIABLE = "_FACEINDEX_COMPLETE"
_MOST_CLUSTERS = 50  # the largest ones; a longer list is of no use on a terminal


def register_shells() -> None:
    """Register typer's completion classes, if a shell runs this process to complete a word."""
    if os.environ.get(_VARIABLE):
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def install_completion(ctx: typer.Context, shell: str | None) -> None:
    """Callback of ``--install-completion``: install the script where the shell finds it, and exit.

    Raises
    ------
    UsageError
        If there is no completion for the shell.
    """
    if shell is None or ctx.resilient_parsing:  # parsed only to complete a word
        return
    from typer.completion import install  # type: ignore[attr-defined]

    name, path = install(shell=_known_shell(shell), prog_name=_PROGRAM, complete_var=_VARIABLE)
    typer.echo(f"Installed completion for {name} in {path}. Start a new shell to use it.")
    raise typer.Exit


def print_completion(ctx: typer.Context, shell: str | None) -> None:
    """Callback of ``--show-completion``: print the script, and exit.

    Raises
    ------
    UsageError
        If there is no completion for the shell.
    """
    if shell is None or ctx.resilient_parsing:  # parsed only to complete a word
        return
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    name = _known_shell(shell)
    typer.echo(get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=name))
    raise typer.Exit


def _known_shell(shell: str) -> str:
    name = (shell or _running_shell()).lower()
    if name not in SHELLS:
        problem = f"There is no completion for the shell '{name}'." if name else "The shell is unknown."
        raise UsageError(problem, "Name bash, zsh, fish or powershell, as in --show-completion zsh.")
    return name


def _running_shell() -> str:
    import shellingham

    try:
        return str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        return ""


# Values ----------------------------------------------------------------------------------------


def complete_from(*values: str) -> Callable[[str], list[str]]:
    """Return a completer that suggests some values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def complete_models(*kinds: str) -> Callable[[str], list[tuple[str, str]]]:
    """Return a completer that suggests the models of some kinds, with their summaries."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        from faceindex import models

        found: dict[str, str] = {}
        for kind in models.KINDS:
            if kind in kinds:
                for name in models.names(kind):
                    found.setdefault(name, models.get(kind, name).summary)
        return [(name, summary) for name, summary in found.items() if name.startswith(incomplete)]

    return complete


def complete_clusters(ctx: Any, args: Sequence[str], incomplete: str) -> list[tuple[str, str]]:
    """Suggest the largest clusters of the index, with their numbers of faces."""
    from faceindex.api.opening import open_store

    try:
        with open_store(ctx.params.get("index"), write=False) as store:
            sizes = store.cluster_sizes(_MOST_CLUSTERS)
    except (FaceIndexError, OSError):
        return []  # no index, or one that cannot be read
    return [(str(cluster), f"{size:,} faces") for cluster, size in sizes]


def complete_people(ctx: Any, args: Sequence[str], incomplete: str) -> list[str]:
    """Suggest the names of the people of the index."""
    from faceindex.api.opening import open_store
    from faceindex.people.roster import Roster, name_key

    try:
        with open_store(ctx.params.get("index"), write=False) as store:
            people = Roster.of(store.decisions.people()).people()
    except (FaceIndexError, OSError):
        return []  # no index, or one that cannot be read
    key = name_key(incomplete)
    names = (person.name for person in people if person.name and name_key(person.name).startswith(key))
    return sorted(name for name in names if escaped(name) == name)  # the shell prints them as they are


def complete_references(ctx: Any, args: Sequence[str], incomplete: str) -> list[tuple[str, str]]:
    """Suggest the largest clusters, and the people."""
    people = [(name, "person") for name in complete_people(ctx, args, incomplete)]
    return [*people, *complete_clusters(ctx, args, incomplete)]
