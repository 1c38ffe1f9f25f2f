"""What the files of a run, a set and a verdict say: read as they are, nothing is written or moved.

Files of a run that still trains change while they are read, and those of another version hold other
things. What cannot be read is left out and told in `notes`.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from dtgan.config import ConfigError
from dtgan.files import parse_object


class Run(NamedTuple):
    """The files of a workdir.

    config, data, summary: of the JSON files of these names, {} where there is none. metrics: rows
    of metrics.jsonl, by step. samples: [(step, path)]. reports: {step: report of evaluate}, and
    pictures: where theirs lie. notes: what could not be read, a line each.
    """

    path: pathlib.Path
    config: dict
    data: dict
    summary: dict
    metrics: list
    samples: list
    reports: dict
    pictures: pathlib.Path
    notes: list

    @property
    def ended(self):
        """Whether the run has reached its last step."""
        return "step" in self.summary

    @property
    def method(self):
        """The name of its method, "?" where its config cannot be read."""
        return str(self.config.get("method", "?"))

    @property
    def step(self):
        """The last step that is known of."""
        known = [self.summary.get("step", 0), *(row["step"] for row in self.metrics[-1:])]
        return max(known)

    @property
    def report(self):
        """The evaluation of the newest step, {} where there is none."""
        return self.reports[max(self.reports)] if self.reports else {}


class Set(NamedTuple):
    """A generated set: its folder, plan.json, records of its images, whether it is complete."""

    path: pathlib.Path
    plan: dict
    records: list
    complete: bool
    notes: list


class Verdict(NamedTuple):
    """A verdict: its folder, the content of verdict.json, and of predictions.npz ({} without)."""

    path: pathlib.Path
    content: dict
    predictions: dict
    notes: list


def run(workdir, evaluation=""):
    """Read the workdir of a run; evaluation: folder of its reports, "" for WORKDIR/eval.

    Raises ConfigError where there is no run.
    """
    path, notes = pathlib.Path(workdir), []
    if not path.is_dir():
        raise ConfigError(f"--workdir={workdir} does not exist; give the directory of a run")
    if not (path / "config.json").exists():
        raise ConfigError(
            f"--workdir={workdir} holds no run (config.json is missing); give the directory that "
            "python -m dtgan.main was given, once its first step is done"
        )
    reports = pathlib.Path(evaluation) if evaluation else path / "eval"
    if evaluation and not reports.is_dir():
        raise ConfigError(f"--eval={evaluation} does not exist; give the --out of dtgan.evaluate")
    return Run(
        path,
        *(_object(path / f"{name}.json", notes) for name in ("config", "data", "summary")),
        metrics=_rows(path / "metrics.jsonl", notes),
        samples=[(int(file.stem), file) for file in _numbered(path / "samples", ".png")],
        reports={int(f.stem): _object(f, notes) for f in _numbered(reports, ".json")},
        pictures=reports,
        notes=notes,
    )


def generated(folder):
    """Read a set. Raises ConfigError where there is none, or not one image of it is finished."""
    path, notes = pathlib.Path(folder), []
    plan = _object(path / "plan.json", notes)
    if not plan:
        raise ConfigError(f"--set={folder} holds no set; give the --out of dtgan.generate")
    files = [path / "manifest.jsonl"]
    if not files[0].exists():
        files = sorted(path.glob(".parts/*.jsonl"))
    records = [record for file in files for record in _lines(file, notes)]
    records = [record for record in records if {"file", "class", "synthetic"} <= set(record)]
    if not records:
        raise ConfigError(
            f"--set={folder} holds no finished images yet; run its generate command again"
        )
    return Set(path, plan, records, (path / "_SUCCESS").exists(), notes)


def verdict(folder):
    """Read a verdict. Raises ConfigError where there is none."""
    path, notes = pathlib.Path(folder), []
    content = _object(path / "verdict.json", notes)
    if not isinstance(content.get("arms"), dict) or not content["arms"]:
        raise ConfigError(
            f"--verdict={folder} holds no verdict; give the --out of dtgan.classify, once it has "
            "ended"
        )
    predictions = {}
    try:
        with np.load(path / "predictions.npz", allow_pickle=False) as found:
            predictions = dict(found)
    except (OSError, ValueError):
        notes.append("predictions.npz cannot be read: differences of arms and classes are left out")
    return Verdict(path, content, predictions, notes)


def at(tree, *names) -> Any:
    """Look up tree[a][b]...; None where a part is missing, None or no object."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _object(file, notes):
    """Read a JSON object; {} where there is none or it cannot be read."""
    try:
        return parse_object(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        notes.append(f"{file.name} cannot be read: {error}")
        return {}


def _rows(file, notes):
    """Read the rows of metrics.jsonl, by step, the last one said of a step."""
    rows = {}
    for row in _lines(file, notes):
        if isinstance(row.get("step"), int):
            rows.setdefault(row["step"], {}).update(row)
    return [rows[step] for step in sorted(rows)]


def _lines(file, notes):
    """Read the JSON objects of a file, a line each; a line cut short by its writer is left out."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found, bad = [], 0
    for line in lines:
        try:
            found.append(parse_object(line))
        except ValueError:
            bad += bool(line.strip())
    if bad > 1:
        notes.append(f"{bad} lines of {file.name} cannot be read")
    return found


def _numbered(folder, suffix):
    """List the files of a folder whose names are numbers, in their order."""
    files = [file for file in folder.glob(f"*{suffix}") if file.stem.isdecimal()]
    return sorted(files, key=lambda file: int(file.stem))
