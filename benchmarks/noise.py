"""Models that draw of noise, on few defects: DFMGAN beside the other rows of its paper's tables.

    launch/run.sh python -m benchmarks.noise --out=runs/noise

Procedural steel, 64 px, n defects a class with their masks to train on and 40 to compare with. A
StyleGAN2 of surfaces is trained first, on defect-free images; then every row of ROWS is trained as
its `:quick` says, on all classes at once but where it says otherwise, and evaluated by the domain
classifier of the first row, which pastes 60 real defects a class; those of fewer classes need one
of their own. Each is a process of its own that resumes; the same command goes on where it was.
Writes benchmarks/results/noise.json and prints a table. --rows takes some, --core pins them.
"""

import argparse
import json
import os
import pathlib
from typing import NamedTuple

from benchmarks import grid
from dtgan.data.procedural import files
from dtgan.files import write_atomic

RESULTS = pathlib.Path(__file__).parent / "results" / "noise.json"
HELD_OUT = 40  # defects a class, and three times as many normals
SURFACES, JUDGE = "surfaces", "paste-60"


class Row(NamedTuple):
    """A model. number: training defects a class; starts: from the surfaces, else from scratch.

    shared: whether it is judged by the shared classifier, which knows all classes.
    """

    config: str
    number: int = 12
    starts: bool = False
    classes: str = ""
    shared: bool = True


ROWS = {
    JUDGE: Row("paste.py", number=60),
    "paste": Row("paste.py"),
    "dfmgan": Row("dfmgan.py:stage=2,quick", starts=True),
    "dfmgan-5": Row("dfmgan.py:stage=2,quick", 5, starts=True),
    "dfmgan-1": Row("dfmgan.py:stage=2,quick", 1, starts=True),
    "finetune": Row("stylegan2.py:finetune,quick", starts=True),
    "diffaug": Row("stylegan2.py:diffaug,quick"),
    "stylegan2": Row("stylegan2.py:learn=defects,quick"),
    "cdc": Row("cdc.py:quick", starts=True, classes="mark", shared=False),
    "stackgan": Row("stackgan.py:quick", shared=False),
    "stackgan-cond": Row("stackgan.py:cond,quick"),
}
FIGURES = {  # heading -> path in the report
    "KID x1e3": ("overall", "kid_x1e3"),
    "95 %": ("overall", "kid_ci95"),
    "floor": ("floor", "overall", "kid_x1e3"),
    "cLPIPS": ("overall", "clustered_lpips_matched"),
    "its floor": ("floor", "overall", "clustered_lpips"),
    "recognised": ("overall", "recognised"),
    "mask IoU": ("twins", "mask_iou"),
    "outside": ("twins", "outside_mae"),
    "copies": ("copies", "rate"),
    "false alarms": ("copies", "held_out_rate"),
}


def main(argv=None):
    """Run what is missing, write and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, help="directory of sets and runs")
    add("--rows", default=",".join(ROWS), help="separated by commas (default all)")
    add("--num_fake", type=int, default=480, help="synthetic images of a row (default 480)")
    add("--core", type=int, help="run on this CPU core alone")
    args = parser.parse_args(argv)
    wanted = args.rows.split(",")
    if unknown := set(wanted) - set(ROWS):
        parser.error(f"unknown rows {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    grid.train(args.out / SURFACES, ["--config=configs/dfmgan.py:stage=1,quick"])
    for name in dict.fromkeys([JUDGE, *wanted]):
        grid.train(args.out / name, flags(args.out, ROWS[name]))
        evaluate(args.out, name, args.num_fake)
    found = {name: read(args.out / name, row) for name, row in ROWS.items()}
    write_atomic(RESULTS, json.dumps(found, indent=2) + "\n")
    print(markdown(found))


def flags(out, row):
    """Make the flags of a row's training, and its data where they are missing."""
    data = out / f"steel-{row.number}"
    if not (data / "splits.csv").exists():  # written last
        counts = {"train": row.number, "val": max(row.number, 5), "test": HELD_OUT}
        files.write_real(data, 64, counts, masks=True)
    given = [f"--config=configs/{row.config}"]
    given += ["--config.data.source=folder", f"--config.data.path={data}"]
    if row.starts:
        given.append(f"--config.init.workdir={out / SURFACES}")
    if row.classes:
        given.append(f"--config.data.classes={row.classes}")
    return given


def evaluate(out, name, num_fake):
    """Evaluate a run that is not yet, by the shared classifier where it can be."""
    grid.evaluate(out / name, num_fake, grid.judge_of(out / JUDGE) if ROWS[name].shared else None)


def read(workdir, row):
    """Read the figures of an evaluated run; None where it is not there."""
    report = grid.report(workdir)
    if not report:
        return None
    rate = grid.rate(workdir, "images_per_s")
    return {
        **row._asdict(),
        "step": report["step"],
        "images_per_s": round(rate, 1) if rate else None,
        **{name: grid.dig(report, path) for name, path in FIGURES.items()},
    }


def markdown(found):
    """Format the table: a row a model, '-' where there is no number."""
    heads = ["n", "steps", "images/s", *FIGURES]
    lines = ["| row | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, row in found.items():
        if row:
            cells = [row["number"], row["step"] or "-", text(row["images_per_s"])]
            cells += [text(row[heading]) for heading in FIGURES]
            lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def text(value):
    """Format a number or an interval; '-' for None."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"[{text(value[0])}, {text(value[1])}]"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
