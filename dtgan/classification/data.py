"""Images of a classifier experiment: real splits, a synthetic set, pasted defects."""

import pathlib
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.classification.leaks import named
from dtgan.classification.training import Examples
from dtgan.config import NORMAL, ConfigError
from dtgan.data import account, catalog, crops, pipeline
from dtgan.data.folders import loose
from dtgan.data.records import Records
from dtgan.files import parse_object


class Experiment(NamedTuple):
    """All images of an experiment, and the names of their classes, NORMAL first."""

    train: Records
    val: Records
    test: Records
    synthetic: Records | None
    classes: tuple
    findings: list  # what a user should know of the images, a line each
    val_groups: np.ndarray  # int [N], equal for images of one part or picture; see `Source.groups`
    test_groups: np.ndarray
    dropped: dict  # id of a test image that was left out -> why

    def without(self, leaks):
        """Leave the leaks {row: why} out of the test images."""
        kept = np.setdiff1d(np.arange(len(self.test.label)), list(leaks))
        return self._replace(
            test=self.test.take(kept),
            test_groups=self.test_groups[kept],
            dropped=named(leaks, self.test.ids),
        )


def load(config, synthetic="", test=""):
    """Load the Experiment of `config.data` and a set of synthetic images.

    synthetic: directory of the set, "" for none; its normals are left out, since they are real
    surfaces. test: folder of test images to use instead of the data's own test split. Raises
    ConfigError for sets that are incomplete, hold unknown classes, or lack images of a class that
    training and testing need.
    """
    source, _ = catalog.open_checked(config, "train")
    classes = tuple(source.classes)
    validation, _ = catalog.open_checked(config, "val")
    if test:
        other = loose.open_labelled(test, classes, config.data, "--test", normals=True)
        catalog.check_sizes(other, config)
    else:
        other = _own_test(config)
    roles = {"train": source, "val": validation, "--test" if test else "test": other}
    findings = account.tell(roles, config.data)["findings"]
    train, val, held_out = (read(config, part) for part in roles.values())
    if config.data.balance == "oversample":
        train = oversample(train, config.data.oversample_at_most)
    fakes = None
    if synthetic:
        check_complete(synthetic)
        made = loose.open_labelled(synthetic, classes, _generated(config.data), "--synthetic")
        seen = config.copy_and_resolve_references()
        if np.all(made.sizes == config.data.res):  # crops, which have the training's scale
            seen.data.update(scale=0.0, scale_to=0)
        catalog.check_sizes(made, seen)
        fakes = limit(read(seen, made), classes, config.synthetic_counts)
    for name, records in (("train", train), ("val", val), ("test", held_out)):
        if not (name == "test" and test):
            check_classes(name, records, classes)
    val_groups, groups = (crops.FixedWindows(s, config).groups for s in (validation, other))
    return Experiment(train, val, held_out, fakes, classes, findings, val_groups, groups, {})


def check_classes(split, records, classes):
    """Raise ConfigError where a split lacks images of a class."""
    counts = np.bincount(records.label, minlength=len(classes))
    for k in np.flatnonzero(counts == 0):
        remedy = ", test on a folder of its own (--test=DIR)" if split == "test" else ""
        raise ConfigError(
            f"the {split} split holds no image of class {classes[k]!r}; move some there "
            f"(splits.csv){remedy}, or leave the class out (--config.data.classes)"
        )


def _own_test(config):
    """Open the test split of the data."""
    source, _ = catalog.open_checked(config, "test", needed=False)
    if source is None:
        raise ConfigError(
            f"the test split of {config.data.path or config.data.source} holds no images; give it "
            "some (data.fractions, splits.csv), or test on a folder of its own: --test=DIR"
        )
    return source


def _generated(data):
    """Say how a generated set is read, whatever the masks of the real data look like."""
    data = data.copy_and_resolve_references()
    data.mask_values, data.mask_invert = "", False
    return data


def read(config, source):
    """Read the fixed crops of a source as Records; see `crops.FixedWindows`."""
    cached = crops.CachedSource.of(crops.FixedWindows(source, config), config)
    records = pipeline.load_records(config, cached, np.arange(len(cached)))
    ids = tuple(cached[k]["id"] for k in range(len(cached)))
    return Records(**records, ids=ids)


