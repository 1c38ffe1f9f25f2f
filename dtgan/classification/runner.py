"""The whole classifier experiment: sets, folds, arms, test."""

import json
import logging
import pathlib
import time
from typing import NamedTuple

import jax
import numpy as np

from dtgan.classification import choosing, data, leaks, results, settings
from dtgan.classification.store import Seeds, Store, digest
from dtgan.classification.training import Trainer
from dtgan.config import ConfigError, flatten
from dtgan.data import labels
from dtgan.weights import published

log = logging.getLogger("dtgan")

FREE = ("arms", "seeds", "data.path", "data.workers", "data.cache_mb")  # change no finished seed
# What arms without synthetic images do not depend on.
OF_SYNTHETIC = (
    *("synthetic images", "synthetic_counts", "choose"),
    *("train.synthetic_share", "train.synthetic_until"),
)
FOLD = "{fold}"  # in --synthetic, stands for the number of the fold


class Job(NamedTuple):
    """One split to train and test on: its config, its directory, its synthetic set, and the
    directory of the experiment whose arms without synthetic images it takes, "" for none."""

    config: object
    out: pathlib.Path
    synthetic: str
    baseline: str = ""


def run(config, out, synthetic="", test="", folds=0, drop_leaks=False, baseline=""):
    """Train every arm from every seed, read the test set once -> content of verdict.json.

    config: of `settings`. out: directory; seeds of this experiment in it are not trained again.
    synthetic: directory of a generated set, "" where no arm needs one. test: folder of test images
    instead of the data's own test split. folds: K > 0 for all folds of the data in turn, each in
    out/fold_k with the set that `synthetic` names with its number for {fold}; their predictions
    are pooled. drop_leaks: leave out test images that are known from training. baseline: `out` of
    another experiment on the same real images, whose arms without synthetic images are taken.
    Raises ConfigError for impossible settings and sets, before anything is trained.
    """
    settings.validate(config)
    start = time.monotonic()
    jobs = plan(config, out, synthetic, test, folds, baseline)
    prepared = [prepare(job.config, job.synthetic, test, drop_leaks) for job in jobs]
    stores = [open_store(job, images[0]) for job, images in zip(jobs, prepared, strict=True)]
    trainers = {
        classic: Trainer(config, prepared[0][0].classes, classic)
        for classic in {settings.ARMS[name][3] for name in config.arms}
    }
    parts = [
        train(job.config, store, trainers, *images)
        for job, store, images in zip(jobs, stores, prepared, strict=True)
    ]
    content, arrays = results.summarise(config, parts, next(iter(trainers.values())))
    np.savez_compressed(pathlib.Path(out) / "predictions.npz", **arrays)
    return content | {"seconds": round(time.monotonic() - start, 1)}


def plan(config, out, synthetic, test, folds, baseline=""):
    """List the Jobs of an experiment, all of whose synthetic sets are complete.

    Raises ConfigError for flags that do not go together, and for a set that is missing.
    """
    out = pathlib.Path(out)
    if folds < 0 or folds == 1:
        raise ConfigError(f"--folds={folds} is not 2 or more; 0 tests on the test split")
    needs = [name for name in config.arms if settings.ARMS[name][1]]
    if needs and not synthetic:
        raise ConfigError(
            f"the arm {needs[0]!r} needs --synthetic=DIR, made by python -m dtgan.generate; or "
            "choose others with --config.arms"
        )
    if folds and (test or config.data.fold):
        other = "--test" if test else "data.fold"
        raise ConfigError(f"--folds={folds} tests on every image in turn; leave out {other}")
    if synthetic and (FOLD in synthetic) != bool(folds):
        raise ConfigError(
            f"--synthetic={synthetic}: --folds=K takes a set a fold, named by {FOLD}: "
            "--synthetic='runs/x/set_{fold}'; without --folds write its number"
        )
    jobs = []
    for fold in range(folds):
        own = config.copy_and_resolve_references()
        own.data.fold = f"{fold}/{folds}"
        part = f"fold_{fold}"
        own_set, taken = synthetic.replace(FOLD, str(fold)), baseline and f"{baseline}/{part}"
        jobs.append(Job(own, out / part, own_set, taken))
    jobs = jobs or [Job(config, out, synthetic, baseline)]
    for job in jobs:
        if job.synthetic:
            data.check_complete(job.synthetic)
    return jobs


