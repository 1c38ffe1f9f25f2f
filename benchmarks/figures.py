"""Draw the papers' tables beside the same figures here: launch/run.sh python -m benchmarks.figures

Writes docs/paper_NAME.png for every table of benchmarks/papers.py from the results of
benchmarks/methods.py. A panel shows the paper's values, one more those of each data set: a ring for
each seed, a dot for their mean, its 95 % interval as a line. Rows lie in the paper's order, the
best one on top, so that an ordering that holds runs down to the right (to the left where more is
better).
"""

import argparse
import pathlib
import sys

from benchmarks.pages.markdown import read
from benchmarks.pages.methods import NAMES, scale_of, values_of
from benchmarks.papers import PAPERS, figure_of
from dtgan.reporting.seeds import over_seeds


def main(argv=None):
    """Draw every table that has figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, default="docs", help="folder of the pictures")
    args = parser.parse_args(argv)
    try:
        cells = read("methods_time")["cells"]
    except OSError as error:
        sys.exit(f"error: no results yet ({error}); python -m benchmarks.methods makes them")
    for name, paper in PAPERS.items():
        draw(paper, cells, args.out / f"paper_{name}.png")


def draw(paper, cells, path):
    """Draw a Paper beside the cells of data sets, {name: figures}, to a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    factor, _ = scale_of(paper.figure)
    panels = {"paper": {row: [value] for row, value in paper.values.items()}}
    for data, own in cells.items():
        found = {row: values_of(own, row, figure_of(paper.figure, row)) for row in paper.values}
        panels[data] = {row: [factor * x for x in values] for row, values in found.items()}
    size = (2.2 + 2.2 * len(panels), 0.9 + 0.32 * len(paper.values))
    figure, axes = pyplot.subplots(1, len(panels), sharey=True, figsize=size, layout="constrained")
    for plot, (title, rows) in zip(axes, panels.items(), strict=True):
        for place, values in enumerate(rows.values()):
            if not values:
                continue
            told = over_seeds(values)
            low, high = told["ci95"] or (told["mean"], told["mean"])
            plot.plot([low, high], [place, place], color="C0", linewidth=1.2)
            plot.plot(
                values, [place] * len(values), "o", color="C0", fillstyle="none", markersize=4
            )
            plot.plot(told["mean"], place, "o", color="C0", markersize=6)
        plot.set(title=title, xlim=(0, None))
        plot.grid(axis="x", linewidth=0.4)
    names = [NAMES[row] + (" *" if figure_of("", row) else "") for row in paper.values]
    axes[0].set(yticks=range(len(names)), yticklabels=names)
    axes[0].invert_yaxis()
    star = "   * one class alone" if any(name.endswith("*") for name in names) else ""
    figure.suptitle(f"{paper.source}{star}", fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
