"""The whole experiment: sets, arms, test, verdict."""

import logging
import time

import jax
import numpy as np

from dtgan import weights
from dtgan.classification import data, leaks, settings, verdict
from dtgan.classification.training import Trainer
from dtgan.config import ConfigError

log = logging.getLogger("dtgan")


def run(config, synthetic="", test=""):
    """Train every arm, read the test set once.

    Returns (content of verdict.json, {arm: state dict of its best seed by validation}).

    config: of `settings`. synthetic: directory of a generated set, "" where no arm needs one.
    test: folder of test images instead of the data's own test split.
    Raises ConfigError for impossible settings and sets, before anything is trained.
    """
    settings.validate(config)
    start = time.monotonic()
    experiment, pasted, notes = prepare(config, synthetic, test)
    classes, seeds = experiment.classes, range(config.seeds)
    trainers = {classic: Trainer(config, len(classes), classic) for classic in (False, True)}
    arms, predicted, states = {}, {}, {}
    for name in config.arms:
        real, fakes, with_pasted, classic = settings.ARMS[name]
        if with_pasted and pasted is None:
            continue
        images = data.arm_images(experiment, pasted if with_pasted else None, real, fakes)
        trainer, parts = trainers[classic], []
        for group in _groups(list(seeds), config.together):
            parts.append(trainer.train(images, experiment.val, group))
            log.info(
                "%s: seeds %s, validation error %s",
                *(name, ", ".join(map(str, group))),
                ", ".join(f"{100 * error:.1f} %" for error in parts[-1].val_error),
            )
        states[name] = best_state(parts)
        predicted[name] = [trainer.predict(part.variables, experiment.test.image) for part in parts]
        arms[name] = {
            "val_balanced_error": verdict.over_seeds(np.concatenate([p.val_error for p in parts])),
            "steps": [int(step) for part in parts for step in part.step],
            "exposure": exposure(images, np.mean([p.shown for p in parts], axis=0), classes),
            "num_train": len(images.label),
        }
    wrong = {}
    for name, parts in predicted.items():
        rows = np.concatenate(parts)
        arms[name] |= verdict.arm_scores(rows, experiment.test.label, classes)
        wrong[name] = rows != experiment.test.label
    report = {
        "arms": arms,
        "verdict": judge(arms, wrong),
        "classes": list(classes),
        "num_train": len(experiment.train.label),
        "num_val": len(experiment.val.label),
        "num_test": len(experiment.test.label),
        "num_synthetic": 0 if experiment.synthetic is None else len(experiment.synthetic.label),
        "seeds": config.seeds,
        "net": config.net,
        "notes": notes,
        "seconds": round(time.monotonic() - start, 1),
    }
    return report, states


def best_state(parts):
    """The state dict, with torchvision's names, of the seed with the least validation error."""
    part = min(parts, key=lambda part: part.val_error.min())
    seed = int(np.argmin(part.val_error))
    variables = jax.tree.map(lambda x: x[seed], part.variables)
    net = {"params": variables["params"]["net"], "batch_stats": variables["batch_stats"]}
    return weights.from_variables(net)


def prepare(config, synthetic, test):
    """(Experiment, pasted Records or None, notes) after all checks."""
    needs = [name for name in config.arms if settings.ARMS[name][1]]
    if needs and not synthetic:
        raise ConfigError(
            f"the arm {needs[0]!r} needs --synthetic=DIR, made by python -m dtgan.generate; or "
            "choose others with --config.arms"
        )
    experiment = data.load(config, synthetic, test)
    leaks.check(experiment.test, experiment.train, "the training")
    if experiment.synthetic is not None:
        leaks.check_sources(experiment.test, data.manifest_sources(synthetic), synthetic)
        leaks.check(experiment.test, experiment.synthetic, "the synthetic")
    notes, pasted = {}, None
    if any(settings.ARMS[name][2] for name in config.arms):
        fakes = experiment.synthetic or experiment.train
        counts = np.bincount(fakes.label)[1:]
        pasted = data.paste(experiment.train, int(counts.max()), seed=0)
        if pasted is None:
            notes["real+paste"] = "no defect has a mask to be cut out by"
    return experiment, pasted, notes


def judge(arms, wrong):
    """The best synthetic arm, by validation, against the baseline; see `verdict.compare`."""
    fakes = [name for name in wrong if settings.ARMS[name][1]]
    if not fakes or settings.BASELINE not in wrong:
        return None
    best = min(fakes, key=lambda name: arms[name]["val_balanced_error"]["mean"])
    found = verdict.compare(wrong[best], wrong[settings.BASELINE])
    return {"word": found.pop("word"), "arm": best, "against": settings.BASELINE, **found}


def exposure(images, shown, classes):
    """{"real": {class: images shown in training}, "synthetic": {...}}, the mean over seeds."""
    return {
        kind: {
            name: round(float(shown[(images.label == k) & (images.synthetic == fake)].sum()), 1)
            for k, name in enumerate(classes)
        }
        for kind, fake in (("real", False), ("synthetic", True))
    }


def _groups(seeds, together):
    """Seeds in groups that train in one program."""
    if not together:
        together = 1 if jax.default_backend() == "cpu" else len(seeds)
    return [seeds[i : i + together] for i in range(0, len(seeds), together)]
