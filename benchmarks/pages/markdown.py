"""Reads result files; formats figures, intervals and tables as Markdown."""

import json
import pathlib

from dtgan.reporting.seeds import over_seeds

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
UNKNOWN = "not recorded"


def read(name):
    """Read benchmarks/results/NAME.json."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(head, rows):
    """Format a heading and rows of texts as lines of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines
    ]


def spread(values, digits, factor=1):
    """Format a figure over seeds: its mean and half of the 95 % interval, where there is one."""
    told = over_seeds([factor * value for value in values])
    if told["ci95"] is None:
        return f"{told['mean']:.{digits}f}"
    half = (told["ci95"][1] - told["ci95"][0]) / 2
    return f"{told['mean']:.{digits}f} ± {half:.{digits}f}"


def within(figure, digits, factor=1):
    """Format {"mean", "ci95"} as "mean [low, high]"."""
    mean = f"{factor * figure['mean']:.{digits}f}"
    if not figure["ci95"]:
        return mean
    low, high = (f"{factor * end:.{digits}f}" for end in figure["ci95"])
    return f"{mean} [{low}, {high}]"


def middle(timing, digits=3):
    """Format {"median", "min", "max"} in seconds."""
    median, least, most = (f"{timing[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} s ({least} to {most})"
