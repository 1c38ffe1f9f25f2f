"""Several runs on one page: their scores side by side, their curves in one plot."""

import collections

from dtgan.config import flatten
from dtgan.pages import page, plots, scores
from dtgan.pages.read import at
from dtgan.reporting.tables import number

DIFFERING = 40  # settings that differ, at most


def render(runs):
    """Render a page that compares read.Runs, at least two: text."""
    names = _names(runs)
    return page.render(
        "comparison.html",
        title=f"{len(runs)} runs compared",
        rows=page.known(lambda: _rows(runs), "an evaluation of these runs"),
        warnings=_warnings(runs, names),
        plots={
            "scores": page.known(lambda: _forests(runs, names), "an evaluation of these runs"),
            "validation": _curves("validation", runs, names, "val/score", "validation score"),
            "rate": _curves("rate", runs, names, "rate/images_per_s", "images/s"),
        },
        samples=[
            (name, step, sheet)
            for name, run in zip(names, runs, strict=True)
            for step, sheet in page.grids(run._replace(samples=run.samples[-1:]))
        ],
        settings=_settings(runs),
        names=names,
    )


def _names(runs):
    """Name the runs by their folders, with as much of the path as tells them apart."""
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({number})" for number, path in enumerate(paths, 1)]  # one given twice


def _rows(runs):
    """List what is told of all runs: [(title, [text, one a run])]."""
    steps = [f"{run.step}{'' if run.ended else ' (not ended)'}" for run in runs]
    rows = [
        ("method", [run.method for run in runs]),
        ("step", steps),
        ("evaluated at step", [str(max(run.reports, default="-")) for run in runs]),
    ]
    for line in scores.LINES:
        values = [line.of(run.report) for run in runs]
        if any(value is not None for value, _ in values):
            shown = [f"{number(v, line.digits)} {number(ci95, line.digits)}" for v, ci95 in values]
            rows.append((line.title, [text.removesuffix(" -") for text in shown]))
    return rows


def _warnings(runs, names):
    """Say what makes the runs unfit to be compared."""
    told = []
    for what, values in (
        ("data", [run.data.get("fingerprint") for run in runs]),
        ("test images", [at(run.report, "data", "split_fingerprint") for run in runs]),
        ("features", [at(run.report, "extractor", "sha256") for run in runs]),
        ("numbers of synthetic images", [at(run.report, "settings", "num_fake") for run in runs]),
    ):
        groups = collections.defaultdict(list)
        for name, value in zip(names, values, strict=True):
            if value is not None:
                groups[value].append(name)
        if len(groups) > 1:
            parts = "; ".join(", ".join(group) for group in groups.values())
            told.append(f"Different {what}, so the scores of these runs do not compare: {parts}")
    missing = [name for name, run in zip(names, runs, strict=True) if not run.reports]
    if missing:
        told.append(f"Not evaluated: {', '.join(missing)} (python -m dtgan.evaluate --workdir=...)")
    return told


def _forests(runs, names):
    """Plot every score of the runs that have it."""
    panels = []
    for line in scores.LINES:
        values = [line.of(run.report) for run in runs]
        rows = [plots.Estimate(n, *value) for n, value in zip(names, values, strict=True)]
        better = "more is better" if line.up else "less is better"
        panels.append((f"{line.title} ({better})", None, rows))
    panels = [panel for panel in panels if any(row.value is not None for row in panel[2])]
    pairs = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    return [plots.forest(f"scores-{i}", pair) for i, pair in enumerate(pairs)]


def _curves(name, runs, names, key, label):
    series = {
        title: [(row["step"], row[key]) for row in run.metrics if key in row]
        for title, run in zip(names, runs, strict=True)
    }
    return plots.lines(name, series, label)


def _settings(runs):
    """List the settings in which runs differ: [(field, [value, one a run])], DIFFERING at most."""
    tables = [flatten(run.config) for run in runs]
    names = sorted({name for table in tables for name in table})
    rows = [(name, [table.get(name, "-") for table in tables]) for name in names]
    return [(name, values) for name, values in rows if len(set(map(str, values))) > 1][:DIFFERING]
