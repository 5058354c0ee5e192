"""Name everybody of an album on the page of `faceindex review`, in a real browser, and count what it takes.

A simulated person (`naming_players`) starts with an index that has clusters and no names, and uses the page
in three ways: Questions by keyboard; People, each person and the unclustered faces by mouse; Questions by
touch on a screen of 390 px. The person looks at the page alone, and is right: labels say whose a face is.

Each key, click, tap and drag counts one action, and so does each typed name as a whole; at one a second, the
number of actions is the seconds that it takes. The target is 60 actions for people/.

    python benchmarks/naming.py --work INDEXES     # indexes what is missing there; then some minutes
    python benchmarks/naming.py --quick            # photos of plain colours, with models that are made up
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import argument_parser, use_weights_beside, write_result
from naming_players import Keyboard, Mouse, Person, Touch
from naming_truth import names_of_faces

from faceindex import FaceIndex

SETS = {"people": ["people"], "group_photos": ["group_photos"], "both": ["people", "group_photos"]}
PLAYERS: dict[str, type[Person]] = {"keyboard": Keyboard, "mouse": Mouse, "touch": Touch}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1200, "height": 800}}
EVERY = 20  # actions between two shares that are reported
SHARES = (0.95, 0.99, 1.0)
TARGET = 60  # actions for people/
REPOSITORY = Path(__file__).resolve().parents[1]
_FAKE_SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
import fakes
fakes.register_fakes()
from faceindex.review import Review
with Review(sys.argv[2]) as review:
    print(review.address, flush=True)
    review.run()
"""


@contextmanager
def served(directory: Path, *, fake: bool = False) -> Iterator[str]:
    """Run the real `faceindex review`; yields its address."""
    command = [sys.executable, "-m", "faceindex", "review", "--no-open", "--quiet", "--index", str(directory)]
    if fake:
        command = [sys.executable, "-c", _FAKE_SERVER, str(REPOSITORY / "tests"), str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextmanager
def browsing() -> Iterator[Any]:
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("No Chromium is installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


def needed(right: list[float], share: float) -> int | None:
    """Return the number of actions after which a share is right for the first time."""
    return next((number for number, value in enumerate(right) if value >= share), None)


def play(browser: Any, path: Path, how: str, most: int, *, fake: bool = False) -> dict[str, Any]:
    """Name everybody in a copy of an index, in one of the three ways."""
    names = names_of_faces(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "index")
        shutil.copytree(path, copy)
        errors: list[str] = []
        with served(copy, fake=fake) as address:
            context = browser.new_context(**(PHONE if how == "touch" else DESK))
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("console", lambda message: errors.append(message.text))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            page.wait_for_selector(".card")
            person = PLAYERS[how](page, names, most)
            person.play()
            left = person.errors()
            context.close()
        with FaceIndex.open(copy) as index:
            stored = {face.face: face.person for face in index.faces()}
            decisions = index.people.count_decisions()
    labelled = [face for face, name in names.items() if name]
    right = sum(stored[face] == names[face] for face in labelled) / len(labelled)
    if errors:
        raise AssertionError(f"messages in the console: {errors}")
    if abs(right - person.right[-1]) > 1e-9:
        raise AssertionError(f"the page has {person.right[-1]:.4f} right, the index {right:.4f}")
    return {
        "how": how,
        "faces": len(names),
        "labelled": len(labelled),
        "people": len(person.known),
        "actions": person.actions,
        "kinds": dict(person.kinds),
        "questions": dict(person.questions),
        "letters": person.letters,
        "decisions": decisions,
        "needed": {f"{share:g}": needed(person.right, share) for share in SHARES},
        "right_every_20": person.right[::EVERY]
        + ([person.right[-1]] if (len(person.right) - 1) % EVERY else []),
        "left": left,
        "right": person.right,
    }


def prepare(data: Path, work: Path, name: str) -> Path:
    """Index and cluster the photos of a set with the default models, unless `work` has them."""
    path = work / name
    if not path.is_dir():
        with FaceIndex.create(path) as index:
            index.add([data / part for part in SETS[name]])
    with FaceIndex.open(path, write=True) as index:
        if index.clustering is None:
            index.cluster()
        if index.people.count_decisions():
            raise SystemExit(f"{path.name} has decisions already.")
    return path


def made_up(folder: Path) -> Path:
    """Make a small index of plain colours, in a folder for each."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    import fakes

    fakes.register_fakes()
    album = folder / "album"
    for person in range(3):
        (album / f"Person {person}").mkdir(parents=True)
        for number in range(4):
            fakes.make_photo(
                album / f"Person {person}" / f"{number}.png", fakes.colour_of(person), mark=number
            )
    with FaceIndex.create(folder / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
    return folder / "index"


def show(row: dict[str, Any]) -> None:
    needed_ = ", ".join(
        f"{float(share):.0%} after {n}" for share, n in row["needed"].items() if n is not None
    )
    print(
        f"{row['set']:14}{row['how']:10}{row['actions']:4} actions = {row['actions']} s,"
        f" {row['decisions']} decisions; {needed_}"
    )
    print(f"{'':24}{row['kinds']}, {row['letters']} letters; {row['questions']}")
    print(
        f"{'':24}each {EVERY}: {' '.join(f'{share:.1%}' for share in row['right_every_20'])};"
        f" left: {row['left']}"
    )


def main() -> None:
    parser = argument_parser(__doc__, quick="twelve photos of plain colours", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes: people, group_photos, both; kept")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--players", default=",".join(PLAYERS), help="of keyboard, mouse and touch")
    parser.add_argument("--most", type=int, default=400, help="actions after which a person gives up")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, browsing() as browser:
        if options.quick:
            indexes = {"made up": made_up(Path(temporary))}
        else:
            use_weights_beside(options.data)
            work = options.work or Path(temporary)
            indexes = {name: prepare(options.data, work, name) for name in options.sets.split(",")}
        for name, path in indexes.items():
            for how in options.players.split(","):
                row = {"set": name, **play(browser, path, how, options.most, fake=options.quick)}
                rows.append(row)
                show(row)
    for row in rows:
        if row["set"] == "people":
            print(f"people, {row['how']}: {row['actions']} of at most {TARGET} actions")
    write_result("naming", {"target": TARGET, "rows": rows}, quick=options.quick)
    print(json.dumps({"rows": len(rows), "asked": sum(row["actions"] for row in rows)}))


if __name__ == "__main__":
    main()
