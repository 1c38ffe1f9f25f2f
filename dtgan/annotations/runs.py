"""Pixels of a mask as runs of its rows: little memory, however large the picture is."""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from dtgan import images

STRIP = 256  # rows of a mask that are looked at together


class Part(NamedTuple):
    """Pixels of a picture: of row rows[k] those from starts[k] to before stops[k].

    rows, starts, stops: int [n], in reading order; two runs of a row do not touch. What is said of
    a box or of pixels asks for n > 0.
    """

    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @property
    def box(self):
        """The bounding box (x, y, width, height), in pixels."""
        x, y = int(self.starts.min()), int(self.rows[0])
        return x, y, int(self.stops.max()) - x, int(self.rows[-1]) + 1 - y

    @property
    def area(self):
        """The number of pixels."""
        return int((self.stops - self.starts).sum())

    def pixels(self):
        """Paint the bounding box: bool [height, width]."""
        x, y, width, height = self.box
        change = np.zeros((height, width + 1), np.int8)
        change[self.rows - y, self.starts - x] = 1
        change[self.rows - y, self.stops - x] = -1
        return change.cumsum(axis=1, out=change)[:, :-1].view(bool)

    def cut(self, box):
        """Cut along a box (x, y, width, height): (Part inside, Part outside), maybe empty."""
        x, y, width, height = box
        rows, starts, stops = self
        beside = (rows < y) | (rows >= y + height)
        inside = Part(rows, starts.clip(x), stops.clip(max=x + width))._where(~beside)
        left = Part(rows, starts, stops.clip(max=x))._where(~beside)
        right = Part(rows, starts.clip(x + width), stops)._where(~beside)
        return inside, join([self._where(beside), left, right])

    def _where(self, kept):
        kept = kept & (self.starts < self.stops)
        return Part(*(values[kept] for values in self))


def columns(part):
    """Turn a part's rows and columns: a Part whose "rows" are the columns of the picture."""
    x, y, width, height = part.box
    strips = [part.cut((left, y, STRIP, height))[0] for left in range(x, x + width, STRIP)]
    found = [_turned(strip) for strip in strips if len(strip.rows)]
    return Part(*map(np.concatenate, zip(*found, strict=True)))


def find(mask):
    """Find the pixels of a mask [H, W] that are not 0: a Part. A Part is returned as it is."""
    return mask if isinstance(mask, Part) else _found(len(mask), lambda y, end: mask[y:end])


def read(path):
    """Find the pixels that are not 0 of a mask file of ours, whatever its size: a Part."""
    image = images.decode(path, math.inf, math.inf).image
    return _found(image.height, lambda y, end: np.asarray(image.crop((0, y, image.width, end))))


def join(parts):
    """Join parts that have no pixel in common to one."""
    rows, starts, stops = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((starts, rows))
    return Part(rows[order], starts[order], stops[order])


def pieces(part):
    """Split a part into pieces that touch nowhere, not at a corner either: a list of Part.

    They are in the order of their first pixels.
    """
    if not len(part.rows):
        return []
    # Places of the runs on one line, with a gap between rows: those of the next row lie one
    # `line` further. Runs touch where one starts no later than the other stops.
    line = int(part.stops.max()) + 2
    first, last = part.rows * line + part.starts, part.rows * line + part.stops
    low = np.searchsorted(last, first + line)
    count = np.searchsorted(first, last + line, side="right") - low
    ends = np.append(0, count.cumsum())
    lower = np.arange(ends[-1]) + np.repeat(low - ends[:-1], count)
    shape = len(first), len(first)
    touching = sparse.csr_array((np.ones(len(lower)), lower, ends), shape=shape)
    number, piece = csgraph.connected_components(touching, directed=False)
    order = np.argsort(piece, kind="stable")
    groups = np.split(order, np.bincount(piece, minlength=number).cumsum()[:-1])
    groups.sort(key=lambda runs: runs[0])
    return [Part(*(values[runs] for values in part)) for runs in groups]


def _found(height, strip):
    """Collect the runs of a mask strip by strip: strip(y, end) gives rows [end - y, W] of it."""
    found = [_runs(strip(y, min(y + STRIP, height)), y) for y in range(0, height, STRIP)]
    return Part(*map(np.concatenate, zip(*found, strict=True)))


def _turned(part):
    x, y, *_ = part.box
    rows, starts, stops = _runs(part.pixels().T, x)
    return rows, starts + y, stops + y


def _runs(strip, y):
    """List the runs of rows of a mask, of which the first is row y of the picture."""
    inside = np.zeros((strip.shape[0], strip.shape[1] + 2), bool)
    inside[:, 1:-1] = strip != 0
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])  # by turns a start and a stop
    return rows[::2] + y, columns[::2], columns[1::2]
