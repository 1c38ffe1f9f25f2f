"""The catalog of data sources: from a name in the config to a source and its DataInfo."""

import functools
import logging
from typing import NamedTuple

import numpy as np

from dtgan.config import FILE_SOURCES, ConfigError, check_scaling, nearest, parse_fold
from dtgan.data import windows
from dtgan.data.clean import WithCleanParts
from dtgan.data.names import check_names
from dtgan.data.source import Concatenated, Merged, of_classes
from dtgan.data.splits import parse_split

log = logging.getLogger("dtgan")


class DataInfo(NamedTuple):
    """Facts about a source that training needs."""

    classes: tuple  # names, the normal class first
    num_defects: int  # images with label > 0
    num_normals: int
    counts: dict  # class name -> number of images
    fingerprint: str


def open_source(config, split):
    """Open the source that `config.data` names, for a split such as "train" or "train+val".

    Raises ConfigError for an unknown source, split, fold or class, and for what the source rejects.
    """
    parse_fold(config.data)
    parts = parse_split(split)
    if config.data.source != "procedural":
        _show(config.data.source, config.data.path)
    if config.data.source in FILE_SOURCES:
        source = _open_one(config.data, split)  # joins splits itself, in one audit
    else:
        sources = [_open_one(config.data, part) for part in parts]
        source = sources[0] if len(sources) == 1 else Concatenated(sources)
    check_names(source.classes, config.data.path or config.data.source)
    if config.data.clean_parts:
        check_scaling(config.data)
        source = WithCleanParts(source, config.data)
    if config.data.classes:
        source = of_classes(source, _names(config.data.classes))
    # One class keeps its name.
    return Merged(source) if config.data.merged and len(source.classes) > 2 else source


@functools.cache
def _show(source, path):
    """Log a place once, before it is opened: a checkpoint, maybe a stranger's, can name any."""
    log.info("reading %s %s", source, path)


def _names(text):
    """Parse the names in "tear,mark". Raises ConfigError where one comes twice or is empty."""
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not all(names):
        raise ConfigError(f"data.classes={text!r} does not name each class once; write tear,mark")
    return names


def open_checked(config, split, needed=True):
    """Open and check a split: (source, DataInfo), or (None, None) if empty and not needed."""
    source = open_source(config, split)
    if not len(source):
        if needed:
            where = config.data.path or config.data.source
            raise ConfigError(
                f"the split {split!r} of {where} holds no images; give it some with data.fractions "
                "or splits.csv"
            )
        return None, None
    check_sizes(source, config)
    return source, describe(source)


def with_new_place(error, data):
    """Add to a ConfigError about the data of a finished run the flag for data that were moved.

    data: config.data. Errors about single files, of several lines, are left as they are.
    """
    if data.source == "procedural" or "\n" in str(error):
        return error
    return ConfigError(f"{error}; moved? --data_path=DIR")


def describe(source):
    """Make the DataInfo of a source from its labels."""
    if len(source) == 0:
        raise ConfigError("the data source holds no images")
    counts = np.bincount(source.labels, minlength=len(source.classes))
    return DataInfo(
        classes=tuple(source.classes),
        num_defects=int(counts[1:].sum()),
        num_normals=int(counts[0]),
        counts={name: int(n) for name, n in zip(source.classes, counts, strict=True)},
        fingerprint=source.fingerprint,
    )


def check_sizes(source, config):
    """Raise ConfigError where images are too small for `config.data` and may not be enlarged.

    Uses `source.sizes` only, so it costs nothing before the first image is read.
    """
    data = config.data
    check_scaling(data)
    if data.upscale:
        return
    shorter = np.min(source.sizes, axis=1)
    small = int(np.sum(shorter < windows.least_side(data)))
    if not small:
        return
    smallest = int(np.argmin(shorter))
    height, width = source.sizes[smallest]
    raise ConfigError(
        f"{small} of {len(source)} images are smaller than {windows.told_least(data)}, the "
        f"smallest {source[smallest]['id']} {height}x{width}; use "
        f"{windows.for_small((height, width), data)}"
    )


def _open_one(data, split):
    """Open one split of the source that `data` (config.data) names."""
    if data.source == "procedural":
        from dtgan.data.procedural import CLASSIFIER_COUNTS, ProceduralSteel

        counts = CLASSIFIER_COUNTS if data.counts == "classifier" else {}
        try:
            return ProceduralSteel(
                split=split,
                # Not config.seed: another training seed must not change the data set.
                seed=0,
                size=max(data.res, data.scale_to),
                channels=data.channels,
                shortcut=data.shortcut,
                scale_counts=data.scale_counts,
                counts=counts.get(split),
            )
        except ValueError as error:
            raise ConfigError(f"data.source=procedural: {error}") from error
    if data.source in FILE_SOURCES:
        from dtgan.data.folders.folder import FolderSource

        # Not config.seed: the split of the files stays the same over training seeds.
        return FolderSource(data, split, seed=0)
    if data.source == "tfds":
        # tensorflow_datasets is slow to import and needed by this source only.
        from dtgan.data.tfds import TfdsSource

        return TfdsSource(data.path, split=split, channels=data.channels)
    names = ("procedural", *FILE_SOURCES, "tfds")
    raise ConfigError(
        f"data.source={data.source!r} is not one of {', '.join(names)}"
        + nearest(data.source, names)
    )
