"""Write `docs/commands.md`, the reference of all commands, from the program itself.

    python docs/make_commands.py

`tests/test_docs.py` compares the file with what this module generates.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from faceindex.cli.app import app
from faceindex.cli.commands import examples, find_command, value_name

__all__ = ["PAGE", "contexts", "reference"]

PAGE = Path(__file__).with_name("commands.md")

SHARED = ("--index", "--json", "--quiet", "--verbose", "--debug", "--help")
"""Options that are described once, at the top."""

_HEAD = """\
# Commands

This page lists every command with its arguments and options, as `faceindex COMMAND --help` prints them. For
example:

```sh
faceindex help export crops
```

`python docs/make_commands.py` generates this page from the program. The [other pages](README.md) explain the
commands.
"""

_SHARED = """\
## Options of all commands

Most commands have these options. They may come before or after the command. If an option is given in both
places, the later one counts.
"""

_ENVIRONMENT = """\
## Environment variables

| variable | meaning |
| --- | --- |
| `FACEINDEX_INDEX` | The index directory, if `--index` is not given. |
| `FACEINDEX_WEIGHTS` | A folder with [weight files](models.md#weight-files). |
| `FACEINDEX_OFFLINE` | `1` stops `faceindex models fetch` from using the network. |
| `https_proxy`, `no_proxy` | Proxies for `faceindex models fetch`. |
| `NO_COLOR` | No colours, whatever the value ([no-color.org](https://no-color.org)). |

## Output and exit codes

Answers go to standard output; progress, notes, warnings and errors go to standard error. With `--json`,
standard output is one JSON document with a `schema` field, also if there is an error.

| exit code | meaning |
| --- | --- |
| 0 | Done. |
| 1 | Done, but the answer is partial or empty: an unreadable photo, no face, no clusters. |
| 2 | Wrong usage, no index, missing weights, a damaged index, or output that cannot be written. |
| 130, 143 | Interrupted at once by Ctrl-C, or by SIGTERM. |
"""


def contexts() -> Iterator[tuple[str, Any]]:
    """Yield the path of each command and group, such as ``"export crops"``, and a context of it."""
    root = typer.main.get_command(app).make_context("faceindex", [], resilient_parsing=True)
    yield "", root
    yield from _contexts(root, "")


def _contexts(parent: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name in parent.command.commands:
        context = find_command(parent, [name])
        yield f"{path} {name}".strip(), context
        if getattr(context.command, "commands", {}):
            yield from _contexts(context, f"{path} {name}".strip())


def reference() -> str:
    """Return the page."""
    found = list(contexts())
    parts = [_HEAD, _list_of_commands(found[1:]), _SHARED, _shared_options(found)]
    parts.extend(_section(path, context) for path, context in found)
    return "\n".join([*parts, _ENVIRONMENT])


def _list_of_commands(found: list[tuple[str, Any]]) -> str:
    rows = [
        f"| [`{path}`](#{path.replace(' ', '-')}) | {_escape(_paragraphs(context.command.help)[0])} |"
        for path, context in found
    ]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows, ""])


def _shared_options(found: list[tuple[str, Any]]) -> str:
    described: dict[str, Any] = {}
    for _, context in found:
        for option in _parameters(context, "option"):
            described.setdefault(_name(option), option)
    return _table("option", [described[name] for name in SHARED])


def _section(path: str, context: Any) -> str:
    command = context.command
    arguments, options = _parameters(context, "argument"), _parameters(context, "option")
    own = [option for option in options if _name(option) not in SHARED]
    shared = [f"`{name}`" for name in SHARED if any(_name(option) == name for option in options)]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [
        f"{'#' * (2 + path.count(' '))} {path or 'faceindex'}\n",
        f"```text\n{usage}\n```\n",
        *(f"{_escape(paragraph)}\n" for paragraph in _paragraphs(command.help)),
    ]
    if found := examples(command.help) or examples(command.epilog):
        language = "text" if any("  " in line for line in found) else "sh"  # a remark follows each command
        parts.append(f"```{language}\n" + "\n".join(found) + "\n```\n")
    if arguments:
        parts.append(_table("argument", arguments))
    if own:
        parts.append(_table("option", own))
    also = "Also" if own else "Options"
    parts.append(f"{also}: {', '.join(shared)} ([options of all commands](#options-of-all-commands)).\n")
    return "\n".join(parts)


def _parameters(context: Any, kind: str) -> list[Any]:
    return [p for p in context.command.get_params(context) if p.param_type_name == kind and not p.hidden]


def _name(option: Any) -> str:
    return str(max(option.opts, key=len))


def _table(kind: str, parameters: list[Any]) -> str:
    rows = [f"| {_names(parameter)} | {_escape(_text(parameter))} |" for parameter in parameters]
    return "\n".join([f"| {kind} | |", "| --- | --- |", *rows, ""])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{value_name(parameter)}{'' if parameter.nargs == 1 else '...'}`"
    names = sorted(parameter.opts, key=len) + list(parameter.secondary_opts)
    value = "" if parameter.is_flag else f" {value_name(parameter)}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _text(parameter: Any) -> str:
    text = parameter.help or ""
    default = parameter.default
    if parameter.param_type_name == "argument" or parameter.is_flag or default is None or callable(default):
        return text
    return f"{text} Default: {default}."


def _paragraphs(text: str | None) -> list[str]:
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return [" ".join(each.split()) for each in paragraphs if not each.startswith(("Example:", "Examples:"))]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
