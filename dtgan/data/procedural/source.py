"""Procedural steel: a seeded, labelled data set with exact masks and exact counterfactuals.

Any defect can be rendered on any surface, so `ProceduralSteel.transfer(i, j)` is the truth that a
defect transfer has to reach. Contact sheet: python -m dtgan.data.procedural --out=sheet.png
"""

import argparse
import functools
import hashlib
import json
import math

import numpy as np

from dtgan import images
from dtgan.data.procedural import defects, surfaces
from dtgan.data.procedural.defects import KINDS, Defect, random_defect
from dtgan.data.procedural.surfaces import FAMILIES, Surface, random_surface
from dtgan.data.source import Source
from dtgan.data.splits import SPLITS

VERSION = 1  # raise it when the same spec renders another image: it enters the fingerprint
CLASSES = ("normal", *KINDS)
MIN_SIZE, MAX_SIZE = 32, 512

# Original images per class of the thesis (table 4.2), before its oversampling.
TRAIN_COUNTS = {
    "normal": 727,
    "scratch": 105,
    "shell": 28,
    "mark": 163,
    "scoring": 25,
    "tear": 167,
    "notching": 40,
}

# Original images of the thesis's classifier sets: tables 4.4 to 4.6 without the flips of rare
# classes. Of notching and normal the tables give only the sums 92 (validation) and 48 (test); their
# division here is our choice.
_CLASSIFIER = {
    "normal": (604, 86, 37),
    "scratch": (59, 11, 35),
    "shell": (14, 5, 9),
    "mark": (120, 11, 32),
    "scoring": (11, 5, 9),
    "tear": (124, 10, 33),
    "notching": (23, 6, 11),
}
CLASSIFIER_COUNTS = {
    split: {name: row[k] for name, row in _CLASSIFIER.items()} for k, split in enumerate(SPLITS)
}

# The surface family that gives a class away, for `shortcut`.
OWN_FAMILY = {
    "scratch": "cold_rolled",
    "shell": "hot_rolled",
    "mark": "galvanised",
    "scoring": "brushed",
    "tear": "hot_rolled",
    "notching": "cold_rolled",
}

_TINT = np.array([0.97, 1.0, 1.03])  # RGB reflectance of steel relative to grey
_RELIEF = 0.75  # strength of shading by slope, log brightness at a steep wall


def render(surface, defect=None, size=64, channels=1):
    """Render `surface`, with `defect` where given.

    Returns the image, float32 [size, size, channels] in [-1, 1], and the mask, uint8
    [size, size, 1] in {0, 255}: the pixels the defect may change. Outside the mask the image is
    bit-equal to that without the defect; the mask does not depend on the surface.
    Raises ValueError for a size outside 32..512 or channels other than 1 and 3.
    """
    _check_size(size, channels)
    texture = surfaces.reflectance(surface, size)
    light = surfaces.illumination(surface, size)
    camera = surfaces.sensor_noise(surface, size)
    value, mask = light * texture, np.zeros((size, size), bool)
    if defect is not None:
        part = defects.layers(defect, size)
        mask = part.mask
        facing = part.slope_x * np.cos(surface.light) + part.slope_y * np.sin(surface.light)
        shading = np.exp(-part.occlusion - _RELIEF * np.tanh(facing))
        changed = light * (texture * (1.0 - part.cover) + part.paint) * shading
        value = np.where(mask, changed, value)
    value = (value + camera)[..., None]
    if channels == 3:
        value = value * _TINT
    image = (2.0 * np.clip(value, 0.0, 1.0) - 1.0).astype(np.float32)
    return image, np.where(mask[..., None], np.uint8(255), np.uint8(0))


