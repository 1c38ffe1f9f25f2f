"""Blocks of hybrids: rendered, checked and labelled."""

import numpy as np

from dtgan import images
from dtgan.annotations import instances
from dtgan.config import ConfigError
from dtgan.data import pipeline
from dtgan.generation.dataset import normal_file
from dtgan.generation.plan import BLOCK
from dtgan.metrics import copies
from dtgan.sampling import requests

ATTEMPTS = 20  # at an image, before the class is given up
ALPHA = 0.01  # nominal rate of false alarms of the copy check on real images


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


class Drawer:
    """Renders the blocks of a plan.

    sampler: sampling.sampler.Sampler. defects, surfaces: sources, None where the model needs none.
    check: CopyCheck, or None where no held-out images calibrate one. checkpoint: what every record
    says of the model.
    """

    def __init__(self, sampler, plan, defects, surfaces, check, checkpoint):
        self._sampler, self._plan, self._check = sampler, plan, check
        self._checkpoint, config = checkpoint, sampler.config
        self._config, self._method = config, sampler.method
        self._defects, self._surfaces = (
            None if source is None else pipeline.CachedSource.of(source, config)
            for source in (defects, surfaces)
        )

    def block(self, block):
        """Render a block: (records, {path: picture}); see `dataset.Dataset.write`.

        A record: file, mask, soft_mask, twin (paths), class, label, size (height, width), box
        (x, y, width, height) and area (pixels) of the mask, instances (a box and area each, see
        `annotations.instances`), defect, surface (ids of the sources), surface_index, strength,
        seed, number, refused (attempts that were empty or copies), copy_score (null where it cannot
        be had), checkpoint, synthetic. What the model neither makes nor needs is left out: mask,
        soft_mask, box, area and instances without a mask, twin without a clean image.
        Raises ConfigError where the model leaves ATTEMPTS of an image empty or copied.
        """
        numbers = list(self._plan.numbers(block))
        refused = {number: {"empty": 0, "copied": 0} for number in numbers}
        kept, waiting = {}, numbers
        for attempt in range(ATTEMPTS):
            drawn = self._attempt(waiting, attempt)
            for number, entry in zip(waiting, drawn, strict=True):
                if entry["area"] is not None and entry["area"] < instances.MIN_PIXELS:
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

    def _attempt(self, numbers, attempt):
        """Render one attempt: a dict an image with pictures, area, copy score, and its pair."""
        pairs = [self._plan.pair(number, attempt) for number in numbers]
        # Always a full block: one compiled program, and the same rows in the same places.
        fill = BLOCK - len(numbers)
        i, j = zip(*(pairs + pairs[:1] * fill), strict=True)
        filled = [*numbers, *numbers[:1] * fill]
        label = [self._plan.label(number) for number in filled]
        batch, settings = {"label": np.array(label)}, self._plan.settings
        if self._defects is not None:
            x1 = pipeline.load_records(self._config, self._defects, i)
            batch |= {"image": x1["image"], "mask": x1["mask"]}
            self._need_masks(x1)
        if self._surfaces is not None:
            batch["normal"] = pipeline.load_records(self._config, self._surfaces, j)["image"]
        request = requests.of_pairs(self._method.needs, self._sampler.classes, batch)
        if settings.strength != 1.0:
            request["strength"] = np.full(BLOCK, settings.strength, np.float32)
        seed = pipeline.stream_seed(settings.seed, f"noise/{attempt}")
        drawn = self._sampler(request, seed, filled)
        pictures = {"image": images.to_uint8(drawn["image"])}
        if "clean" in drawn:
            pictures["clean"] = images.to_uint8(drawn["clean"])
        if "normal" in batch:
            pictures["surface"] = batch["normal"]
        hard = np.zeros((*pictures["image"].shape[:3], 1), np.uint8)
        if "mask" in drawn:
            hard[drawn["mask"] > settings.mask_threshold] = 255
            soft = np.round(255.0 * np.clip(drawn["mask"], 0.0, 1.0)).astype(np.uint8)
            pictures |= {"hard": hard, "soft": soft}
        rows = slice(len(numbers))
        score, copied = [None] * BLOCK, [False] * BLOCK
        if self._check:
            score, copied = self._check(pictures["image"][rows], hard[rows])
        return [
            {
                "pictures": {name: array[k] for name, array in pictures.items()},
                "area": int(np.count_nonzero(hard[k])) if "mask" in drawn else None,
                "copy_score": None if score[k] is None else round(float(score[k]), 4),
                "copied": bool(copied[k]),
                "pair": pair,
            }
            for k, pair in enumerate(pairs)
        ]

    def _need_masks(self, x1):
        """Raise ConfigError where the model cuts defects out by masks that are not there."""
        if "defect_mask" in self._method.needs and not x1["has_mask"].all():
            row = int(np.argmin(x1["has_mask"]))
            record = self._defects[int(x1["index"][row])]
            raise ConfigError(
                f"method={self._config.method} cuts defects out by their masks, and {record['id']} "
                "has none; give --references with masks, or leave its class out with --classes"
            )

    def _record(self, number, entry, refused):
        """Make (record, {path: picture}) of a kept image."""
        label, (i, j) = self._plan.label(number), entry["pair"]
        name, drawn = self._sampler.classes[label], entry["pictures"]
        place = number % self._plan.settings.num_per_class
        file = f"{name}/{name}_{place:06d}.png"
        kinds = {
            "file": ("images", "image"),
            "mask": ("masks", "hard"),
            "soft_mask": ("soft_masks", "soft"),
            "twin": ("twins", "clean"),
        }
        paths = {key: f"{folder}/{file}" for key, (folder, kind) in kinds.items() if kind in drawn}
        pictures = {paths[key]: drawn[kinds[key][1]] for key in paths}
        record = {**paths, "class": name, "label": label, "size": list(drawn["image"].shape[:2])}
        if entry["area"] is not None:
            mask = drawn["hard"][..., 0]
            parts = instances.split(mask, self._plan.settings.instances)
            record |= instances.measure(mask) | {"instances": list(map(instances.measure, parts))}
        if i is not None:
            record["defect"] = self._defects[i]["id"]
        if j is not None:
            record |= {"surface": self._surfaces[j]["id"], "surface_index": j}
            pictures[normal_file(j)] = drawn["surface"]
        record |= {
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
