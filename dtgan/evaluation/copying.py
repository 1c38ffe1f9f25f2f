"""Copies of training images among the synthetic ones, with the proof that copies would be found."""

import numpy as np

from dtgan.metrics import copies

ALPHA = 0.01  # nominal rate of false alarms on real images
PLANTED = 100  # copies planted of each kind
SHOWN = 8  # pairs in the picture


def copy_scores(bench, fakes, threshold, cache):
    """(report, picture uint8 or None) of synthetic Images.

    threshold: of the model's mask, where the defect's own mask is not known; None: then the whole
    image is compared. The alarm is calibrated on one held-out split and tested on the other.
    """
    trained = bench.train
    calibration = bench.split(bench.held_out).defects
    held_out = bench.split(bench.settings.split).defects
    if not len(calibration.label):
        reason = f"the split {bench.held_out!r} holds no defects to calibrate the alarm on"
        return {"rate": None, "rate_ci95": None, "flagged": None, "reason": reason}, None
    features = bench.features(trained.image)["pool"]
    reference = copies.Reference(trained.image, features, trained.label)

    def nearest(image, mask, cache=None):
        return copies.nearest(reference, image, mask, bench.features(image, cache)["pool"])

    limit = copies.calibrate(nearest(calibration.image, calibration.mask), ALPHA)
    near = nearest(fakes.image, regions(fakes, trained, threshold), cache)
    rows = np.flatnonzero(trained.label)
    rows = np.random.default_rng(bench.settings.seed).permutation(rows)[:PLANTED]
    plants = {
        kind: nearest(*copies.planted(trained.image[rows], trained.mask[rows], kind))
        for kind in copies.KINDS
    }
    held = nearest(held_out.image, held_out.mask)
    report = copies.report(reference, limit, near, held, plants)
    return report, copies.worst_pairs(fakes.image, reference, near, limit, SHOWN)


def regions(fakes, trained, threshold):
    """uint8 [N, R, R, 1] in {0, 255}: where the defects of synthetic images are.

    A transferred defect lies where it lay in its own image, so that image's mask says it best.
    """
    known = trained.has_mask[fakes.index]
    drawn = fakes.mask > 255 * threshold if threshold is not None else np.zeros_like(fakes.mask)
    inside = np.where(known[:, None, None, None], trained.mask[fakes.index] > 127, drawn)
    return np.where(inside, np.uint8(255), np.uint8(0))
