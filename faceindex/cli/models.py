"""``faceindex models``: what can be chosen, and the weight files that it needs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from faceindex import models
from faceindex.cli.errors import PARTIAL, USAGE, session
from faceindex.cli.model_facts import (
    TITLES,
    WeightState,
    as_json,
    broken_as_json,
    facts,
    headline,
    provider,
    weights_of,
)
from faceindex.cli.options import DebugFlag, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Json, Output, columns, size
from faceindex.errors import ModelError, UnknownModel, WeightsNotFound
from faceindex.models import Plugin, Spec, WeightFile

__all__ = ["app"]

_SCHEMA = "faceindex/models/1"
_FETCH_SCHEMA = "faceindex/models-fetch/1"
_VERIFY_SCHEMA = "faceindex/models-verify/1"
_ADD_SCHEMA = "faceindex/models-add/1"
_PATH_SCHEMA = "faceindex/models-path/1"

app = typer.Typer(rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A model; `faceindex models` lists them.")]
NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these models.")]


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the models, and get the files that they need.

    Without a command, the list.
    """
    flags = {"json": json, "quiet": quiet, "verbose": verbose, "debug": debug}
    if context.invoked_subcommand is None:
        _list([], **flags)
    else:
        # Flags before the command are as good as behind it.
        context.default_map = {context.invoked_subcommand: flags}


