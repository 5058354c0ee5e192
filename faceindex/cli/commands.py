"""Commands and groups of commands: their help texts, and options in front of the command.

`App` is a `typer.Typer` whose commands are `Command` and whose groups are `Group`. Help texts show the names
of values (``PATH``, ``N``) without the types that typer adds, and examples are not rewrapped.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from faceindex.errors import UsageError

__all__ = ["App", "Command", "CommandWithSubcommands", "Group", "examples", "find_command", "value_name"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_PARAGRAPH_OF_EXAMPLES = re.compile(r"^Examples?:.*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
_COMMON_FLAGS = re.compile(r"--json|--quiet|--verbose|--debug|-[qv]+")
_INDEX = "--index"
_HYPHEN = "\ue000"  # for private use in Unicode; as wide as a hyphen


class Command(TyperCommand):
    """A command with plain help, and errors that name it."""

    allow_extra_args = True  # `parse_args` reports them

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command.

        Raises
        ------
        UsageError
            If there are more arguments than the command takes.
        """
        with _named(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])
            raise UsageError(
                f"`{ctx.command_path}` does not take {_quoted(rest)}.", f"Its usage is `{usage}`."
            )
        return rest

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        return _restore_hyphens(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the command in the usage line."""
        return _usage_pieces(self, ctx)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description and the examples."""
        _write_text(formatter, self.help)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands; the options that all commands share may come before the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the group, as if shared options followed the command.

        An option that is given on both sides has the value of the later one.
        """
        with _named(ctx):
            return super().parse_args(ctx, self._reorder(args, is_root=ctx.parent is None))

    def _reorder(self, words: Sequence[str], *, is_root: bool) -> list[str]:
        shared, others, rest = _split_options(words)
        if rest:
            return [*others, rest[0], *shared, *rest[1:]]
        return others if is_root else list(words)  # `models --json` has no command

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that a word names.

        Raises
        ------
        UsageError
            If there is none.
        """
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise _no_such_command(ctx, self, args[0])
        return (None if command is None else args[0]), command, args[1:]

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        return _restore_hyphens(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words after the group in the usage line."""
        return [*_usage_pieces(self, ctx), self.subcommand_metavar]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description and the examples."""
        _write_text(formatter, self.help)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options and the list of commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write what follows the list of commands."""
        _write_text(formatter, self.epilog)


class CommandWithSubcommands(Command):
    """A command with arguments, and with subcommands, such as ``clusters`` and ``clusters diff``.

    The name of a subcommand in front of the arguments selects it; shared options may come before the name.

    Attributes
    ----------
    subcommands : App
        Set by the subclass.
    """

    subcommands: App

    @functools.cached_property
    def commands(self) -> dict[str, Any]:
        """The subcommands by name."""
        return dict(typer.main.get_group(self.subcommands).commands)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the words after the command, as the subcommand that they name or as this one."""
        shared, others, rest = _split_options(args)
        command = self.commands.get(rest[0]) if rest and not others else None
        if command is None:
            return super().make_context(info_name, args, parent, **extra)
        return command.make_context(f"{info_name} {rest[0]}", [*shared, *rest[1:]], parent, **extra)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options and the list of subcommands."""
        super().format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, _keep_hyphens(command.get_short_help_str(60)))
                    for name, command in self.commands.items()
                ]
            )


class App(typer.Typer):
    """A `typer.Typer` with `Command` and `Group`, and without rich text in the help.

    Parameters
    ----------
    **settings
        Passed to `typer.Typer`.
    """

    def __init__(self, **settings: Any) -> None:
        # Plain help is as fast as it can be, and the same in a pipe.
        super().__init__(**{"cls": Group, "rich_markup_mode": None, "add_completion": False, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """Register a function as a command; parameters of `typer.Typer.command`."""
        return super().command(name, **{"cls": Command, **settings})


def find_command(ctx: Any, names: Iterable[str]) -> Any:
    """Find a command, such as ``export crops``, below a group.

    Parameters
    ----------
    ctx : typer.Context
        Of the group.
    names : iterable of str

    Returns
    -------
    typer.Context
        Of the command, without arguments.

    Raises
    ------
    UsageError
        If there is no such command.
    """
    for name in names:
        group = ctx.command
        command = getattr(group, "commands", {}).get(name)
        if command is None:
            raise _no_such_command(ctx, group, name)
        if isinstance(group, CommandWithSubcommands):
            ctx = group.make_context(ctx.info_name, [name], ctx.parent, resilient_parsing=True)
        else:
            ctx = command.make_context(name, [], parent=ctx, resilient_parsing=True)
    return ctx


def examples(text: str | None) -> list[str]:
    """Return the commands in the examples of a help text."""
    paragraphs = _PARAGRAPH_OF_EXAMPLES.findall(inspect.cleandoc(text or ""))
    lines = (line.strip() for each in paragraphs for line in each.partition(":")[2].splitlines())
    return [line.split("  ")[0] for line in lines if line]  # an explanation may follow, two spaces apart


def value_name(parameter: Any) -> str:
    """Return the name of an argument, or of the value of an option, in help texts and errors."""
    return str(parameter.metavar or parameter.name.upper())


def _split_options(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the options of all commands at the start of words, other options there, and the rest."""
    shared: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        word = rest.pop(0)
        if word == _INDEX:
            shared += [word, *rest[:1]]
            rest = rest[1:]
        elif word.startswith(f"{_INDEX}=") or _COMMON_FLAGS.fullmatch(word):
            shared.append(word)
        else:
            others.append(word)
    return shared, others, rest


def _no_such_command(ctx: Any, group: Any, name: str) -> UsageError:
    names = list(getattr(group, "commands", ()))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    if not names:
        return UsageError(f"`{ctx.command_path}` has no commands.", f"See `{ctx.command_path} --help`.")
    return UsageError(
        f"`{ctx.command_path}` has no command '{name}'.", f"{hint}See `{ctx.command_path} --help`."
    )


@contextlib.contextmanager
def _named(ctx: Any) -> Iterator[None]:
    """Add the context to errors of the parser, which omits it from some."""
    try:
        yield
    except Exception as error:
        if getattr(error, "ctx", ctx) is None:
            error.ctx = ctx  # type: ignore[attr-defined]
        raise


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


# Help texts ------------------------------------------------------------------------------------


def _keep_hyphens(text: str) -> str:
    """Replace hyphens in words by a character at which lines are not wrapped: `--dry-run` is one word."""
    return re.sub(r"(?<=\w)-(?=\w)", _HYPHEN, text)


def _restore_hyphens(text: str) -> str:
    return text.replace(_HYPHEN, "-")


def _usage_pieces(command: Any, ctx: Any) -> list[str]:
    pieces = [command.options_metavar] if command.options_metavar else []
    for parameter in command.get_params(ctx):
        if parameter.param_type_name == "argument":
            name = value_name(parameter)
            pieces.append((name if parameter.required else f"[{name}]") + _repetition(parameter))
    return pieces


def _repetition(argument: Any) -> str:
    return "" if argument.nargs == 1 else "..."


def _write_text(formatter: Any, text: str | None) -> None:
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            # "\b" keeps the lines of a paragraph.
            formatter.write_text(
                _PARAGRAPH_OF_EXAMPLES.sub("\b\n\\g<0>", _keep_hyphens(inspect.cleandoc(text)))
            )


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    parameters = [parameter for parameter in command.get_params(ctx) if not parameter.hidden]
    arguments = [_argument_row(each) for each in parameters if each.param_type_name == "argument"]
    opts = [_option_row(each) for each in parameters if each.param_type_name == "option"]
    for title, rows in (("Arguments", arguments), ("Options", opts)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _argument_row(argument: Any) -> tuple[str, str]:
    return value_name(argument) + _repetition(argument), _keep_hyphens(argument.help or "")


def _option_row(option: Any) -> tuple[str, str]:
    names = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        names += f" / {', '.join(option.secondary_opts)}"
    elif not option.is_flag:
        names += f" {value_name(option)}"
    return names, _keep_hyphens(" ".join([option.help or "", *_default(option)]))


def _default(option: Any) -> Iterator[str]:
    value = option.default
    if not option.show_default or value is None or callable(value):
        return
    if isinstance(value, bool):
        if option.secondary_opts:
            yield f"[default: {(option.opts if value else option.secondary_opts)[0].lstrip('-')}]"
    else:
        yield f"[default: {value}]"
