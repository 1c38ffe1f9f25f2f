"""Which data.scale suits a set: measured from the sizes of its pictures and of its defects."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dtgan.data import windows

CANDIDATES = (1.0, 0.5, 0.25, 0.125)
THICK = 3.0  # pixels; the median width that a class needs to be drawn, not only marked
MOST = 0.9  # share of the defects that one crop should hold
PICTURES = 200  # of a class that are measured, spread evenly over them
PARTS = 16  # of a mask that are measured, the largest


class Option(NamedTuple):
    """What a scale makes of a set.

    scale: pixels of training per pixel of a picture, (least, greatest) over the pictures; least:
    width of the thinnest defect in pixels; thinnest, width: the class with the smallest median
    width, and that; widths are NaN where no mask tells them. fit: share of the defects that one
    crop holds; small: pictures that are smaller than a crop.
    """

    scale: tuple
    least: float
    thinnest: str
    width: float
    fit: float
    small: int


class Proposal(NamedTuple):
    """The scale that is proposed and why; the options it was chosen from; what is set now."""

    scale: float
    why: str
    options: tuple
    now: Option


class Defects(NamedTuple):
    """Connected parts of masks, in pixels of the file; arrays [N].

    row: of the picture in its source; label: of its class; width: of the thickest place, see
    `windows.thickness`, NaN where only a box is known; extent: the longer side of the bounding box.
    """

    row: np.ndarray
    label: np.ndarray
    width: np.ndarray
    extent: np.ndarray


def propose(source, data):
    """Propose a data.scale for crops of data.res: a `Proposal` by `choose`.

    data: config.data. None where no mask says what to measure, or no picture is larger than a crop.
    """
    found = measure(source)
    if not len(found.row) or not np.any(np.max(source.sizes, axis=1) > data.res):
        return None
    options = tuple(_option(found, source, _at(data, scale)) for scale in CANDIDATES)
    best, why = choose(options, data.res)
    return Proposal(best.scale[0], why, options, _option(found, source, data))


def choose(options, res):
    """Choose among options, by falling scale, for crops of `res`: (the best, why).

    Usable are those that leave every class a median width of THICK pixels and make no more pictures
    smaller than a crop than the first. The best is the largest at which MOST of the defects fit
    into a crop; if there is none, the one at which most of them do.
    """
    usable, fault = [options[0]], ""
    for option in options[1:]:
        fault = fault or _fault(option, options[0])  # both kinds grow with the reduction
        usable += [] if fault else [option]
    fit = [option for option in usable if option.fit >= MOST]
    best = fit[0] if fit else max(usable, key=lambda option: option.fit)
    why = f"{100 * best.fit:.0f} % of the defects fit into a crop of {res} px"
    if best.thinnest:
        why += f", and {best.thinnest}, the thinnest class, is {best.width:.2g} px wide (median)"
    if not fit:
        limit = fault or "a smaller scale holds no more"
        why += f"; {limit}; a larger data.res holds more"
    if best.small:
        why += (
            f"; {best.small} pictures are smaller than a crop: add --config.data.upscale=True, or "
            "--config.data.skip_bad=True to leave them out"
        )
    return best, why


def measure(source):
    """Measure the defects of a source by their masks: `Defects`."""
    rows, labels = [], np.asarray(source.labels)
    for label in range(1, len(source.classes)):
        own = np.flatnonzero(labels == label)
        rows += own[:: max(1, -(-len(own) // PICTURES))].tolist()
    found = []
    for row in rows:
        record = source[row]
        for width, extent in parts_of(record["mask"]):
            found.append((row, labels[row], width if record["has_mask"] else np.nan, extent))
    return Defects(*np.array(found, float).reshape(-1, 4).T)


def parts_of(mask):
    """List (width, extent) of the largest connected parts of a mask uint8 [H, W, 1], in pixels.

    Parts below windows.SPECK pixels count only where there are no others.
    """
    parts, number = ndimage.label(mask[..., 0], windows.TOUCHING)
    boxes = ndimage.find_objects(parts)
    sizes = np.bincount(parts.reshape(-1), minlength=number + 1)[1:]
    order = np.argsort(-sizes, kind="stable")[:PARTS]
    large = [k for k in order if sizes[k] >= windows.SPECK]
    found = []
    for k in large or order:
        part = np.uint8(255) * (parts[boxes[k]] == k + 1)[..., None]
        found.append((windows.thickness(part, part), max(part.shape)))
    return found


def _at(data, scale):
    """Copy config.data with another data.scale."""
    data = data.copy_and_resolve_references()
    data.update(scale=scale, scale_to=0)
    return data


def _option(found, source, data):
    """Compute the `Option` of config.data."""
    scales = np.array([windows.scale_of(size, data) for size in source.sizes])
    small = int(np.sum(np.min(source.sizes, axis=1) < windows.least_side(data)))
    own = scales[found.row.astype(int)] if not data.scale else data.scale
    widths, extents = found.width * own, found.extent * own
    known = np.isfinite(widths)
    medians = {
        int(label): float(np.median(widths[known & (found.label == label)]))
        for label in np.unique(found.label[known])
    }
    thinnest = min(medians, key=medians.get, default=None)
    return Option(
        (data.scale, data.scale) if data.scale else (float(scales.min()), float(scales.max())),
        float(np.min(widths[known])) if medians else np.nan,
        "" if thinnest is None else source.classes[thinnest],
        medians.get(thinnest, np.nan),
        float(np.mean(extents <= data.res)),
        small,
    )


def _fault(option, first):
    """Say why an option may not be used; "" where it may. first: that of data.scale=1."""
    at = f"at {option.scale[0]:g}"
    if option.width < THICK:
        return f"{at} {option.thinnest} would be {option.width:.2g} px, below {THICK:g}"
    if option.small > first.small:
        return f"{at} {option.small - first.small} more pictures would be smaller than a crop"
    return ""