@app.command("list")
def list_models(
    names: NamesArgument = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the models, and whether their weights are there.

    With a name, or with -v, everything that is known of each.
    """
    _list(names or [], json=json, quiet=quiet, verbose=verbose, debug=debug)


def _list(names: Sequence[str], *, json: bool, quiet: bool, verbose: bool, debug: bool) -> None:
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        specs, broken = _select(names)
        if json:
            out.document(_SCHEMA, models=[*map(as_json, specs), *map(broken_as_json, broken)])
            return
        first = True
        for kind, title in TITLES:
            mine = [spec for spec in specs if spec.kind == kind]
            useless = [plugin for plugin in broken if plugin.kind == kind]
            if not mine and not useless:
                continue
            if not first:
                out.answer()
            first = False
            out.answer(out.styled(title, "bold"))
            for spec in mine:
                _print_model(out, spec, fully=verbose or bool(names))
            for plugin in useless:
                out.answer(f"  {plugin.name}")
                out.answer(f"      {out.styled('cannot be used', 'error')}: {plugin.reason}")
                out.answer(f"      from the package {plugin.distribution}")
        if not names and not verbose:
            out.hint("All about one: faceindex models list NAME")


def _print_model(out: Output, spec: Spec, *, fully: bool) -> None:
    out.answer(f"  {spec.name}")
    out.answer(f"      {spec.summary}")
    states = weights_of(spec)
    if fully:
        for line in columns(facts(spec, states), indent=6):
            out.answer(line)
        return
    about = headline(spec)
    if (package := provider(spec)) != "faceindex":
        about.append(f"from the package {package}")
    if states:
        if any(state.path is None for state in states):
            about.append(out.styled("weights missing", "error"))
        elif any(state.problem for state in states):
            about.append(out.styled("weights cannot be used", "error"))
        else:
            about.append(out.styled("weights found", "good"))
    if about:
        out.answer(f"      {'; '.join(about)}")
    for state in states:
        if state.path is None:
            out.answer(f"      missing: {state.file.name} ({size(state.file.size)}). {state.remedy}")
        elif state.problem:
            out.answer(f"      {state.problem} {state.remedy}")


@app.command("fetch")
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models whose files are wanted.")],
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Do not use the network: say where the files come from and where they go. "
            "$FACEINDEX_OFFLINE=1 does the same.",
        ),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Download the weight files of models that are missing.

    Each is checked by its size and SHA-256 before it is used. A download that was interrupted goes on
    where it stopped when this is run again. Proxies are taken from https_proxy and no_proxy. No other
    command ever uses the network. Exit code 2 if a file could not be had; the others are fetched all the
    same.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.cli.progress import DownloadBar
        from faceindex.models.fetch import ensure_weights

        done: list[Json] = []
        for model, weight in _files(names):
            path, fetched, error = None, False, None
            try:
                with DownloadBar(out, weight.name) as bar:
                    path, fetched = ensure_weights(weight, progress=bar.update, offline=offline)
            except KeyboardInterrupt:
                out.note("What has come is kept. Run it again to go on from there.")
                raise
            except ModelError as caught:
                error = caught
                out.error(error.problem, error.remedy)
                out.exit_code = USAGE
            else:
                out.answer(f"{'fetched' if fetched else 'already there'}: {path}")
            done.append(
                {
                    "model": model,
                    "name": weight.name,
                    "path": None if path is None else str(path),
                    "bytes": None if path is None else path.stat().st_size,
                    "fetched": fetched,
                    "problem": None if error is None else error.problem,
                    "remedy": None if error is None else error.remedy,
                }
            )
        if not done and not json:
            out.note("There is nothing to fetch: no weight files are needed.")
        if json:
            out.document(_FETCH_SCHEMA, files=done)


@app.command("verify")
def verify(
    names: NamesArgument = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check the weight files against their published SHA-256.

    Exit code 1 if one is missing or wrong.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.models.weights import find_acceptance

        checked: list[Json] = []
        rows: list[tuple[str, str, str, str]] = []
        errors: list[ModelError] = []
        for model, weight in _files(names or []):
            path, error = None, None
            try:
                path = models.verify_weights(weight)
                state = "ok, unverified" if find_acceptance(path) else "ok"
            except ModelError as caught:
                error = caught
                errors.append(caught)
                state = "missing" if isinstance(caught, WeightsNotFound) else "wrong"
            rows.append((state, model, weight.name, str(path or "")))
            checked.append(
                {
                    "model": model,
                    "name": weight.name,
                    "state": state,
                    "path": None if path is None else str(path),
                    "problem": None if error is None else error.problem,
                    "remedy": None if error is None else error.remedy,
                }
            )
        for line in columns(rows):
            out.answer(line)
        for error in errors:
            out.error(error.problem, error.remedy)
            out.exit_code = PARTIAL
        if json:
            out.document(_VERIFY_SCHEMA, files=checked)


@app.command("add")
def add(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The weight file; it is copied.")],
    unverified: Annotated[
        bool,
        typer.Option(
            "--unverified",
            help="Accept a file that is not the published one. Indexes made with it are pinned to it.",
        ),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Put a weight file that you have into your folder of weight files.

    A file that is not the published one is refused, unless you say --unverified.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.models.install import add_weights
        from faceindex.models.weights import find_acceptance

        path = add_weights([weight for _, weight in _files([name])], file, unverified=unverified)
        verified = find_acceptance(path) is None
        out.answer(f"added: {path}")
        if not verified:
            out.warning(f"{path.name} is not the published file; {name} uses it from now on on your word.")
        if json:
            out.document(_ADD_SCHEMA, model=name, path=str(path), verified=verified)


@app.command("path")
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The files of this model; the folder if none is named."),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say where weight files are.

    Without a name the folder where they are put; with one the files of that model, a line each. Exit code
    1 if one is missing or cannot be used.
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        states = [WeightState.of(weight) for _, weight in _files([name])] if name else []
        if not name:
            out.answer(str(models.weights_folder()))
        for state in states:
            if state.problem:
                out.error(state.problem, state.remedy or "")
                out.exit_code = PARTIAL
            if state.path is not None:
                out.answer(state.path)
        if json:
            out.document(
                _PATH_SCHEMA,
                folder=str(models.weights_folder()),
                files=[
                    {
                        "name": state.file.name,
                        "path": state.path,
                        "problem": state.problem,
                        "remedy": state.remedy,
                    }
                    for state in states
                ],
            )


def _select(names: Sequence[str]) -> tuple[list[Spec], list[Plugin]]:
    """The models of these names, of every kind; all if there are none. Those that can be used, and others.

    Raises
    ------
    UnknownModel
    """
    specs = [models.get(kind, name) for kind in models.KINDS for name in models.names(kind)]
    broken = [plugin for kind in models.KINDS for plugin in models.unusable(kind)]
    if not names:
        return specs, broken
    valid = list(dict.fromkeys(entry.name for entry in (*specs, *broken)))
    for name in names:
        if name not in valid:
            close = difflib.get_close_matches(name, valid, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            raise UnknownModel(
                f"There is no model named '{name}'.", f"{hint}Valid names: {', '.join(valid)}."
            )
    return [s for s in specs if s.name in names], [p for p in broken if p.name in names]


def _files(names: Sequence[str]) -> Iterable[tuple[str, WeightFile]]:
    """The weight files of models, each with the first of its models.

    Raises
    ------
    UnknownModel
    BrokenModel
        If one that was named cannot be used.
    """
    specs, broken = _select(names)
    if names:
        for plugin in broken:
            if all(spec.name != plugin.name for spec in specs):
                raise plugin.error()
    files: dict[WeightFile, str] = {}
    for spec in specs:
        for state in weights_of(spec):
            files.setdefault(state.file, spec.name)
    return [(model, weight) for weight, model in files.items()]
