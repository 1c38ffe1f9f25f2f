"""Copies of training images among the synthetic ones, with the proof that copies would be found."""

import numpy as np

from dtgan.metrics import copies

ALPHA = 0.01  # nominal rate of false alarms on real images
PLANTED = 100  # copies planted of each kind
REFERENCES = 300  # hybrids that are also pasted and, where known, rendered truly
SHOWN = 8  # pairs in the picture


def copy_scores(bench, fakes, surfaces, threshold, cache):
    """(report, picture uint8 or None) of synthetic Images; surfaces: indices of their x2.

    threshold: of the model's mask, where the defect's own mask is not known; None: then the whole
    image is compared. The alarm is calibrated on one held-out split and tested on the other. Beside
    the model stand the rates of pasted defects and, where it is known, of the true transfers: they
    carry a training defect as well, and copy nothing else.
    """
    defects = np.flatnonzero(bench.train.label)
    trained, calibration = bench.train.take(defects), bench.split(bench.held_out).defects
    held_out = bench.split(bench.settings.split).defects
    if not len(calibration.label):
        reason = f"the split {bench.held_out!r} holds no defects to calibrate the alarm on"
        return {"rate": None, "rate_ci95": None, "flagged": None, "reason": reason}, None
    reference = copies.Reference(trained.image, bench.features(trained.image)["pool"])

    def nearest(image, mask, cache=None):
        return copies.nearest(reference, image, mask, bench.features(image, cache)["pool"])

    limit = copies.calibrate(nearest(calibration.image, calibration.mask), ALPHA)
    near = nearest(fakes.image, regions(bench, fakes, threshold), cache)
    rows = np.random.default_rng(bench.settings.seed).permutation(len(defects))[:PLANTED]
    plants = {
        kind: nearest(*copies.planted(trained.image[rows], trained.mask[rows], kind))
        for kind in copies.KINDS
    }
    held = nearest(held_out.image, held_out.mask)
    report = copies.report(reference, limit, near, held, plants)
    report["references"] = {
        name: float(copies.flag(nearest(*hybrids), limit).mean())
        for name, hybrids in references(bench, fakes, surfaces).items()
    }
    flagged = report["flagged"]
    if flagged:  # a high share is a leak of x1's surface through its structure code
        own = defects[near.ncc_index[flagged]] == fakes.index[flagged]
        report["flagged_own_source"] = float(own.mean())
    return report, copies.worst_pairs(fakes.image, reference, near, limit, SHOWN)


def regions(bench, fakes, threshold):
    """uint8 [N, R, R, 1] in {0, 255}: where the defects of synthetic images are.

    A transferred defect lies where it lay in its own image, so that image's mask says it best.
    """
    known = bench.train.has_mask[fakes.index]
    drawn = fakes.mask > 255 * threshold if threshold is not None else np.zeros_like(fakes.mask)
    mask = bench.train.mask[fakes.index] > 127
    return np.where(np.where(known[:, None, None, None], mask, drawn), np.uint8(255), np.uint8(0))


def references(bench, fakes, surfaces):
    """{"paste", "oracle": (images, masks)} of the first hybrids; without masks there are none."""
    rows = np.flatnonzero(bench.train.has_mask[fakes.index])[:REFERENCES]
    if not len(rows):
        return {}
    i, j = fakes.index[rows], surfaces[rows]
    x1, x2, mask = bench.train.image[i], bench.train.image[j], bench.train.mask[i]
    found = {"paste": (np.where(mask > 127, x1, x2), mask)}
    source = bench.sources[bench.config.data.split]
    if hasattr(source, "transfer") and np.all(source.sizes == x1.shape[1]):
        truth = [source.transfer(a, b)[0] for a, b in zip(i, j, strict=True)]
        found["oracle"] = (np.stack(truth), mask)
    return found
