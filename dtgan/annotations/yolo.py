"""YOLO's segmentation labels: a text file of outlines an image, and data.yaml."""

import json
import pathlib

import numpy as np
from scipy import sparse, spatial
from scipy.sparse import csgraph

from dtgan.annotations import runs
from dtgan.files import write_atomic

FILE = "data.yaml"


def write(out, record, classes, parts):
    """Write the labels of a picture of a set below `out`, unless they are there: their file.

    record: of the manifest; classes: names of the defects, in the order of their labels; parts:
    the picture's instances, [(class, `runs.Part`)]. The disk is not waited for: `files.sync_all`.
    """
    lines = "".join(
        _line(classes.index(name), polygon(part, record["size"])) for name, part in parts
    ).encode()
    path = out / label_file(record["file"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != lines:  # most of a set that grows are there
        write_atomic(path, lines, wait=False)
    return path


def write_data(out, classes):
    """Write data.yaml of a set below `out`; classes as of `write`."""
    names = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(classes))
    folder = "images  # no held-out part: validate on real images"
    # Without a key `path` folders are relative to this file; with `.` to where the reader runs.
    write_atomic(out / FILE, f"train: {folder}\nval: {folder}\nnames:\n{names}")


def label_file(file):
    """Name the labels of a picture, both relative to the set: readers look for them there."""
    return pathlib.PurePosixPath(file.replace("images/", "labels/", 1)).with_suffix(".txt")


def polygon(part, size):
    """Trace the outline of a `runs.Part` of a picture of `size` = (height, width).

    Returns float [n, 2], (x, y) in 0..1: the outer side of the part's pixels with their corners cut
    off, so that pixels that touch at a corner have one outline. Holes are filled, since YOLO has
    none. Where the part is in pieces, bridges without width join them.
    """
    height, width = size
    outline = _bridged([_outline(piece) for piece in runs.pieces(part)])
    return outline[_corners(outline)] / (width, height)


def _outline(piece):
    """Trace a part in one piece: float [n, 2], (x, y) in pixels of the picture.

    The points are the middles of the pixels' outer sides, clockwise from the first pixel.
    """
    inside = np.pad(piece.pixels(), 1)
    line, inside = inside.shape[1], inside.reshape(-1)
    # The sides of a pixel, clockwise: top, right, bottom, left. Beyond each lies a neighbour, and
    # whoever walks along a side comes to the neighbour beyond the next.
    beyond = np.array([-line, 1, line, -1])
    ahead = np.roll(beyond, -1)
    outer = [np.flatnonzero(inside & ~np.roll(inside, -step)) for step in beyond]
    pixel, side = np.concatenate(outer), np.repeat(np.arange(4), list(map(len, outer)))
    onward = pixel + ahead[side]
    corner = onward + beyond[side]
    turns = [inside[corner], inside[onward]]  # to the left, then none, then to the right
    then = np.select(turns, [corner, onward], pixel)
    turned = (side + np.select(turns, [-1, 0], 1)) % 4
    following = np.searchsorted(side * len(inside) + pixel, turned * len(inside) + then)
    way = _walk(following.tolist())
    x, y, *_ = piece.box
    middle = np.array([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)])[side[way]]
    return middle + np.stack([pixel[way] % line + x - 1, pixel[way] // line + y - 1], axis=1)


def _bridged(outlines):
    """Join outlines, float [n, 2] each, to one by the shortest bridges, gone over and back."""
    if len(outlines) == 1:
        return outlines[0]
    points, starts = np.concatenate(outlines), np.cumsum([0, *map(len, outlines)])
    bridges = _bridges(points, starts)
    following = np.arange(1, len(points) + 1)  # of a point on its outline
    following[starts[1:] - 1] = starts[:-1]
    visited, following = list(range(len(points))), following.tolist()
    for i, j in bridges:  # from i over to j, around its outline to j again, and back to i
        there, back = len(visited), len(visited) + 1
        visited += [j, i]
        following += [following[j], following[i]]
        following[i], following[j] = there, back
    return points[np.array(visited)[_walk(following)]]


def _corners(outline):
    """Tell which points of an outline, float [n, 2], are not on a straight way ahead: bool [n]."""
    step = np.roll(outline, -1, axis=0) - outline
    past = np.roll(step, 1, axis=0)
    # At the end of a bridge the way turns round, on the same line.
    turning = step[:, 0] * past[:, 1] != step[:, 1] * past[:, 0]
    return turning | ((step * past).sum(axis=1) < 0)


def _walk(following):
    """List the numbers from 0 on, each followed by following[number], before 0 comes again."""
    way = [0]
    while following[way[-1]] != 0:
        way.append(following[way[-1]])
    return way


def _bridges(points, starts):
    """Choose the shortest bridges that join outlines: pairs of numbers of points.

    starts: where in `points` the outlines start, and the end of the last.
    """
    outline = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    corners = spatial.Delaunay(points).simplices  # the shortest ones are among its sides
    sides = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    # Should rounding have left out points of an outline, it is joined all the same.
    sides = np.concatenate([sides, np.stack([starts[:-2], starts[1:-1]], axis=1)])
    sides = sides[outline[sides[:, 0]] != outline[sides[:, 1]]]
    length = np.hypot(*(points[sides[:, 0]] - points[sides[:, 1]]).T)
    order = np.argsort(length, kind="stable")
    pairs = np.sort(outline[sides[order]], axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)  # the shortest of each two
    shape = len(starts) - 1, len(starts) - 1
    graph = sparse.csr_array((length[order][first], pairs.T), shape=shape)
    chosen = set(zip(*csgraph.minimum_spanning_tree(graph).nonzero(), strict=True))
    return [sides[order[k]] for k, pair in zip(first, pairs, strict=True) if tuple(pair) in chosen]


def _line(number, outline):
    """Format the line of an object: its class and the corners of its outline."""
    return " ".join([str(number), *(f"{value:.6f}" for value in outline.reshape(-1))]) + "\n"
