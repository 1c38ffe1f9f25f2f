"""Scaled sizes and res x res windows: random ones for training, fixed ones that hold the defect."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dtgan import images
from dtgan.config import LARGEST_SCALE

# Uniform windows tried before one is placed over a mask pixel. If a quarter of all windows touch
# the defect, one of 8 tries does with probability 1 - 0.75^8 = 0.9: most crops are uniform among
# the windows that show the defect.
_TRIES = 8

GRID = 9  # fixed crops of a picture without a defect, at most
_STEPS = 0.5698402910, 0.7548776662  # of Roberts' R2 sequence, which fills a square evenly
SPECK = 4  # pixels; a smaller part of a mask gets no window of its own
_LARGE = 2**17  # pixels of a mask that is measured part by part
TOUCHING = np.ones((3, 3), bool)  # pixels that share a corner are of one part


class Shown(NamedTuple):
    """What is left of a picture's defect: pixels of its mask, and the windows of its fixed crops.

    in_file, scaled: of the mask as it was read, and after scaling; windows: (y, x, pixels inside)
    each; cropped: in any window; width: of the defect's thickest place after scaling, in pixels
    (below 1: thinner than a pixel). All 0 without a mask. boxed: the mask is of boxes that hold the
    defect.
    """

    in_file: int
    scaled: int
    cropped: int
    width: float
    windows: tuple
    boxed: bool = False


def scale_of(size, data):
    """Tell the scale of a picture (height, width): float, pixels of training per pixel of it.

    data: config.data. It is data.scale where that is set; else the shorter side becomes
    data.scale_to (0: data.res; -1: as it is). Where that leaves less than data.res, which could not
    be cropped, the shorter side becomes data.res.
    """
    return float(_factor(size, data))


def scaled_size(size, data):
    """Compute (height, width) after scaling by `scale_of`, for `data` = config.data.

    Also returns whether the picture is below `least_side`, so that data.upscale must allow it.
    """
    height, width = (int(side) for side in size)
    factor = _factor(size, data)
    scaled = round(height * factor), round(width * factor)
    return scaled, min(height, width) < least_side(data)


def least_side(data):
    """Compute the shorter side in pixels from which on a picture gives a crop as the data ask.

    data: config.data. A smaller picture is enlarged, or enlarged further than data.scale says,
    which data.upscale allows.
    """
    if data.scale:  # from half a pixel on, a side is rounded up to data.res
        return math.ceil((data.res - Fraction(1, 2)) / Fraction(data.scale))
    return max(data.res, data.scale_to)


def told_least(data):
    """Say what `least_side` is and which fields make it so."""
    if data.scale:
        return f"{least_side(data)} pixels (data.res={data.res} at data.scale={data.scale:g})"
    return f"{_short_of(data)}={least_side(data)}"


def for_small(size, data):
    """Say what to use for a picture (height, width) that is below `least_side`."""
    if not data.scale:
        return f"a smaller {_short_of(data)} or --config.data.upscale=True"
    enough = math.ceil(100 * data.res / min(size)) / 100
    larger = f"data.scale={enough:g} or more, " if enough <= LARGEST_SCALE else ""
    return f"{larger}a smaller data.res, or --config.data.upscale=True for such pictures"


def shown(mask, data):
    """Tell what scaling and the fixed crops leave of a mask uint8 [H, W, 1]: a `Shown`."""
    if not mask.any():
        return untouched(mask.shape[:2], data)
    size, _ = scaled_size(mask.shape[:2], data)
    scaled = images.resize_mask(mask, size)
    places = fixed_windows(scaled, data.res)
    inside = np.zeros(size, bool)
    for y, x in places:
        inside[y : y + data.res, x : x + data.res] = True
    held = [int(np.count_nonzero(cut(scaled, y, x, data.res))) for y, x in places]
    return Shown(
        in_file=int(np.count_nonzero(mask)),
        scaled=int(np.count_nonzero(scaled)),
        cropped=int(np.count_nonzero(inside & (scaled[..., 0] > 0))),
        width=thickness(mask, scaled) * min(size) / min(mask.shape[:2]),
        windows=tuple((y, x, n) for (y, x), n in zip(places, held, strict=True)),
    )


def untouched(size, data):
    """Make the `Shown` of a picture (height, width) without a mask: its fixed crop is central."""
    (height, width), _ = scaled_size(size, data)
    corner = (height - data.res) // 2, (width - data.res) // 2
    return Shown(0, 0, 0, 0.0, ((*corner, 0),))


def of_normal(size, data):
    """Make the `Shown` of a picture (height, width) without a defect.

    With data.scale its fixed crops are those of `grid_windows`, else the central one.
    """
    if not data.scale:
        return untouched(size, data)
    scaled, _ = scaled_size(size, data)
    return Shown(0, 0, 0, 0.0, tuple((y, x, 0) for y, x in grid_windows(scaled, data.res)))


def thickness(mask, scaled):
    """Measure the greatest width of a mask [H, W, 1] in pixels: of the widest square inside it.

    scaled: the mask by `images.resize_mask`, which tells where to look. 0 without a defect.
    """
    greatest = 0
    ratio = np.divide(mask.shape[:2], scaled.shape[:2])
    if mask.size > _LARGE:
        boxes = ndimage.find_objects(ndimage.label(scaled[..., 0], TOUCHING)[0])
    else:
        boxes = [tuple(slice(0, side) for side in scaled.shape[:2])]
    for box in boxes:
        # A pixel that the defect touches is at most one from a marked one.
        low = [int((side.start - 1) * r) for side, r in zip(box, ratio, strict=True)]
        high = [int((side.stop + 1) * r) + 1 for side, r in zip(box, ratio, strict=True)]
        part = mask[max(0, low[0]) : high[0], max(0, low[1]) : high[1], 0]
        # The chessboard distance to the outside is half of the side of the largest square around.
        distance = ndimage.distance_transform_cdt(np.pad(part, 1), "chessboard")
        greatest = max(greatest, 2 * int(distance.max()) - 1)
    return greatest


def random_window(mask, res, rng):
    """Draw the top-left (y, x) of a res x res window with `rng`.

    Uniform among the windows that contain part of the mask; where those are rare, uniform among
    the windows around a random mask pixel. `mask` is [H, W, 1] with H, W >= res; an empty mask
    gives a uniform window.
    """
    height, width = mask.shape[:2]
    rows, columns = height - res + 1, width - res + 1
    if rows == columns == 1:
        return 0, 0
    found = mask.any()
    for _ in range(_TRIES):
        y, x = int(rng.integers(rows)), int(rng.integers(columns))
        if not found or cut(mask, y, x, res).any():
            return y, x
    pixels = np.flatnonzero(mask[..., 0])
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), width)
    return _window_over(row, rows, res, rng), _window_over(column, columns, res, rng)


def best_window(mask, res):
    """Find the top-left (y, x) of the res x res window that holds most pixels of a mask [H, W, 1].

    Of several the one whose part of the mask is nearest to its centre; an empty mask gives the
    centre of the picture.
    """
    height, width = mask.shape[:2]
    if height == width == res:
        return 0, 0
    inside, corner = _bounded(mask[..., 0] != 0)
    if not inside.size:
        return (height - res) // 2, (width - res) // 2
    return _best(inside, corner, (height, width), res)


def fixed_windows(mask, res):
    """List the windows (y, x) of a picture's fixed crops, by its mask [H, W, 1].

    The best window first; then, from the largest part of the mask to the smallest, the best window
    of each part of which no window yet shows half of what a window could. Parts are 8-connected;
    those below SPECK pixels get none.
    """
    windows = [best_window(mask, res)]
    if mask.shape[:2] == (res, res):
        return windows
    parts, number = ndimage.label(mask[..., 0], TOUCHING)
    sizes = np.bincount(parts.reshape(-1), minlength=number + 1)[1:]
    boxes = ndimage.find_objects(parts)
    for index in np.argsort(-sizes, kind="stable"):
        if sizes[index] < SPECK:
            break
        box = boxes[index]
        part, corner = parts[box] == index + 1, (box[0].start, box[1].start)
        own = _best(part, corner, mask.shape[:2], res)
        most = _held(part, corner, own, res)
        if max(_held(part, corner, window, res) for window in windows) < most / 2:
            windows.append(own)
    return windows


def grid_windows(size, res):
    """List windows (y, x) that are spread evenly over a picture of size (height, width).

    The picture is divided into rows x columns equal parts of at least res x res pixels, as many as
    fit but at most GRID, so that the longer side of a part is as short as can be. Each part holds a
    window, so none overlaps another. The first lies in the middle of its part, the next ones at the
    places of a sequence that fills it evenly, so that the borders of the picture are seen, too.
    """
    height, width = size
    fit = range(1, min(height // res, GRID) + 1)
    divisions = [(rows, min(width // res, GRID // rows)) for rows in fit]
    division = min(divisions, key=lambda n: sorted((height / n[0], width / n[1]), reverse=True))
    return [
        tuple(
            _inside(side, number, part, (0.5 + k * step) % 1.0, res)
            for side, number, part, step in zip(size, division, parts, _STEPS, strict=True)
        )
        for k, parts in enumerate(np.ndindex(division))
    ]


def cut(array, y, x, res):
    """Return the view of the res x res window at (y, x) of an array [H, W, ...]."""
    return array[y : y + res, x : x + res]


def _short_of(data):
    """Name the field of which a small picture falls short, where data.scale is off."""
    return "data.scale_to" if data.scale_to > data.res else "data.res"


def _factor(size, data):
    """Compute the scale of a picture (height, width) as an exact Fraction; see `scale_of`."""
    shorter, least = min(int(side) for side in size), least_side(data)
    if data.scale:
        return Fraction(data.scale) if shorter >= least else Fraction(data.res, shorter)
    return Fraction(max(shorter, least) if data.scale_to == -1 else least, shorter)


def _inside(side, number, part, share, res):
    """Start a window in one of `number` equal parts of a side, at a share of what it is shorter."""
    start, stop = part * side // number, (part + 1) * side // number
    return start + int(share * (stop - start - res))


def _bounded(inside):
    """Cut a bool [H, W] to its bounding box: (that part, its corner); empty if nothing is set."""
    ys, xs = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    if not len(ys):
        return inside[:0], (0, 0)
    return inside[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1], (int(ys[0]), int(xs[0]))


def _best(part, corner, shape, res):
    """Find the best window for a bool `part`, cut to its bounding box, at `corner` of a picture."""
    last = [side - res for side in shape]  # starts of windows
    if max(part.shape) <= res:
        # A window holds all of it, and is centred as far as that and the picture allow.
        middle = [
            values.mean() + start for values, start in zip(part.nonzero(), corner, strict=True)
        ]
        return tuple(
            int(np.clip(round(m + 0.5 - res / 2), max(0, start + side - res), min(end, start)))
            for m, start, side, end in zip(middle, corner, part.shape, last, strict=True)
        )
    # Only the windows that touch the bounding box matter.
    first = [max(0, start - res + 1) for start in corner]
    stop = [min(s, c + p + res - 1) for s, c, p in zip(shape, corner, part.shape, strict=True)]
    around = [
        (c - f, e - c - p) for f, e, c, p in zip(first, stop, corner, part.shape, strict=True)
    ]
    inside = np.pad(part, around)
    number = _sums(inside, res)
    y, x = np.nonzero(number == number.max())
    grid_y, grid_x = np.ogrid[: inside.shape[0], : inside.shape[1]]
    off_y = _sums(inside * grid_y, res)[y, x] / number.max() - (y + (res - 1) / 2)
    off_x = _sums(inside * grid_x, res)[y, x] / number.max() - (x + (res - 1) / 2)
    nearest = int(np.argmin(off_y**2 + off_x**2))
    return int(first[0] + y[nearest]), int(first[1] + x[nearest])


def _held(part, corner, window, res):
    """Count the pixels of a bool `part` at `corner` that lie in a window."""
    low = [max(0, start - at) for start, at in zip(window, corner, strict=True)]
    high = [max(0, start + res - at) for start, at in zip(window, corner, strict=True)]
    return int(np.count_nonzero(part[low[0] : high[0], low[1] : high[1]]))


def _sums(values, res):
    """Sum [H, W] over all res x res windows: [H - res + 1, W - res + 1]."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int64)
    total[1:, 1:] = values.cumsum(0, np.int64).cumsum(1)
    rows = total[res:] - total[:-res]
    return rows[:, res:] - rows[:, :-res]


def _window_over(pixel, starts, res, rng):
    """Draw a uniform start in [0, starts) of a window of `res` that covers `pixel`."""
    return int(rng.integers(max(0, pixel - res + 1), min(pixel, starts - 1) + 1))
