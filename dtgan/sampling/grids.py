"""Grids of a model's images, and the closing figures of a run."""

import numpy as np

from dtgan import images
from dtgan.sampling import requests

# Titles of the columns, by what they show. A transfer carries the defect of x1 to the surface x2; a
# translation makes a normal n of a defective d, and a defective d' of another n; a sample is drawn
# of noise, and its twin without the defect.
_TRANSFER = {
    "defect": "x1",
    "mask": "mask",
    "rec": "x1r",
    "removed": "x1a",
    "surface": "x2",
    "clean": "x4 anchor",
    "image": "x3 hybrid",
    "truth": "true x3",
    "change": "|x3 - x2|",
}
_TRANSLATION = {
    "defect": "d",
    "removed": "n' restored",
    "surface": "n",
    "image": "d' painted",
    "mask": "mask",
    "change": "|d' - n|",
}
_SAMPLE = {"clean": "twin x0", "image": "image x", "mask": "mask", "change": "|x - x0|"}


def sample_grid(method, batch, drawn):
    """Lay out the images of a batch as a sheet, uint8 [H, W, C]: a row a pair, titled columns.

    For a `Method` that transfers: x1, mask, x1r, x1a, x2, x4, x3, truth, |x3 - x2|; for one that
    translates: d, n', n, d', mask, |d' - n|; for one that samples: twin x0, image x, mask, |x -
    x0|; as far as they were drawn. Where it gives an image alone, the images side by side.
    batch: of `pairs.Pairs`, or {}. drawn: of a request by `requests.in_full`.
    """
    image, shown = images.to_uint8(drawn["image"]), {"image": images.to_uint8(drawn["image"])}
    for name in ("rec", "removed", "clean"):
        if name in drawn:
            shown[name] = images.to_uint8(drawn[name])
    if {"defect", "rec", "removed"} & {*method.needs, *drawn}:
        shown["defect"] = batch["image"]
    if "surface" in method.needs:
        shown["surface"] = batch["normal"]
    before = shown.get("surface", shown.get("clean"))
    if before is not None:
        shown["change"] = np.abs(image.astype(np.int16) - before).astype(np.uint8)
    if method.transfers and batch["truth"] is not None:
        shown["truth"] = batch["truth"]
    if "mask" in method.gives:
        mask = images.to_uint8(2.0 * drawn["mask"] - 1.0)
        shown["mask"] = np.broadcast_to(mask, image.shape)
    titles = _TRANSLATION if "surface" in method.needs else _SAMPLE
    titles = _TRANSFER if method.transfers else titles
    columns = {title: shown[name] for name, title in titles.items() if name in shown}
    cells = np.stack(list(columns.values()), axis=1)
    scale = max(1, 96 // cells.shape[2])
    cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
    cells = cells.reshape(-1, *cells.shape[2:])
    if len(columns) == 1:
        return images.tile(cells)
    return images.with_header(images.tile(cells, columns=len(columns)), list(columns))


def transfer_summary(method, classes, pairs, infer, classify=None):
    """Measure what the model does to unseen pairs: {name: number}.

    infer: request -> images; classify: uint8 images -> class logits, where the method has a
    classifier. Errors are mean absolute differences in grey levels (0..255); those against the true
    transfer only where the source knows it.
      c_agrees: share of x3 that C calls by the class of x1; c_accuracy: of real x1, for comparison
      x3_vs_x4: how much the structure code changes the picture at all
      error_x3, error_nothing (x2), error_paste (x1's masked pixels on x2), all against the truth
    """
    sums, rows = {}, 0
    for batch in pairs:
        x1, x2, truth = batch["image"], batch["normal"], batch["truth"]
        drawn = infer(requests.of_pairs(method.needs, classes, batch))
        x3, values = images.to_uint8(drawn["image"]), {}
        if classify:
            values["c_agrees"] = np.mean(np.argmax(classify(x3), -1) == batch["label"])
            values["c_accuracy"] = np.mean(np.argmax(classify(x1), -1) == batch["label"])
        if "clean" in method.gives:
            values["x3_vs_x4"] = _error(x3, images.to_uint8(drawn["clean"]))
        if truth is not None:
            values["error_x3"] = _error(x3, truth)
            values["error_nothing"] = _error(x2, truth)
            values["error_paste"] = _error(images.paste(x1, batch["mask"], x2), truth)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(x3)
        rows += len(x3)
    return {"pairs": rows, **{name: value / rows for name, value in sums.items()}}


def describe_summary(summary):
    """Format the figures of `transfer_summary` as printable lines."""
    parts = []
    if "c_agrees" in summary:
        parts.append(
            f"C calls {100 * summary['c_agrees']:.1f} % of x3 by the class of x1 (real x1: "
            f"{100 * summary['c_accuracy']:.1f} %)"
        )
    if "x3_vs_x4" in summary:
        parts.append(f"|x3 - x4| {summary['x3_vs_x4']:.2f} grey levels")
    lines = [f"on {summary['pairs']} validation pairs: {'; '.join(parts)}"] if parts else []
    if "error_x3" in summary:
        lines.append(
            f"mean absolute error against the true transfer, grey levels: "
            f"x3 {summary['error_x3']:.2f}, doing nothing {summary['error_nothing']:.2f}, "
            f"pasting {summary['error_paste']:.2f}"
        )
    return lines


def _error(a, b):
    return np.mean(np.abs(a.astype(np.int16) - b))
