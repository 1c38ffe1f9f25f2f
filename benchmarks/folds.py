"""Do synthetic images help on real pictures? `launch/verdict.sh` with the settings of the pages.

    launch/run.sh python -m benchmarks.folds neu_steel --path=DIR/neu_steel --out=runs/neu_steel
    launch/run.sh python -m benchmarks.folds magnetic_tile \\
        --path=DIR/magnetic_tile --out=runs/magnetic_tile

Trains, draws and classifies in three folds, so that every picture is a test picture once; where the
data have masks, each fold's model is evaluated on its unseen pictures, too. Writes
benchmarks/results/neu_folds.json or magnetic_tile_folds.json: the verdict, and a fold's masks and
refusals by class. What is done is kept, the same command goes on.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import jax

from benchmarks import grid, record
from dtgan.generation import tally

FOLDS = 3
MASK = "mask_iou", "mask_iou_ci95", "mask_precision", "mask_recall", "num_masked"


class Experiment(NamedTuple):
    """Flags of `main`, `generate` and `classify`; num_fake: images an evaluation draws, 0 = none.

    file: of the result.
    """

    file: str
    main: tuple[str, ...]
    generate: tuple[str, ...]
    classify: tuple[str, ...]
    num_fake: int = 0


SHARED = "--drop_leaks", "--seeds=5", "--nochoose"
EXPERIMENTS = {
    "neu_steel": Experiment(
        "neu_folds.json",
        (
            r"--config.data.group=^(.+_\d*?)\d_\d+_\d+$",
            "--config.data.scale_to=-1",
            "--config.loss.present=1",
            "--config.model.margin=0.2",
        ),
        ("--num_per_class=200", "--min_contrast=2.5"),
        (
            "--config.train.steps=300",
            "--config.train.val_every=100",
            "--config.train.synthetic_until=0.6",
            *SHARED,
        ),
    ),
    "magnetic_tile": Experiment(
        "magnetic_tile_folds.json",
        (
            r"--config.data.group=num_(\d*?)\d{1,4}$",
            "--config.data.rolling=vertical",
            "--config.data.res=128",
            "--config.data.scale=1",
            "--config.data.upscale=True",
            "--config.data.classes=blowhole,break,crack",
            "--config.loss.mask=1",
            "--config.data.batch_size=2",
            "--config.train.duration=2000steps",
            "--config.train.summary_pairs=64",
        ),
        ("--num_per_class=200", "--min_contrast=2.5"),
        (
            "--net=resnet18w16",
            "--config.train.steps=1600",
            "--config.train.batch_size=16",
            "--config.train.val_every=100",
            *SHARED,
        ),
        num_fake=120,
    ),
}


def main(argv=None):
    """Run what is missing of an experiment, then write its result; returns an exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--path", required=True, help="folder of the pictures")
    parser.add_argument("--out", required=True, help="directory of models, sets and verdict")
    parser.add_argument("--time", default="unknown", help="what it took, for the page")
    args = parser.parse_args(argv)
    experiment = EXPERIMENTS[args.name]
    path, out = (pathlib.Path(folder).resolve() for folder in (args.path, args.out))
    ended = subprocess.run(command(experiment, path, out), cwd=record.ROOT)
    if ended.returncode:  # it has told why
        return ended.returncode
    for fold in range(FOLDS if experiment.num_fake else 0):
        grid.evaluate(out / f"gan_{fold}", experiment.num_fake)
    record.write(
        record.ROOT / "benchmarks/results" / experiment.file,
        result(args.name, experiment, out),
        commands=told(args.name, experiment),
        config="configs/quickstart.py, configs/classifier.py",
        hardware=f"{os.cpu_count()} CPU cores, jax {jax.__version__}, float32",
        seeds="5 of the classifiers, 1 of the model",
        time=args.time,
    )
    return 0


def command(experiment, path, out):
    """List the words that start the experiment: launch/verdict.sh with all flags."""
    data = ("--config.data.source=folder", f"--config.data.path={path}")
    return [
        *("launch/verdict.sh", str(out), str(FOLDS), "--config=configs/quickstart.py", *data),
        *(*experiment.main, "--", *experiment.generate, "--", *experiment.classify),
    ]


def told(name, experiment):
    """Tell the commands that made a result, from the repository's folder."""
    run = f"runs/{name}"
    commands = [record.quoted(command(experiment, f"DIR/{name}", run))]
    if experiment.num_fake:
        evaluate = (
            f"python -m dtgan.evaluate --workdir={run}/gan_0 --num_fake={experiment.num_fake}"
        )
        commands.append(f"launch/run.sh {evaluate}")
    return commands


def result(name, experiment, out):
    """Read what an experiment left: {"what", "verdict", "folds": a dict each}."""
    verdict = json.loads((out / "verdict/verdict.json").read_text())
    folds = [fold(out / f"gan_{k}", out / f"set_{k}") for k in range(FOLDS)]
    return {"what": f"{name} in {FOLDS} grouped folds", "verdict": verdict, "folds": folds}


def fold(model, images):
    """Read one fold: how often hybrids were refused and, where evaluated, masks on unseen ones."""
    records = (images / "manifest.jsonl").read_text().splitlines()
    counted = tally.counts(map(json.loads, records))
    refused = {name: part["refused"] for name, part in counted.items()}
    found = grid.dig(grid.report(model), ("transfer",))
    if not found:
        return {"refused": refused}
    return {
        "mask_threshold": found["mask_threshold"],
        "mask_miou": found["mask_miou"],
        "all": _masks(found),
        "per_class": {name: _masks(part) for name, part in found["per_class"].items()},
        "refused": refused,
    }


def _masks(scores):
    return {key: scores[key] for key in MASK}


if __name__ == "__main__":
    sys.exit(main())
