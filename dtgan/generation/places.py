"""Where on a whole picture a defect is drawn: windows that its class, the surface and others allow.

A defect that touched a side of its own picture is drawn at that side of another one, since it would
end in nothing elsewhere. Others stay within the picture, but for classes that touch that side in
the training images, too. Windows of one picture do not overlap, so no defect lies on another.
"""

import math

import numpy as np
from scipy import ndimage

from dtgan.annotations import instances
from dtgan.config import ConfigError
from dtgan.generation import vary

HOW = ("random", "own")
TRIES = 40  # windows tried for a defect
LET = 0.9  # share of a defect's pixels that must be allowed where it comes to lie
HOLE = 5  # pixels of the training scale; darker specks of a part are not its background
SIDES = ("top", "bottom", "left", "right")


class Places:
    """Places defects on whole pictures.

    pictures: native.Pictures. defects: crops.FixedWindows; masks: {index: uint8 [R, R, 1]} of
    how they look. settings: plan.Settings; limits: surfaces.Limits or None. confined: whether there
    are places where no defect may be. shares: {label: float [4]}, of the defects of a class that
    touch each of SIDES of their own picture.
    """

    def __init__(self, pictures, defects, masks, settings, limits=None):
        self.pictures, self._defects, self._masks = pictures, defects, masks
        self._limits, self._above, self._how = limits, settings.surface_above, settings.place
        self._forbids = limits is not None or self._above is not None
        self.confined = bool(self._forbids or settings.boxes)
        self._sides = {i: _touched(mask) & defects.borders(i) for i, mask in masks.items()}
        self.shares = _shares(self._sides, defects.labels)

    def load(self, candidates):
        """Read the surfaces of candidates as the model sees them: uint8 [N, R, R, C]."""
        return np.stack([self.pictures.crop(c.surface, c.window) for c in candidates])

    def allowed(self, candidates):
        """Stack where defects may be in the windows of candidates: uint8 [N, R, R, 1], 0 or 255."""
        return np.stack([self._allowed(c.surface, c.window, c.box) for c in candidates])

    def place(self, candidate, taken, rng):
        """Choose the window (y, x) of a candidate, None where none is free.

        taken: the corners of the windows that are used already.
        """
        size, side = self.pictures.size(candidate.surface), self.pictures.side
        shapes = [self._shape(*defect) for defect in candidate.defects] if self._forbids else ()
        wanted = self._wanted(candidate)
        if wanted is None:
            return None
        for _ in range(TRIES):
            corner = tuple(
                int(rng.integers(whole - side + 1)) if at is None else at(whole - side)
                for at, whole in zip(wanted, size, strict=True)
            )
            free = all(
                max(abs(a - b) for a, b in zip(corner, other, strict=True)) >= side
                for other in taken
            )
            if free and self._let(candidate.surface, corner, shapes):
                return corner
        return None

    def fault(self, entry, label):
        """Tell why a `records.Entry` that was drawn cannot be put on its picture, None if it can.

        "outside": it lies where none may be; "empty": its box leaves nothing of it; "edge": it ends
        at a side of the window that is none of the picture, or at one of the picture that neither
        itself nor its class touches in the training images.
        """
        candidate, hard = entry.candidate, entry.pictures["hard"][..., 0] > 0
        if self._forbids:
            allowed = self._allowed(candidate.surface, candidate.window)[..., 0] > 0
            if np.any(hard & ~allowed):
                return "outside"
        if candidate.box:  # as it was asked for
            left = np.count_nonzero(self.pictures.hard(entry.mark))
            return "empty" if left < instances.MIN_PIXELS else None
        size, side = self.pictures.size(candidate.surface), self.pictures.side
        (y, x), shares = candidate.window, self.shares.get(label, np.zeros(4))
        borders = np.array([y == 0, y + side == size[0], x == 0, x + side == size[1]])
        own = np.zeros(4, bool)
        for index, variation in candidate.defects:
            own |= _turned(self._sides.get(index, np.zeros(4, bool)), variation)
        if np.any(_touched(hard[..., None]) & ~(borders & (own | (shares > 0)))):
            return "edge"
        return None

    def _wanted(self, candidate):
        """Say where a window has to be, for (y, x): a function of the last start, None for any.

        None in all where a defect reaches from side to side.
        """
        sides, own = np.zeros(4, bool), None
        for index, variation in candidate.defects:
            sides |= _turned(self._sides.get(index, np.zeros(4, bool)), variation)
            own = own or self._defects.place(index)
        wanted = []
        for axis in (0, 1):
            low, high = sides[2 * axis : 2 * axis + 2]
            if low and high:
                return None
            if low or high:
                wanted.append((lambda last: 0) if low else (lambda last: last))
            elif self._how == "own" and own:
                wanted.append(lambda last, at=own[axis]: round(at * last))
            else:
                wanted.append(None)
        return wanted

    def _let(self, surface, corner, shapes):
        """Tell whether enough of the defects' shapes lies where they may."""
        if not self._forbids:
            return True
        allowed = self._allowed(surface, corner) > 0
        if not shapes:
            return bool(allowed.any())
        return all(np.mean(allowed[shape]) >= LET for shape in shapes if shape.any())

    def _shape(self, index, variation):
        """Compute where a varied defect lies in its window: bool [R, R, 1]."""
        mask = self._masks.get(index)
        if mask is None:
            return np.zeros((1, 1, 1), bool)
        return vary.warp(mask, mask, variation)[1] > 0

    def _allowed(self, surface, corner, box=None):
        """Tell where a defect may be in a window: uint8 [R, R, 1], 0 or 255.

        box: (x, y, width, height) in the picture that it has to stay in.
        """
        seen = self.pictures.crop(surface, corner)
        allowed = np.full((*seen.shape[:2], 1), 255, np.uint8)
        if box:
            scale, (y, x) = len(seen) / self.pictures.side, corner
            inside = np.zeros_like(allowed)
            rows = slice(int((box[1] - y) * scale), math.ceil((box[1] + box[3] - y) * scale))
            columns = slice(int((box[0] - x) * scale), math.ceil((box[0] + box[2] - x) * scale))
            inside[rows, columns] = 255
            allowed &= inside
        if self._above is not None:
            part = ndimage.binary_closing(
                np.pad(seen.mean(-1) >= self._above, HOLE, mode="edge"), np.ones((HOLE, HOLE))
            )[HOLE:-HOLE, HOLE:-HOLE]
            allowed[~part] = 0
        if self._limits is not None:
            size = seen.shape[:2]
            allowed[self._limits.crop(surface, corner, self.pictures.side, size) == 0] = 0
        return allowed


def check(how, above):
    """Raise ConfigError for what is no way of placing."""
    if how not in HOW:
        raise ConfigError(f"--place={how} is not one of {', '.join(HOW)}")
    if above is not None and not 0 <= above < 255:
        raise ConfigError(f"--surface_above={above:g} is no grey level of 0..254; try 20")


def _touched(mask):
    """Tell which sides a mask [R, R, 1] touches: bool (top, bottom, left, right)."""
    mask = mask[..., 0] > 0
    return np.array([mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any()])


def _turned(sides, variation):
    """Mirror sides as a variation does."""
    top, bottom, left, right = sides
    if variation.flip[0]:
        top, bottom = bottom, top
    if variation.flip[1]:
        left, right = right, left
    return np.array([top, bottom, left, right])


def _shares(sides, labels):
    """Compute which share of the defects of each class touches each side: {label: float [4]}."""
    groups = {}
    for index, touched in sides.items():
        groups.setdefault(int(labels[index]), []).append(touched)
    return {label: np.mean(group, axis=0) for label, group in groups.items()}