class ProceduralSteel(Source):
    """Random-access source of procedural steel; images are rendered when they are read.

    `split`: train | val | test, which share no surface and no defect.
    `size`: side in pixels, 32..512. `channels`: 1 or 3. `seed`: >= 0, of the whole data set.
    `shortcut`: 0..1, train only: the share of defect images on the one surface family of their
    class (OWN_FAMILY); the others, all normals and all of val and test have a uniform family.
    `scale_counts`: times the thesis's class counts; a smaller set is a part of the larger one.
    `counts`: {class: images} replaces the count of the classes it names.

    Items are grouped by class in the order of `classes`; label 0 is normal.
    """

    classes = CLASSES
    has_truth = True

    def __init__(
        self,
        split="train",
        size=64,
        channels=1,
        seed=0,
        shortcut=0.0,
        scale_counts=1.0,
        counts=None,
    ):
        _check_size(size, channels)
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is not a split; use one of {', '.join(SPLITS)}")
        if not 0.0 <= shortcut <= 1.0:
            raise ValueError(f"shortcut={shortcut} is outside 0..1; it is a probability")
        if seed < 0:
            raise ValueError(f"seed={seed} is negative; use 0 or more")
        self.split, self.size, self.channels = split, int(size), int(channels)
        self.seed, self.shortcut = int(seed), float(shortcut)
        self.counts = class_counts(split, scale_counts, counts)
        self.labels = np.repeat(
            np.arange(len(CLASSES), dtype=np.int32), [self.counts[name] for name in CLASSES]
        )
        self._rank = np.concatenate([np.arange(self.counts[name]) for name in CLASSES])
        self.sizes = np.full((len(self.labels), 2), self.size, np.int32)
        described = [VERSION, split, self.size, self.channels, self.seed, self.shortcut]
        text = json.dumps([*described, [self.counts[name] for name in CLASSES]])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """Render item `index`; a record as in `Source`, with has_mask always True."""
        index = self._index(index)
        surface, defect = self.spec(index)
        image, mask = render(surface, defect, self.size, self.channels)
        label = int(self.labels[index])
        return {
            "image": images.to_uint8(image),
            "mask": mask,
            "has_mask": np.bool_(True),
            "label": label,
            "id": f"{self.split}/{CLASSES[label]}/{int(self._rank[index]):05d}",
        }

    def spec(self, index):
        """Draw the Surface and the Defect (or None) of item `index`, always the same ones."""
        index = self._index(index)
        label, rank = int(self.labels[index]), int(self._rank[index])
        words = (self.seed, SPLITS.index(self.split), label, rank)
        state = np.random.SeedSequence(words).generate_state(3, np.uint64)
        surface_seed, defect_seed, coin = (int(word) for word in state)
        family = None
        if label and self.split == "train" and (coin >> 11) * 2.0**-53 < self.shortcut:
            family = OWN_FAMILY[CLASSES[label]]
        surface = random_surface(surface_seed, family)
        return surface, random_defect(CLASSES[label], defect_seed) if label else None

    def transfer(self, i, j, other=None):
        """Render the defect of item i on the surface of item j: the exact result of a transfer.

        The surface is of `other`, another split, if given. Returns image uint8 [H, W, C] and mask
        uint8 [H, W, 1]; `transfer(i, i)` is item i.
        """
        surface, defect = (other or self).spec(j)[0], self.spec(i)[1]
        image, mask = render(surface, defect, self.size, self.channels)
        return images.to_uint8(image), mask

    def clean(self, index):
        """Render item `index` without its defect: uint8 [H, W, C]."""
        return images.to_uint8(render(self.spec(index)[0], None, self.size, self.channels)[0])

    @functools.cached_property
    def families(self):
        """The surface family of every item, int32 [N], an index into FAMILIES."""
        names = [self.spec(index)[0].family for index in range(len(self))]
        return np.array([FAMILIES.index(name) for name in names], np.int32)

    def _index(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside the {len(self)} items of {self.split}")
        return int(index) % len(self)


def class_counts(split, scale_counts=1.0, counts=None):
    """Compute {class: images} of a split; val and test hold a third of train each.

    scale_counts, counts: as in ProceduralSteel. Raises ValueError for impossible ones.
    """
    if not (math.isfinite(scale_counts) and scale_counts > 0):
        raise ValueError(f"scale_counts={scale_counts} is not above 0; use 1.0 for the thesis's")
    result = {}
    for name, number in TRAIN_COUNTS.items():
        if split == "train":
            result[name] = max(2, round(number * scale_counts))
        else:
            result[name] = max(4 if name == "normal" else 12, round(number * scale_counts / 3))
    for name, number in (counts or {}).items():
        if name not in result:
            raise ValueError(f"counts names {name!r}; the classes are {', '.join(CLASSES)}")
        if int(number) != number or number < 0:
            raise ValueError(f"counts[{name!r}]={number} is not a whole number of 0 or more")
        result[name] = int(number)
    return result


def contact_sheet(size=128, seed=0):
    """Render a sheet of surface families (rows), normal and the six defects: uint8 [H, W, 1]."""
    rows = []
    for row, family in enumerate(FAMILIES):
        for column, name in enumerate(CLASSES):
            words = np.random.SeedSequence((seed, 3, row, column)).generate_state(2, np.uint64)
            surface = random_surface(int(words[0]), family)
            defect = random_defect(name, int(words[1])) if column else None
            rows.append(images.to_uint8(render(surface, defect, size)[0]))
    sheet = images.with_header(images.tile(rows, columns=len(CLASSES)), CLASSES)
    height = len(FAMILIES) * (size + 2) + 2
    header, blank = np.zeros((0, height, 1), np.uint8), sheet.shape[0] - height
    names = np.rot90(images.with_header(header, FAMILIES[::-1]))  # read from bottom to top
    names = np.pad(names, ((blank, 0), (0, 0), (0, 0)), constant_values=255)
    return np.concatenate([names, sheet], axis=1)


def main(argv=None):
    """Write a contact sheet to a file."""
    parser = argparse.ArgumentParser(description="Write a contact sheet of procedural steel.")
    parser.add_argument("--out", required=True, help="image file to write")
    parser.add_argument("--size", type=int, default=128, help="side of a tile in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    images.write_image(args.out, contact_sheet(args.size, args.seed))


def _check_size(size, channels):
    if not MIN_SIZE <= size <= MAX_SIZE or int(size) != size:
        raise ValueError(
            f"size={size} is outside {MIN_SIZE}..{MAX_SIZE} pixels; render inside it and resize"
        )
    if channels not in (1, 3):
        raise ValueError(f"channels={channels} is neither 1 (grey) nor 3 (RGB); use 1 or 3")


__all__ = ["CLASSES", "Defect", "ProceduralSteel", "Surface", "contact_sheet", "render"]
