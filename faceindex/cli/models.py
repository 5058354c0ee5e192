"""``faceindex models``: list the models, and manage their weight files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from faceindex import models
from faceindex.cli.commands import App
from faceindex.cli.completion import complete_models
from faceindex.cli.errors import PARTIAL, USAGE, session
from faceindex.cli.flags import as_flags
from faceindex.cli.model_details import (
    TITLES,
    WeightState,
    as_json,
    broken_as_json,
    details,
    headline,
    provider,
    weights_of,
)
from faceindex.cli.model_selection import select_models as _select
from faceindex.cli.model_selection import weight_files as _files
from faceindex.cli.models_calibrate import calibrate
from faceindex.cli.options import DebugFlag, JsonFlag, QuietFlag, VerboseFlag, expand_home
from faceindex.cli.render import Output, columns, size
from faceindex.documents import Json
from faceindex.errors import ModelError, UsageError, WeightsNotFound
from faceindex.models import ClustererSpec, Spec

__all__ = ["app"]

_SCHEMA = "faceindex/models/1"
_FETCH_SCHEMA = "faceindex/models-fetch/1"
_VERIFY_SCHEMA = "faceindex/models-verify/1"
_ADD_SCHEMA = "faceindex/models-add/1"
_REMOVE_SCHEMA = "faceindex/models-remove/1"
_PATH_SCHEMA = "faceindex/models-path/1"
_INDENT = 6
_NO_FILES = "The model has no weight files."

app = App(subcommand_metavar="[COMMAND] [ARGS]...")

_complete_any = complete_models(*models.KINDS)
_complete_networks = complete_models("detector", "embedder")  # have weight files

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A model; `faceindex models` lists them.", autocompletion=_complete_networks
    ),
]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Models; all models if none is named.", autocompletion=_complete_any),
]


@app.callback(invoke_without_command=True)
def program(
    context: typer.Context,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the models, and download and check their weight files.

    Without a command, lists the models.

    Example: faceindex models
    """
    if context.invoked_subcommand is None:
        _list([], json=json, quiet=quiet, verbose=verbose, debug=debug)


@app.command("list")
def list_models(
    names: NamesArgument = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the models, and whether their weight files are present.

    With NAME or -v, prints all details of each: options, threshold, licence, weight files.

    Example: faceindex models list mtcnn
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
                out.paragraph(f"{out.styled('cannot be used', 'error')}: {plugin.reason}", indent=_INDENT)
                origin = "described in" if plugin.own else "from the package"
                out.paragraph(f"{origin} {plugin.distribution}", indent=_INDENT)
        if not names and not verbose:
            out.hint("For details: faceindex models list NAME")


def _print_model(out: Output, spec: Spec, *, fully: bool) -> None:
    out.answer(f"  {spec.name}")
    out.paragraph(spec.summary, indent=_INDENT)
    states = weights_of(spec)
    if fully:
        for line in columns(details(spec, states), indent=_INDENT, width=out.width):
            out.answer(line)
        return
    about = headline(spec)
    if not isinstance(spec, ClustererSpec) and not spec.run_by_us:
        about.append("not run by us")
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
        out.paragraph("; ".join(about), indent=_INDENT)
    for state in states:
        if state.path is None:
            out.paragraph(
                f"missing: {state.file.name} ({size(state.file.size)}). {state.remedy}", indent=_INDENT
            )
        elif state.problem:
            out.paragraph(f"{state.problem} {state.remedy}", indent=_INDENT)


@app.command("fetch")
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Models; the most accurate detector and embedder if none is named.",
            autocompletion=_complete_networks,
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Do not use the network: print where missing files come from and where they belong. "
            "FACEINDEX_OFFLINE=1 in the environment does the same.",
        ),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Download the missing weight files of models.

    Without NAME, those of the models that a new index uses by default once their files are there. Checks
    the size and SHA-256 of each file before it can be used. If a download is interrupted, run the command
    again to continue it. Uses the proxies in https_proxy and no_proxy. No other command uses the network.
    Exit code 2 if a file could not be downloaded; the other files are downloaded all the same.

    Example: faceindex models fetch
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.cli.progress import DownloadBar
        from faceindex.models.fetch import ensure_weights

        done: list[Json] = []
        for model, weight in _files(names or [spec.name for spec in models.recommended()]):
            path, fetched, error = None, False, None
            try:
                with DownloadBar(out, weight.name) as bar:
                    path, fetched = ensure_weights(weight, progress=bar.update, offline=offline)
            except KeyboardInterrupt:
                out.note("The part that arrived is kept. Run the command again to continue.")
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
                    "problem": None if error is None else as_flags(error.problem),
                    "remedy": None if error is None else as_flags(error.remedy),
                }
            )
        if not done:
            out.note(_NO_FILES)
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

    Exit code 1 if a file is missing or differs.

    Example: faceindex models verify mtcnn dlib
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
                    "problem": None if error is None else as_flags(error.problem),
                    "remedy": None if error is None else as_flags(error.remedy),
                }
            )
        for line in columns(rows):
            out.answer(line)
        if not rows:
            out.note(_NO_FILES)
        for error in errors:
            out.error(error.problem, error.remedy)
            out.exit_code = PARTIAL
        if json:
            out.document(_VERIFY_SCHEMA, files=checked)


