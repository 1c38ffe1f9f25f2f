"""Does --choose leave out a harmful class, and does it cry HELPS where nothing helps?

    launch/run.sh python -m benchmarks.choosing --out=runs/choosing

Procedural steel, 12 training and 24 validation defects a class, 60 more true defects a class as the
"synthetic" set. Planted: in one class's folder lie true defects of all other classes instead; sets
of other seeds, the six classes in turn. Null: ten seeds of the baseline in each of three folds
of 40 parts (seven pictures each: clean, and a defect of every class), divided at random into a
baseline and a "chosen" arm of five each; the search of each fold runs on answers to another's
images, and where it leaves out all classes the arm is the baseline. 200 times, with parts drawn
anew with replacement. Writes benchmarks/results/choosing.json; what is trained is kept in OUT, the
same command goes on.
"""

import argparse
import json
import logging
import os
import pathlib

import jax
import numpy as np

from benchmarks import record
from dtgan import cli, images
from dtgan.classification import choosing, runner, settings, verdict
from dtgan.classification.store import Store
from dtgan.classification.training import Trainer
from dtgan.data.procedural import CLASSES, ProceduralSteel, files

TRAIN, VAL, EXTRA = 12, 24, 60  # defects a class
FIRST, SETS = 10, 10  # of the planted sets; on seeds 0 to 9 the criterion was chosen
FOLDS, SEEDS, NULLS = 3, 5, 200
PARTS = 40  # of the null's set


def main(argv=None):
    """Make the sets, search, simulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="directory of sets and experiments")
    parser.add_argument("--res", type=int, default=48, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=200, help="of every training")
    parser.add_argument("--sets", type=int, default=SETS, help="number of planted sets")
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first planted set")
    parser.add_argument("--net", default="resnet18w16", help="that of dtgan.classify")
    args = parser.parse_args(argv)
    cli.start_jax(cli.CACHE)
    cli.setup_logging()
    out = pathlib.Path(args.out)
    config = settings.base_config()
    config.data.source, config.data.res = "folder", args.res
    config.train.steps, config.train.val_every, config.together = args.steps, 25, 1
    config.net = args.net
    trainer = Trainer(config, CLASSES, augmented=True)
    seeds = range(args.first, args.first + args.sets)
    choices = [planted(config, out / f"set_{seed}", seed, trainer) for seed in seeds]
    found = {
        "res": args.res,
        "steps": args.steps,
        "net": config.net,
        "planted": choices,
        "sets": args.sets,
        "left_out": sum(choice["harmful"] in choice["left_out"] for choice in choices),
        "others_left_out": sum(len(set(c["left_out"]) - {c["harmful"]}) for c in choices),
        "null": null(config, out / "null", trainer),
    }
    record.write(
        record.ROOT / "benchmarks/results/choosing.json",
        found,
        config=f"{args.net}, {args.steps} steps, {args.res} px",
        hardware=f"{os.cpu_count()} CPU cores, jax {jax.__version__}, float32",
        seeds=f"{args.sets} sets; {SEEDS} a comparison",
    )
    print(json.dumps(found, indent=2))


def planted(config, out, seed, trainer):
    """Choose on a set whose class `harmful` shows the others' defects: what is left out."""
    harmful = 1 + seed % (len(CLASSES) - 1)
    if not (out / "_SUCCESS").exists():
        make_set(out, config.data.res, seed, harmful)
    config.data.path, config.data.fold, config.arms = str(out / "real"), "", (settings.CHOSEN,)
    experiment, _, _ = runner.prepare(config, str(out / "synthetic"), "", drop_leaks=True)
    kept = {"res": config.data.res, "net": config.net}
    kept |= {"train": config.train.to_dict(), "choose": config.choose.to_dict()}
    store = Store(out / "search", kept)
    choice = choosing.choose(config, store, trainer, experiment)
    logging.getLogger("dtgan").info(
        "set %d: %s is harmful, left out: %s", seed, CLASSES[harmful], choice["left_out"]
    )
    kept = ("left_out", "share", "runs", "num_val", "effects", "val_errors")
    return {"seed": seed, "harmful": CLASSES[harmful], **{name: choice[name] for name in kept}}


