"""Hybrids to look at: of every class the most likely ones, ordinary ones and the least likely."""

import numpy as np
from scipy.spatial.distance import cdist

from dtgan import images

RANKS = {"best": 0.0, "median": 0.5, "worst": 1.0}  # where in the order of a class
EACH = 2  # pictures of a rank


def gallery(context, method, fakes, cache):
    """Choose pictures of every class and lay them out: (description, sheet uint8 [H, W, C]).

    Synthetic images are ordered by their distance in features to the nearest real image of their
    class in the split that is scored, in units of the median such distance among the real images
    themselves: 1 is as near as real images are to each other. The description, JSON-able:
      columns: of a row, as far as the `Method` has them: "defect" x1, "surface" x2, "image",
        "mask" (its matte) and "real", that nearest image
      rows: {"class", "rank" of RANKS, "distance" (None where there is one real image)}
      side: of a picture, in pixels
    A class without real images has no rows. (None, None) where no class has any.
    """
    real = context.split(context.settings.split).defects
    known = context.features(real.image)["pool"]
    drawn = context.features(fakes.records.image, cache)["pool"]
    rows, cells = [], []
    for label, name in list(enumerate(context.classes))[1:]:
        of_class, own = (np.flatnonzero(x.label == label) for x in (real, fakes.records))
        if not len(of_class) or not len(own):
            continue
        distances = cdist(drawn[own], known[of_class])
        unit = _unit(known[of_class])
        for rank, k in _choose(distances.min(1)):
            row, nearest = own[k], of_class[distances[k].argmin()]
            pictures = _pictures(context, method, fakes, row) | {"real": real.image[nearest]}
            far = float(distances[k].min() / unit) if unit else None
            rows.append({"class": name, "rank": rank, "distance": far})
            cells += pictures.values()
    if not rows:
        return None, None
    side, columns = real.image.shape[1], list(pictures)
    sheet = images.tile(cells, columns=len(columns))
    return {"columns": columns, "rows": rows, "side": side}, sheet


def _unit(features):
    """Compute the median distance of real images [n, d] to their nearest other one; None if 0."""
    if len(features) < 2:
        return None
    between = cdist(features, features)
    np.fill_diagonal(between, np.inf)
    return float(np.median(between.min(1))) or None


def _choose(distances):
    """Choose EACH images of every rank, none twice as far as there are enough: [(rank, index)]."""
    order, chosen = np.argsort(distances, kind="stable"), []
    for rank, place in RANKS.items():
        first = round(place * (len(order) - EACH))
        chosen += [(rank, int(k)) for k in order[max(first, 0) :][:EACH]]
    return chosen


def _pictures(context, method, fakes, row):
    """Collect what is known of a synthetic image: {column: uint8 [R, R, C]}."""
    shown, records = {}, fakes.records
    if "defect" in method.needs:
        shown["defect"] = context.train.image[records.index[row]]
    if fakes.surfaces is not None:
        shown["surface"] = context.train.image[fakes.surfaces[row]]
    shown["image"] = records.image[row]
    if records.has_mask[row]:
        shown["mask"] = np.broadcast_to(records.mask[row], records.image[row].shape)
    return shown
