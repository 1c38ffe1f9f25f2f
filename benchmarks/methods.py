"""Every method on equal terms: same data, judge, metrics and seeds, as much time or as many images.

    launch/run.sh python -m benchmarks.methods --out=runs/methods --jobs=2
    launch/run.sh python -m benchmarks.methods --out=runs/methods --jobs=2 --neu_steel=DIR/neu_steel

A cell is a row of benchmarks/rows.py, a data set and a seed: it is trained for --minutes of one
core, evaluated by the data set's one domain classifier, draws a set, and a classifier is trained on
that. Steps are those that a pilot run of the row makes in this time (--equal=time), or those that
show --kimg thousand defects (--equal=images). A row that starts from another's run shares the
budget with it. StackGAN++ without labels, which knows no classes, has a domain classifier of its
own.

Each step is a process that resumes; the same command goes on where it was, and a cell that failed
is told with its reason (--retry tries it again). --shard=0/4 is one machine's part of the grid;
copy the directories together, and --table makes the result of all. Writes
benchmarks/results/methods_{time,images}.json.
"""

import argparse
import json
import logging
import pathlib
import subprocess
from typing import NamedTuple

import numpy as np

from benchmarks import grid, record
from benchmarks.rows import FIGURES, FOLDERS, JUDGE, ONE, PART, PROCEDURAL, ROWS
from dtgan import cli
from dtgan.data.procedural import files

log = logging.getLogger("dtgan")

HELD_OUT = 40  # test defects a class of the few-shot sets, and three times as many normals
PILOT = 150  # steps
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


def main(argv=None):
    """Run what is missing, then write the figures of all cells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, help="directory of all runs")
    add("--rows", default=",".join(ROWS), help="separated by commas (default all)")
    add("--data", default="procedural", help="procedural, steel-N (of N defects a class); or none")
    add("--neu_steel", default="", help="folder of NEU-DET's crops: adds this data set")
    add("--magnetic_tile", default="", help="folder of the tiles: adds this data set")
    add("--seeds", type=int, default=3)
    add("--equal", choices=("time", "images"), default="time", help="what the rows have in common")
    add("--minutes", type=float, default=12, help="of training a cell (default 12)")
    add("--kimg", type=float, default=6, help="thousand defects shown a cell (default 6)")
    add("--num_fake", type=int, default=500, help="synthetic images of an evaluation")
    add("--num_per_class", type=int, default=100, help="of the set that classifiers see")
    add("--jobs", type=int, default=1, help="processes at once, a core each")
    add("--shard", default="0/1", help="part of the grid, N/OF, by data set and seed")
    add("--retry", action="store_true", help="run failed cells again")
    add("--table", action="store_true", help="run nothing")
    args = parser.parse_args(argv)
    cli.setup_logging()
    rows = args.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    sets = open_sets(args, parser)
    args.out = args.out / args.equal
    if not args.table:
        run_all(args, rows, sets)
    found = {name: collect(args, name, data.one) for name, data in sets.items()}
    budget = {"minutes": args.minutes} if args.equal == "time" else {"kimg": args.kimg}
    told = {"equal": args.equal, **budget, "seeds": args.seeds, "num_fake": args.num_fake}
    record.write(
        record.ROOT / f"benchmarks/results/methods_{args.equal}.json", told | {"cells": found}
    )


def open_sets(args, parser):
    """Name the Data of the flags, and write the few-shot sets that are missing."""
    sets = {}
    for name in filter(None, args.data.split(",")):
        kind, _, number = name.partition("-")
        if name == "procedural":
            sets[name] = PROCEDURAL
        elif kind == "steel" and number.isdecimal():
            path = args.out / name
            if not (path / "splits.csv").exists() and not args.table:  # written last
                counts = {"train": int(number), "val": max(int(number), 5), "test": HELD_OUT}
                files.write_real(path, 64, counts, masks=True)
            sets[name] = PROCEDURAL._replace(flags=_folder(path), few=True)
        else:
            parser.error(f"--data={name} is not procedural or steel-N")
    for name, data in FOLDERS.items():
        if path := getattr(args, name):
            sets[name] = data._replace(flags=_folder(path) + data.flags)
    return sets


def _folder(path):
    return ("--config.data.source=folder", f"--config.data.path={path}")


def run_all(args, rows, sets):
    """Run pilots and baselines, then the cells, by data set and seed."""
    part, of = map(int, args.shard.split("/"))
    groups = [(name, seed) for seed in range(args.seeds) for name in sets][part::of]
    pool = grid.Pool(args.jobs)
    mine = dict.fromkeys(name for name, _ in groups)
    pool.each(lambda core, name: prepare(args, name, sets[name], rows, core), mine)

    def group(core, one):
        name, seed = one
        for row in chosen(rows, sets[name]):
            cell(args, Cell(row, name, seed, where(args, row, name, seed)), sets[name], core)

    pool.each(group, groups)


def chosen(rows, data):
    """Choose the rows that a data set has, those that others start from among them."""
    named = [name for name in rows if ROWS[name].few or not data.few]
    needed = {ROWS[name].starts for name in named} | {ROWS[name].mattes for name in named}
    return [name for name in ROWS if name in named or name in needed]


def where(args, row, data, seed):
    """Name a cell's directory."""
    return args.out / data / f"{row}-{seed}"


