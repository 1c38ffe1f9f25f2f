"""Search of a set for pictures that are nearly the same: flips, crops and second shots."""

from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.metrics import correlation

# Correlation of whole images above which two count as one. On three data sets different pictures of
# steel reached 0.66 at most; flips reach 0.999, crops of 80 to 95 % of the side 0.88 at least.
LIMIT = 0.8
_SHOWN = 192  # side of a picture in a sheet, pixels


class Pair(NamedTuple):
    """Two pictures of different groups: their indices, their correlation, and how they align."""

    first: int
    second: int
    ncc: float
    flip: int  # of the first, into correlation.FLIPS
    window: np.ndarray  # the part of the second that the first shows


def pairs(pictures, groups, limit=LIMIT):
    """Find pictures of different groups that correlate above `limit`, most alike first.

    pictures: uint8 [N, R, R, C]. groups: [N] of anything comparable, such as (split, class). Each
    picture's best match in the other groups is told, a pair once: the crop stands first.
    """
    normalised = correlation.normalise(pictures)
    weights = correlation.regions(np.zeros((1, *normalised.shape[1:], 1), np.uint8))
    names, found = sorted(set(groups)), {}
    number = np.array([names.index(group) for group in groups])
    for own in range(len(names)):
        queries, others = np.flatnonzero(number == own), np.flatnonzero(number != own)
        if not len(others):
            continue
        searched = correlation.Searched(normalised[others])
        match = correlation.search(
            searched, normalised[queries], np.repeat(weights, len(queries), axis=0)
        )
        for k in np.flatnonzero(match.ncc > limit):
            first, second = int(queries[k]), int(others[match.index[k]])
            pair = Pair(first, second, float(match.ncc[k]), int(match.flip[k]), match.window[k])
            key = frozenset((first, second))
            if key not in found or found[key].ncc < pair.ncc:
                found[key] = pair
    return sorted(found.values(), key=lambda pair: (-pair.ncc, pair.first))


def sheet(pictures, found):
    """Draw pairs, one a row: the first picture, and the second aligned with it.

    pictures: uint8 [R, R, C] by index.
    """
    rows = [
        picture
        for pair in found
        for picture in (
            pictures[pair.first],
            correlation.aligned(pictures[pair.second], pair.flip, pair.window),
        )
    ]
    return images.tile([images.resize(row, (_SHOWN, _SHOWN)) for row in rows], columns=2)
