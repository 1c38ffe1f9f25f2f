"""Finds test images that are known from training, be it mirrored or cropped."""

import hashlib

import numpy as np

from dtgan.config import ConfigError
from dtgan.data.names import picture_of
from dtgan.metrics import correlation, near

LISTED = 20  # leaks in a message


def find(test, known, role):
    """Find the test images that are one of `known`, or a flip or a crop of one: {row: text}.

    test, known: data.Records. role: what the known images are, for the text. Pixels are compared
    first; then aligned correlation over flips, shifts and zooms.
    """
    where, found = {}, {}
    for row, image in enumerate(known.image):
        for digest in _digests(image):
            where.setdefault(digest, row)
    match = correlation.search(
        correlation.Searched(correlation.normalise(known.image)),
        correlation.normalise(test.image),
        correlation.regions(np.zeros_like(test.mask)),
    )
    for row, image in enumerate(test.image):
        same = where.get(_digest(image))
        if same is not None:
            how = "the same pixels, maybe mirrored"
            found[row] = f"also {role} image {known.ids[same]} ({how})"
        elif match.ncc[row] > near.LIMIT:
            how = f"correlation {match.ncc[row]:.3f}, maybe a crop"
            found[row] = f"also {role} image {known.ids[match.index[row]]} ({how})"
    return found


def find_sources(test, sources, synthetic):
    """Find the test images that a synthetic set was made from, by its manifest: {row: text}."""
    pictures = {picture_of(name) for name in sources}
    rows = (row for row, name in enumerate(test.ids) if picture_of(name) in pictures)
    return dict.fromkeys(rows, f"{synthetic} was made from it")


def named(found, ids):
    """Name leaks {row: text} by the ids of the test images: {id: text}."""
    return {ids[row]: found[row] for row in sorted(found)}


def lines(leaks):
    """Format leaks {id: text} as lines, at most LISTED of them and the number of the others."""
    told = [f"{name}: {text}" for name, text in list(leaks.items())[:LISTED]]
    return told + [f"... and {len(leaks) - LISTED} more"] * (len(leaks) > LISTED)


def refuse(found, ids):
    """Raise ConfigError with all leaks {row: text} where there is any; ids: of the test images."""
    if found:
        head = (
            f"{len(found)} of {len(ids)} test images are known from training; take them out, or "
            "leave them out of the test with --drop_leaks"
        )
        raise ConfigError("\n  ".join([head, *lines(named(found, ids))]))


def _digests(image):
    """Compute the digests of an image and its three mirror images."""
    return [_digest(image[::down, ::right]) for down, right in correlation.FLIPS]


def _digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
