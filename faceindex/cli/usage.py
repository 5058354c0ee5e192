"""Convert errors of typer's parser to errors of faceindex: what is wrong, and what to write instead.

The parser's error classes are not public and have changed their module between versions of typer, so they
are recognised by their names. An unknown class keeps typer's message.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from faceindex.cli.commands import Group, examples, value_name
from faceindex.errors import UsageError

__all__ = ["as_usage_error"]


def as_usage_error(error: Exception) -> UsageError:
    """Return the `UsageError` for an error of typer's parser."""
    ctx = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    if ctx is None:
        return UsageError(_message(error), "See `faceindex --help`.")
    name = type(error).__name__
    if name == "NoSuchOption":
        return _no_such_option(ctx, error.option_name)  # type: ignore[attr-defined]
    if name == "BadOptionUsage":
        return _value_of_option(ctx, error)
    if name == "MissingParameter" and parameter is not None:
        return _missing_argument(ctx, parameter)
    if name == "BadParameter" and parameter is not None:
        return _wrong_value(ctx, error, parameter)
    if isinstance(ctx.command, Group):
        return UsageError(f"`{ctx.command_path}` needs a command.", f"See `{ctx.command_path} --help`.")
    return UsageError(_message(error), _see(ctx))


def _message(error: Any) -> str:
    text = " ".join(str(error.format_message()).split())
    return text if text.endswith((".", "?", "!", ")")) else f"{text}."


def _see(ctx: Any) -> str:
    return f"See `{ctx.command_path} --help`."


def _no_such_option(ctx: Any, option: str) -> UsageError:
    problem = f"`{ctx.command_path}` has no option {option}."
    if isinstance(ctx.command, Group):
        for path, command in _commands(ctx.command, ctx.command_path):
            if any(option in _names(parameter) for parameter in command.params):
                return UsageError(problem, f"Write it after its command, as in `{path} {option}`.")
    known = [name for parameter in ctx.command.get_params(ctx) for name in _names(parameter)]
    near = difflib.get_close_matches(option, known, n=1)
    return UsageError(problem, f"Did you mean {near[0]}? {_see(ctx)}" if near else _see(ctx))


def _commands(group: Group, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, Group):
            yield from _commands(command, f"{path} {name}")


def _names(parameter: Any) -> list[str]:
    if parameter.param_type_name != "option":
        return []
    return [*parameter.opts, *parameter.secondary_opts]


def _value_of_option(ctx: Any, error: Any) -> UsageError:
    option = error.option_name
    for parameter in ctx.command.get_params(ctx):
        if option in _names(parameter):
            if parameter.is_flag:
                return UsageError(f"{option} takes no value.", f"Write only {option}.")
            return UsageError(f"{option} has no value.", f"Write `{option} {value_name(parameter)}`.")
    return UsageError(_message(error), _see(ctx))


def _missing_argument(ctx: Any, parameter: Any) -> UsageError:
    found = examples(ctx.command.help)
    example = f"Example: `{found[0]}`." if found else _see(ctx)
    return UsageError(f"`{ctx.command_path}` needs {value_name(parameter)}.", example)


def _wrong_value(ctx: Any, error: Any, parameter: Any) -> UsageError:
    wanted = _wanted(parameter)
    details = getattr(error.__cause__, "errors", None)
    if not wanted or details is None:
        return UsageError(_message(error), _see(ctx))
    names = _names(parameter)
    name = max(names, key=len) if names else value_name(parameter)
    return UsageError(f"{name} is {_shown(details()[0]['input'])}.", f"Choose {wanted}.")


def _wanted(parameter: Any) -> str:
    descriptor = getattr(parameter, "type_descriptor", None)
    kinds: dict[object, str] = {int: "a whole number", float: "a number"}
    kind = kinds.get(getattr(descriptor, "annotation", None), "")
    low, high = parameter.min, parameter.max
    if not kind or (low is None and high is None):
        return kind
    if high is None:
        return f"{kind}, {low} or more"
    return f"{kind}, at most {high}" if low is None else f"{kind} from {low} to {high}"


def _shown(value: object) -> str:
    try:
        float(str(value))
    except ValueError:
        return f"'{value}'"
    return str(value)
