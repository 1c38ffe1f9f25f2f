"""Search of a picture in a set of pictures by aligned normalised cross-correlation.

Pictures are reduced to at most SIDE pixels and normalised for local contrast. A search by matrix
products over all flips, shifts and zooms on COARSE pixels selects CANDIDATES pictures, whose
alignment is then refined. For a picture with a mask two correlations are taken, of the defect and
of its surroundings, and the smaller one counts: a defect on another surface correlates in the
first only, a surface with another defect in the second only.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dtgan import images

SIDE = 64
COARSE = 16
CANDIDATES = 8
SIGMA = 5 / 64  # of the local mean and deviation, fraction of the side
FLOOR = 3.0  # grey levels added to the local deviation, so that bare noise stays small
MARGIN = 1 / 8  # by which the box of a mask is grown, fraction of the side
MIN_AREA = 1 / 64  # of the image; surroundings below it say nothing
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # steps along height and width

# Windows of the coarse search, (side, its starts) in fractions of the picture: all that lie inside
# and, at full size, shifts. Half a step of 0.05 is 0.4 coarse pixels, near enough to correlate.
GRID = (
    (1.0, np.linspace(-0.05, 0.05, 3)),
    *((side, np.linspace(0.0, 1 - side, k + 2)) for k, side in enumerate((0.95, 0.9, 0.85, 0.8))),
)
OUTSIDE = 0.5  # weight of pixels outside the box in the coarse search; a small box says little
# Refinement: pixels a side, step of the zoom (of the shift: half of it), candidates kept.
LEVELS = ((32, 0.05, 8), (32, 0.025, 4), (64, 0.0125, 2), (64, 0.00625, 2))
MIN_ZOOM = 0.75

_QUERIES, _BLOCK = 2048, 16  # pictures in memory at a time; the result is the same
_KEPT = 2**27  # bytes of windows that are kept between searches; others are cut again
_TINY = 1e-4  # energy per pixel that counts as none


class Match(NamedTuple):
    """The best of the searched pictures for each query.

    ncc: float32 [N] in [-1, 1]. index: int [N]. flip: int [N], the flip of the query, into FLIPS.
    window: float [N, 3] (zoom, top, left), the part of the picture that the flipped query shows,
    in fractions of its side.
    """

    ncc: np.ndarray
    index: np.ndarray
    flip: np.ndarray
    window: np.ndarray


def normalise(pictures):
    """Normalise uint8 [N, R, R, C] for local contrast: float32 [N, S, S] with S = min(R, SIDE).

    (x - mean) / (std + FLOOR) of the grey image; mean and deviation are local, under a Gaussian of
    SIGMA, so that a strong defect weighs no more than texture.
    """
    side = min(pictures.shape[1], SIDE)
    grey = np.empty((len(pictures), side, side), np.float32)
    for row, picture in enumerate(pictures):
        grey[row] = images.resize(picture, (side, side)).mean(-1, dtype=np.float32)
    sigma = (0, SIGMA * side, SIGMA * side)
    grey -= ndimage.gaussian_filter(grey, sigma)
    return grey / (np.sqrt(ndimage.gaussian_filter(grey * grey, sigma)) + FLOOR)


def regions(masks):
    """Compute weights of the two regions compared: defect and surroundings, float32 [N, 2, S, S].

    masks: uint8 [N, R, R, 1] in {0, 255}. The surroundings are the box of the mask grown by MARGIN
    without the mask. Both are the whole image where the mask is empty or leaves no surroundings.
    """
    side = min(masks.shape[1], SIDE)
    weights = np.ones((len(masks), 2, side, side), np.float32)
    margin = round(MARGIN * side)
    for row, mask in enumerate(masks):
        inside = images.resize(mask, (side, side))[..., 0] / np.float32(255)
        if not inside.any():
            continue
        box = np.zeros_like(inside)
        span = [
            slice(max(np.flatnonzero(line)[0] - margin, 0), np.flatnonzero(line)[-1] + margin + 1)
            for line in (inside.any(1), inside.any(0))
        ]
        box[tuple(span)] = 1
        around = box - inside
        if around.sum() >= MIN_AREA * side * side:
            weights[row] = inside, around
    return weights


class Searched:
    """Pictures that are searched in, more than once: what a search needs of them is kept.

    pictures: normalised, float32 [M, S, S], M >= 1.
    """

    def __init__(self, pictures):
        self.pictures = pictures
        self._windows, self._free = {}, _KEPT

    def blocks(self):
        """Yield (slice of the pictures, their windows on COARSE pixels: [m, V * COARSE^2])."""
        for start in range(0, len(self.pictures), _BLOCK):
            part = slice(start, start + _BLOCK)
            windows = self._windows.get(start)
            if windows is None:
                windows = _windows(self.pictures[part]).reshape(-1, COARSE * COARSE)
                if windows.nbytes <= self._free:
                    self._free -= windows.nbytes
                    self._windows[start] = windows
            yield part, windows


def search(reference, queries, weights):
    """Find the Match of normalised `queries` [N, S, S] with `weights` [N, 2, S, S] in `Searched`.

    Of equal candidates the first one is taken.
    """
    out = Match(
        np.zeros(len(queries), np.float32),
        np.zeros(len(queries), int),
        np.zeros(len(queries), int),
        np.zeros((len(queries), 3)),
    )
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        found = _coarse(reference, queries[part], weights[part])
        for level in LEVELS:
            found = _refine(reference.pictures, queries[part], weights[part], found, *level)
        rows, best = np.arange(len(found.ncc)), found.ncc.argmax(1)
        for array, candidates in zip(out, found, strict=True):
            array[part] = candidates[rows, best]
    return out


def aligned(picture, flip, window):
    """Align `picture` uint8 [R, R, C] with the query that matched a part of it: uint8 [R, R, C]."""
    size, (zoom, top, left) = len(picture), window
    rows = _sampling(np.array([top]), np.array([zoom]), size, size)[0]
    columns = _sampling(np.array([left]), np.array([zoom]), size, size)[0]
    warped = np.einsum("ai,ijc,bj->abc", rows, picture, columns, optimize=True)
    down, right = FLIPS[flip]
    return np.clip(warped + 0.5, 0, 255).astype(np.uint8)[::down, ::right]


def _sampling(start, zoom, size_in, size_out, first=0, count=None):
    """Compute matrices [..., count, size_in] that resample windows along one axis.

    Linear interpolation, widened when shrinking; beyond the border the border is repeated. Of the
    size_out samples of a window only `count` from `first` [...] on are computed, by default all.
    """
    place = np.asarray(first)[..., None] + np.arange(size_out if count is None else count)
    at = start[..., None] + (place + 0.5) / size_out * zoom[..., None]
    at = np.clip(at * size_in - 0.5, 0, size_in - 1)[..., None]
    width = np.maximum(zoom * size_in / size_out, 1)[..., None, None].astype(np.float32)
    # Whole pixels and the rest are taken off one by one: float32 would lose digits of their sum.
    pixel = np.floor(at)
    tent = np.arange(size_in, dtype=np.float32) - pixel.astype(np.float32)
    tent -= (at - pixel).astype(np.float32)
    np.abs(tent, out=tent)
    tent /= -width
    tent += 1
    np.maximum(tent, 0, out=tent)
    tent /= tent.sum(-1, keepdims=True)
    return tent


def _shrink(pictures, size):
    """Shrink [..., S, S] to [..., size, size]; unchanged where S <= size."""
    side = pictures.shape[-1]
    if side <= size:
        return pictures
    matrix = _sampling(np.zeros(()), np.ones(()), side, size)
    return np.einsum("ai,...ij,bj->...ab", matrix, pictures, matrix, optimize=True)


def _coarse(reference, queries, weights):
    """Find every query's K = CANDIDATES (or all M) best pictures: Match of arrays [n, K, ...]."""
    count, total = len(queries), len(reference.pictures)
    values = _shrink(queries, COARSE)
    weights = _shrink(weights.sum(1) > 0, COARSE) + OUTSIDE
    energy = (weights * values * values).sum((1, 2), keepdims=True)
    values = weights * values / np.sqrt(energy + _TINY)
    values, weights = (
        np.stack([x[:, ::down, ::right] for down, right in FLIPS], 1).reshape(4 * count, -1)
        for x in (values, weights)
    )
    windows = np.array([(zoom, y, x) for zoom, starts in GRID for y in starts for x in starts])
    versions = len(windows)
    best, which = np.empty((count, total), np.float32), np.empty((count, total), np.int32)
    for part, block in reference.blocks():
        ncc = values @ block.T / np.sqrt(weights @ (block * block).T + _TINY)
        ncc = ncc.reshape(count, 4, -1, versions).transpose(0, 2, 1, 3)
        ncc = ncc.reshape(count, -1, 4 * versions)
        found = ncc.argmax(-1)
        which[:, part] = found
        best[:, part] = np.take_along_axis(ncc, found[..., None], -1)[..., 0]
    index = np.argsort(-best, 1, kind="stable")[:, :CANDIDATES]
    flip, window = np.divmod(np.take_along_axis(which, index, 1), versions)
    return Match(np.take_along_axis(best, index, 1), index, flip, windows[window])


