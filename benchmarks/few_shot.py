"""The learning curve: how much of what more true defects would give do synthetic ones give?

    launch/run.sh python -m benchmarks.few_shot --out=runs/few_shot

Procedural steel with n = 5, 12, 25, 50 defects a class to train and as many to validate. A model is
trained on them and draws a set; classifiers see the real images, those and the synthetic ones, or
those and as many more true defects (the oracle, which shows them to the end, since they are real);
tested on 360 others. *Recovery* is the share of the oracle's gain that synthetic images reach:
(error of real+classic less that of the synthetic arm) / (error of real+classic less the oracle's),
its interval a bootstrap over test images and seeds. Writes benchmarks/results/few_shot.json and
docs/few_shot.png; what is done is kept, the same command goes on. Words after -- are further flags
of dtgan.generate.
"""

import argparse
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np

from benchmarks import record
from dtgan import cli
from dtgan.classification import runner, settings
from dtgan.data.procedural import CLASSES, ProceduralSteel, files

RESULTS = record.ROOT / "benchmarks/results/few_shot.json"
HELD_OUT = 40  # test defects a class, and three times as many normals
BASELINE, ARM = settings.BASELINE, "real+synthetic+classic"
CURVES = {"real": "real+classic", "synthetic": "+ synthetic", "oracle": "+ true defects"}
RESAMPLES = 2000


def main(argv=None):
    """Run what is missing for every n, then write results and figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", required=True, help="directory of sets, runs and experiments")
    add("--numbers", default="5,12,25,50", help="real defects a class (default 5,12,25,50)")
    add("--res", type=int, default=64, help="side of the images in pixels")
    add("--config", default="configs/quickstart.py", help="config of the model")
    add("--duration", default="1500steps", help="of its training")
    add("--extra", type=int, default=200, help="synthetic, and true, images a class (default 200)")
    add("--seeds", type=int, default=5, help="of the classifiers")
    add("--steps", type=int, default=200, help="of a classifier's training")
    add("--choose", action="store_true", help=f"use the arm {settings.CHOSEN}")
    add("--figure", default="docs/few_shot.png", help="file of the figure; empty = none")
    add("generate", nargs="*", help="after --: further flags of dtgan.generate")
    args = parser.parse_args(argv)
    cli.start_jax(cli.CACHE)
    cli.setup_logging()
    out, rows = pathlib.Path(args.out), {}
    for number in map(int, args.numbers.split(",")):
        make_sets(out / str(number), number, args)
        rows[number] = compare(out / str(number), args)
        found = {key: value for key, value in vars(args).items() if key not in ("out", "figure")}
        record.write(
            RESULTS,
            found | {"rows": rows},
            hardware=f"{os.cpu_count()} CPU cores, jax {jax.__version__}, float32",
            seeds=f"{args.seeds} of the classifiers, 1 of the model",
        )
    print("\n".join(table(rows)))
    if args.figure:
        draw(rows, args.figure)


def make_sets(root, number, args):
    """Write the real set and the oracle's, train the model, draw its set."""
    if not (root / "_SUCCESS").exists():
        counts = {"train": number, "val": number, "test": HELD_OUT}
        files.write_real(root / "real", args.res, counts)
        counts = dict.fromkeys(CLASSES[1:], args.extra) | {"normal": 1}
        extra = ProceduralSteel("train", args.res, seed=1, counts=counts)
        shown = [(CLASSES[label], k) for k, label in enumerate(extra.labels) if label]
        files.write_set(root / "oracle", extra, shown)
        (root / "_SUCCESS").write_text("")
    python = [sys.executable, "-m"]
    train = [
        *python,
        "dtgan.main",
        f"--config={args.config}",
        f"--workdir={root}/gan",
        "--config.data.source=folder",
        f"--config.data.path={root}/real",
        f"--config.data.res={args.res}",
        f"--config.train.duration={args.duration}",
    ]
    draw = [
        *python,
        "dtgan.generate",
        f"--workdir={root}/gan",
        f"--out={root}/synthetic",
        f"--num_per_class={args.extra}",
        *args.generate,
    ]
    if not (root / "gan/summary.json").exists():
        subprocess.run(train, check=True)
    if not (root / "synthetic/_SUCCESS").exists():
        subprocess.run(draw, check=True)


