"""Surfaces from pictures of defects: the largest part of each that its masks leave free."""

import hashlib
import logging

import numpy as np
from scipy import ndimage

from dtgan.config import NORMAL_LABEL
from dtgan.data import windows
from dtgan.data.source import Source, View, digest
from dtgan.progress import each

log = logging.getLogger("dtgan")

PART = "#clean"  # what the id of a part ends in
_CELLS = 8  # of a crop's side, in which a mask is looked at; one is the margin around a defect


class WithCleanParts(View):
    """A source and, as further normal pictures, what is free of defects in pictures of defects.

    A part is the largest rectangle that no mask of the picture reaches and that a crop fits in. A
    picture gives none where the mask of one of its defects marks nothing, since there is none. Of
    several rows with the same pixels all masks count. The ids of parts are those of the pictures
    with "#clean" at the end, the groups are theirs, too.
    """

    def __init__(self, source, data):
        """data: config.data with data.scale. Reads all pictures of defects once."""
        self._source = source
        self.classes, self.fingerprint = source.classes, source.fingerprint
        self.skipped, self.warnings, self.drawn = source.skipped, source.warnings, source.drawn
        rows, self._boxes = _parts(source, windows.least_side(data))
        log.info("data.clean_parts: surfaces from %d pictures of defects", len(rows))
        if len(rows):
            self.fingerprint = digest(f"{source.fingerprint}/clean {rows} {self._boxes}")
        self._rows, count = np.array([*range(len(source)), *rows], int), len(rows)
        own = np.full(count, NORMAL_LABEL, np.int32)
        self.labels = np.concatenate([np.asarray(source.labels, np.int32), own])
        sizes = np.array([box[2:] for box in self._boxes], np.int32).reshape(-1, 2)
        self.sizes = np.concatenate([source.sizes, sizes])
        groups = np.arange(len(source)) if source.groups is None else source.groups
        self.groups = groups[self._rows]

    @property
    def families(self):
        families = self._source.families
        return None if families is None else families[self._rows]

    def resolve(self, index):
        if index < len(self._source):
            return self._source.resolve(index)
        return self, int(index)  # a part is held by no other source

    def __getitem__(self, index):
        if index < len(self._source):
            return super().__getitem__(index)
        record = self._source[self._rows[index]]
        y, x, height, width = self._boxes[index - len(self._source)]
        image = record["image"][y : y + height, x : x + width]
        return {
            **record,
            "image": np.ascontiguousarray(image),
            "mask": np.zeros((height, width, 1), np.uint8),
            "has_mask": np.bool_(True),
            "label": NORMAL_LABEL,
            "id": f"{record['id']}{PART}",
        }

    def id(self, index):
        if index < len(self._source):
            return super().id(index)
        return f"{self._source.id(self._rows[index])}{PART}"

    def picture(self, index):
        if index < len(self._source):
            return super().picture(index)
        return Source.picture(self, index)

    def shown(self, index, data):
        if index < len(self._source):
            return super().shown(index, data)
        return Source.shown(self, index, data)


def _parts(source, least):
    """Find the parts of at least `least` pixels a side: (rows of the source, boxes)."""
    rows = np.flatnonzero(np.asarray(source.labels) != NORMAL_LABEL)
    pictures = {}  # {pixels: [first row, where a defect is or None where that is not known]}
    for row in each(rows, "looking for clean parts", "pictures"):
        record = source[row]
        inside = record["mask"][..., 0] > 0
        marked = _cells(inside, least) if inside.any() else None
        key = hashlib.sha256(np.ascontiguousarray(record["image"])).digest()
        first, known = pictures.setdefault(key, (int(row), marked))
        both = None if known is None or marked is None else known | marked
        pictures[key] = first, both
    found = [
        (row, largest_part(marked, source.sizes[row], least))
        for row, marked in pictures.values()
        if marked is not None
    ]
    found = [(row, box) for row, box in found if box]
    return [row for row, _ in found], [box for _, box in found]


def _cells(inside, least):
    """Mark the cells of a bool [H, W] that hold a set pixel, and those around them: bool [R, C]."""
    cell = _cell(least)
    starts = (range(0, side, cell) for side in inside.shape)
    for axis, own in enumerate(starts):
        inside = np.logical_or.reduceat(inside, own, axis)
    return ndimage.binary_dilation(inside, np.ones((3, 3), bool))


def _cell(least):
    """Compute the side in pixels of the cells in which a mask is looked at."""
    return max(1, least // _CELLS)


def largest_part(marked, size, least):
    """Find the largest rectangle without a marked cell: (y, x, height, width) in pixels, or None.

    marked: bool [R, C], of cells of a picture of size (height, width). Both sides have at least
    `least` pixels.
    """
    cell, best = _cell(least), None
    for top, left, bottom, right in _free(marked):
        y, x = top * cell, left * cell
        height, width = min(bottom * cell, int(size[0])) - y, min(right * cell, int(size[1])) - x
        larger = best is None or height * width > best[2] * best[3]
        if min(height, width) >= least and larger:
            best = y, x, height, width
    return best


def _free(marked):
    """Yield (top, left, bottom, right) of rectangles without a mark, all maximal ones among them.

    Each row in turn is the lowest; a stack holds the columns that are free above it, by rising
    height, as for the largest rectangle under a histogram.
    """
    heights = np.zeros(marked.shape[1], int)
    for bottom, row in enumerate(marked, 1):
        heights, stack = np.where(row, 0, heights + 1), []
        for right, height in enumerate([*heights.tolist(), 0]):
            left = right
            while stack and stack[-1][1] >= height:
                left, tall = stack.pop()
                yield bottom - tall, left, bottom, right
            if height:
                stack.append((left, height))
