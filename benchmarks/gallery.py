"""Measure a gallery of 2,000 clusters and 50,000 faces: time to write, size, and speed in a browser.

The 10,000 photos are made up, with five faces each. The cluster sizes resemble those of an archive:
a few clusters with a thousand faces, most with a handful, a fifth of the faces in none. playwright opens the
page from disk in Chromium and measures the time from the start of the navigation to the frame with the first
people; elements, longest frame and JavaScript heap while it scrolls through the contact sheets; and the times
of a search and of naming the largest cluster.

    python benchmarks/gallery.py [--quick] [--keep FOLDER]
"""

from __future__ import annotations

import io
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import argument_parser, peak_mib, write_result
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from galleries import protected

from faceindex.export.gallery import GallerySource, write_gallery
from faceindex.images import content_hash
from faceindex.store import FaceTable, PhotoRecord, Root, Status

SEED = 11
ON_PHOTO = 5
SIDE = 128  # of a face on a photo
RUNS = 5
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
]

FIRST_FRAME = """() => new Promise((done) => {
  const look = () => document.querySelector(".card")
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now())))
    : setTimeout(look, 5);
  look();
})"""

SCROLL = """(steps) => new Promise((done) => {
  const height = document.documentElement.scrollHeight - innerHeight;
  const frames = [];
  let most = 0, blank = 0, step = 0, last = performance.now();
  const move = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    most = Math.max(most, document.querySelectorAll("*").length);
    const middle = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    if (!middle || middle === document.documentElement) blank++;
    if (step > steps) return done({ most, blank, frames, heap: performance.memory?.usedJSHeapSize ?? 0 });
    scrollTo(0, height * (step++ / steps));
    requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
})"""


SEARCH = """async () => {
  const { source } = await APP;
  const start = performance.now();
  await source.searchPhotos("img_01");
  return performance.now() - start;
}"""

DECISION = """async () => {
  const app = await APP;
  const start = performance.now();
  await app.actions.do({ do: "name", name: "Anna", clusters: [0], faces: [] });
  return performance.now() - start;
}"""


def make(folder: Path, clusters: int, faces: int) -> GallerySource:
    """Write photos with faces of random patterns; return them as the source of a gallery."""
    rng = np.random.default_rng(SEED)
    records = []
    for number in range(faces // ON_PHOTO):
        coarse = rng.integers(0, 256, (8, 8 * ON_PHOTO, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((SIDE * ON_PHOTO, SIDE), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=80)
        name = f"{2000 + number % 25}/summer holiday/IMG_{number:05}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stream.getvalue())
        records.append(
            PhotoRecord(
                id=number, root_id=1, relpath=name, size=len(stream.getvalue()), mtime_ns=0,
                content_hash=content_hash(stream.getvalue()), width=SIDE * ON_PHOTO, height=SIDE,
                picture=content_hash(stream.getvalue()), taken=946_684_800 + 3600 * number,
                status=Status.OK, reason=None, detail=None, faces=ON_PHOTO,
            )
        )  # fmt: skip
    weights = 1 / np.arange(1, clusters + 1)
    labels = rng.choice(clusters, faces, p=weights / weights.sum())
    labels[: 2 * clusters] = np.repeat(np.arange(clusters), 2)
    labels = np.where(rng.random(faces) < 0.2, -1, rng.permutation(labels))
    left = SIDE * (np.arange(faces) % ON_PHOTO).astype(np.float32)
    boxes = np.stack([left + 24, np.full(faces, 16.0), left + 104, np.full(faces, 112.0)], axis=1)
    table = FaceTable(
        face=np.arange(1, faces + 1, dtype=np.int64),
        photo=np.arange(faces, dtype=np.int64) // ON_PHOTO,
        row=np.arange(faces, dtype=np.int64),
        boxes=boxes.astype(np.float32),
        landmarks=np.full((faces, 5, 2), np.nan, np.float32),
        scores=np.ones(faces, np.float32),
        norms=np.ones(faces, np.float32),
        sharpness=np.ones(faces, np.float32),
        quality=np.ones(faces, np.float32),
        turns=np.zeros(faces, np.int64),
        cluster=labels.astype(np.int64),
        similarity=np.where(labels < 0, np.nan, rng.uniform(0.85, 1, faces)).astype(np.float32),
    )
    return GallerySource(
        table,
        records,
        [Root(id=1, path=str(folder), given="photos")],
        lambda r: str(folder / r.relpath),
        True,
        person=np.full(faces, -1),
        label=np.zeros(faces, np.int64),
        index_id="0" * 32,
    )


def write(source: GallerySource, photos: Path, page: Path) -> dict[str, object]:
    """Write the gallery twice; return seconds and sizes."""
    started = time.perf_counter()
    first = write_gallery(source, page, protected(photos))
    wrote = time.perf_counter()
    again = write_gallery(source, page, protected(photos))
    assert again.files.written == 0
    return {
        "clusters": first.clusters,
        "faces": first.faces,
        "unclustered": first.unclustered,
        "photos": first.photos,
        "sprites": first.sprites,
        "index_html_mb": round(first.page.stat().st_size / 1e6, 2),
        "page_mb": round(first.bytes / 1e6, 1),
        "write_s": round(wrote - started, 1),
        "again_s": round(time.perf_counter() - wrote, 2),
        "peak_mib": round(peak_mib()),
    }


def browse(page: Path, size: tuple[int, int], runs: int) -> dict[str, object]:
    """Open the page, scroll through its longest contact sheets, and search."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        firsts: list[float] = []
        results: dict[str, object] = {}
        for _ in range(runs):
            tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
            tab.goto(page.as_uri(), wait_until="commit")
            firsts.append(tab.evaluate(FIRST_FRAME))
            if len(firsts) < runs:
                tab.close()
        results["first_people_ms"] = [round(value) for value in sorted(firsts)]
        results["elements_at_first"] = tab.evaluate("document.querySelectorAll('*').length")
        for name, where in (("people", "#"), ("largest_cluster", "#c=0"), ("unclustered", "#view=none")):
            tab.evaluate(f"location.hash = '{where}'")
            tab.wait_for_timeout(300)
            scrolled = tab.evaluate(SCROLL, 120)
            frames = scrolled["frames"][1:]
            results[name] = {
                "most_elements": scrolled["most"],
                "frame_ms_median": round(statistics.median(frames), 1),
                "frame_ms_worst": round(max(frames), 1),
                "blank_frames": scrolled["blank"],
                "heap_mb": round(scrolled["heap"] / 1e6, 1),
            }
        results["search_ms"] = round(tab.evaluate(SEARCH))
        results["decision_ms"] = round(tab.evaluate(DECISION))
        browser.close()
    return results


def main() -> None:
    parser = argument_parser(__doc__, quick="a tenth of the clusters and faces, opened once")
    parser.add_argument("--keep", type=Path, help="keep photos and page in this folder")
    options = parser.parse_args()
    clusters, faces = (200, 5_000) if options.quick else (2_000, 50_000)
    runs = 1 if options.quick else RUNS
    work = options.keep or Path(tempfile.mkdtemp(prefix="faceindex-gallery-"))
    try:
        source = make(work / "photos", clusters, faces)
        written = write(source, work / "photos", work / "page")
        print(written)
        page = work / "page" / "index.html"
        browsed = {
            "desktop_1280x800": browse(page, (1280, 800), runs),
            "phone_360x740": browse(page, (360, 740), runs),
        }
        print(browsed)
        payload = {"seed": SEED, "runs": runs, "written": written, "looked_at": browsed}
        write_result("gallery", payload, quick=options.quick)
    finally:
        if options.keep is None:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
