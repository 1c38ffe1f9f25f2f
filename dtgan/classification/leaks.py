"""Checks that no test image is known from training, be it mirrored or cropped."""

import hashlib

import numpy as np

from dtgan.config import ConfigError
from dtgan.data.pipeline import picture_of
from dtgan.metrics import correlation, near


def check(test, known, role):
    """Raise ConfigError where a test image is one of `known`, or a flip or a crop of one.

    test, known: data.Records. role: what the known images are, for the message. Pixels are
    compared first; then aligned correlation over flips, shifts and zooms.
    """
    where = {}
    for row, image in enumerate(known.image):
        for digest in _digests(image):
            where.setdefault(digest, row)
    for row, image in enumerate(test.image):
        found = where.get(_digest(image))
        if found is not None:
            raise _leak(test.ids[row], known.ids[found], role, "the same pixels, maybe mirrored")
    match = correlation.search(
        correlation.normalise(known.image),
        correlation.normalise(test.image),
        correlation.regions(np.zeros_like(test.mask)),
    )
    worst = int(np.argmax(match.ncc))
    if match.ncc[worst] > near.LIMIT:
        how = f"correlation {match.ncc[worst]:.3f}, maybe a crop"
        raise _leak(test.ids[worst], known.ids[match.index[worst]], role, how)


def check_sources(test, sources, synthetic):
    """Raise ConfigError where a synthetic set was made from a test image, by its manifest."""
    pictures = {picture_of(name) for name in sources}
    for name in test.ids:
        if picture_of(name) in pictures:
            raise ConfigError(
                f"{synthetic} was made from the test image {name}; generate it from training "
                "images, or test on others"
            )


def _leak(test, known, role, how):
    return ConfigError(
        f"the test image {test} is also {role} image {known} ({how}); take one of them out"
    )


def _digests(image):
    """Compute the digests of an image and its three mirror images."""
    return [_digest(image[::down, ::right]) for down, right in correlation.FLIPS]


def _digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
