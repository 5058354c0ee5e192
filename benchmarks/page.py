"""Generate the table and the plots of benchmarks/README.md from the stored results.

    python benchmarks/page.py

Rewrites the table between the markers in README.md and the pictures in plots/. The text around the markers
is written by hand. Needs matplotlib (``pip install faceindex[plot]``).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from common import RESULTS

HERE = Path(__file__).resolve().parent
PLOTS = HERE / "plots"
BEGIN, END = "<!-- targets: begin, by page.py -->", "<!-- targets: end -->"
# M. Okabe and K. Ito, "Color universal design", 2008.
COLOURS = {"beyond": "#009E73", "reach": "#0072B2", "missed": "#D55E00"}
INK, FAINT = "#222222", "#8a8a8a"


def load(name: str) -> dict[str, Any]:
    """Return a stored result; empty if there is none."""
    path = RESULTS / f"{name}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document


def targets() -> list[dict[str, Any]]:
    """Return the targets of all results, by row, each with the name of its result."""
    found = []
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem.endswith("_quick"):
            continue
        lines = load(path.stem).get("targets")
        if isinstance(lines, list):  # the limits of `review.py`, and rows 0, are no comparison with a peer
            found += [
                {**line, "what": current_wording(line["what"]), "from": path.stem}
                for line in lines
                if int(line["row"])
            ]
    return sorted(found, key=lambda line: int(line["row"]))


RENAMED = (
    (
        "([0-9,]+) photos more on ([0-9,]+), as a share of all: commit, HNSW graph, clusters",
        r"adding \1 photos to \2 / indexing all: commit, HNSW index, clusters",
    ),
    (
        "the graph of ([0-9]+) neighbours, over hnswlib's time",
        r"graph of \1 neighbours, time of ours / hnswlib's",
    ),
    ("p95 of warm identify / of reading,", "p95 of warm identify / p95 of reading,"),
    ("'s time over ours$", " / ours"),
    ("a photo at a time / ours", "one photo at a time / ours"),
    ("photos over ([0-9,]+)$", r"photos / \1 photos"),
)
"""Patterns in results that were recorded with earlier wording, and the present wording."""


def current_wording(what: str) -> str:
    for pattern, wording in RENAMED:
        what = re.sub(pattern, wording, what)
    return what


def number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def ratio(line: dict[str, Any]) -> str:
    low, high = min(line["ratios"]), max(line["ratios"])
    spread = f" ({number(low)} to {number(high)})" if len(line["ratios"]) > 1 else ""
    return f"**{number(line['ratio'])}**{spread}"


SHOWN = {
    "bcubed_f_faceindex": "B-cubed F",
    "bcubed_f_dlib": "dlib",
    "bcubed_f_networkx": "networkx",
    "bcubed_f": "B-cubed F",
    "f": "B-cubed F",
    "recall_at_20": "recall@20",
    "recall_at_20_hnswlib": "recall@20 of hnswlib",
    "right_person": "identified correctly",
    "share_of_peer_found_by_ours": "share of the peer's faces found",
}
"""The accuracy figures that the table shows, with their names in it."""


def accuracy(line: dict[str, Any]) -> str:
    """Format the main accuracy figures of a target; the result contains all of them."""
    if line["row"] in (1, 2):
        return pipelines_accuracy(line)
    if line["row"] == 4:
        return large_photos_accuracy(line)
    parts: list[str] = []

    def walk(node: dict[str, Any], path: str) -> None:
        for name, value in node.items():
            if isinstance(value, dict):
                # The level "bcubed" only groups figures that have names of their own.
                walk(value, path if name == "bcubed" else " ".join(filter(None, (path, name))))
            elif name == "largest_difference":
                parts.append(f"differs from the reference by {value:.0e} at most")
            elif SHOWN.get(name):
                value = np.median(value)
                parts.append(f"{path + ': ' if path else ''}{SHOWN[name]} {value:.4f}".replace("_", " "))

    walk(line["accuracy"], "")
    return "; ".join(parts)


def pipelines_accuracy(line: dict[str, Any]) -> str:
    """Format the scores of ours and the best scores of the peer."""
    found = line["accuracy"]
    ours = found["faceindex, half" if "bfloat16" in line["what"] else "faceindex"]
    if line["row"] == 2:
        peer = found[line["what"].partition(" / ")[0]]
        return f"B-cubed F {ours['bcubed_f']:.4f}, peer {peer['bcubed_f']:.4f}"
    peer = max(of["bcubed_f"] for name, of in found.items() if name.startswith("peer_kmeans"))
    key, name = ("album", "defaults") if "album" in ours else ("chinese_whispers", "Chinese Whispers")
    return (
        f"B-cubed F {ours['kmeans']['bcubed_f']:.4f} (k-means), {ours[key]['bcubed_f']:.4f}"
        f" ({name}), peer at best {peer:.4f};"
        f" {ours['matched']['share_of_peer_found_by_ours'] * 100:.2f} % of the peer's faces found"
    )


def large_photos_accuracy(line: dict[str, Any]) -> str:
    """Format the recall of ours at reduced and at full size."""
    if not line["accuracy"]:
        return ""  # the line before shows it

    def share(which: str) -> str:
        return f"{line['accuracy'][which]['iou_0.5'] * 100:.2f} %"

    return (
        f"known faces found: {share('known faces found by ours')}, at full size"
        f" {share('known faces found by ours at full size')}; of all faces found at full size,"
        f" {share('faces of ours at full size found by ours')}"
    )


def table(lines: list[dict[str, Any]]) -> str:
    rows = [
        "| # | what | measured (lowest to highest) | target | stretch goal | | accuracy | result |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        met = {"beyond": "stretch goal met", "reach": "met", "missed": "**missed**"}[line["met"]]
        rows.append(
            f"| {line['row']} | {line['what']} | {ratio(line)} | {number(line['reach'])} |"
            f" {number(line['beyond'])} | {met} | {accuracy(line)} |"
            f" [{line['from']}](results/{line['from']}.json) |"
        )
    return "\n".join(rows)


def plot_targets(lines: list[dict[str, Any]]) -> None:
    """Plot each ratio relative to its target: 1 is the target, higher is better."""

    def better(line: dict[str, Any], value: float) -> float:
        return float(value / line["reach"] if line["beyond"] > line["reach"] else line["reach"] / value)

    figure, axes = plt.subplots(figsize=(9, 0.38 * len(lines) + 1.2), layout="constrained")
    for place, line in enumerate(reversed(lines)):
        colour = COLOURS[line["met"]]
        ends = sorted(better(line, value) for value in (min(line["ratios"]), max(line["ratios"])))
        axes.plot(ends, [place, place], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        axes.plot(better(line, line["ratio"]), place, "o", color=colour, markersize=7)
        axes.plot(better(line, line["beyond"]), place, "|", color=FAINT, markersize=12)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(lines)), [f"{line['row']}. {line['what']}" for line in reversed(lines)])
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    figure.supxlabel("ratio relative to the target (line at 1); grey tick: stretch goal", size=9)
    finish(figure, axes, "targets")


def plot_growth(rows: list[dict[str, Any]]) -> None:
    """Plot seconds and peak memory by the number of faces, with n log n for comparison."""
    faces = np.array([row["faces"] for row in rows], float)
    figure, (time, memory) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    series = {
        "commit all": [row["commit_s"] for row in rows],
        "cluster": [float(np.median(row["cluster_s"])) for row in rows],
        "add 100 photos": [float(np.median([sum(t.values()) for t in row["add_100"]])) for row in rows],
        "read all faces": [row["catalog_s"]["faces"] for row in rows],
        "search for 1,000": [row["search_s"]["batch_of_1000"] for row in rows],
        "identify a face": [row["search_s"]["identify_median"] for row in rows],
    }
    palette = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
    for (name, seconds), colour in zip(series.items(), palette, strict=True):
        time.plot(faces, seconds, "o-", color=colour, linewidth=1.8, markersize=4, label=name)
    guide = faces * np.log(faces)
    time.plot(faces, series["cluster"][0] * guide / guide[0], ":", color=FAINT, label="n log n")
    time.set_ylabel("seconds")
    time.legend(frameon=False, fontsize=8)
    for step, colour in zip(("cluster", "write", "add", "search"), palette, strict=False):
        peaks = [row["peak_mib"][step] for row in rows]
        memory.plot(faces, peaks, "o-", color=colour, linewidth=1.8, markersize=4, label=step)
    # Memory of the program without any face is not growth. A vector has 4 x 128 bytes.
    memory.plot(faces, 512 * faces / 2**20, ":", color=FAINT, label="the vectors alone")
    memory.set_ylabel("peak memory, MiB")
    memory.set_yscale("log")
    memory.legend(frameon=False, fontsize=8)
    time.set_yscale("log")
    for axes in (time, memory):
        axes.set_xscale("log")
        axes.set_xlabel("faces")
    finish(figure, [time, memory], "growth")


def plot_memory(document: dict[str, Any]) -> None:
    """Plot resident memory over a run with few photos and one with many."""
    figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    runs = [(document["small"][0], COLOURS["reach"]), (document["large"], COLOURS["missed"])]
    for run, colour in runs:
        steps = np.linspace(0, 100, len(run["resident_mib"]))
        axes.plot(steps, run["resident_mib"], "o-", color=colour, label=f"{run['photos']:,} photos")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("% of the run")
    axes.set_ylabel("resident, MiB")
    axes.legend(frameon=False)
    finish(figure, axes, "memory")


def finish(figure: Any, axes: Any, name: str) -> None:
    """Style a figure and save it as SVG."""
    for one in np.atleast_1d(np.array(axes, dtype=object)):
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="x", color="#e4e4e4", linewidth=0.8)
        one.set_axisbelow(True)
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    mpl.use("svg")
    # A white background for dark mode. A fixed salt: the same results give the same files.
    mpl.rcParams.update({"svg.hashsalt": "faceindex", "font.size": 9, "figure.facecolor": "white"})
    lines = targets()
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    inside = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not inside.search(text):
        raise SystemExit(f"{page.name} lacks the markers of the table.")
    page.write_text(inside.sub(lambda _: f"{BEGIN}\n{table(lines)}\n{END}", text), encoding="utf-8")
    plot_targets(lines)
    if grown := load("grow"):
        plot_growth(grown["rows"])
    if memory := load("memory"):
        plot_memory(memory)
    print(f"wrote {len(lines)} rows into {page.name} and the pictures in {PLOTS.name}/")


if __name__ == "__main__":
    main()
