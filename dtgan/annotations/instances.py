"""The instances of a mask: one rule for COCO, YOLO and the manifest.

A mask is an array [H, W] or a `runs.Part`, and not empty.
"""

import logging

from dtgan.annotations import runs

HOW = ("parts", "whole")  # an instance each part of a mask, or one a defect
MIN_PIXELS = 4  # of a part; a smaller one is a speck and no instance

log = logging.getLogger("dtgan")


def split(mask, how):
    """Split a mask into its instances: a list of `runs.Part`.

    how: "whole", the mask as it is, or "parts": pixels that touch, be it at a corner, are one part;
    specks are left out, or, where there is nothing else, all but the largest.
    """
    part = runs.find(mask)
    if how == "whole":
        return [part]
    parts = runs.pieces(part)
    kept = [part for part in parts if part.area >= MIN_PIXELS]
    return kept or [max(parts, key=lambda part: part.area)]


def box(mask):
    """Compute the bounding box (x, y, width, height) of a mask, in pixels."""
    return runs.find(mask).box


def measure(mask):
    """Measure a mask: its {"box", "area"}, in pixels."""
    part = runs.find(mask)
    return {"box": part.box, "area": part.area}


def labelled(record, mask, how):
    """List the instances of a picture, each with its class: [(name, `runs.Part`)].

    record: of the manifest; with "defects", {"class", "box", "area"} each, where it shows more than
    one defect, maybe of several classes: each is split by itself. mask: of all of them.
    """
    if "defects" not in record:
        return [(record["class"], part) for part in split(mask, how)]
    found = []
    for defect, part in zip(record["defects"], shared_out(record, mask), strict=True):
        if part.area != defect["area"]:
            log.warning(
                "%s: the mask has %d pixels of %s in %s, the record %d",
                *(record["file"], part.area, defect["class"], defect["box"], defect["area"]),
            )
        found += [(defect["class"], piece) for piece in split(part, how)]
    return found


def shared_out(record, mask):
    """Share a mask out among the "defects" of its record: a list of `runs.Part`, one each.

    What touches belongs to the smallest box that holds it whole. Defects that touch are cut at
    their boxes, and where these overlap, the smaller one takes the pixels. Raises ValueError where
    a pixel is in no box, or a box without a pixel.
    """
    boxes = [defect["box"] for defect in record["defects"]]
    by_size = sorted(range(len(boxes)), key=lambda k: boxes[k][2] * boxes[k][3])
    own = [[] for _ in boxes]
    for piece in runs.pieces(runs.find(mask)):
        holding = [k for k in by_size if _holds(boxes[k], piece.box)][:1]
        for k in holding or by_size:
            inside, piece = piece.cut(boxes[k])
            own[k].append(inside)
        if len(piece.rows):
            raise ValueError(f"{record['file']}: {piece.area} pixels are in none of {boxes}")
    shared = [runs.join(parts) if parts else runs.Part(*[()] * 3) for parts in own]
    if empty := [box for box, part in zip(boxes, shared, strict=True) if not len(part.rows)]:
        raise ValueError(f"{record['file']}: its mask has no pixel in {empty[0]}")
    return shared


def _holds(outer, inner):
    """Tell whether a box (x, y, width, height) lies within another."""
    return all(
        outer[k] <= inner[k] and inner[k] + inner[k + 2] <= outer[k] + outer[k + 2] for k in (0, 1)
    )