def _windows(block):
    """Cut all V windows of GRID from pictures [m, S, S]: [m, V, COARSE, COARSE]."""
    parts = []
    for zoom, starts in GRID:
        side = block.shape[-1]
        matrix = _sampling(starts, np.full(len(starts), zoom), side, COARSE).reshape(-1, side)
        part = matrix @ (block @ matrix.T)
        part = part.reshape(len(block), len(starts), COARSE, len(starts), COARSE).swapaxes(2, 3)
        parts.append(part.reshape(len(block), -1, COARSE, COARSE))
    return np.concatenate(parts, 1)


def _refine(reference, queries, weights, found, size, step, keep):
    """Refine one level: move the best `keep` of `found` to the best of their 27 neighbours each."""
    order = np.argsort(-found.ncc, 1, kind="stable")[:, :keep]
    rows = np.arange(len(order))[:, None]
    found = Match(*(array[rows, order] for array in found))
    queries, weights = _shrink(queries, size), _shrink(weights, size)
    ncc, window = np.empty_like(found.ncc), np.empty_like(found.window)
    for row, query in enumerate(queries):
        near = reference[found.index[row]], found.flip[row], found.window[row]
        ncc[row], window[row] = _best_neighbours(*near, query, weights[row], step)
    return found._replace(ncc=ncc, window=window)


