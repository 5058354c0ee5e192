"""The documents: links resolve, commands parse, code runs, and generated parts are current."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from PIL import Image

import faceindex
from faceindex.cli.app import app
from faceindex.store import migrations

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(REPOSITORY / name / "README.md" for name in ("benchmarks", "weights")),
    *sorted(DOCS.glob("*.md")),
]
MOST_WORDS_OF_README = 900

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="there are no documents beside the tests")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def load(script: str) -> ModuleType:
    """Import a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{script}", DOCS / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(page.read_text("utf-8")) if language in languages]


# Links -----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{number}" if number else slug)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_SPAN.sub("", prose(page))):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(link)
    assert not broken


def test_the_index_of_pages_lists_every_page() -> None:
    listed = set(_LINK.findall((DOCS / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= listed


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS_OF_README


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_shows_a_path_of_a_real_machine(page: Path) -> None:
    assert not re.findall(r"/(?:root|tmp|work|Users|home/(?!anna\b)\w+)\b\S*", page.read_text("utf-8"))


# Commands --------------------------------------------------------------------------------------


def test_the_reference_of_commands_is_current() -> None:
    commands = load("make_commands")
    assert commands.PAGE.read_text(encoding="utf-8") == commands.reference(), (
        "run `python docs/make_commands.py`"
    )


def test_the_reference_has_every_command_and_option() -> None:
    commands = load("make_commands")
    text = commands.PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^#{2,3} (.+?)\n(.*?)(?=^#{2,3} |\Z)", text, re.MULTILINE | re.DOTALL))
    found = dict(commands.contexts())
    assert {"index", "cluster", "identify", "export crops", "models fetch"} <= found.keys()
    for path, context in found.items():
        section = sections[path or "faceindex"]
        for parameter in context.command.get_params(context):
            for option in (*parameter.opts, *parameter.secondary_opts):
                shared = option in sections["Options of all commands"]
                argument = parameter.param_type_name == "argument"
                assert argument or parameter.hidden or f"`{option}" in section or shared, (path, option)


def inert_program() -> Any:
    """The program with commands that parse their arguments and do nothing."""
    program = typer.main.get_command(app)

    def disarm(command: Any) -> None:
        command.callback = lambda **arguments: None
        for parameter in command.params:
            if "--install-completion" in parameter.opts:
                parameter.callback = None
        for inner in getattr(command, "commands", {}).values():
            disarm(inner)

    disarm(program)
    return program


def shown_commands(page: Path) -> Iterator[list[str]]:
    """The words of every faceindex command in the code blocks of a page."""
    lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
    for text in blocks(page, "console"):
        lines += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    for line in lines:
        command: list[str] = []
        redirected = False
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += ","
        for word in [*lexer, ";"]:  # without comments
            if set(word) <= set("|;&{}()"):
                if command and command[0].rpartition("/")[2] == "faceindex":
                    yield command[1:]
                command, redirected = [], False
            elif set(word) <= set("<>"):
                redirected = True
            elif not redirected:
                command.append(word)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shown_commands_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in shown_commands(page):
        with pytest.raises(SystemExit) as done:
            inert_program().main(words)
        assert done.value.code in (0, None), (words, capsys.readouterr().err)


def test_the_check_of_shown_commands_can_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nx/faceindex index a | head -3; faceindex clusters --shiny  # yes\n```\n")
    assert list(shown_commands(page)) == [["index", "a"], ["clusters", "--shiny"]]
    with pytest.raises(SystemExit) as done:
        inert_program().main(["clusters", "--shiny"])
    assert done.value.code == 2
    assert "--shiny" in capsys.readouterr().err


def commands_and_options() -> dict[str, set[str]]:
    return {
        path: {
            option
            for parameter in context.command.get_params(context)
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("-")
        }
        for path, context in load("make_commands").contexts()
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    options = commands_and_options()
    for span in _SPAN.findall(prose(page)):
        words = span.split() or [""]
        if words[0] == "faceindex":
            words = words[1:]
        elif page.parent != DOCS or (words[0] not in options and not words[0].startswith("--")):
            continue  # another program
        path = ""
        while words and f"{path} {words[0]}".strip() in options:
            path = f"{path} {words.pop(0)}".strip()
        known = options[path] if path else set().union(*options.values())
        assert [word for word in words if word.startswith("--") and word not in known] == [], span


# The library -----------------------------------------------------------------------------------


@pytest.fixture
def album(fake_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos; the fake models have the names of the default models."""
    from faceindex import models

    for kind, fake in (("detector", fake_models.DETECTOR), ("embedder", fake_models.EMBEDDER)):
        choice = getattr(models.choose(), kind)
        models.register(replace(fake, name=choice), replace=True)
    fake_models.make_album(tmp_path / "photos")
    Image.new("RGB", (96, 96), (64, 64, 128)).save(tmp_path / "someone.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEINDEX_INDEX", raising=False)
    return tmp_path


def test_code_of_the_library_page_runs(album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = re.compile(r"(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for page in (DOCS / "library.md", DOCS / "export.md"):
        found = list(marked.finditer(page.read_text(encoding="utf-8")))
        assert found
        for match in found:
            if match[1] and importlib.util.find_spec(match[1]) is None:
                continue
            line = page.read_text(encoding="utf-8")[: match.start(2)].count("\n")
            exec(compile("\n" * line + match[2], str(page), "exec"), names)
    printed = capsys.readouterr().out
    assert "12 faces on 12 photos, 3 clusters" in printed
    assert (album / "page" / "index.html").is_file()
    assert (album / "answer.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_code_compiles(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")


def test_the_library_page_has_every_public_name() -> None:
    text = (DOCS / "library.md").read_text(encoding="utf-8")
    assert [name for name in faceindex.__all__ if not re.search(rf"`{name}\b", text)] == []


def test_the_library_page_has_every_error_and_method() -> None:
    from faceindex import FaceIndex, errors
    from faceindex.api import evaluation, export, sheets, sidecars

    text = (DOCS / "library.md").read_text(encoding="utf-8")
    names = {name for name in errors.__all__ if name != "Reason"}
    companions = (
        evaluation.IndexEvaluation,
        export.IndexExport,
        sheets.ContactSheets,
        sidecars.IndexSidecars,
    )
    for public in (FaceIndex, *companions):
        names |= {name for name in dir(public) if not name.startswith("_")}  # also of its bases
    names -= {"check_writable", "labelled"}  # used by the command line
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []


# The inside ------------------------------------------------------------------------------------


def test_the_format_page_has_every_table() -> None:
    text = (DOCS / "index-format.md").read_text(encoding="utf-8")
    statements = [statement for _, statements in migrations.MIGRATIONS for statement in statements]
    tables = set()
    for made, dropped in re.findall(r"CREATE TABLE (\w+)|DROP TABLE (\w+)", "\n".join(statements)):
        tables.discard(dropped)
        tables.add(made)
    tables.discard("")
    assert len(tables) > 5
    assert [table for table in sorted(tables) if f"`{table}`" not in text] == []
    assert f"This is format {migrations.format_version()}." in text


def test_the_map_of_rooms_is_current() -> None:
    architecture = load("make_architecture")
    page = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.replace_part(page, "rooms now", architecture.current_part()) == page, (
        "run `python docs/make_architecture.py`"
    )


def test_the_walks_name_files_and_functions_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    hops = re.findall(r"^\| [^|]+ \| ((?:`[\w/]+\.py`(?:, )?)+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(hops) > 30
    for files, functions in hops:
        defined = set().union(*(definitions(file) for file in _SPAN.findall(files)))
        assert [name for name in _SPAN.findall(functions) if name not in defined] == [], files


def definitions(file: str) -> set[str]:
    """The functions, classes and methods of a module of the package."""
    source = (REPOSITORY / "faceindex" / file).read_text(encoding="utf-8")
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)
            }
    return found