def prepare(args, name, data, rows, core):
    """Make a data set's pilots, its domain classifier, and classifiers of its real images."""
    names = chosen(rows, data) if args.equal == "time" else []
    for row in dict.fromkeys([JUDGE, *names]):
        try:
            pilot(args, Cell(row, name, 0, args.out / name / "pilot"), data, core)
        except subprocess.CalledProcessError as error:  # which is told by the row's cells
            log.warning("%s, pilot of %s: %s", name, row, error.output)
    path = args.out / name / "pilot" / JUDGE
    if not grid.judge_of(path):
        grid.evaluate(path, 60, core=core)
    classify(args.out / name / "baseline", data, [BASELINE], args.seeds, "", core)


def pilot(args, one, data, core):
    """Train a row for a few steps, to know its speed."""
    row = ROWS[one.row]
    if not row.trained or (row.masks and not data.masks and not row.mattes):
        return
    starts = {name: one.path / name for name in (row.starts, row.mattes)}
    given = [*flags(one, data, starts), f"--config.train.duration={PILOT}steps"]
    grid.train(one.path / one.row, [*given, f"--config.train.log_every={PILOT // 6}"], core)


def cell(args, one, data, core):
    """Train, evaluate and use one cell; a process that fails leaves its reason in failed.txt."""
    row, failed = ROWS[one.row], one.path / "failed.txt"
    if args.retry:
        failed.unlink(missing_ok=True)
    if failed.exists():
        return
    try:
        starts = {
            name: where(args, name, one.data, one.seed) / "run" for name in (row.starts, row.mattes)
        }
        given = [*flags(one, data, starts), *duration(args, one, data)]
        grid.train(one.run, given, core)
        if one.row == PART:
            return
        judge = grid.judge_of(args.out / one.data / "pilot" / JUDGE)
        grid.evaluate(one.run, args.num_fake, judge if row.named else None, core)
        if row.named:
            use(args, one, data, core)
        log.info("%s, %s, seed %d: done", one.data, one.row, one.seed)
    except subprocess.CalledProcessError as error:
        one.path.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"{error.output}\n")
        log.warning("%s, %s, seed %d: %s", one.data, one.row, one.seed, error.output)


