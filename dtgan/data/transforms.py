"""Scaling, cropping and flipping of records: NumPy functions, and grain transforms on them.

A record is what a source returns; its image and mask always change together.
"""

import grain
import numpy as np

from dtgan import images
from dtgan.config import ConfigError, flip_axes
from dtgan.data import windows
from dtgan.data.windows import cut, random_window, scaled_size

NONE = -1  # in place of the index of an image that is not read (grain drops elements of None)


def scale_record(record, data):
    """Scale image and mask of a record by the rule of `windows.scaled_size`.

    `data` is config.data. Raises ConfigError where that would enlarge and data.upscale is off.
    """
    height, width = record["image"].shape[:2]
    size, enlarges = scaled_size((height, width), data)
    if size == (height, width):
        return record
    if enlarges and not data.upscale:
        raise ConfigError(
            f"image {record['id']} {height}x{width} is smaller than {windows.told_least(data)}; "
            f"use {windows.for_small((height, width), data)}"
        )
    return {
        **record,
        "image": images.resize(record["image"], size),
        "mask": images.resize_mask(record["mask"], size),
    }


def random_flip_axes(axes, rng):
    """Draw the subset of `axes` to reverse, each with probability 1/2."""
    return tuple(axis for axis in axes if rng.random() < 0.5)


class ReadPair(grain.transforms.Map):
    """((defect index, axes to reverse), normal index) -> (indices, axes, the scaled records).

    An index may be NONE; its record is then None.
    """

    def __init__(self, source):
        self._source = source

    def map(self, element):
        (index, axes), normal = element
        indices = index, normal
        return indices, tuple(axes), tuple(None if i == NONE else self._source[i] for i in indices)


class AugmentPair(grain.transforms.RandomMap):
    """Random crops and flips: the output of ReadPair -> one training example.

    x1 and x2 are drawn independently; image and mask of x1 change together.
    """

    def __init__(self, data, reads=()):
        """`data` is config.data; `reads`: the names that an example holds."""
        self._res, self._reads = data.res, tuple(reads)
        self._axes = flip_axes(data.flips, data.rolling)

    def random_map(self, element, rng):
        _, axes, (defect, normal) = element
        example = {}
        if defect is not None:
            image, mask = self._cut(defect, *self._place(defect, axes, rng))
            example |= {
                "image": image,
                "label": np.int32(defect["label"]),
                "mask": mask,
                "has_mask": np.bool_(defect["has_mask"]),
            }
        if normal is not None:
            example["normal"], _ = self._cut(normal, *self._place(normal, (), rng))
        return {name: example[name] for name in self._reads}

    def _place(self, record, axes, rng):
        """Draw a crop: (y, x, whether rows, whether columns are reversed)."""
        window = random_window(record["mask"], self._res, rng)
        also = random_flip_axes(self._axes, rng)
        return *window, *((axis in axes) != (axis in also) for axis in (0, 1))

    def _cut(self, record, y, x, *reverse):
        axes = tuple(axis for axis in (0, 1) if reverse[axis])
        return (np.flip(cut(record[name], y, x, self._res), axes) for name in ("image", "mask"))


class PlacePair(AugmentPair):
    """The random numbers of AugmentPair, for images in device memory (training.resident).

    The output of ReadPair -> {"defect", "normal"}: int32 [5] each, the index in the source, y, x of
    the crop, and whether rows and columns are reversed; without what is not read.
    """

    def random_map(self, element, rng):
        (index, other), axes, (defect, normal) = element
        places = {}
        if defect is not None:
            places["defect"] = index, *self._place(defect, axes, rng)
        if normal is not None:
            places["normal"] = other, *self._place(normal, (), rng)
        return {name: np.array(place, np.int32) for name, place in places.items()}
