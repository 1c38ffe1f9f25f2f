"""What a hybrid has to pass: it shows, it is no copy, and whether it looks like its class."""

import types
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.data import pipeline
from dtgan.data.source import knows_truth
from dtgan.metrics import copies
from dtgan.metrics.contrast import contrast
from dtgan.sampling import requests

ALPHA = 0.01  # nominal rate of false alarms of the copy check on real images
RENDER = 16  # rows that a model draws at a time, always as many: one compiled program
LOOKED_AT = 100  # defects of a class that its contrast is calibrated on, at most
FAINTEST, TOLERANCE = 0.05, 0.6  # a hybrid may have 0.6 of what all but 5 % of them have
LEAST = 1.0  # contrast that no limit is below: what one of ten pieces of bare surface reaches


class Checks(NamedTuple):
    """What is asked of hybrids, each None where it is not; masks: of `Looks`, by defect."""

    copies: object = None  # CopyCheck
    visibility: object = None  # Visibility
    recognition: object = None  # Recognition
    masks: dict = types.MappingProxyType({})


class CopyCheck:
    """Scores how far images look copied from training images (`dtgan.metrics.copies`).

    trained, held_out: {"image", "mask", "has_mask"} of defects that were trained on, and of others
    that calibrate the alarm. Where those have no masks, or the model makes none (masked=False),
    whole images are compared.
    """

    def __init__(self, trained, held_out, masked=True):
        self._reference = copies.Reference(trained["image"])
        self._masked = masked and bool(held_out["has_mask"].all())
        self._limit = copies.calibrate(self._nearest(held_out["image"], held_out["mask"]), ALPHA)

    def __call__(self, image, mask):
        """Check uint8 images and masks: (score float [N] in [0, 1), flagged bool [N])."""
        near = self._nearest(image, mask)
        return copies.scores(near, self._limit), copies.flag(near, self._limit)

    def _nearest(self, image, mask):
        return copies.nearest(self._reference, image, mask if self._masked else np.zeros_like(mask))


class Looks(NamedTuple):
    """How the defects of a source look in their own images.

    masks: {index: uint8 [R, R, 1]}; the model's own where the source has none, left out where that
    has none either. contrasts: {index: float}, of at most LOOKED_AT a class; {} where nobody knows
    the surface underneath.
    """

    masks: dict
    contrasts: dict


def look(sampler, source, cached, labels, threshold, strength=1.0, contrasts=True):
    """Look at the defects of some classes in their own images: `Looks`.

    source, cached: of fixed crops, and the same as a crops.CachedSource. threshold: of the
    model's matte, drawn with `strength`. contrasts: whether they are measured. The surface
    underneath is the truth where the source knows it, else the model's removal x1a.
    """
    config, method, found = sampler.config, sampler.method, Looks({}, {})
    truth = knows_truth(source, config.data.res)
    removes = method.transfers and {"mask", "removed"} <= set(method.gives)
    for label in labels:
        rows = np.flatnonzero(np.asarray(source.labels) == label)
        spread = np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).round().astype(int)
        measured = set(rows[spread].tolist()) if contrasts and (truth or removes) else set()
        rows = rows.tolist()
        for start in range(0, len(rows), RENDER):
            part = rows[start : start + RENDER]
            x1 = pipeline.load_records(config, cached, part)
            known = bool(x1["has_mask"].all())
            mask, masked, clean = x1["mask"], x1["has_mask"], None
            asked = bool(measured.intersection(part))
            if truth and known:
                clean = np.stack([source.clean(i) for i in part]) if asked else None
                matte = mask
            elif removes and (not known or asked):
                matte, clean = _removed(sampler, x1, strength)
                own = np.where(matte > threshold, np.uint8(255), np.uint8(0))
                mask = np.where(masked[:, None, None, None], mask, own)
                masked = np.ones_like(masked)
            triples = zip(part, mask, masked, strict=True)
            found.masks.update((i, shape) for i, shape, there in triples if there)
            if asked and clean is not None:
                values = contrast(x1["image"], clean, matte)
                pairs = zip(part, values.tolist(), strict=True)
                found.contrasts.update((i, value) for i, value in pairs if i in measured)
    return found


def _removed(sampler, x1, strength):
    """Draw the defects of images on their own surfaces: (matte [N, R, R, 1], uint8 without)."""
    batch = {name: x1[name] for name in ("image", "mask", "label")} | {"normal": x1["image"]}
    request = requests.of_pairs(sampler.method.needs, sampler.classes, batch)
    if strength != 1.0:
        request["strength"] = np.full(len(x1["image"]), strength, np.float32)
    drawn = sampler(request, outputs=("mask", "removed"), batch_size=RENDER)
    return drawn["mask"], images.to_uint8(drawn["removed"])


class Visibility:
    """Tells whether defects show on their surfaces: `metrics.contrast` against a limit a class.

    limits: {label: the contrast that a hybrid needs}.
    """

    def __init__(self, limits):
        self.limits = limits

    @classmethod
    def calibrated(cls, labels_of, labels, contrasts, least=None):
        """Set the limit of each of some labels.

        It is TOLERANCE times the FAINTEST-quantile of the contrasts of its defects in their own
        images, since few tell their least one badly (measured on true transfers of procedural
        steel, 40 a class: 98 % kept, 87 % without), and at least LEAST; LEAST alone where nothing
        is known of them. labels_of: of the source, by index;
        contrasts: as in `Looks`. least: the user's limit of all.
        """
        if least is not None:
            return cls(dict.fromkeys(labels, float(least)))
        limits = {}
        for label in labels:
            own = [c for i, c in contrasts.items() if labels_of[i] == label]
            known = TOLERANCE * float(np.quantile(own, FAINTEST)) if own else LEAST
            limits[label] = max(LEAST, known)
        return cls(limits)

    def __call__(self, image, clean, mask, labels):
        """Measure uint8 images, the same without defect, mattes: (contrasts [N], visible [N])."""
        values = contrast(image, clean, mask)
        return values, values >= np.array([self.limits[label] for label in labels])


class Recognition:
    """Tells whether the run's own classifier takes images for what they are called.

    classify: (uint8 [N, R, R, C], batch_size) -> logits. image, label: of held-out defects.
    shares: {label: share of those that it calls by their class}, of labels that are among them.
    """

    def __init__(self, classify, image, label):
        self._classify = classify
        right = self(image, label)
        self.shares = {int(k): float(np.mean(right[label == k])) for k in np.unique(label)}

    def __call__(self, image, label):
        """Classify images: bool [N], whether each is called by its label."""
        return np.argmax(self._classify(image, RENDER), axis=-1) == np.asarray(label)
