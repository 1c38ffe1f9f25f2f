"""Plots as inline SVG. Names of classes and runs are data: no mathematics is read in them."""

import io
import math
import re
from typing import NamedTuple

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

INK, SOFT, ACCENT, OTHER = "#1f2937", "#9ca3af", "#0f6ab4", "#c2410c"
COLOURS = (ACCENT, OTHER, "#15803d", "#7c3aed", "#b45309", "#0e7490", "#be185d", "#4d7c0f")
MARKS = {"good": "#15803d", "bad": "#b91c1c", "open": INK}
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
}
_WIDTH = 10.0  # inches of a page's width
_ROW = 0.32  # inches of a line in a forest plot
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Estimate(NamedTuple):
    """A line of a forest plot: a number, None where it is not known, and its interval.

    kind: of MARKS; floor: what to compare this one with, shown as a ring.
    """

    name: str
    value: float | None
    ci95: list | None = None
    kind: str = "open"
    floor: float | None = None


def curves(name, rows, series, columns=4, log=False):
    """Draw one small plot a series over steps; None without any number.

    name: of the plot, unique on its page. rows: of metrics.jsonl. series: {title: key of a row}.
    log: whether the vertical axis of a series is logarithmic where all its values are above 0.
    """
    shown = {title: _points(rows, key) for title, key in series.items()}
    shown = {title: points for title, points in shown.items() if points}
    if not shown:
        return None
    columns = min(columns, len(shown))
    height = 1.55 * -(-len(shown) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH * columns / 4, height), layout="constrained")
        for place, (title, points) in enumerate(shown.items()):
            axes = figure.add_subplot(-(-len(shown) // columns), columns, place + 1)
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=ACCENT, marker="." if len(points) < 4 else None)
            axes.set_title(title)
            axes.locator_params(nbins=4)
            axes.locator_params(axis="x", nbins=3)
            if log and min(values) > 0 and max(values) > 20 * min(values):
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
        return _svg(figure, name)


def lines(name, series, label):
    """Draw several {title: [(step, value)]} in one plot; None without any point."""
    series = {title: points for title, points in series.items() if points}
    if not series:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH, 2.6), layout="constrained")
        axes = figure.add_subplot()
        for place, (title, points) in enumerate(series.items()):
            steps, values = zip(*points, strict=True)
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(steps, values, color=colour, label=title, marker="." * (len(points) < 4))
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        if len(series) > 1:
            figure.legend(loc="outside right upper")
        return _svg(figure, name)


def forest(name, panels):
    """Draw Estimates, a line each, panels side by side; None without any number.

    panels: [(title, reference value or None, [Estimate])], all of the same names, which the first
    panel shows.
    """
    panels = [panel for panel in panels if any(row.value is not None for row in panel[2])]
    if not panels:
        return None
    count = max(len(rows) for _, _, rows in panels)
    with matplotlib.rc_context(_STYLE):
        size = min(_WIDTH, 3.4 + 3.3 * len(panels)), 0.75 + _ROW * count
        figure = Figure(size, layout="constrained")
        for place, (title, reference, rows) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1)
            if reference is not None:
                axes.axvline(reference, color=SOFT, linewidth=1, linestyle="--")
            for height, row in enumerate(rows):
                _estimate(axes, height, row)
            axes.set_title(title)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.grid(axis="y", visible=False)
            axes.locator_params(axis="x", nbins=5)
            labels = [_short(row.name) for row in rows] if not place else [""] * len(rows)
            axes.set_yticks(range(len(rows)), labels)
            axes.tick_params(axis="y", length=0)
        return _svg(figure, name)


def _estimate(axes, height, row):
    if row.ci95:
        axes.plot(row.ci95, [height] * 2, color=MARKS[row.kind], linewidth=1.6)
    if row.value is not None:
        axes.plot(row.value, height, "s", color=MARKS[row.kind], markersize=5)
    if row.floor is not None:
        axes.plot(row.floor, height, "o", color=SOFT, fillstyle="none", markersize=6)


def _points(rows, key):
    """Collect [(step, finite value)] of a key of metrics.jsonl."""
    found = [(row["step"], row.get(key)) for row in rows]
    return [(step, v) for step, v in found if isinstance(v, int | float) and math.isfinite(v)]


def _short(text, longest=28):
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _svg(figure, name):
    """Write a figure as an SVG element that lives on a page with others, as wide as that lets it.

    name: makes the ids, by which parts of it refer to each other, its own.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    _, _, body = file.getvalue().partition("<svg")
    box, body = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body), body[body.index(">") + 1 :]
    # Styles and names of groups would be the whole page's. Text of ours holds no "<".
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)
    pixels = round(float(box[1]) * 4 / 3)
    return Markup(f'<svg class="plot" role="img" {box[0]} style="max-width:{pixels}px">{body}')
