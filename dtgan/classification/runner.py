"""The whole classifier experiment: sets, arms, test, verdict."""

import json
import logging
import time

import jax
import numpy as np

from dtgan.classification import data, leaks, settings, verdict
from dtgan.classification.store import Seeds, Store, digest
from dtgan.classification.training import Trainer
from dtgan.config import ConfigError, flatten
from dtgan.data import labels
from dtgan.weights import published

log = logging.getLogger("dtgan")

FREE = ("arms", "seeds", "data.path", "data.workers", "data.cache_mb")  # change no finished seed


def run(config, out, synthetic="", test=""):
    """Train every arm from every seed, read the test set once -> content of verdict.json.

    config: of `settings`. out: directory; seeds of this experiment in it are not trained again.
    synthetic: directory of a generated set, "" where no arm needs one. test: folder of test images
    instead of the data's own test split.
    Raises ConfigError for impossible settings and sets, before anything is trained.
    """
    settings.validate(config)
    start = time.monotonic()
    experiment, pasted, notes = prepare(config, synthetic, test)
    store = Store(out, _described(config, experiment))
    trainers = {
        classic: Trainer(config, experiment.classes, classic)
        for classic in {settings.ARMS[name][3] for name in config.arms}
    }
    arms, decided = {}, {}
    for name in config.arms:
        real, fakes, with_pasted, classic = settings.ARMS[name]
        if with_pasted and pasted is None:
            continue
        images = data.arm_images(experiment, pasted if with_pasted else None, real, fakes)
        result = train_arm(config, store, name, trainers[classic], images, experiment)
        decided[name] = trainers[classic].decide(result.logits)
        arms[name] = {
            "val_balanced_error": verdict.over_seeds(result.val_error),
            "steps": result.step.tolist(),
            "exposure": exposure(images, result.shown, experiment.classes),
            "num_train": len(images.label),
            **score_arm(trainers[classic], result.logits, experiment),
        }
    truth = experiment.test.label
    store.save_predictions(truth=truth, ids=np.array(experiment.test.ids), **decided)
    return {
        "arms": arms,
        "verdict": judge(arms, {name: rows != truth for name, rows in decided.items()}),
        "classes": list(answers(config, experiment.classes)),
        "num_train": len(experiment.train.label),
        "num_val": len(experiment.val.label),
        "num_test": len(truth),
        "num_synthetic": 0 if experiment.synthetic is None else len(experiment.synthetic.label),
        "seeds": config.seeds,
        "net": config.net,
        "findings": experiment.findings,
        "notes": notes,
        "seconds": round(time.monotonic() - start, 1),
    }


def train_arm(config, store, name, trainer, images, experiment):
    """Train all seeds of an arm: Seeds. The classifier with the least validation error is saved."""
    parts, about = [], classifier_metadata(config, experiment.classes)
    for group in _groups(list(range(config.seeds)), config.together):
        done = store.load(name, group)
        if done is None:
            trained = trainer.train(images, experiment.val, group)
            logits = trainer.evaluate(trained.variables, experiment.test.image)
            done = Seeds(logits, trained.val_error, trained.step, trained.shown)
            if all(done.val_error.min() < part.val_error.min() for part in parts):
                store.save_classifier(name, best_state(trained), config.net, about)
            store.save(name, group, done)
        parts.append(done)
        log.info(
            "%s: seeds %s, validation error %s",
            name,
            ", ".join(map(str, group)),
            ", ".join(f"{100 * error:.1f} %" for error in done.val_error),
        )
    rows = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
    sizes = [len(part.step) for part in parts]
    return Seeds(*rows, np.average([part.shown for part in parts], axis=0, weights=sizes))


def score_arm(trainer, logits, experiment):
    """Score an arm's logits [S, N, K] of the test images; see `verdict.arm_scores`."""
    classes, truth = experiment.classes, experiment.test.label
    config = trainer.config
    scores = verdict.arm_scores(trainer.decide(logits), truth, answers(config, classes))
    if config.multi_label:
        errors = zip(labels.names(classes), trainer.label_errors(logits, truth).T, strict=True)
        scores["per_label_error"] = {name: verdict.over_seeds(error) for name, error in errors}
    return scores


def answers(config, classes):
    """List the possible answers: the classes and, with several labels, any other set of labels."""
    return (*classes, labels.ANOTHER) if config.multi_label else tuple(classes)


def classifier_metadata(config, classes):
    """Describe a classifier for the metadata of its file, {name: text}."""
    return {
        "classes": json.dumps(labels.names(classes) if config.multi_label else classes),
        "multi_label": json.dumps(config.multi_label),
        "res": str(config.data.res),
        "channels": str(3 if config.weights else config.data.channels),
        "image_channels": str(config.data.channels),
        "normalised": json.dumps(bool(config.weights)),
    }


def best_state(trained):
    """Return the state dict, with torchvision's names, of the seed of least validation error."""
    seed = int(np.argmin(trained.val_error))
    variables = jax.tree.map(lambda x: x[seed], trained.variables)
    net = {"params": variables["params"]["net"], "batch_stats": variables["batch_stats"]}
    return published.from_variables(net)


def prepare(config, synthetic, test):
    """Load and check all images: (Experiment, pasted Records or None, notes)."""
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
    """Compare the best synthetic arm, by validation, with the baseline; see `verdict.compare`."""
    fakes = [name for name in wrong if settings.ARMS[name][1]]
    if not fakes or settings.BASELINE not in wrong:
        return None
    best = min(fakes, key=lambda name: arms[name]["val_balanced_error"]["mean"])
    found = verdict.compare(wrong[best], wrong[settings.BASELINE])
    return {"word": found.pop("word"), "arm": best, "against": settings.BASELINE, **found}


def exposure(images, shown, classes):
    """Count images shown in training, mean over seeds: {"real": {class: ...}, "synthetic": ...}."""
    return {
        kind: {
            name: round(float(shown[(images.label == k) & (images.synthetic == fake)].sum()), 1)
            for k, name in enumerate(classes)
        }
        for kind, fake in (("real", False), ("synthetic", True))
    }


def _groups(seeds, together):
    """Divide the seeds into groups that train in one program."""
    if not together:
        together = 1 if jax.default_backend() == "cpu" else len(seeds)
    return [seeds[i : i + together] for i in range(0, len(seeds), together)]


def _described(config, experiment):
    """Describe all that a finished seed depends on, JSON-able."""
    fields = {name: value for name, value in flatten(config).items() if name not in FREE}
    sets = zip(("train", "val", "test", "synthetic"), experiment[:4], strict=True)
    images = {
        f"{name} images": None if records is None else digest(records.image, records.label)
        for name, records in sets
    }
    return fields | images
