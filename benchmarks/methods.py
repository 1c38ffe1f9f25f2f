"""Every method on equal terms: same data, judge, metrics and seeds, as much time or as many images.

    launch/run.sh python -m benchmarks.methods --out=runs/methods --jobs=2
    launch/run.sh python -m benchmarks.methods --out=runs/methods --neu_steel=DIR/neu_steel --data=

A cell is a row of benchmarks/rows.py, a data set and a seed: it is trained for --minutes on one
core of its own, judged by the data set's one domain classifier, draws a set, and a classifier (a
ResNet-18 of a quarter of the width) is trained on that, as in the papers with synthetic images to
the end. Its steps are those that a pilot run of the row makes in this time, compiling and saving
apart (--equal=time), or those that show --kimg thousand images (--equal=images). Of a row that
starts from another's run each has half; a run that draws masks for another comes on top. StackGAN++
without labels, which knows no classes, has a domain classifier of its own.

Each step is a process that resumes; the same command goes on where it was, and a cell that failed
is told with its reason (--retry tries it again). For several machines: --seeds=0 makes pilots and
judges; copy OUT to all, give each --shard=0/4 ... 3/4, copy their cells together, and --table.
Writes benchmarks/results/methods_{time,images}.json at the end, and with --table at any time. Cells
and numbers of steps that it has from other calls stay and are not made again, also where OUT is
empty; delete what shall be.
"""

import argparse
import logging
import os
import pathlib
import re
import sys

import jax

from benchmarks import grid, record
from benchmarks.cells import ADDED, ALONE, BASELINE, Cell, collect, where
from benchmarks.grid import Failed
from benchmarks.rows import DONOR, FOLDERS, JUDGE, JUDGES, PROCEDURAL, ROWS
from dtgan import cli
from dtgan.config import ConfigError
from dtgan.data.procedural import files
from dtgan.files import read_json, same_or_refuse

log = logging.getLogger("dtgan")

HELD_OUT, NORMALS = 40, 300  # test defects a class of few-shot sets; their normals to train on
PILOT = 90  # steps
CLASSIFIER = (
    "--config=configs/classifier.py:quick",
    "--net=resnet18w16",
    "--config.train.steps=400",
    "--config.train.synthetic_until=1.0",
)


def main(argv=None):
    """Run what is missing, then write the figures of all cells."""
    args = parse(argv)
    cli.setup_logging()
    file = record.ROOT / f"benchmarks/results/methods_{args.equal}.json"
    described = {"minutes" if args.equal == "time" else "kimg": args.budget}
    described |= {name: getattr(args, name) for name in ("num_fake", "num_per_class")}
    try:
        same_or_refuse(args.out / "grid.json", described, "a grid")
        known = read_known(file, described)
        sets = open_sets(args)
        if not args.table:
            run_all(args, sets, known)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except grid.Stopped as stopped:
        sys.exit(f"{stopped}; the same command goes on")
    if args.of > 1 and not args.table:
        return
    cells, steps = known.get("cells", {}), known.get("steps", {})
    for name, data in sets.items():
        cells[name] = collect(args.out / name, data.single, args.seeds, cells.get(name, {}))
        if args.equal == "time":
            steps[name] = {row: n for row in ROWS if (n := steps_of(args, row, name, known))}
    record.write(
        file,
        {"equal": args.equal, **described, "steps": steps, "cells": cells},
        config="those of benchmarks/rows.py",
        hardware=f"one of {os.cpu_count()} CPU cores a process, jax {jax.__version__}, float32",
        time=f"{args.budget:g} {'minutes' if args.equal == 'time' else 'thousand images'} a cell",
        seeds=str(args.seeds),
    )


