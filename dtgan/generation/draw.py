"""Blocks of hybrids, drawn, checked and labelled."""

import numpy as np

from dtgan import images
from dtgan.annotations import coco
from dtgan.config import ConfigError
from dtgan.data import pipeline
from dtgan.generation.dataset import normal_file
from dtgan.generation.plan import BLOCK
from dtgan.metrics import copies

ATTEMPTS = 20  # at an image, before the model is said to be unable
MIN_PIXELS = 4  # of a defect; a smaller mask is taken as empty
ALPHA = 0.01  # nominal rate of false alarms of the copy check on real images


class CopyCheck:
    """How far an image looks copied from a training image (`dtgan.metrics.copies`).

    trained, held_out: {"image", "mask", "has_mask"} of defects that were trained on, and of others
    that calibrate the alarm. Where those have no masks, whole images are compared.
    """

    def __init__(self, trained, held_out):
        self._reference = copies.Reference(trained["image"])
        self._masked = bool(held_out["has_mask"].all())
        self._limit = copies.calibrate(self._nearest(held_out["image"], held_out["mask"]), ALPHA)

    def __call__(self, image, mask):
        """(score float [N] in [0, 1), flagged bool [N]) of uint8 images and masks."""
        near = self._nearest(image, mask)
        return copies.scores(near, self._limit), copies.flag(near, self._limit)

    def _nearest(self, image, mask):
        return copies.nearest(self._reference, image, mask if self._masked else np.zeros_like(mask))


class Drawer:
    """Draws the blocks of a plan.

    sampler: sampling.Sampler. defects, surfaces: sources. check: CopyCheck, or None where no
    held-out images calibrate one. checkpoint: what every record says of the model.
    """

    def __init__(self, sampler, plan, defects, surfaces, check, checkpoint):
        self._sampler, self._plan, self._check = sampler, plan, check
        self._checkpoint, config = checkpoint, sampler.config
        self._config = config
        self._defects = pipeline.CachedSource.of(defects, config)
        self._surfaces = pipeline.CachedSource.of(surfaces, config)

    def block(self, block):
        """(records, {path: picture}) of a block; see `dataset.Dataset.write`.

        A record: file, mask, soft_mask, twin (paths), class, label, size (height, width), box
        (x, y, width, height), area (pixels), defect, surface (ids of the sources), surface_index,
        strength, seed, number, refused (attempts that were empty or copies), copy_score (null where
        it cannot be had), checkpoint, synthetic.
        Raises ConfigError where the model leaves ATTEMPTS of an image empty or copied.
        """
        numbers = list(self._plan.numbers(block))
        refused = {number: {"empty": 0, "copied": 0} for number in numbers}
        kept, waiting = {}, numbers
        for attempt in range(ATTEMPTS):
            drawn = self._draw(waiting, attempt, block)
            for number, entry in zip(waiting, drawn, strict=True):
                if entry["area"] < MIN_PIXELS:
                    refused[number]["empty"] += 1
                elif self._plan.settings.copy_filter and entry["copied"]:
                    refused[number]["copied"] += 1
                else:
                    kept[number] = entry
            waiting = [number for number in waiting if number not in kept]
            if not waiting:
                break
        if waiting:
            self._give_up(waiting[0], refused[waiting[0]])
        records, pictures = [], {}
        for number in numbers:
            record, files = self._record(number, kept[number], refused[number])
            records.append(record)
            pictures |= files
        return records, pictures

    def _draw(self, numbers, attempt, block):
        """A dict an image of one attempt: pictures, area, copy score, where it came from."""
        pairs = [self._plan.pair(number, attempt) for number in numbers]
        # Always a full block: one compiled program, and the same rows in the same places.
        i, j = np.array(pairs + pairs[:1] * (BLOCK - len(pairs))).T
        x1 = pipeline.load_records(self._config, self._defects, i)["image"]
        x2 = pipeline.load_records(self._config, self._surfaces, j)["image"]
        settings = self._plan.settings
        request = {"image": x1, "normal": x2}
        if settings.strength != 1.0:
            request["strength"] = np.full(BLOCK, settings.strength, np.float32)
        seed = pipeline.stream_seed(settings.seed, f"draw/{block}/{attempt}")
        drawn = self._sampler(request, seed)
        x3, x4 = images.to_uint8(drawn["image"]), images.to_uint8(drawn["clean"])
        soft = np.round(255.0 * np.clip(drawn["mask"], 0.0, 1.0)).astype(np.uint8)
        hard = np.where(drawn["mask"] > settings.mask_threshold, np.uint8(255), np.uint8(0))
        rows = slice(len(numbers))
        score, copied = [None] * BLOCK, [False] * BLOCK
        if self._check:
            score, copied = self._check(x3[rows], hard[rows])
        return [
            {
                "x3": x3[k],
                "x4": x4[k],
                "x2": x2[k],
                "soft": soft[k],
                "hard": hard[k],
                "area": int(np.count_nonzero(hard[k])),
                "copy_score": None if score[k] is None else round(float(score[k]), 4),
                "copied": bool(copied[k]),
                "pair": pair,
            }
            for k, pair in enumerate(pairs)
        ]

    def _record(self, number, entry, refused):
        """(record, {path: picture}) of a kept image."""
        label, (i, j) = self._plan.label(number), entry["pair"]
        name = self._sampler.classes[label]
        place = number % self._plan.settings.num_per_class
        file = f"{name}/{name}_{place:06d}.png"
        pictures = {
            f"images/{file}": entry["x3"],
            f"masks/{file}": entry["hard"],
            f"soft_masks/{file}": entry["soft"],
            f"twins/{file}": entry["x4"],
            normal_file(j): entry["x2"],
        }
        paths = zip(("file", "mask", "soft_mask", "twin"), pictures, strict=False)
        record = {
            **dict(paths),
            "class": name,
            "label": label,
            "size": list(entry["x3"].shape[:2]),
            "box": coco.box(entry["hard"][..., 0]),
            "area": entry["area"],
            "defect": self._defects[i]["id"],
            "surface": self._surfaces[j]["id"],
            "surface_index": j,
            "strength": self._plan.settings.strength,
            "seed": self._plan.settings.seed,
            "number": number,
            "refused": refused,
            "copy_score": entry["copy_score"],
            "checkpoint": self._checkpoint,
            "synthetic": True,
        }
        return record, pictures

    def _give_up(self, number, refused):
        name = self._sampler.classes[self._plan.label(number)]
        raise ConfigError(
            f"class {name!r}: {ATTEMPTS} hybrids in a row were refused ({refused['empty']} empty, "
            f"{refused['copied']} copies); train longer, raise --strength, lower --mask_threshold, "
            "or leave the class out with --classes"
        )