def prepare(config, synthetic, test, drop_leaks):
    """Load and check all images: (Experiment, pasted Records or None, notes)."""
    experiment = data.load(config, synthetic, test)
    held_out = experiment.test
    found = leaks.find(held_out, experiment.train, "the training")
    if experiment.synthetic is not None:
        sources = data.manifest_sources(synthetic)
        found = leaks.find_sources(held_out, sources, synthetic) | found
        found = leaks.find(held_out, experiment.synthetic, "the synthetic") | found
    if not drop_leaks:
        leaks.refuse(found, held_out.ids)
    if found:
        experiment = experiment.without(found)
        log.warning("left out of the test: %s", "; ".join(leaks.lines(experiment.dropped)))
        if not test:
            data.check_classes("test", experiment.test, experiment.classes)
    notes, pasted = {}, None
    if any(settings.ARMS[name][2] for name in config.arms):
        fakes = experiment.synthetic or experiment.train
        counts = np.bincount(fakes.label)[1:]
        pasted = data.paste(experiment.train, int(counts.max()), seed=0)
        if pasted is None:
            notes["real+paste"] = "no defect has a mask to be cut out by"
    return experiment, pasted, notes


def open_store(job, experiment):
    """Open the Store of a Job, with the arms of its baseline."""
    store = Store(job.out, _described(job.config, experiment))
    if job.baseline:
        real = [name for name in job.config.arms if not any(settings.ARMS[name][1:3])]
        store.adopt(job.baseline, real, OF_SYNTHETIC)
    return store


def train(config, store, trainers, experiment, pasted, notes):
    """Train the arms of one split and let them answer on its test images: results.Part.

    trainers: {whether augmented: Trainer}; the last three are of `prepare`.
    """
    arms, choice = {}, None
    for name in config.arms:
        real, fakes, with_pasted, classic = settings.ARMS[name]
        if with_pasted and pasted is None:
            continue
        used, share = experiment, None
        if name == settings.CHOSEN:
            choice = choosing.choose(config, store, trainers[classic], experiment)
            used, share = choosing.restrict(experiment, choice["classes"]), choice["share"]
        images = data.arm_images(used, pasted if with_pasted else None, real, fakes)
        done = train_arm(config, store, name, trainers[classic], images, experiment, share)
        exposure = results.exposure(images, done.shown, experiment.classes)
        arms[name] = results.Arm(*done[:3], exposure, len(images.label))
    return results.Part(experiment, arms, notes, choice)


def train_arm(config, store, name, trainer, images, experiment, share=None):
    """Train all seeds of an arm: Seeds. The classifier with the least validation error is saved.

    share: see `Trainer.train`.
    """
    parts, about = [], classifier_metadata(config, experiment.classes)
    for group in _groups(list(range(config.seeds)), config.together):
        done = store.load(name, group)
        if done is None:
            trained = trainer.train(images, experiment.val, group, share)
            logits = trainer.evaluate(trained.variables, experiment.test.image)
            done = Seeds(logits, trained.val_error, trained.step, trained.shown)
            if all(done.val_error.min() < part.val_error.min() for part in parts):
                store.save_classifier(name, best_state(trained), config.net, about)
            store.save(name, group, done)
        parts.append(done)
        log.info(
            "%s: seeds %s, validation error %s",
            name if not config.data.fold else f"fold {config.data.fold}, {name}",
            ", ".join(map(str, group)),
            ", ".join(f"{100 * error:.1f} %" for error in done.val_error),
        )
    rows = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
    sizes = [len(part.step) for part in parts]
    return Seeds(*rows, np.average([part.shown for part in parts], axis=0, weights=sizes))


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
