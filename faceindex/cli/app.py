"""The program: its commands, and the handling of usage errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_type_hints

import typer

from faceindex import __version__
from faceindex.cli import (
    cluster,
    clusters,
    doctor,
    export,
    faces,
    find,
    forget,
    gallery,
    identify,
    importing,
    index,
    migrate,
    models,
    options,
    people,
    review,
    roots,
    sidecar,
    status,
)
from faceindex.cli.commands import App, Group, find_command
from faceindex.cli.completion import install_completion, print_completion, register_shells
from faceindex.cli.errors import INTERRUPTED, USAGE, report, unwritable
from faceindex.cli.eval import evaluate
from faceindex.cli.render import Output
from faceindex.cli.usage import as_usage_error
from faceindex.errors import UsageError

__all__ = ["app", "main"]

_SHELL_OPTIONS = ("--install-completion", "--show-completion")


class Program(Group):
    """The command group; reports usage errors in the same form and with the same exit code as all errors."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse, run, exit. The parameters are typer's; name and mode are always the same."""
        words = sys.argv[1:] if args is None else list(args)
        register_shells()
        try:
            # A call without a command is wrong usage; print the help.
            code = super().main(
                args if words else ["--help"],
                "faceindex",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
            code = code if words else USAGE
        except KeyboardInterrupt:
            code = INTERRUPTED
        except OSError as error:
            code = unwritable(error)  # of help or version; commands report their own errors
        except UsageError as error:
            code = _report_usage(error, words)
        except Exception as error:
            # The parsing errors of typer have no public base class; all of them have `format_message`.
            if not hasattr(error, "format_message"):
                raise
            code = _report_usage(as_usage_error(error), words)
        sys.exit(code or 0)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; the shell after an option of `_SHELL_OPTIONS` may be missing."""
        if args and args[0] in _SHELL_OPTIONS and len(args) <= 2:
            args = [f"{args[0]}={''.join(args[1:])}"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the help; ``help`` comes last."""
        return sorted(self.commands, key=lambda name: name == "help")


app = App(
    cls=Program,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="""
    Examples:
      faceindex index ~/Pictures     find the faces
      faceindex cluster              group them into people
      faceindex review               name and correct them
      faceindex gallery ~/people     write a page of them
      faceindex identify party.jpg   find people on a photo

    --index, --json, --quiet, --verbose and --debug may come before or after the command. Your photos are
    never changed, and nothing leaves this computer unless you name a server. Exit codes: 0 done, 1 the answer
    is partial or empty, 2 an error.
    """,
)


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Resolve the annotations of a command whose module does not import typer."""
    function.__annotations__ = get_type_hints(function, vars(options), include_extras=True)
    return function


def _complete_command(ctx: Any, args: Sequence[str], incomplete: str) -> list[str]:
    group = ctx.find_root().command
    for name in ctx.params.get("command") or ():
        group = getattr(group, "commands", {}).get(name)
    return [name for name in getattr(group, "commands", ()) if name.startswith(incomplete)]


def _print_help(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", help="A command, such as export crops.", autocompletion=_complete_command
        ),
    ] = None,
) -> None:
    """Show the help of a command.

    `faceindex COMMAND --help` shows the same.

    Example: faceindex help export crops
    """
    typer.echo(find_command(context.find_root(), command or []).get_help())


app.command("index")(_with_options(index.index))
app.command("cluster")(cluster.cluster)
app.command("clusters", cls=clusters.ClustersCommand)(clusters.clusters)
app.add_typer(people.app, name="people")
app.add_typer(importing.app, name="import")
app.add_typer(sidecar.app, name="sidecar")
app.add_typer(export.app, name="export")
app.command("identify")(_with_options(identify.identify))
app.command("find")(find.find)
app.command("status")(status.status)
app.command("eval")(evaluate)
app.command("faces")(faces.faces)
app.command("review")(review.review)
app.command("gallery")(gallery.gallery)
app.add_typer(models.app, name="models")
app.add_typer(roots.app, name="roots")
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("forget")(forget.forget)
app.command("help")(_print_help)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"faceindex {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    install: Annotated[
        str | None,
        typer.Option(
            "--install-completion",
            metavar="[SHELL]",
            callback=install_completion,
            help="Install tab completion in bash, zsh, fish or powershell; the running shell by default.",
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            "--show-completion",
            metavar="[SHELL]",
            callback=print_completion,
            help="Print the script of the tab completion.",
        ),
    ] = None,
) -> None:
    """Find, group and recognise the people in folders of photos."""


def main() -> None:
    """The console script ``faceindex``."""
    app()


def _report_usage(error: UsageError, words: Sequence[str]) -> int:
    # Parsing failed, so look for --json in the words themselves.
    options = words[: words.index("--")] if "--" in words else words
    return report(Output(json="--json" in options), error)