def parse(argv):
    """Read the flags; `out` is that of --equal, `budget` its minutes or thousand images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, help="directory of all runs")
    add("--rows", default=",".join(ROWS), help="separated by commas (default all)")
    add("--data", default="procedural", help="procedural, steel-N (of N defects a class); or none")
    for name in FOLDERS:
        add(f"--{name}", default="", help="folder of these pictures: adds this data set")
    add("--seeds", type=int, default=3)
    add("--equal", choices=("time", "images"), default="time", help="what the rows have in common")
    add("--minutes", type=float, default=12, help="of training a cell (default 12)")
    add("--kimg", type=float, default=6, help="thousand images shown a cell (default 6)")
    add("--num_fake", type=int, default=500, help="synthetic images of an evaluation")
    add("--num_per_class", type=int, default=100, help="of the set that classifiers see")
    add("--jobs", type=int, default=1, help="processes at once, a core each")
    add("--shard", default="0/1", help="part of the cells, N/OF, by data set and seed")
    add("--retry", action="store_true", help="run failed cells again")
    add("--table", action="store_true", help="run nothing")
    args = parser.parse_args(argv)
    args.rows = args.rows.split(",")
    if unknown := set(args.rows) - set(ROWS):
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    if not 1 <= args.jobs <= len(grid.cores(None)):
        parser.error(f"--jobs={args.jobs}: this process may use {len(grid.cores(None))} CPU cores")
    shard = re.fullmatch(r"(\d+)/([1-9]\d*)", args.shard)
    if not shard or int(shard[1]) >= int(shard[2]):
        parser.error(f"--shard={args.shard} is not N/OF with N below OF; for example 0/4")
    args.part, args.of = int(shard[1]), int(shard[2])
    args.budget = args.minutes if args.equal == "time" else args.kimg
    args.out = args.out / args.equal
    return args


def read_known(file, described):
    """Read the results of earlier calls, {} without. Raises ConfigError for other terms."""
    known = read_json(file) or {}
    for name, value in described.items():
        if known and known.get(name) != value:
            raise ConfigError(
                f"{file.relative_to(record.ROOT)} has cells with {name}={known.get(name)}, these "
                f"have {name}={value}; move it away, or use the old values"
            )
    return known


def open_sets(args):
    """Name the Data of the flags, and write the few-shot sets that are missing: {name: Data}.

    Raises ConfigError for a data set that does not exist.
    """
    sets = {}
    for name in filter(None, args.data.split(",")):
        kind, _, number = name.partition("-")
        if name != "procedural" and not (kind == "steel" and number.isdecimal()):
            raise ConfigError(f"--data={name} is not procedural or steel-N")
        sets[name] = PROCEDURAL if name == "procedural" else few_shot(args, name)
    for name, data in FOLDERS.items():
        if path := getattr(args, name):
            sets[name] = data._replace(flags=in_folder(path) + data.flags)
    return sets


def few_shot(args, name):
    """Write the set steel-N where it is missing: its Data."""
    path, number = args.out / name, int(name.partition("-")[2])
    if not (path / "splits.csv").exists() and not args.table:  # written last
        counts = {"train": number, "val": max(number, 5), "test": HELD_OUT}
        files.write_real(path, 64, counts, masks=True, normals=NORMALS)
    return PROCEDURAL._replace(flags=in_folder(path), few=True)


def in_folder(path):
    """Make the flags of a data set of files."""
    return ("--config.data.source=folder", f"--config.data.path={path}")


def run_all(args, sets, known):
    """Run pilots and baselines, then the cells, by seeds; those that others need come first."""
    groups = [(name, seed) for seed in range(args.seeds) for name in sets][args.part :: args.of]
    cells = [cell for group in groups for cell in missing(args, sets, known, *group)]
    if args.seeds:
        rows = {name: [cell.row for cell in cells if cell.data == name] for name in sets}
    else:
        rows = {name: chosen(args.rows, data) for name, data in sets.items()}
    pool = grid.Pool(grid.cores(args.jobs))
    mine = [name for name in sets if rows[name]]
    if any(sets[name].few for name in mine):
        pool.each(lambda core, name: judge(args, name, few_shot(args, name), core), [JUDGES])
    pool.each(lambda core, name: prepare(args, name, sets[name], rows[name], known, core), mine)
    needed = {name for row in args.rows for name in (ROWS[row].donor, ROWS[row].drawn_by)}
    for seed in range(args.seeds):
        for first in (True, False):
            part = [c for c in cells if c.seed == seed and (c.row in needed) == first]
            pool.each(lambda core, cell: run(args, cell, sets[cell.data], known, core), part)


def missing(args, sets, known, name, seed):
    """List the Cells of a data set and seed whose figures are not known, and what they need."""

    def told(row):
        figures = known.get("cells", {}).get(name, {}).get(row, {}).get(str(seed))
        return figures and not (args.retry and ("failed" in figures or figures.get("unused")))

    rows = [row for row in chosen(args.rows, sets[name]) if row != DONOR and not told(row)]
    return [
        Cell(row, name, seed, where(args.out, row, name, seed)) for row in chosen(rows, sets[name])
    ]


def chosen(rows, data):
    """Choose the rows that a data set has, those that they need among them."""
    named = [name for name in rows if ROWS[name].few or not data.few]
    named = [name for name in named if not (ROWS[name].drawn_by and data.masks)]
    needed = {other for name in named for other in (ROWS[name].donor, ROWS[name].drawn_by)}
    return [name for name in ROWS if name in named or name in needed]


def judge(args, name, data, core):
    """Train a data set's domain classifier."""
    path = args.out / name / "pilot" / JUDGE
    if not grid.judge_of(path):
        pilot(args, Cell(JUDGE, name, 0, path.parent), data, core)
        grid.evaluate(path, 60, core=core)


def prepare(args, name, data, rows, known, core):
    """Make a data set's domain classifier, pilots of rows, and classifiers of its real images."""
    if not data.few:
        judge(args, name, data, core)
    unknown = [row for row in rows if row not in known.get("steps", {}).get(name, {})]
    for row in chosen(unknown, data) if args.equal == "time" else ():
        try:
            pilot(args, Cell(row, name, 0, args.out / name / "pilot"), data, core)
        except Failed as error:  # which is told by the row's cells
            log.warning("%s, pilot of %s: %s", name, row, error)
    seeds = max(args.seeds, 1)
    classify(args.out / name / f"baseline-{seeds}", data, [BASELINE], seeds, "", core)