@app.command("add")
def add(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A model; `faceindex models` lists them. With --embedder, a new name.",
            autocompletion=_complete_networks,
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", callback=expand_home, help="The weight file.")],
    embedder: Annotated[
        bool,
        typer.Option("--embedder", help="Add an ONNX file of your own as a new embedder."),
    ] = False,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="NAME",
            help="With --embedder: the embedder whose chips and pixel values it takes, such as arcface.",
            autocompletion=complete_models("embedder"),
        ),
    ] = None,
    unverified: Annotated[
        bool,
        typer.Option(
            "--unverified",
            help="Accept a file that differs from the published one. Indexes made with it need this file.",
        ),
    ] = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Copy a weight file that you have into the folder of weight files.

    The file must be the published one, or --unverified must be given.

    With --embedder and --like, the file is an ONNX network of your own, and NAME becomes a new embedder.

    Example: faceindex models add facenet ~/Downloads/20180402-114759-vggface2.pt
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if embedder != (like is not None) or (embedder and unverified):
            raise UsageError(
                "`embedder` needs `like`, and the other way round; neither goes with `unverified`.",
                "For a network of your own, run `faceindex models add NAME FILE --embedder --like arcface`.",
            )
        if like is not None:
            from faceindex.embed.own import add_embedder

            spec = add_embedder(name, file, like=like)
            path = models.find_weights(spec.weights[0])
            out.answer(f"added: {path}")
            out.answer(f"{name}: {spec.dimension} dimensions, input as for {like}")
            out.hint(f"Use it: faceindex index PHOTOS --embedder {name}")
            if json:
                out.document(_ADD_SCHEMA, model=name, path=str(path), verified=True, like=like)
            return
        from faceindex.models.install import add_weights
        from faceindex.models.weights import find_acceptance

        path = add_weights([weight for _, weight in _files([name])], file, unverified=unverified)
        verified = find_acceptance(path) is None
        out.answer(f"added: {path}")
        if not verified:
            out.warning(f"{path.name} differs from the published file. {name} uses it unverified.")
        if json:
            out.document(_ADD_SCHEMA, model=name, path=str(path), verified=verified, like=None)


@app.command("remove")
def remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="An embedder of your own.", autocompletion=complete_models("embedder")
        ),
    ],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Delete an embedder of your own, and its file.

    It was added with `add --embedder`. Indexes made with it can be read as before, but new photos need the
    same file again.

    Example: faceindex models remove mine
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.models.own import remove_own

        path = remove_own(name)
        out.answer(f"removed: {path}")
        if json:
            out.document(_REMOVE_SCHEMA, model=name, path=str(path))


app.command("calibrate")(calibrate)


@app.command("path")
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A model.", autocompletion=_complete_networks),
    ] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print the folder of weight files, or the files of a model.

    Without NAME, prints the folder that `fetch` and `add` write to. With NAME, prints the files of the model,
    one per line. Exit code 1 if a file is missing or cannot be used.

    Example: faceindex models path dlib
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        states = [WeightState.of(weight) for _, weight in _files([name])] if name else []
        if not name:
            out.answer(str(models.weights_folder()))
        elif not states:
            out.note(_NO_FILES)
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