def duration(args, one, data):
    """Make the flag of a cell's duration. What others start from takes half of their budget.

    Raises CalledProcessError where the row cannot learn from this data set, or its pilot failed.
    """
    row = ROWS[one.row]
    if row.masks and not data.masks and not row.mattes:
        raise subprocess.CalledProcessError(1, "", "the defects of this data set have no masks")
    if not row.trained:
        return []
    share = 0.5 if row.starts or one.row == PART else 1.0
    if args.equal == "images":
        return [f"--config.train.duration={share * args.kimg:g}kimg"]
    speed = grid.rate(args.out / one.data / "pilot" / one.row, "steps_per_s")
    if speed is None:
        raise subprocess.CalledProcessError(1, "", "its pilot failed")
    return [f"--config.train.duration={max(1, round(share * 60 * args.minutes * speed))}steps"]


def flags(one, data, starts):
    """Make the flags of a cell's training but its duration. starts: {row: its run}."""
    row = ROWS[one.row]
    given = [f"--config=configs/{row.config}", *row.flags, *data.flags]
    given.append(f"--config.seed={one.seed}")
    given += ["--config.train.summary_pairs=16", "--config.checkpoint.every=500"]
    given.append("--config.train.sample_every=500")
    if row.starts:
        given.append(f"--config.init.workdir={starts[row.starts]}")
    if row.mattes:
        given.append(f"--config.data.masks_from={starts[row.mattes]}")
    if row.one:
        given.append(f"--config.data.classes={data.one}")
    return given


def use(args, one, data, core):
    """Draw a set and train a classifier on it, alone and beside the real images."""
    made = one.path / "set"
    if not (made / "_SUCCESS").exists():
        given = [f"--workdir={one.run}", f"--out={made}", f"--num_per_class={args.num_per_class}"]
        grid.python(one.path, "dtgan.generate", *given, core=core)
    arms = [ADDED] if ROWS[one.row].one else [ALONE, ADDED]
    classify(one.path / "verdict", data, arms, 1, made, core)


def classify(out, data, arms, seeds, synthetic, core):
    """Train classifiers that are not there yet."""
    if (out / "verdict.json").exists():
        return
    given = ["--config=configs/classifier.py:quick", f"--out={out}", f"--arms={','.join(arms)}"]
    given += [f"--seeds={seeds}", "--drop_leaks", "--config.data.res=64", *data.flags]
    given += [f"--synthetic={synthetic}"] if synthetic else []
    grid.python(out, "dtgan.classify", *given, core=core)


def collect(args, name, one):
    """Read the figures of a data set's cells: {"baseline": errors, row: {seed: figures}}."""
    found = {"baseline": errors(args.out / name / "baseline", BASELINE)}
    for row in ROWS:
        seeds = {seed: where(args, row, name, seed) for seed in range(args.seeds)}
        told = {seed: figures(path, one) for seed, path in seeds.items() if path.exists()}
        if row != PART and any(told.values()):
            found[row] = told
    return found


def figures(path, one):
    """Read a cell's figures; {"failed": reason} where it failed, None where it is not there."""
    if (path / "failed.txt").exists():
        return {"failed": (path / "failed.txt").read_text().strip()}
    report = grid.report(path / "run")
    if not report:
        return None
    speed = grid.rate(path / "run", "steps_per_s")
    spent = json.loads((path / "run/spent.json").read_text())["dtgan.main"]
    return {
        "step": report["step"],
        "seconds_a_step": round(1 / speed, 4) if speed else None,
        "seconds": spent["seconds"],
        "peak_mb": spent["peak_mb"],
        **{figure: grid.dig(report, way) for figure, way in FIGURES.items()},
        **{figure: grid.dig(report, ("per_class", one, key)) for figure, key in ONE.items()},
        "error_alone": next(iter(errors(path / "verdict", ALONE)), None),
        "error_added": next(iter(errors(path / "verdict", ADDED)), None),
    }


def errors(path, arm):
    """Compute an arm's errors on the test images, a seed each; none where it is not there."""
    file = path / "predictions.npz"
    if not file.exists():
        return []
    with np.load(file) as found:
        return (found[arm] != found["truth"]).mean(1).tolist() if arm in found else []


if __name__ == "__main__":
    main()
