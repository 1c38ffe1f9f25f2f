"""Defects that a user asks for one by one: which class, on which picture, in which box."""

import copy
import csv
import pathlib
from typing import NamedTuple

import numpy as np

from dtgan.config import ConfigError, nearest
from dtgan.data.source import digest
from dtgan.generation import vary
from dtgan.generation.plan import Candidate, Plan

COLUMNS = ("picture", "class", "x", "y", "w", "h")
NEAREST = 4  # defects of a class, of the form nearest to a box, that are tried in turn


class Box(NamedTuple):
    """A defect that is asked for: index of the picture, label, box (x, y, width, height) there."""

    picture: int
    label: int
    box: tuple


def read(path, pictures, classes):
    """Read the boxes of a CSV file with COLUMNS: a list of Box, those of a picture together.

    pictures: native.Pictures, whose stems are the names in the column "picture". Raises ConfigError
    where the file is no such table, and for what cannot be drawn, all lines of it at once.
    """
    flag, named = f"--boxes={path}", {}
    for index in range(len(pictures.source)):
        name = pathlib.PurePath(pictures.source.id(index)).name
        named[name] = named[pathlib.PurePath(name).stem] = index
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise ConfigError(
                    f"{flag} has the columns {', '.join(reader.fieldnames or ()) or '(none)'}; the "
                    f"first line must be: {','.join(COLUMNS)}"
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{flag} cannot be read ({error}); save it as UTF-8 CSV") from None
    found, wrong = [], []
    for line, row in rows:
        try:
            found.append(_parsed(row, named, pictures, classes))
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        raise ConfigError(f"{flag}: {'; '.join(wrong[:5])}{more}")
    if not found:
        raise ConfigError(f"{flag} asks for no defect; write a line for each")
    return sorted(found, key=lambda box: box.picture)


def _parsed(row, named, pictures, classes):
    """Parse a line. Raises ValueError for what is asked for in vain."""
    name, kind = (str(row[column] or "").strip() for column in ("picture", "class"))
    if name not in named:
        raise ValueError(f"there is no picture {name!r}{nearest(name, named)}")
    if kind not in classes[1:]:
        raise ValueError(f"{kind!r} is no defect class{nearest(kind, classes[1:])}")
    try:
        box = x, y, width, height = tuple(int(row[column]) for column in COLUMNS[2:])
    except (TypeError, ValueError):
        raise ValueError("x, y, w and h are not whole numbers of pixels") from None
    rows, columns = pictures.size(named[name])
    if not (0 <= x < x + width <= columns and 0 <= y < y + height <= rows):
        raise ValueError(f"the box {box} does not lie within the {columns}x{rows} of {name}")
    if max(width, height) > pictures.side:
        raise ValueError(
            f"the box {box} is larger than the {pictures.side} pixels that the model sees at once"
        )
    return Box(named[name], classes.index(kind), box)


class BoxPlan(Plan):
    """The plan of the defects of a file of boxes: number n is the n-th box.

    boxes: of `read`; whole: native.Pictures; kinds, labels, ranges, data: as of Plan. Needs
    `seeing` before candidates are drawn. A picture with defects of several classes is of the class
    that joins their names.
    """

    def __init__(self, settings, classes, kinds, boxes, whole, labels, ranges, data):
        self._boxes, self._whole, self._masks = boxes, whole, {}
        names = tuple(classes[label] for label in sorted({box.label for box in boxes}))
        settings = settings._replace(num_per_class=1, classes=names, boxes="")
        super().__init__(settings, classes, kinds, labels, len(whole.source), ranges, data)
        self.fingerprint = digest(repr(boxes))
        own = {}
        for number, box in enumerate(boxes):
            own.setdefault(box.picture, []).append(number)
        groups = list(own.values())
        per_block = max(1, self._block // max(map(len, groups)))
        self._groups = [groups[k : k + per_block] for k in range(0, len(groups), per_block)]
        self.num, self.num_blocks = len(boxes), len(self._groups)

    def seeing(self, masks):
        """Return the plan that knows the defects' masks, {index: uint8 [R, R, 1]}."""
        seen = copy.copy(self)
        seen._masks = masks
        return seen

    def numbers(self, block):
        return [number for group in self._groups[block] for number in group]

    def pictures(self, block):
        return [tuple(group) for group in self._groups[block]]

    def label(self, number):
        return self._boxes[number].label

    def place(self, number):
        return self._boxes[number].picture

    def candidate(self, number, attempt):
        """Choose a defect whose form is near to the box, and the variation that fills the box."""
        asked, side = self._boxes[number], self._whole.side
        x, y, width, height = asked.box
        size = self._whole.size(asked.picture)
        corner = tuple(
            int(np.clip(start + extent // 2 - side // 2, 0, whole - side))
            for start, extent, whole in ((y, height, size[0]), (x, width, size[1]))
        )
        scale = self._data.res / side
        target = [
            ((start - at) * scale, extent * scale)
            for start, extent, at in zip((y, x), (height, width), corner, strict=True)
        ]
        near = self._nearest(asked.label, [extent for _, extent in target])
        index = near[int(self._rng("box", number).permutation(len(near))[attempt % len(near)])]
        drawn = vary.draw(self._ranges, self._data, self._rng("vary", number, attempt))
        fitted = vary.filling(self._masks[index], target, drawn.strength)
        return Candidate(number, attempt, ((index, fitted),), asked.picture, corner, asked.box)

    def _nearest(self, label, extents):
        """List the defects of a class whose height and width are nearest to those of a box."""
        known = [int(i) for i in self._found[label] if i in self._masks and self._masks[i].any()]
        if not known:
            raise ConfigError(
                f"class {self._classes[label]!r}: the model finds none of its defects in their own "
                "images; train longer, or leave its boxes out"
            )
        own = np.array([vary.extents(self._masks[i]) for i in known], float)
        order = np.argsort(
            np.abs(np.log(own / np.maximum(extents, 1.0))).sum(axis=1), kind="stable"
        )
        return [known[k] for k in order[:NEAREST]]
