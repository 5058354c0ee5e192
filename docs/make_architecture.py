"""Write the tables and diagrams of `docs/architecture.md` from the imports of the code.

    python docs/make_architecture.py [--before REVISION]

Without `--before`, only the part on the current code is written. With it, so is the part on an earlier
revision, which is read from git. `tests/test_docs.py` compares the current part with what this module
generates.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PAGE", "current_part", "replace_part"]

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "architecture.md"
REPOSITORY = DOCS.parent
TEST = "tests/test_architecture.py"
PACKAGE = "faceindex"

Sources = Mapping[str, str]
"""The text of each Python file, by its path relative to the package."""


def current_sources() -> tuple[Sources, str]:
    """Return the current code and the test with the order of the rooms."""
    package = REPOSITORY / PACKAGE
    sources = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
    }
    return sources, (REPOSITORY / TEST).read_text(encoding="utf-8")


def sources_at(revision: str) -> tuple[Sources, str]:
    """Return the same as `current_sources`, for a revision of the repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout

    names = git("ls-tree", "-r", "--name-only", revision, PACKAGE).split("\n")
    sources = {
        name.removeprefix(f"{PACKAGE}/"): git("show", f"{revision}:{name}")
        for name in names
        if name.endswith(".py")
    }
    return sources, git("show", f"{revision}:{TEST}")


def room_order(test: str) -> list[tuple[str, ...]]:
    """Return `ORDER` of the architecture test: lines of rooms, from top to bottom."""
    for node in ast.parse(test).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ORDER" and node.value:
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{TEST} has no ORDER")


def room_imports(sources: Sources, rooms: set[str], exported: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the rooms that each room imports, anywhere in its modules."""
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for path, text in sources.items():
        parts = path.removesuffix(".py").split("/")
        if parts[0] not in rooms:
            continue
        for node in ast.walk(ast.parse(text)):
            for module in _modules(node, parts[:-1]):
                names = module.split(".")
                if names[0] == PACKAGE and len(names) > 1:
                    room = exported.get(names[1], names[1])
                    if room in rooms and room != parts[0]:
                        found[parts[0]].add(room)
    return found


def _modules(node: ast.AST, folder: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            base = ".".join([PACKAGE, *folder[: len(folder) - node.level + 1], *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
    return []


def part(sources: Sources, test: str) -> str:
    """Return the table of the rooms and the diagram of their imports."""
    order = room_order(test)
    rooms = [room for line in order for room in line]
    exported = {"FaceIndex": "api", "Recogniser": "recognition"}
    imports = room_imports(sources, set(rooms), exported)
    modules = Counter(path.removesuffix(".py").split("/")[0] for path in sources)
    position = {room: i for i, room in enumerate(rooms)}
    rows = [
        f"| `{room}` | {modules[room]} | "
        f"{', '.join(sorted(imports[room], key=lambda other: position[other]))} |"
        for room in rooms
        if room != "__main__"
    ]
    table = ["| room | modules | imports |", "| --- | --- | --- |", *rows]
    return "\n".join([*table, "", *_diagram(order, imports)])


def _diagram(order: list[tuple[str, ...]], imports: Mapping[str, set[str]]) -> list[str]:
    """Return a Mermaid diagram without the arrows that follow from others."""
    reachable: dict[str, set[str]] = {}
    for line in reversed(order):
        for room in line:
            reachable[room] = imports[room].union(*(reachable.get(other, set()) for other in imports[room]))
    arrows = []
    for line in order:
        for room in line:
            indirect = set().union(*(reachable.get(other, set()) for other in imports[room]))
            arrows += [f"    {room} --> {other}" for other in sorted(imports[room] - indirect)]
    arrows = [arrow for arrow in arrows if "__main__" not in arrow]
    return ["```mermaid", "flowchart TD", *arrows, "```"]


def current_part() -> str:
    """Return the part on the current code."""
    return part(*current_sources())


def replace_part(page: str, name: str, text: str) -> str:
    """Return the page with the text between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` replaced."""
    pattern = re.compile(rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    page, found = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)
    if found != 1:
        raise ValueError(f"{PAGE.name} must have one part '{name}'")
    return page


def main() -> None:
    """Write the parts of the page."""
    parser = argparse.ArgumentParser(description="Write the tables and diagrams of docs/architecture.md.")
    parser.add_argument("--before", metavar="REVISION", help="also write the part on this revision")
    revision = parser.parse_args().before
    page = replace_part(PAGE.read_text(encoding="utf-8"), "rooms now", current_part())
    if revision:
        page = replace_part(page, "rooms before", part(*sources_at(revision)))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