def make_set(root, res, seed, harmful):
    """Real images with their splits, and the synthetic set, as folders."""
    files.write_real(root / "real", res, {"train": TRAIN, "val": VAL, "test": 2}, seed)
    counts = dict.fromkeys(CLASSES[1:], EXTRA) | {"normal": 1}
    extra = ProceduralSteel("train", res, seed=100 + seed, counts=counts)
    others = np.flatnonzero((extra.labels > 0) & (extra.labels != harmful))
    wrong = np.random.default_rng(seed).choice(others, EXTRA, replace=False)
    shown = [(CLASSES[extra.labels[k]], k) for k in others]
    files.write_set(root / "synthetic", extra, shown + [(CLASSES[harmful], k) for k in wrong])
    (root / "_SUCCESS").write_text("")


def make_parts(root, res):
    """A set of parts: one surface each, clean and with a defect of every class."""
    number = dict.fromkeys(CLASSES, PARTS)
    source = ProceduralSteel("train", res, counts=number)
    rows = {name: np.flatnonzero(source.labels == k) for k, name in enumerate(CLASSES)}
    for part, surface in enumerate(rows["normal"]):
        for name in CLASSES:
            image = source.transfer(int(rows[name][part]), int(surface))[0]
            images.write_image(root / f"images/{name}/part{part:03d}_{name}.png", image)


def null(config, out, trainer):
    """How often each word falls where the chosen arm is the baseline, and what searches leave out.

    A fold's search has the answers of another fold's seeds, drawn with replacement, on that fold's
    test images as its validation images.
    """
    if not (out / "_SUCCESS").exists():
        make_parts(out / "real", config.data.res)
        (out / "_SUCCESS").write_text("")
    config.data.path, config.data.group = str(out / "real"), "^(part[0-9]+)"
    config.data.fractions = (0.6, 0.2, 0.2)
    config.arms, config.seeds = (settings.BASELINE,), 2 * SEEDS
    report = runner.run(config, out / "runs", folds=FOLDS, drop_leaks=True)
    with np.load(out / "runs/predictions.npz") as found:
        truth, fold, groups = found["truth"], found["fold"], found["groups"]
        wrong = found[settings.BASELINE] != truth
    expected = expected_errors(out / "runs", trainer, truth)
    rng, words, left_out = np.random.default_rng(0), [], []
    for number in range(NULLS):
        rows, parts = resample(groups, rng)
        tried, other = wrong[:, rows].copy(), wrong[:, rows].copy()
        for k in range(FOLDS):
            order, own = rng.permutation(2 * SEEDS), fold[rows] == k
            other_fold = fold[rows] == (k + 1) % FOLDS
            seen = rows[other_fold]
            harmful = search(expected[:, seen], truth[seen], parts[other_fold], rng)
            left_out.append(len(harmful))
            all_left_out = len(harmful) == len(CLASSES) - 1
            other[:SEEDS, own] = wrong[np.ix_(order[:SEEDS], rows[own])]
            second = order[:SEEDS] if all_left_out else order[SEEDS:]
            tried[:SEEDS, own] = wrong[np.ix_(second, rows[own])]
        told = verdict.compare(tried[:SEEDS], other[:SEEDS], parts, seed=number)
        words.append(told["word"])
    return {word: words.count(word) for word in sorted(set(words))} | {
        "simulations": NULLS,
        "error": report["arms"][settings.BASELINE]["error"],
        "test_images": len(truth),
        "groups": len(set(groups.tolist())),
        "classes_left_out_of_6": float(np.mean(left_out)),
    }


def expected_errors(out, trainer, truth):
    """Compute the baseline's expected errors, float [seeds, N], as a search has them."""
    files = [
        [out / f"fold_{k}/arms/{settings.BASELINE}/{seed}.npz" for k in range(FOLDS)]
        for seed in range(2 * SEEDS)
    ]
    logits = [np.concatenate([np.load(file)["logits"][0] for file in row]) for row in files]
    return np.stack([-np.expm1(-trainer.cross_entropy(rows, truth)) for rows in logits])


def resample(groups, rng):
    """Draw as many groups as there are with replacement: (rows of their images, their groups)."""
    names = np.unique(groups)
    drawn = [np.flatnonzero(groups == name) for name in rng.choice(names, len(names))]
    return np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn])


def search(expected, label, groups, rng):
    """Run a search whose trainings are seeds drawn with replacement: classes left out."""
    level, judged = settings.base_config().choose.level, list(range(1, len(CLASSES)))
    runs = choosing.design(len(judged) + 1)
    errors = expected[rng.integers(0, len(expected), len(runs))]
    found, _ = choosing.judge(runs, errors, label, groups, judged, level)
    return [k for k in judged if choosing.harms(found[k])]


if __name__ == "__main__":
    main()