def pilot(args, cell, data, core):
    """Train a row for a few steps, to know its speed."""
    row = ROWS[cell.row]
    if row.trained and (data.masks or not row.masks):
        donors = {name: cell.path / name for name in (row.donor, row.drawn_by)}
        given = [*flags(cell, data, donors), f"--config.train.duration={PILOT}steps"]
        grid.train(cell.path / cell.row, [*given, f"--config.train.log_every={PILOT // 6}"], core)


def run(args, cell, data, known, core):
    """Train, evaluate and use one cell.

    What fails leaves its reason: failed.txt where it has no report, unused.txt where no classifier
    could be trained on its images.
    """
    row, notes = ROWS[cell.row], (cell.path / "failed.txt", cell.path / "unused.txt")
    if args.retry:
        for note in notes:
            note.unlink(missing_ok=True)
    if any(note.exists() for note in notes):
        return
    work, judges = notes[0], JUDGES if data.few else cell.data
    try:
        names = (row.donor, row.drawn_by)
        donors = {name: where(args.out, name, cell.data, cell.seed) / "run" for name in names}
        grid.train(cell.run, [*flags(cell, data, donors), *duration(args, cell, data, known)], core)
        if cell.row == DONOR:
            return
        weights = grid.judge_of(args.out / judges / "pilot" / JUDGE) if row.named else None
        grid.evaluate(cell.run, args.num_fake, weights, core)
        work = notes[1]
        if row.named:
            use(args, cell, data, core)
        log.info("%s, %s, seed %d: done", cell.data, cell.row, cell.seed)
    except Failed as error:
        cell.path.mkdir(parents=True, exist_ok=True)
        work.write_text(f"{error}\n")
        log.warning("%s, %s, seed %d: %s", cell.data, cell.row, cell.seed, error)


def duration(args, cell, data, known):
    """Make the flag of a cell's duration.

    Raises Failed where the row cannot learn from this data set, or its pilot failed.
    """
    row = ROWS[cell.row]
    if row.masks and not data.masks:
        raise Failed("the defects of this data set have no masks")
    if not row.trained:
        return []
    if args.equal == "images":
        return [f"--config.train.duration={budget_of(args, cell.row):g}kimg"]
    steps = steps_of(args, cell.row, cell.data, known)
    if steps is None:
        raise Failed("its pilot failed")
    return [f"--config.train.duration={steps}steps"]


def steps_of(args, row, data, known):
    """Number of steps of a row in its time, by earlier calls or its pilot; None without a pilot."""
    if steps := known.get("steps", {}).get(data, {}).get(row):
        return steps
    speed = grid.rate(args.out / data / "pilot" / row, "steps_per_s")
    return speed and max(1, round(60 * budget_of(args, row) * speed))


def budget_of(args, row):
    """Minutes or thousand images of a row: half of them where it starts from another, or is it."""
    return args.budget / 2 if ROWS[row].donor or row == DONOR else args.budget


def flags(cell, data, donors):
    """Make the flags of a cell's training but its duration. donors: {row: its run}."""
    row = ROWS[cell.row]
    given = [f"--config=configs/{row.config}", *row.flags, *data.flags]
    given += [f"--config.seed={cell.seed}", "--config.train.summary_pairs=16"]
    given += ["--config.checkpoint.every=500", "--config.train.sample_every=500"]
    if row.donor:
        given.append(f"--config.init.workdir={donors[row.donor]}")
    if row.drawn_by:
        given.append(f"--config.data.masks_from={donors[row.drawn_by]}")
    if row.single:
        given.append(f"--config.data.classes={data.single}")
    return given


def use(args, cell, data, core):
    """Draw a set and train a classifier on it, alone and beside the real images."""
    made = cell.path / "set"
    if not (made / "_SUCCESS").exists():
        given = [f"--workdir={cell.run}", f"--out={made}", f"--num_per_class={args.num_per_class}"]
        grid.python(cell.path, "dtgan.generate", *given, core=core)
    arms = [ADDED] if ROWS[cell.row].single else [ALONE, ADDED]
    classify(cell.path / "verdict", data, arms, 1, made, core)


def classify(out, data, arms, seeds, synthetic, core):
    """Train classifiers that are not there yet."""
    if (out / "verdict.json").exists():
        return
    given = [*CLASSIFIER, f"--out={out}", f"--arms={','.join(arms)}", f"--seeds={seeds}"]
    given += ["--drop_leaks", "--config.data.res=64", *data.flags]
    given += [f"--synthetic={synthetic}"] if synthetic else []
    grid.python(out, "dtgan.classify", *given, core=core)


if __name__ == "__main__":
    main()
