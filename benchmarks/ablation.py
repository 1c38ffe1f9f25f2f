"""The parts of a model, one after the other: same data, steps, seeds and test images.

    launch/run.sh python -m benchmarks.ablation --out=runs/ablation --steps=400 --seeds=3 --jobs=2
    launch/run.sh python -m benchmarks.ablation --of=defect_gan --out=runs/table2 --steps=3000

trains and evaluates every row and seed in its own process (OUT/<row>-<seed>, each resumes), then
prints a table of means with 95 % intervals over seeds and writes OUT/ablation.json. `--rows` takes
some of the rows; `--table` prints what is there.
"""

import argparse
import collections
import json
import pathlib

from benchmarks import grid
from dtgan.reporting.seeds import over_seeds

BARE = {
    "model.removal": False,
    **{f"loss.{name}": 0.0 for name in ("anchor", "present", "area", "smooth", "rehearse")},
    "augment.prob": 0.0,
}
DISCIPLINE = {"loss.anchor": 1.0, "loss.area": 1.0, "loss.smooth": 0.1}
Table = collections.namedtuple("Table", "config rows figures")  # of one model

LAYERED = Table(
    "configs/quickstart.py",
    {  # name -> (argument, fields); each adds to the one before, the last takes away
        "faithful": ("method=dtgan", {}),
        "learned_anchor": ("method=dtgan,anchor=learned", {}),
        "composition": ("", BARE),
        "removal": ("", BARE | {"model.removal": True}),
        "discipline": ("", BARE | {"model.removal": True} | DISCIPLINE),
        "rehearsal": ("", {"loss.present": 0.0, "augment.prob": 0.0}),
        "augmentation": ("", {"loss.present": 0.0}),
        "presence": ("", {}),
        "mask_supervision": ("", {"loss.mask": 1.0}),
        "no_gan": ("", {f"loss.{n}": 0.0 for n in ("adv_g", "cooccur_g", "cls_g", "feature")}),
    },
    {  # heading -> path in the report
        "skill": ("transfer", "skill"),
        "mask IoU": ("transfer", "mask_iou"),
        "background": ("transfer", "background_mae"),
        "removal": ("transfer", "removal_skill"),
        "class from z_t": ("probes", "class_from_texture", "accuracy"),
        "family from z_s": ("probes", "family_from_structure", "accuracy"),
        "KID x1e3": ("overall", "kid_x1e3"),
        "copies": ("copies", "rate"),
    },
)
DEFECT_GAN = Table(  # the paper's table 2: its maps say the same everywhere
    "configs/defect_gan.py",
    {
        "none": ("quick,scc=0,ani=0,lwc=0,sc=0", {}),
        "scc": ("quick,ani=0,lwc=0,sc=0", {}),
        "scc_ani": ("quick,lwc=0,sc=0", {}),
        "scc_lwc": ("quick,ani=0,sc=0", {"model.places": 0.0}),
        "scc_lwc_sc": ("quick,ani=0", {"model.places": 0.0}),
        "all": ("quick", {"model.places": 0.0}),
        "all_places": ("quick", {}),
    },
    {
        "FID": ("overall", "fid"),
        "floor": ("floor", "overall", "fid"),
        "KID x1e3": ("overall", "kid_x1e3"),
        "recognised": ("overall", "recognised"),
        "changed": ("translation", "change_mae"),
        "background": ("translation", "background_mae"),
        "removal": ("translation", "removal_skill"),
    },
)
TABLES = {"layered": LAYERED, "defect_gan": DEFECT_GAN}


def main(argv=None):
    """Run what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--of", choices=TABLES, default="layered", help="whose parts")
    parser.add_argument("--out", required=True, help="directory of all runs")
    parser.add_argument("--config", default="", help="config file; default that of the table")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num_fake", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1, help="processes at once, a core each")
    parser.add_argument("--rows", default="", help="rows, separated by commas; default all")
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args(argv)
    rows = TABLES[args.of].rows
    args.config = args.config or TABLES[args.of].config
    args.rows = args.rows or ",".join(rows)
    unknown = set(args.rows.split(",")) - set(rows)
    if unknown:
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known: {', '.join(rows)}")
    out = pathlib.Path(args.out)
    tasks = [(row, seed) for seed in range(args.seeds) for row in args.rows.split(",")]
    if not args.table:
        out.mkdir(parents=True, exist_ok=True)
        first, *others = tasks
        pool = grid.Pool(grid.cores(args.jobs) if args.jobs > 1 else [None])
        pool.each(lambda core, task: run(out, args, core, *task), [first])  # it makes the judge
        pool.each(lambda core, task: run(out, args, core, *task), others)
    tasks = [(row, seed) for seed in range(args.seeds) for row in rows]
    table = summarise(out, args.steps, tasks, TABLES[args.of].figures)
    (out / "ablation.json").write_text(json.dumps(vars(args) | {"rows": table}, indent=2) + "\n")
    print(markdown(table))


def run(out, args, core, row, seed):
    """Train and evaluate one row with one seed, where that is not done yet."""
    argument, fields = TABLES[args.of].rows[row]
    workdir, judge = out / f"{row}-{seed}", grid.judge_of(out)
    given = [
        f"--config={args.config}:{argument}",
        f"--config.seed={seed}",
        "--config.train.summary_pairs=8",
        f"--config.train.duration={args.steps}steps",
        f"--config.checkpoint.every={args.steps}",
        f"--config.train.sample_every={args.steps}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]
    grid.train(workdir, given, core)
    grid.evaluate(workdir, args.num_fake, judge, core)
    if not judge:
        file = grid.judge_of(workdir)
        (out / file.name).write_bytes(file.read_bytes())
    print(f"{row} {seed} done", flush=True)


def summarise(out, steps, tasks, figures):
    """{row: {figure: {"values", "mean", "ci95"}}} of the finished runs."""
    table = {}
    for row, seed in tasks:
        file = out / f"{row}-{seed}" / "eval" / f"{steps}.json"
        if not file.exists():
            continue
        report = json.loads(file.read_text())
        values = {name: grid.dig(report, path) for name, path in figures.items()}
        speed = grid.rate(out / f"{row}-{seed}", "steps_per_s")
        values["s/step"] = 1 / speed if speed else None
        for name, value in values.items():
            cell = table.setdefault(row, {}).setdefault(name, {"values": []})
            cell["values"].append(value)
    for cells in table.values():
        for cell in cells.values():
            cell |= interval([v for v in cell["values"] if v is not None])
    return table


def interval(values):
    """Compute the mean over seeds and its 95 % interval: {"mean", "ci95"}, None without values."""
    found = over_seeds(values)
    return {"mean": found["mean"], "ci95": found["ci95"]}


def markdown(table):
    """The table as Markdown: mean +- half of the interval."""
    heads = list(next(iter(table.values()), {}))
    lines = ["| row | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row, cells in table.items():
        lines.append("| " + " | ".join([row, *(text(cells[name]) for name in heads)]) + " |")
    return "\n".join(lines)


def text(cell):
    """'0.41 +- 0.03', '-' where there is no number."""
    if cell["mean"] is None:
        return "-"
    digits = 3 if abs(cell["mean"]) < 10 else 0
    spread = f" ± {cell['ci95'][1] - cell['mean']:.{digits}f}" if cell["ci95"] else ""
    return f"{cell['mean']:.{digits}f}{spread}"


if __name__ == "__main__":
    main()
