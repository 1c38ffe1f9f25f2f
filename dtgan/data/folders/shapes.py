"""Outlines, run lengths and boxes of defects, as files of annotations hold them, and their pixels.

A pixel (row i, column k) covers x in k..k + 1 and y in i..i + 1. pycocotools fills outlines and
decodes COCO's run lengths.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

TOLERANCE = 2.0  # pixels by which an outline may leave the picture: annotators' tools round
_MARGIN = 2  # pixels around an outline in which it is filled


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """Closed outlines of one defect: float64 [n, 2] each, (x, y), in pixels or in shares of 0..1.

    What lies inside of any is the defect.
    """

    rings: tuple
    relative: bool = False

    exact = True

    def mark(self, out):
        """Set the pixels in a bool [H, W]. Raises ValueError for an outline out of the picture."""
        height, width = out.shape
        scale = (width, height) if self.relative else (1, 1)
        for ring in self.rings:
            points = ring * scale
            _check_inside(points.min(0), points.max(0), out.shape)
            # Filled in its own corner of the picture: a large one would be filled for each defect.
            low = np.maximum(np.floor(points.min(0)).astype(int) - _MARGIN, 0)
            high = np.minimum(np.ceil(points.max(0)).astype(int) + _MARGIN, (width, height))
            if (high <= low).any():
                continue
            (x0, y0), (x1, y1) = low, high
            rows = [(points - low).reshape(-1)]
            filled = coco_mask.decode(coco_mask.frPyObjects(rows, int(y1 - y0), int(x1 - x0)))
            out[y0:y1, x0:x1] |= filled[..., 0] > 0


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
    """Runs of marked pixels, int64 [n, 2] (first pixel, pixels), down the columns, from 1 on."""

    pairs: np.ndarray

    exact = True

    def mark(self, out):
        """Set the pixels in a bool [H, W]. Raises ValueError for runs out of the picture."""
        last = int((self.pairs.sum(1) - 1).max(initial=0))
        if last > out.size:
            raise ValueError(f"run lengths up to pixel {last}; {_picture(out.shape)}")
        columns = np.zeros(out.size, bool)
        for start, length in self.pairs.tolist():
            columns[start - 1 : start - 1 + length] = True
        out |= columns.reshape(out.shape[::-1]).T


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """COCO's run lengths of a mask of `size`: pixels off, on, off, ..., a list or compressed."""

    size: tuple  # height, width
    counts: Any  # int64 [n], or bytes of pycocotools

    exact = True

    def mark(self, out):
        """Set the pixels in a bool [H, W]. Raises ValueError for runs of another picture."""
        if self.size != out.shape:
            height, width = self.size
            raise ValueError(f"run lengths of {width}x{height} pixels; {_picture(out.shape)}")
        counts = self.counts
        if not isinstance(counts, bytes):
            total = int(counts.sum())
            if total != out.size:
                raise ValueError(f"run lengths of {total} pixels; {_picture(out.shape)}")
            ends = np.arange(len(counts)) % 2 > 0
            out |= np.repeat(ends, counts).reshape(out.shape[::-1]).T
            return
        try:
            _check_compressed(counts)
            found = coco_mask.decode({"size": list(self.size), "counts": counts})
        except ValueError:
            detail = "compressed run lengths that are damaged or of another size"
            raise ValueError(f"{detail}; {_picture(out.shape)}") from None
        out |= found > 0


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """A box (x, y, width, height) somewhere in which the defect is, in pixels or in shares."""

    x: float
    y: float
    width: float
    height: float
    relative: bool = False

    exact = False

    def mark(self, out):
        """Set the pixels that it touches in a bool [H, W]. Raises ValueError as `Outline`."""
        scale = np.asarray(out.shape[::-1] if self.relative else (1, 1), float)
        low = (self.x, self.y) * scale
        high = low + (self.width, self.height) * scale
        _check_inside(low, high, out.shape)
        # Edges written with few digits still end at their pixel.
        x0, y0 = np.maximum(np.floor(low + 1e-3), 0).astype(int)
        x1, y1 = np.ceil(high - 1e-3).astype(int)
        out[y0:y1, x0:x1] = True


class Shape(NamedTuple):
    """One annotation: the class of a defect, where it stands in its file (":3"), and its form."""

    class_name: str
    where: str
    form: Any  # Outline | Runs | Counts | Box


