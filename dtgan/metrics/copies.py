"""Detection of synthetic images that copy a training image.

An image is flagged where the aligned correlation of its defect and of its surroundings with one
training image (`dtgan.metrics.correlation`) is higher than that of real images which were not
trained on, at a chosen rate of false alarms (conformal prediction, Vovk, Gammerman and Shafer 2005,
chapter 2). The distance of features is a second opinion and raises no alarm: the features of a
transferred defect are near those of its own training image, as they should be.
"""

import functools
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from dtgan import images as pictures
from dtgan.config import ConfigError
from dtgan.metrics import correlation, intervals

NEIGHBOURS = 5
KINDS = ("exact", "flipped", "cropped", "jpeg")


class Reference:
    """The training images that may have been copied; for hybrids, those with a defect.

    The surface of a hybrid is that of a training normal by design. images: uint8 [M, R, R, C].
    features: float [M, d], of any extractor; None for no second opinion.
    """

    def __init__(self, images, features=None):
        self.images, self.features = images, features

    @functools.cached_property
    def searched(self):
        """The images as `correlation.search` takes them, prepared once for all searches."""
        return correlation.Searched(correlation.normalise(self.images))


class Nearest(NamedTuple):
    """The nearest training images of N images, by correlation and by features.

    ncc: float32 [N] in [-1, 1], the smaller correlation of defect and surroundings. ncc_index: int
    [N]. flip, window: the alignment of that training image with the query, see `correlation.Match`.
    distance: float64 [N] in [0, 1], the Euclidean distance of features to the nearest image,
    divided by that to the NEIGHBOURS-th nearest: a copy is far nearer to one image than to others,
    while a blurred or typical image is near to many. distance_index: int [N]. Both None without
    features.
    """

    ncc: np.ndarray
    ncc_index: np.ndarray
    flip: np.ndarray
    window: np.ndarray
    distance: np.ndarray | None = None
    distance_index: np.ndarray | None = None


class Threshold(NamedTuple):
    """Scores ncc, distance float [n] of held-out real images; alpha; a note on alpha, or ""."""

    ncc: np.ndarray
    distance: np.ndarray
    alpha: float
    note: str


def nearest(reference, images, masks, features=None):
    """Find the Nearest of uint8 [N, R, R, C] images in a Reference.

    masks: uint8 [N, R, R, 1]; where all is 0, the whole image is compared as one region. features:
    float [N, d], of the same extractor, where the reference has some.
    Raises ConfigError for an empty reference, other shapes and features that are not finite.
    """
    _check(reference, images, masks, features)
    match = correlation.search(
        reference.searched,
        correlation.normalise(images),
        correlation.regions(masks),
    )
    if features is None:
        return Nearest(*match)
    return Nearest(*match, *_nearest_features(reference.features, features))


def _nearest_features(known, features):
    """Find each row's nearest row of `known`: (relative distance float64 [N], index int [N])."""
    known, features = np.asarray(known, np.float64), np.asarray(features, np.float64)
    squares = (known * known).sum(1)
    number = min(NEIGHBOURS, len(known))
    index = np.empty((len(features), number), int)
    for start in range(0, len(features), 256):  # bounds the memory of the products
        part = slice(start, start + 256)
        products = squares[None] - 2 * features[part] @ known.T
        index[part] = np.argpartition(products, number - 1, axis=1)[:, :number]
    distance = np.stack([np.linalg.norm(features - known[i], axis=1) for i in index.T], axis=1)
    nearest, farthest = distance.argmin(1), distance.max(1)
    least = distance.min(1)
    relative = np.divide(least, farthest, out=np.zeros_like(least), where=farthest > 0)
    return relative, np.take_along_axis(index, nearest[:, None], axis=1)[:, 0]


def calibrate(held_out, alpha=0.01):
    """Choose the Threshold at which at most `alpha` of new real images are flagged.

    held_out: Nearest of n real images that were not trained on, of the same kind as the images to
    be judged: with defects and masks if those have them. n >= 1 / alpha - 1 is needed; for fewer,
    alpha is raised to 1 / (n + 1), and the note says so.
    Raises ConfigError for an alpha outside (0, 1) and for n = 0.
    """
    count, needed = len(held_out.ncc), math.ceil(1 / alpha) - 1 if 0 < alpha < 1 else 0
    if not needed:
        raise ConfigError(f"alpha={alpha} is outside (0, 1); it is a rate of false alarms")
    if not count:
        raise ConfigError("0 held-out images calibrate no copy threshold; give real ones")
    allowed, note = alpha, ""
    if count < needed:
        allowed = 1 / (count + 1)
        note = (
            f"alpha raised from {alpha:g} to {allowed:.3g}: {count} held-out images allow no less, "
            f"{needed} would"
        )
    return Threshold(held_out.ncc, held_out.distance, allowed, note)


def flag(nearest, threshold):
    """Flag copies, bool [N], at a false alarm rate of at most threshold.alpha on real images."""
    # 1e-9: alpha itself may be 1 / (n + 1), rounded.
    return _share(-nearest.ncc, -threshold.ncc) <= threshold.alpha + 1e-9


def near_features(nearest, threshold):
    """Flag, bool [N], images whose features are nearer to one training image than real ones are.

    As `flag`, but on the relative distance of features, at the same rate alpha.
    """
    return _share(nearest.distance, threshold.distance) <= threshold.alpha + 1e-9


