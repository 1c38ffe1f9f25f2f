"""The cells of the grid of benchmarks/methods.py, and their figures."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from benchmarks import grid
from benchmarks.rows import CLASS_FIGURES, DONOR, FIGURES, ROWS, SINGLE_FIGURES

BASELINE, ALONE, ADDED = "real+classic", "synthetic", "real+synthetic+classic"


class Cell(NamedTuple):
    """A row on a data set from a seed, and where it lies."""

    row: str
    data: str
    seed: int
    path: pathlib.Path

    @property
    def run(self):
        return self.path / "run"


def where(out, row, data, seed):
    """Name a cell's directory."""
    return out / data / f"{row}-{seed}"


def collect(out, single, seeds, known):
    """Read the figures of a data set's cells in `out`: {"baseline": errors, row: {seed: figures}}.

    known: those of earlier calls, which stay where `out` has no others. Errors are those on the
    test images that are in all experiments of `out`: a set may give some away.
    """
    cells = {row: {s: where(out.parent, row, out.name, s) for s in range(seeds)} for row in ROWS}
    baseline = answers(out / f"baseline-{max(seeds, 1)}")
    told = {path: answers(path / "verdict") for row in cells.values() for path in row.values()}
    there = [set(one["ids"]) for one in (baseline, *told.values()) if one]
    if not there and known:
        return known
    common = sorted(set.intersection(*there)) if there else []
    found = {"baseline": errors(baseline, BASELINE, common), "test_images": len(common)}
    found["baseline_by_class"] = by_class(baseline, BASELINE, common)
    for row, paths in cells.items():
        own = {str(s): figures(path, single, told[path], common) for s, path in paths.items()}
        own = known.get(row, {}) | {s: one for s, one in own.items() if one}
        if row != DONOR and own:
            found[row] = dict(sorted(own.items()))
    return found


def figures(path, single, told, common):
    """Read a cell's figures; {"failed": reason} where it failed, None where it is not there."""
    if (path / "failed.txt").exists():
        return {"failed": (path / "failed.txt").read_text().strip()}
    report = grid.report(path / "run")
    if not report:
        return None
    speed, unused = grid.rate(path / "run", "steps_per_s"), path / "unused.txt"
    spent = json.loads((path / "run/spent.json").read_text())["dtgan.main"]
    return {
        "step": report["step"],
        "seconds_a_step": round(1 / speed, 4) if speed else None,
        "seconds": spent["seconds"],
        "peak_mb": spent["peak_mb"],
        **{name: grid.dig(report, way) for name, way in FIGURES.items()},
        **{k: grid.dig(report, ("per_class", single, key)) for k, key in SINGLE_FIGURES.items()},
        "by_class": {
            name: {key: row.get(way) for key, way in CLASS_FIGURES.items()}
            for name, row in report.get("per_class", {}).items()
        },
        "error_alone": next(iter(errors(told, ALONE, common)), None),
        "error_added": next(iter(errors(told, ADDED, common)), None),
        "error_added_by_class": by_class(told, ADDED, common),
        "unused": unused.read_text().strip() if unused.exists() else None,
    }


def answers(path):
    """Read an experiment's answers on its test images, {} where it is not there."""
    file = path / "predictions.npz"
    if not file.exists():
        return {}
    classes = json.loads((path / "verdict.json").read_text())["classes"]
    with np.load(file) as found:
        return dict(found) | {"classes": classes}


def errors(told, arm, common):
    """Compute an arm's errors on some test images, a seed each; none where it is not there."""
    if arm not in told:
        return []
    kept = np.isin(told["ids"], common)
    return (told[arm] != told["truth"])[:, kept].mean(1).tolist()


def by_class(told, arm, common):
    """Compute an arm's errors on the test images of each class: {class: mean over its seeds}."""
    if arm not in told:
        return {}
    kept, wrong = np.isin(told["ids"], common), told[arm] != told["truth"]
    rows = {name: kept & (told["truth"] == k) for k, name in enumerate(told["classes"])}
    return {name: float(wrong[:, own].mean()) for name, own in rows.items() if own.any()}