def oversample(train, at_most):
    """Add flipped copies of the images of rare defect classes, as the thesis does.

    Classes of at most `at_most` images get each image upside down and left to right as well.
    """
    rare = [k for k in range(1, len(train.counts)) if train.counts[k] <= at_most]
    rows = np.flatnonzero(np.isin(train.label, rare))
    parts = [train]
    for axis in (1, 2):
        part = train.take(rows)
        parts.append(part._replace(image=np.flip(part.image, axis), mask=np.flip(part.mask, axis)))
    arrays = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:5])
    return Records(*arrays, sum((part.ids for part in parts), ()))


def limit(records, classes, counts):
    """Keep the first images of each class, as many as in `counts`: "crack=40,spot=12"; "" = all.

    Raises ConfigError for other text, unknown classes and more images than there are.
    """
    if not counts:
        return records
    wanted = {}
    for item in counts.split(","):
        name, _, number = item.partition("=")
        if name not in classes[1:] or not number.isdecimal():
            raise ConfigError(
                f"synthetic_counts: {item!r} is not CLASS=NUMBER with one of "
                f"{', '.join(classes[1:])}"
            )
        wanted[name] = int(number)
    rows = []
    for name, number in wanted.items():
        found = np.flatnonzero(records.label == classes.index(name))
        if len(found) < number:
            raise ConfigError(
                f"synthetic_counts asks for {number} images of {name!r}, --synthetic holds "
                f"{len(found)}; generate more"
            )
        rows.append(found[:number])
    return records.take(np.sort(np.concatenate(rows)))


def paste(train, num_per_class, seed):
    """Paste defects, cut out by their masks, on training normals: Records, num_per_class a class.

    Crop&Paste, the baseline of DFMGAN's tables. None where no defect has a mask.
    """
    rng = np.random.default_rng(pipeline.stream_seed(seed, "paste"))
    normals, parts = np.flatnonzero(train.label == 0), []
    for label in range(1, int(train.label.max()) + 1):
        known = np.flatnonzero((train.label == label) & train.has_mask)
        if not known.size:
            continue
        i, j = rng.choice(known, num_per_class), rng.choice(normals, num_per_class)
        parts.append((images.paste(train.image[i], train.mask[i], train.image[j]), i))
    if not parts:
        return None
    rows = np.concatenate([i for _, i in parts])
    return train.take(rows)._replace(image=np.concatenate([image for image, _ in parts]))


def arm_images(experiment, pasted, real, synthetic):
    """Collect the Examples of an arm: real normals, and real, synthetic or pasted defects."""
    train = experiment.train
    rows = np.flatnonzero((train.label == 0) | real)
    parts = [(train.take(rows), False)]
    if synthetic:
        parts.append((experiment.synthetic, True))
    if pasted is not None:
        parts.append((pasted, True))
    return Examples(
        np.concatenate([records.image for records, _ in parts]),
        np.concatenate([records.label for records, _ in parts]),
        np.concatenate([np.full(len(records.label), fake) for records, fake in parts]),
    )


def manifest_sources(synthetic):
    """Read the ids of the images that a generated set was made from; none without a manifest.

    Raises ConfigError for a damaged one.
    """
    path = pathlib.Path(synthetic) / "manifest.jsonl"
    if not path.exists():
        return set()
    try:
        records = [parse_object(line) for line in path.read_bytes().splitlines()]
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it, or make the set again: the same command of "
            "python -m dtgan.generate gives the same bytes"
        ) from None
    found = [record.get(name) for record in records for name in ("defect", "surface")]
    return {name for name in found if isinstance(name, str)}


def check_complete(synthetic):
    """Raise ConfigError for a generated set that is missing, unfinished or without defects."""
    root = pathlib.Path(synthetic)
    if not root.is_dir():
        raise ConfigError(f"--synthetic={synthetic} does not exist; give a directory of images")
    if (root / "plan.json").exists() and not (root / "_SUCCESS").exists():
        raise ConfigError(
            f"--synthetic={synthetic} is not complete; run its generate command again"
        )
    if not any(p.is_dir() and p.name != NORMAL for p in (root / "images").glob("*")):
        raise ConfigError(f"--synthetic={synthetic} holds no images/<class>/ of a defect")