def _best_neighbours(pictures, flip, window, query, weight, step):
    """Find the best of 3 zooms x 3 x 3 shifts for each of n pictures: (ncc [n], window [n, 3]).

    pictures: [n, S, S]; flip [n], window [n, 3]: of the query [s, s], whose weight is [2, s, s].
    Only what has weight is resampled and compared.
    """
    moves, size = np.array([-1.0, 0.0, 1.0]), len(query)
    seen = weight.any(0)
    spans = [np.flatnonzero(seen.any(axis))[[0, -1]] + (0, 1) for axis in (1, 0)]
    part = tuple(slice(*span) for span in spans)
    query, weight = query[part], weight[:, part[0], part[1]]
    steps = np.array(FLIPS)[flip]
    query = np.stack([query[::y, ::x] for y, x in steps])
    weight = np.stack([weight[:, ::y, ::x] for y, x in steps])
    zoom = np.clip(window[:, :1] + step * moves, MIN_ZOOM, 1)
    centre = window[:, 1:] + window[:, :1] / 2
    starts = centre.T[:, :, None, None] - zoom[:, :, None] / 2 + step / 2 * moves  # [2, n, 3, 3]
    rows, columns = (
        _sampling(
            start,
            zoom[:, :, None],
            pictures.shape[-1],
            size,
            np.where(way > 0, first, size - end)[:, None, None],
            end - first,
        )
        for start, (first, end), way in zip(starts, spans, steps.T, strict=True)
    )
    # No product is above 64 x 64 x 64: BLAS then starts no threads, which cost more than they give.
    half = rows @ pictures[:, None, None]
    warped = half[:, :, :, None] @ columns[:, :, None].swapaxes(-1, -2)  # [n, 3, 3, 3, h, w]
    ncc = _correlation(
        query.reshape(len(query), 1, -1),
        weight.reshape(*weight.shape[:2], -1),
        warped.reshape(len(query), 27, -1),
    )
    best, pair = ncc.argmax(1), np.arange(len(query))
    z, y, x = np.unravel_index(best, (3, 3, 3))
    found = np.stack([zoom[pair, z], starts[0, pair, z, y], starts[1, pair, z, x]], -1)
    return ncc[pair, best], found


def _correlation(query, weight, warped):
    """Compute the smaller of two weighted correlations, [n, 27].

    query [n, 1, P], weight [n, 2, P], warped [n, 27, P]. The local means are already subtracted by
    `normalise`, so none is subtracted here.
    """
    floor = _TINY * weight.sum(-1)[:, None]
    product = warped @ (weight * query).swapaxes(1, 2)
    energy = (warped * warped) @ weight.swapaxes(1, 2) + floor
    own = (weight * query * query).sum(-1)[:, None] + floor
    return (product / np.sqrt(energy * own)).min(-1)
