"""The program: its commands, and the handling of usage errors."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from faceindex import __version__
from faceindex.cli import (
    cluster,
    clusters,
    export,
    faces,
    gallery,
    identify,
    index,
    models,
    options,
    status,
)
from faceindex.cli.errors import INTERRUPTED, USAGE, report, unwritable
from faceindex.cli.eval import evaluate
from faceindex.cli.render import Output
from faceindex.errors import UsageError

__all__ = ["app", "main"]


class Program(TyperGroup):
    """The command group; reports usage errors with the same format and exit code as all errors."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse, run, exit. The parameters are typer's; `standalone_mode` is always off."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            # A call without a command is wrong usage; print the help.
            code = super().main(
                args if words else ["--help"],
                prog_name or "faceindex",
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
        except Exception as error:
            # The base class of typer's parsing errors has changed its name between versions and is not
            # always public; all of them have `format_message`.
            if not hasattr(error, "format_message"):
                raise
            code = _report_usage(error, words)
        sys.exit(code or 0)


app = typer.Typer(
    cls=Program,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: as fast, and the same in a pipe
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Start with: faceindex index PHOTOS, then: faceindex cluster. Nothing leaves this computer, and "
    "your photos are never changed. Exit codes: 0 done, 1 the answer is partial or empty, 2 an error.",
)


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Resolve the annotations of a command whose module does not import typer."""
    function.__annotations__ = get_type_hints(function, vars(options), include_extras=True)
    return function


app.command("index")(_with_options(index.index))
app.command("cluster")(cluster.cluster)
app.command("clusters", cls=clusters.ClustersCommand)(clusters.clusters)
app.add_typer(export.app, name="export")
app.command("identify")(_with_options(identify.identify))
app.command("status")(status.status)
app.command("eval")(evaluate)
app.command("faces")(faces.faces)
app.command("gallery")(gallery.gallery)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"faceindex {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Find, group and recognise the people in folders of photos."""


def main() -> None:
    """The console script ``faceindex``."""
    app()


def _report_usage(error: Exception, words: Sequence[str]) -> int:
    wrong = getattr(error, "option_name", None)
    possibilities = getattr(error, "possibilities", None)
    if wrong and possibilities:  # sorted by name; suggest the most similar one
        nearest = difflib.get_close_matches(wrong, possibilities, n=1, cutoff=0.0)[0]
        message = f"There is no option {wrong}. Did you mean {nearest}?"
    else:
        message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    if message and message[-1] not in ".?!)":
        message += "."
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "faceindex"
    # Parsing failed, so look for --json in the words themselves.
    options = words[: words.index("--")] if "--" in words else words
    out = Output(json="--json" in options)
    return report(out, UsageError(message, f"See `{command} --help`."))
