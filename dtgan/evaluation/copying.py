"""Copies of training images among the synthetic ones, with the proof that copies would be found."""

import numpy as np

from dtgan import images
from dtgan.data.source import knows_truth
from dtgan.metrics import copies

ALPHA = 0.01  # nominal rate of false alarms on real images
PLANTED = 100  # copies planted of each kind
REFERENCES = 300  # hybrids that are also pasted and, where known, rendered truly
SHOWN = 8  # pairs in the picture


def copy_scores(context, method, fakes, threshold, cache):
    """Search the Fakes of a `Method` for copies: (report, picture uint8 or None).

    threshold: of the model's mask, where the defect's own mask is not known; None: then the whole
    image is compared. The alarm is calibrated on one held-out split and tested on the other. Beside
    the model stand the rates of pasted defects and, where it is known, of the true transfers: they
    carry a training defect as well, and copy nothing else.
    """
    surfaces, fakes = fakes.surfaces, fakes.records
    defects = np.flatnonzero(context.train.label)
    trained, calibration = context.train.take(defects), context.split(context.held_out).defects
    held_out = context.split(context.settings.split).defects
    if not len(calibration.label):
        reason = f"the split {context.held_out!r} holds no defects to calibrate the alarm on"
        return {"rate": None, "rate_ci95": None, "flagged": None, "reason": reason}, None
    reference = copies.Reference(trained.image, context.features(trained.image)["pool"])

    def nearest(image, mask, cache=None):
        return copies.nearest(reference, image, mask, context.features(image, cache)["pool"])

    # An alarm for whole images is calibrated on whole images.
    masked = threshold is not None or "defect" in method.needs
    if not masked:
        trained, calibration, held_out = map(_without_masks, (trained, calibration, held_out))
    limit = copies.calibrate(nearest(calibration.image, calibration.mask), ALPHA)
    near = nearest(fakes.image, regions(context, method, fakes, threshold), cache)
    rows = np.random.default_rng(context.settings.seed).permutation(len(defects))[:PLANTED]
    plants = {
        kind: nearest(*copies.planted(trained.image[rows], trained.mask[rows], kind))
        for kind in copies.KINDS
    }
    held = nearest(held_out.image, held_out.mask)
    report = copies.report(reference, limit, near, held, plants)
    report["references"] = {
        name: float(copies.flag(nearest(*hybrids), limit).mean())
        for name, hybrids in references(context, method, fakes, surfaces).items()
    }
    flagged = report["flagged"]
    if flagged and "defect" in method.needs:
        # A high share is a leak of x1's surface through its structure code.
        own = defects[near.ncc_index[flagged]] == fakes.index[flagged]
        report["flagged_own_source"] = float(own.mean())
    return report, copies.worst_pairs(fakes.image, reference, near, limit, SHOWN)


def _without_masks(records):
    return records._replace(mask=np.zeros_like(records.mask))


def regions(context, method, fakes, threshold):
    """Mark the defects of synthetic images: uint8 [N, R, R, 1] in {0, 255}.

    A transferred defect lies where it lay in its own image, so that image's mask says it best.
    """
    drawn = fakes.mask > 255 * threshold if threshold is not None else np.zeros_like(fakes.mask)
    if "defect" in method.needs:
        known = context.train.has_mask[fakes.index]
        own = context.train.mask[fakes.index] > 127
        drawn = np.where(known[:, None, None, None], own, drawn)
    return np.where(drawn, np.uint8(255), np.uint8(0))


def references(context, method, fakes, surfaces):
    """Make the references of the first hybrids with masks: {"paste", "oracle": (images, masks)}."""
    if not method.transfers:
        return {}
    rows = np.flatnonzero(context.train.has_mask[fakes.index])[:REFERENCES]
    if not len(rows):
        return {}
    i, j = fakes.index[rows], surfaces[rows]
    x1, x2, mask = context.train.image[i], context.train.image[j], context.train.mask[i]
    found = {"paste": (images.paste(x1, mask, x2), mask)}
    source = context.sources[context.config.data.split]
    if knows_truth(source, x1.shape[1]):
        truth = [source.transfer(a, b)[0] for a, b in zip(i, j, strict=True)]
        found["oracle"] = (np.stack(truth), mask)
    return found
