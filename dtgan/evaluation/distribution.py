"""Distances of the synthetic images of each class to real ones, with floor and control.

real: held-out images of the chosen split. The floor is the same score of other held-out real images
in place of synthetic ones: what a perfect generator would get in those numbers. The control is a
planted collapse, one image repeated: what the scores must expose.
"""

import numpy as np

from dtgan.metrics import intervals, statistics

CLUSTERED = 1000  # synthetic images in clustered LPIPS@1k
# Biased by the number of images: also given for as many synthetic images as the floor has.
MATCHED = ("fid", "fid_64", "precision", "recall", "clustered_lpips")


def distribution(context, fakes, cache):
    """Score synthetic Records: {"overall", "per_class", "floor", "control", "notes"}, JSON-able.

    With the domain classifier also "classifier": its errors on the real and synthetic images.
    """
    real = _Set(context, context.split(context.settings.split).defects)
    held = _Set(context, context.split(context.held_out).defects)
    fake = _Set(context, fakes, cache)
    report, most = {"overall": {}, "per_class": {}}, min(CLUSTERED, context.lpips_limit())
    floor = {"split": context.held_out, "overall": {}, "per_class": {}}
    notes = {}

    def put(name, real, held, fake):
        own, of_floor = report["per_class"], floor["per_class"]
        number = min(len(held), len(fake))
        reals = real.mixed_like(real).first(most)
        scores, caveats = _compare(context, real, reals, fake)
        least, floor_caveats = _compare(context, real, reals, held.first(number))
        matched, reasons = _compare(context, real, reals, fake.first(number))
        scores |= {f"{key}_matched": matched[key] for key in MATCHED}
        caveats |= {f"{key}_matched": reasons[key] for key in MATCHED if matched[key] is None}
        if name == "overall":
            report["overall"], floor["overall"] = scores, least
        else:
            own[name], of_floor[name] = scores, least
        notes.update({f"{name}.{key}": text for key, text in caveats.items()})
        notes.update({f"floor.{name}.{key}": text for key, text in floor_caveats.items()})

    for label, name in enumerate(context.classes):
        if label:
            put(name, *(images.of(label) for images in (real, held, fake)))
    mixed = fake.mixed_like(real)
    put("overall", real, held.mixed_like(real), mixed)
    notes["overall.num_fake"] = (
        "synthetic images in the class frequencies of the real ones; with fixed frequencies KID of "
        "equal distributions lies slightly below 0: compare it with the floor"
    )
    if "logits" in real.features:
        report["classifier"] = {name: x.errors() for name, x in (("real", real), ("fake", fake))}
    control = {}
    if len(mixed):
        reals = real.mixed_like(real).first(most)
        control, _ = _compare(context, real, reals, mixed.collapsed())
    return report | {"floor": floor, "control": {"collapse": control}, "notes": notes}


class _Set:
    """Images with their features, and subsets of both."""

    def __init__(self, context, images, cache=None, features=None):
        self._context, self.images, self._embedded = context, images, None
        if features is None:
            features, self._embedded = context.embedded_features(images.image, cache)
        self.features = features

    def __len__(self):
        return len(self.images.label)

    def take(self, rows):
        """Select the rows of a boolean or index array."""
        rows = np.arange(len(self))[rows]
        features = {name: array[rows] for name, array in self.features.items()}
        part = _Set(self._context, self.images.take(rows), features=features)
        first = rows[:CLUSTERED]
        if self._embedded is not None and np.all(first < len(self._embedded)):
            part._embedded = self._embedded[first]
        return part

    def of(self, label):
        """Select the images of one class."""
        return self.take(self.images.label == label)

    def first(self, number):
        """Select at most `number` images, in the given order."""
        return self.take(np.arange(min(number, len(self))))

    def embedded(self, most):
        """Return the LPIPS embeddings of the first `most` images, at most CLUSTERED; made once."""
        most = min(most, len(self))
        if self._embedded is None or len(self._embedded) < most:
            self._embedded = self._context.embed(self.images.image[:most])
        return self._embedded[:most]

    def mixed_like(self, other):
        """Select the largest subset with the class frequencies of `other`, classes in turn.

        Synthetic images come in equal numbers per class, real ones do not: a difference of
        frequencies would count as a difference of images. Classes without images are left out.
        """
        labels, wanted = self.images.label, np.bincount(other.images.label)
        there = {c: np.flatnonzero(labels == c) for c in np.flatnonzero(wanted)}
        there = {c: rows for c, rows in there.items() if len(rows)}
        if not there:
            return self.take(np.zeros(0, int))
        least = min(there, key=lambda c: len(there[c]) / wanted[c])  # it limits the others
        number = {c: wanted[c] * len(there[least]) // wanted[least] for c in there}
        # Each row's place in its class, as a fraction, orders the classes evenly.
        rows = np.concatenate([there[c][:n] for c, n in number.items()])
        place = np.concatenate([(np.arange(n) + 0.5) / n for n in number.values() if n])
        return self.take(rows[np.argsort(place, kind="stable")])

    def collapsed(self):
        """Repeat the first image in place of every one."""
        self.embedded(1)  # or each repetition would be embedded
        return self.take(np.zeros(len(self), int))

    def part(self):
        """Return {"pool", "tap64"}, from which all scores but LPIPS are computed."""
        return {name: self.features[name] for name in ("pool", "tap64")}

    def recognised(self):
        """Return the share of images that the domain classifier recognises; None without it."""
        if "logits" not in self.features or not len(self):
            return None
        return 1.0 - self.errors()["error"]

    def errors(self):
        """Count the domain classifier's errors on these images by class; see `error_table`."""
        label = self.images.label
        wrong = np.argmax(self.features["logits"], axis=1) != label
        defects = list(enumerate(self._context.classes))[1:]
        misses = {name: int(np.sum(wrong[label == i])) for i, name in defects}
        total = {name: int(np.sum(label == i)) for i, name in defects}
        return intervals.error_table(misses, total)


def _compare(context, real, reals, fake):
    """Run `statistics.compare`, LPIPS on at most CLUSTERED images, and add `recognised`.

    reals: the real images that LPIPS compares with.
    """
    most = min(CLUSTERED, context.lpips_limit())
    with_lpips = [
        images.part() | {"lpips": first.embedded(most)}
        for images, first in ((real, reals), (fake, fake))
    ]
    raw = context.embed_raw(reals.images.image)
    if raw is not None:
        with_lpips[0]["lpips_raw"] = raw
    scores, notes = statistics.compare(*with_lpips, context.settings.seed)
    scores["num_clustered"] = len(with_lpips[1]["lpips"])
    if len(reals) < len(real) or scores["num_clustered"] < min(CLUSTERED, len(fake)):
        notes["clustered_lpips"] = (
            f"of {len(reals)} real and {scores['num_clustered']} synthetic images: no more "
            "embeddings of this size fit into memory"
        )
    scores["recognised"] = fake.recognised()
    return scores, notes