class Marked(NamedTuple):
    """Pixels of the defects of a class, bool [H, W]; exact: not just boxes that hold them."""

    pixels: np.ndarray
    exact: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Annotated:
    """What a file of annotations says of one picture; stands for the file of a mask.

    size: (height, width) of the picture as the file has it, None where it does not say.
    """

    file: pathlib.Path
    shapes: tuple  # of Shape
    size: tuple | None = None

    def where(self, class_name):
        """Tell where in the file the first shape of a class stands."""
        return next(shape.where for shape in self.shapes if shape.class_name == class_name)

    def read(self, size):
        """Draw the shapes in a picture of `size`: ({class: Marked}, [(where, fault)]).

        A class with a box among its shapes is not exact: all of them are then the place of the
        defect.
        """
        if self.size and self.size != tuple(size):
            (height, width), (rows, columns) = self.size, size
            detail = f"{width}x{height} for an image of {columns}x{rows}"
            return {}, [(self.shapes[0].where, detail)]
        parts, faults = {}, []
        for class_name, where, form in self.shapes:
            known = parts.setdefault(class_name, Marked(np.zeros(size, bool), True))
            try:
                form.mark(known.pixels)
            except ValueError as error:
                faults.append((where, str(error)))
            parts[class_name] = known._replace(exact=known.exact and form.exact)
        return parts, faults


def parse_ring(values):
    """Check the corners of an outline, a list x1 y1 x2 y2 ...: float64 [n, 2].

    Raises ValueError where it is none.
    """
    if not isinstance(values, list) or not all(map(is_number, values)):
        raise ValueError("an outline with something that is no finite number")
    if len(values) % 2:
        raise ValueError(f"an outline of {len(values)} numbers, which are no pairs x y")
    if len(values) < 6:
        raise ValueError(f"an outline of {len(values) // 2} points; it needs 3")
    return np.asarray(values, np.float64).reshape(-1, 2)


def parse_box(values, relative=False):
    """Check a list x, y, width, height: a Box. Raises ValueError where it is none."""
    if not isinstance(values, list) or len(values) != 4 or not all(map(is_number, values)):
        raise ValueError("a box that is not four finite numbers")
    if min(values[2:]) <= 0:
        raise ValueError(f"a box of {values[2]:g}x{values[3]:g}")
    return Box(*values, relative)


def parse_runs(text):
    """Parse "start length start length ...", down the columns, from 1 on: Runs.

    Raises ValueError where the text is something else.
    """
    try:
        values = np.asarray(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise ValueError("run lengths with something that is no whole number") from None
    if len(values) % 2:
        raise ValueError(f"run lengths of {len(values)} numbers, which are no pairs start length")
    pairs = values.reshape(-1, 2)
    if pairs.min(initial=1) < 1 or pairs.max(initial=1) > 2**40:
        odd = pairs[((pairs < 1) | (pairs > 2**40)).any(1)][0]
        raise ValueError(f"a run {odd[0]} {odd[1]}; pixels are counted from 1, lengths are above 0")
    return Runs(pairs)


def is_number(value):
    """Tell whether a value of JSON is a finite number that can be a coordinate."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e9  # which NaN is not
    )


def _check_compressed(counts):
    """Raise ValueError for compressed run lengths that are no whole numbers of COCO's code.

    A character holds five bits of a number, above 48, and a sixth that says that it goes on.
    """
    characters = np.frombuffer(counts, np.uint8).astype(int) - 48
    if not characters.size or characters.min() < 0 or characters.max() > 63:
        raise ValueError
    ends = np.flatnonzero(characters < 32)
    if not ends.size or ends[-1] != characters.size - 1 or np.diff(ends, prepend=-1).max() > 7:
        raise ValueError


def _check_inside(low, high, shape):
    """Raise ValueError where corners (x, y) leave a picture of `shape` (height, width)."""
    if min(low) < -TOLERANCE or (high > np.asarray(shape[::-1]) + TOLERANCE).any():
        x0, y0, x1, y1 = (f"{value:g}" for value in (*low, *high))
        raise ValueError(f"x from {x0} to {x1}, y from {y0} to {y1}; {_picture(shape)}")


def _picture(shape):
    return f"the picture is {shape[1]}x{shape[0]}, {shape[0] * shape[1]} pixels"