def compare(root, args):
    """Train the classifiers of one n: errors by arm and class, verdict, recovery."""
    config = settings.base_config()
    config.data.source, config.data.path, config.data.res = "folder", str(root / "real"), args.res
    config.train.steps, config.train.val_every, config.seeds = args.steps, 25, args.seeds
    arm, wrong, errors = settings.CHOSEN if args.choose else ARM, {}, {}
    reports, until = {}, config.train.synthetic_until
    for name, own in (("synthetic", arm), ("oracle", ARM)):
        config.arms, out = (BASELINE, own), root / f"verdict_{name}"
        config.train.synthetic_until = 1.0 if name == "oracle" else until
        known = root / "verdict_synthetic" if name == "oracle" else ""
        reports[name] = runner.run(config, out, str(root / name), baseline=str(known))
        with np.load(out / "predictions.npz") as found:
            wrong[name], wrong["real"] = (found[key] != found["truth"] for key in (own, BASELINE))
        scores = reports[name]["arms"]
        errors[name], errors["real"] = scores[own], scores[BASELINE]
    kept = "error", "per_class_error"
    return {
        "errors": {name: {key: errors[name][key] for key in kept} for name in errors},
        "verdict": reports["synthetic"]["verdict"],
        "choice": reports["synthetic"]["choice"],
        "recovery": recovery(wrong["real"], wrong["synthetic"], wrong["oracle"]),
    }


def recovery(real, synthetic, oracle, seed=0):
    """Estimate the share of the oracle's gain that synthetic images reach, of bool [S, N] errors.

    {"value", "ci95", "undefined"}: percentile bootstrap over test images, the same ones for all
    arms, and over the seeds of each; the ratio is of the resampled gains. undefined: share of
    resamples in which the oracle gains nothing, which are left out; the value is None where it does
    so in the data.
    """
    rng, count = np.random.default_rng(seed), real.shape[1]
    images = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    means = []
    for arm in (real, synthetic, oracle):
        seeds = rng.multinomial(len(arm), np.full(len(arm), 1 / len(arm)), RESAMPLES) / len(arm)
        means.append(np.einsum("rs,sn,rn->r", seeds, arm.astype(float), images, optimize=True))
    gain, most = means[0] - means[1], means[0] - means[2]
    defined, whole = most > 0, real.mean() - oracle.mean()
    return {
        "value": float((real.mean() - synthetic.mean()) / whole) if whole > 0 else None,
        "ci95": np.quantile(gain[defined] / most[defined], [0.025, 0.975]).tolist()
        if defined.any()
        else None,
        "undefined": float(1 - defined.mean()),
    }


def table(rows):
    """Format the rows as Markdown lines: errors in %, recovery with its interval."""
    heads = ["defects a class", *CURVES.values(), "recovery"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for number, row in rows.items():
        errors = [f"{100 * row['errors'][k]['error']['mean']:.1f}" for k in CURVES]
        share, interval = row["recovery"]["value"], row["recovery"]["ci95"]
        told = "-" if share is None else f"{share:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
        lines.append(f"| {number} | " + " | ".join([*errors, told]) + " |")
    return lines


def draw(rows, path):
    """Draw errors and recovery over the number of real defects a class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    numbers = sorted(rows)
    for key, name in CURVES.items():
        errors = [rows[number]["errors"][key]["error"] for number in numbers]
        means = [100 * error["mean"] for error in errors]
        spans = [error["ci95"] or [error["mean"]] * 2 for error in errors]
        low, high = ([100 * span[side] for span in spans] for side in (0, 1))
        (line,) = left.plot(numbers, means, marker="o", label=name)
        left.fill_between(numbers, low, high, alpha=0.15, color=line.get_color())
    left.set(ylabel="test error, %", ylim=(0, None))
    left.legend()
    known = [number for number in numbers if rows[number]["recovery"]["value"] is not None]
    shares = [rows[number]["recovery"] for number in known]
    values = np.array([share["value"] for share in shares])
    bounds = np.array([share["ci95"] for share in shares]).reshape(-1, 2)
    right.errorbar(known, values, np.abs(bounds.T - values), marker="o", capsize=3)
    right.axhline(0, color="grey", linewidth=0.8)
    right.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    right.set(ylabel="recovery")
    for axes in (left, right):
        axes.set(xlabel="real defects a class", xscale="log", xticks=numbers, xticklabels=numbers)
        axes.minorticks_off()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
