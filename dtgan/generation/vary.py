"""Variety: where, how large, how turned, how strong and of which outline a defect is drawn.

A defect image x1 and its mask are warped before the model sees them, so that mask, light and box of
the hybrid are true: out(p) = x1(A^-1 (p - c - shift) + c + elastic), A = rotation x scale, c the
middle of the defect, x1 mirrored as a whole before. What leaves the picture by that is known before
anything is drawn, and what the picture lacks never shows the defect again (`fit`).
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dtgan.config import ConfigError, flip_axes

CUT = 0.3  # of a defect's area outside of the picture, above which it is not drawn
KNOTS = 5  # of the elastic displacement, a side
INSIDE = 0.4  # of a warped mask: a stroke of one pixel between two stays whole


class Ranges(NamedTuple):
    """Ranges (low, high) that variations are drawn from."""

    shift: tuple = (0.0, 0.0)  # down and right, in image sides
    scale: tuple = (1.0, 1.0)  # of each axis, uniform in its logarithm
    rotate: tuple = (0.0, 0.0)  # degrees
    strength: tuple = (1.0, 1.0)  # uniform in its logarithm
    elastic: tuple = (0.0, 0.0)  # root mean square displacement of the outline, in image sides
    two: float = 0.0  # share of images with two defects of their class
    flip: bool = False  # mirrored as data.flips allows


# Turned by a few degrees at most: a line that was rolled in does not stand across the strip.
PRESETS = {
    "none": Ranges(),
    "mild": Ranges(
        (-0.1, 0.1), (0.85, 1.18), (-4.0, 4.0), (0.9, 1.15), (0.0, 0.01), two=0.05, flip=True
    ),
    "strong": Ranges(
        (-0.25, 0.25), (0.7, 1.4), (-8.0, 8.0), (0.8, 1.4), (0.0, 0.02), two=0.15, flip=True
    ),
}
LIMITS = {  # of what may be asked for
    "shift": (-1.0, 1.0),
    "scale": (0.1, 10.0),
    "rotate": (-180.0, 180.0),
    "strength": (0.01, 100.0),
    "elastic": (0.0, 0.1),
}


FIXED = ("shift", "scale", "flip")  # of Variation: what a user may set in place of drawing it
_FLIPS = {
    "none": (False, False),
    "up_down": (True, False),
    "left_right": (False, True),
    "both": (True, True),
}


class Variation(NamedTuple):
    """What is done to a defect; see `Ranges`. elastic: knots [2, KNOTS, KNOTS], in image sides."""

    shift: tuple = (0.0, 0.0)
    scale: tuple = (1.0, 1.0)
    rotate: float = 0.0
    strength: float = 1.0
    elastic: np.ndarray | None = None
    flip: tuple = (False, False)

    def described(self):
        """Return what was drawn, JSON-able; of the elastic displacement its root mean square."""
        rms = 0.0 if self.elastic is None else np.sqrt(np.mean(self.elastic**2))
        return {
            "shift": [round(v, 4) for v in self.shift],
            "scale": [round(v, 4) for v in self.scale],
            "rotate": round(self.rotate, 2),
            "strength": round(self.strength, 4),
            "elastic": round(float(rms), 4),
            "flip": list(self.flip),
        }


def ranges(name, asked, method, method_name):
    """Make the Ranges of a preset with those that the user gave in its stead.

    name: of PRESETS, "" for mild where the `Method` draws from defect images, else none. asked:
    {field of Ranges: text "low,high" or number, None where not given}. Raises ConfigError for other
    names, for what is no range, and for what the method cannot vary.
    """
    asked = {key: value for key, value in asked.items() if value is not None}
    varies = "defect" in method.needs
    if name not in ("", *PRESETS):
        raise ConfigError(f"--vary={name} is not one of {', '.join(PRESETS)}")
    if not varies and (asked or name not in ("", "none")):
        raise ConfigError(
            f"--vary: method={method_name} draws from no defect images; leave it and --vary_* out"
        )
    found = PRESETS[(name or "mild") if varies else "none"]
    lacking = {
        "strength": "strength" not in method.controls and "has no control of strength",
        "two": not method.several and "draws one defect an image",
    }
    for field, reason in lacking.items():
        if reason and field in asked:
            raise ConfigError(f"--vary_{field}: method={method_name} {reason}; leave it out")
        if reason:
            found = found._replace(**{field: getattr(PRESETS["none"], field)})
    return found._replace(**{field: _parsed(field, value) for field, value in asked.items()})


def fixed(asked):
    """Parse what the user fixes of every defect: fields of Variation.

    asked: {field of FIXED: text, None where it is drawn}: shift "down,right", scale "0.8" or
    "rows,columns", flip one of none, up_down, left_right, both. Raises ConfigError for others.
    """
    found = {}
    if (text := asked["flip"]) is not None:
        if text not in _FLIPS:
            raise ConfigError(f"--flip={text} is not one of {', '.join(_FLIPS)}")
        found["flip"] = _FLIPS[text]
    for field, example in (("shift", "0.1,-0.2"), ("scale", "0.8")):
        if (text := asked[field]) is None:
            continue
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if field == "scale" and len(values) == 1:
            values *= 2
        least, most = LIMITS[field]
        if len(values) != 2 or not all(least <= value <= most for value in values):
            raise ConfigError(
                f"--{field}={text} is not two numbers within {least:g}..{most:g}; write "
                f"--{field}={example}"
            )
        found[field] = values
    return found


def _parsed(field, value):
    """Parse what a --vary_* flag says of a field of Ranges."""
    if field == "two":
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"--vary_two={value} is no share; write 0.1 for one image of ten")
        return value
    (least, most), example = LIMITS[field], "{:g},{:g}".format(*getattr(PRESETS["mild"], field))
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        raise ConfigError(
            f"--vary_{field}={value} is not LOW,HIGH; write --vary_{field}={example}"
        ) from None
    if not low <= high:
        raise ConfigError(f"--vary_{field}={value} is upside down; write the lower number first")
    if not least <= low <= high <= most:
        raise ConfigError(
            f"--vary_{field}={value} is not within {least:g}..{most:g}; try {example}"
        )
    return low, high


def draw(among, data, rng):
    """Draw a Variation of the Ranges `among`; data: config.data, of whose flips it is."""
    shift, scale = rng.uniform(*among.shift, 2), np.exp(rng.uniform(*np.log(among.scale), 2))
    rotate, strength = rng.uniform(*among.rotate), np.exp(rng.uniform(*np.log(among.strength)))
    knots, rms = rng.standard_normal((2, KNOTS, KNOTS)), rng.uniform(*among.elastic)
    turned = rng.random(2) < 0.5
    axes = flip_axes(data.flips, data.rolling) if among.flip else ()
    return Variation(
        shift=tuple(shift.tolist()),
        scale=tuple(scale.tolist()),
        rotate=rotate,
        strength=float(strength),
        elastic=knots * rms if rms else None,
        flip=tuple(bool(turned[axis]) and axis in axes for axis in (0, 1)),
    )


def fit(variation, mask):
    """Keep a variation from tearing a defect off its border, or from showing a mirrored copy of it.

    What the picture lacks is mirrored at its borders, so a defect moves or shrinks away from a
    border by no more than its gap to it: a bite out of the edge stays one. One that touches both
    sides does not shrink. mask: [R, R, 1], of the defect in its picture; empty = nothing is kept.
    """
    mask = _flipped(mask, variation)
    points, side = np.argwhere(mask[..., 0]), len(mask)
    if not len(points):
        return variation
    shift, scale = [], []
    for axis in (0, 1):
        own, size = points[:, axis], variation.scale[axis]
        gaps = own.min(), side - 1 - own.max()
        ahead, behind = own.mean() + 0.5, side - 0.5 - own.mean()  # of the middle, to each border
        # The border comes to lie at (1 - size) ahead + shift; the copy begins size gap beyond it.
        inward = [size * g - (1 - size) * way for g, way in zip(gaps, (ahead, behind), strict=True)]
        if sum(inward) < 0:
            size, inward = max(size, 1.0), gaps
        scale.append(float(size))
        shift.append(float(np.clip(variation.shift[axis] * side, -inward[1], inward[0]) / side))
    return variation._replace(shift=tuple(shift), scale=tuple(scale))


def filling(mask, target, strength=1.0):
    """Compute the Variation that moves and scales a defect into a box.

    mask: [R, R, 1], of the defect, not empty; target: (start, extent) of the box in pixels of the
    crop, for rows and columns.
    """
    shift, scale = [], []
    for axis, (start, extent) in enumerate(target):
        own = np.flatnonzero(mask[..., 0].any(axis=1 - axis))
        size = extent / (own[-1] - own[0] + 1)
        middle = _middle(mask)[axis]
        # The middle of the box is that of the defect's own box, moved.
        centre, goal = (own[0] + own[-1]) / 2, start + (extent - 1) / 2
        shift.append(float(goal - middle - (centre - middle) * size) / len(mask))
        scale.append(float(size))
    return Variation(shift=tuple(shift), scale=tuple(scale), strength=strength)


def extents(mask):
    """Measure the height and width in pixels of the box around a mask [R, R, 1], not empty."""
    spans = (np.flatnonzero(mask[..., 0].any(axis)) for axis in (1, 0))
    return tuple(int(span[-1] - span[0] + 1) for span in spans)


def lost(mask, variation):
    """Compute the share of a mask [R, R, 1] that a variation carries out of the picture.

    The elastic displacement is left out. 0 for an empty mask.
    """
    mask = _flipped(mask, variation)
    points, side = np.argwhere(mask[..., 0]), len(mask)
    if not len(points):
        return 0.0
    centre = _middle(mask)
    moved = (points - centre) @ _matrix(variation).T + centre + np.multiply(variation.shift, side)
    return float(np.mean(np.any((moved < -0.5) | (moved > side - 0.5), axis=1)))


def warp(image, mask, variation, own=None):
    """Apply a variation to uint8 image [R, R, C] and mask [R, R, 1]: the same shapes.

    own: mask of the defect, whose middle scale and rotation keep; by default `mask`. The image is
    mirrored at its borders, the mask is not. Strength is the model's to apply.
    """
    if variation.elastic is None and variation._replace(strength=1.0) == Variation():
        return image, mask
    image, mask, own = (_flipped(x, variation) for x in (image, mask, mask if own is None else own))
    side, back, centre = len(image), np.linalg.inv(_matrix(variation)), _middle(own)
    out = np.indices((side, side), np.float64).reshape(2, -1)
    origin = centre + np.multiply(variation.shift, side)
    at = (back @ (out - origin[:, None]) + centre[:, None]).reshape(2, side, side)
    if variation.elastic is not None:
        between = _between_knots(side)
        at += side * (between @ variation.elastic @ between.T)
    warped = [
        ndimage.map_coordinates(channel.astype(np.float32), at, order=3, mode="reflect")
        for channel in np.moveaxis(image, -1, 0)
    ]
    marked = (mask[..., 0] > 127).astype(np.float32)
    inside = ndimage.map_coordinates(marked, at, order=1, mode="grid-constant")
    image = np.clip(np.round(np.stack(warped, axis=-1)), 0, 255).astype(np.uint8)
    return image, np.where(inside > INSIDE, np.uint8(255), np.uint8(0))[..., None]


@functools.lru_cache(maxsize=4)
def _between_knots(side):
    """Tabulate what each of KNOTS adds to a pixel, by cubic splines: float64 [side, KNOTS]."""
    knots = np.eye(KNOTS)
    return ndimage.zoom(knots, (1, side / KNOTS), order=3, mode="nearest", grid_mode=True).T


def _flipped(picture, variation):
    """Mirror a picture [R, R, C] about its own middle, so that nothing beyond it is needed."""
    return np.flip(picture, [axis for axis in (0, 1) if variation.flip[axis]])


def _middle(mask):
    """Find the middle of a mask [R, R, 1] in pixels (y, x); of the picture where it is empty."""
    ys, xs = np.nonzero(mask[..., 0])
    if not len(ys):
        return np.full(2, (len(mask) - 1) / 2)
    return np.array([ys.mean(), xs.mean()])


def _matrix(variation):
    """Return A, rotation x scale, on (y, x)."""
    angle = np.deg2rad(variation.rotate)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn * np.array(variation.scale)
