"""Does the verdict say what is true? Sets whose effect is known, and 200 comparisons of equals.

    launch/run.sh python benchmarks/planted.py --out=runs/planted

Procedural steel, 12 training defects a class. Three "synthetic" sets: more true defects (helps),
the same with their classes in disorder (harms), copies of the training defects (cannot tell). Null:
ten seeds of the baseline, split at random into two arms of five, on test images drawn anew with
replacement; neither is better. Writes OUT/planted.json; what is trained is kept, the same command
goes on.
"""

import argparse
import json
import logging
import pathlib
import shutil

import numpy as np

from dtgan import cli
from dtgan.classification import runner, settings, verdict
from dtgan.data.procedural import CLASSES, ProceduralSteel, files

TRAIN, EXTRA, HELD_OUT = 12, 60, 40  # defects a class
BASELINE, ARM = settings.BASELINE, "real+synthetic+classic"
NULLS, SEEDS = 200, 5
EXPECTED = {"extra": "HELPS", "shuffled": "HARMS", "duplicates": "CANNOT TELL"}


def main(argv=None):
    """Make the sets, train, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="directory of sets and experiments")
    parser.add_argument("--res", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=200, help="of every training")
    args = parser.parse_args(argv)
    cli.start_jax(cli.CACHE)
    cli.setup_logging()
    out = pathlib.Path(args.out)
    if not (out / "sets" / "_SUCCESS").exists():
        make_sets(out / "sets", args.res)
    config = settings.base_config()
    config.train.val_every = 25
    config.data.source, config.data.path = "folder", str(out / "sets" / "real")
    config.data.res, config.train.steps = args.res, args.steps
    found = {"res": args.res, "steps": args.steps, "net": config.net, "seeds": SEEDS}
    found["null"] = null(config, out / "null")
    for name, expected in EXPECTED.items():
        told = planted(config, out, name)
        found[name] = {"expected": expected, **told}
        logging.getLogger("dtgan").info("%s: %s, expected %s", name, told["word"], expected)
    (out / "planted.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def make_sets(root, res):
    """The real data set and the three synthetic ones, as folders."""
    files.write_real(root / "real", res, {"train": TRAIN, "val": TRAIN, "test": HELD_OUT})
    extra = ProceduralSteel("train", res, seed=1, counts=dict.fromkeys(CLASSES, EXTRA))
    rows = [k for k in range(len(extra)) if extra.labels[k]]
    disorder = np.random.default_rng(0).permutation(extra.labels[rows])
    for name, labels in (("extra", extra.labels[rows]), ("shuffled", disorder)):
        shown = [(CLASSES[label], k) for k, label in zip(rows, labels, strict=True)]
        files.write_set(root / name, extra, shown)
    for name in CLASSES[1:]:
        for path in (root / "real/images" / name).glob("train_*"):
            target = root / "duplicates/images" / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (root / "_SUCCESS").write_text("")


def planted(config, out, name):
    """The verdict on one set; the baseline's seeds are those that `null` has trained."""
    config.arms, config.seeds = (BASELINE, ARM), SEEDS
    kept = out / name / "arms" / BASELINE
    if not kept.exists():
        shutil.copytree(out / "null" / "arms" / BASELINE, kept)
    report = runner.run(config, out / name, str(out / "sets" / name))
    errors = {arm: scores["error"] for arm, scores in report["arms"].items()}
    return report["verdict"] | {"errors": errors}


def null(config, out):
    """How often each word falls where two arms are equal."""
    config.arms, config.seeds = (BASELINE,), 2 * SEEDS
    report = runner.run(config, out)
    with np.load(out / "predictions.npz") as found:
        wrong = found[BASELINE] != found["truth"]
    rng, words = np.random.default_rng(0), []
    for number in range(NULLS):
        order, rows = rng.permutation(2 * SEEDS), rng.integers(0, wrong.shape[1], wrong.shape[1])
        drawn = wrong[:, rows]
        told = verdict.compare(drawn[order[:SEEDS]], drawn[order[SEEDS:]], seed=number)
        words.append(told["word"])
    return {word: words.count(word) for word in sorted(set(words))} | {
        "simulations": NULLS,
        "error": report["arms"][BASELINE]["error"],
    }


if __name__ == "__main__":
    main()