def scores(nearest, threshold):
    """Compute copy scores 1 - p, float [N] in [0, 1), of conformal p-values; copies >= 1 - alpha.

    p is the share of real images (held-out ones and the image itself) that correlate as highly.
    """
    return 1 - _share(-nearest.ncc, -threshold.ncc)


def _share(values, known):
    """Compute the share of known values, and of the value itself, <= it: float [N] in (0, 1]."""
    return (1 + np.searchsorted(np.sort(known), values, "right")) / (len(known) + 1)


def planted(images, masks, kind, seed=0):
    """Make copies of training images that have to be flagged: (images, masks) of the same shapes.

    kind: "exact"; "flipped" along width, height or both; "cropped" to 80 to 95 % of the side at any
    place and resized back; "jpeg" of quality 50 to 75. Deterministic.
    Raises ConfigError for another kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind={kind!r} is no planted copy; use one of {', '.join(KINDS)}")
    rng = np.random.default_rng((seed, KINDS.index(kind)))
    out = np.array(images), np.array(masks)
    for row, (image, mask) in enumerate(zip(images, masks, strict=True)):
        out[0][row], out[1][row] = _copy(image, mask, kind, rng)
    return out


def _copy(image, mask, kind, rng):
    size = image.shape[:2]
    if kind == "flipped":
        down, right = correlation.FLIPS[rng.integers(1, 4)]
        return image[::down, ::right], mask[::down, ::right]
    if kind == "cropped":
        side = round(size[0] * rng.uniform(0.8, 0.95))
        top, left = rng.integers(0, size[0] - side + 1, 2)
        window = np.s_[top : top + side, left : left + side]
        return pictures.resize(image[window], size), pictures.resize_mask(mask[window], size)
    if kind == "jpeg":
        file = io.BytesIO()
        quality = int(rng.integers(50, 76))
        pictures.as_pillow(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file)).reshape(image.shape), mask
    return image, mask


def report(reference, threshold, synthetic, held_out, plants):
    """Summarise the copy check as a JSON-able dict.

    synthetic, held_out: Nearest of the images judged and of real images used neither for training
    nor for calibration. plants: {kind: Nearest} of `planted` images, the test that copies are
    found. Rates come with their 95 % Wilson interval; both are None where there are no images.
    """
    flagged = flag(synthetic, threshold)
    return {
        **_rate("rate", flagged),
        "flagged": np.flatnonzero(flagged).tolist(),
        "near_features_rate": _rate("rate", near_features(synthetic, threshold))["rate"],
        "num": len(flagged),
        "alpha": threshold.alpha,
        "note": threshold.note,
        "num_reference": len(reference.images),
        "num_calibration": len(threshold.ncc),
        "num_held_out": len(held_out.ncc),
        **_rate("held_out_rate", flag(held_out, threshold)),
        "planted": {
            kind: {"num": len(near.ncc), **_rate("rate", flag(near, threshold))}
            for kind, near in plants.items()
        },
    }


def _rate(name, flags):
    count, total = int(flags.sum()), len(flags)
    if not total:
        return {name: None, f"{name}_ci95": None}
    return {name: count / total, f"{name}_ci95": list(intervals.wilson(count, total))}


def worst_pairs(images, reference, nearest, threshold, num=8, size=128):
    """Render the images with the highest copy scores as uint8 [H, W, C], `num` rows at most.

    One row for each training image copied: many images may copy the same. Columns: the image; its
    nearest training image by correlation, laid over it; their difference around mid-grey; its
    nearest training image by features, as it is. Tiles have `size` pixels.
    """
    order = np.lexsort((-nearest.ncc, -scores(nearest, threshold)))
    _, first = np.unique(nearest.ncc_index[order], return_index=True)
    order = order[np.sort(first)[:num]]
    tiles = []
    for row in order:
        copied = reference.images[nearest.ncc_index[row]]
        copied = correlation.aligned(copied, nearest.flip[row], nearest.window[row])
        difference = 128 + images[row].astype(int) - copied
        similar = reference.images[nearest.distance_index[row]]
        difference = np.clip(difference, 0, 255).astype(np.uint8)
        tiles += [images[row], copied, difference, similar]
    tiles = [pictures.resize(image, (size, size)) for image in tiles]
    shape = (-1, size, size, images.shape[-1])
    sheet = pictures.tile(np.array(tiles, np.uint8).reshape(shape), columns=4)
    return pictures.with_header(sheet, ("image", "nearest, aligned", "difference", "by features"))


def _check(reference, images, masks, features):
    """Raise ConfigError for unfit arrays, see `nearest`."""
    shapes = [
        ("images", images.shape[1:], reference.images.shape[1:]),
        ("masks", masks.shape, (*images.shape[:3], 1)),
    ]
    if features is not None:
        shapes += [
            ("features", features.shape, (len(images), *reference.features.shape[1:])),
            ("reference features", reference.features.shape[:1], reference.images.shape[:1]),
        ]
    for name, shape, needed in shapes:
        if shape != needed:
            raise ConfigError(f"{name} of shape {shape} do not fit the others; needed is {needed}")
    for name, values in (("features", features), ("reference features", reference.features)):
        if values is not None and not np.isfinite(values).all():
            raise ConfigError(f"{name} are not all finite; check the extractor and its weights")
    if not len(reference.images):
        raise ConfigError("the reference holds no training image to compare with; give defects")
