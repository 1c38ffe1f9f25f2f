"""Blocks of hybrids: rendered, checked and labelled."""

import itertools

import numpy as np

from dtgan import images
from dtgan.annotations import instances
from dtgan.config import ConfigError
from dtgan.data import pipeline
from dtgan.generation import records, tally, vary
from dtgan.generation.checks import RENDER
from dtgan.generation.native import Mark
from dtgan.generation.places import Places
from dtgan.generation.surfaces import limited
from dtgan.sampling import requests

ATTEMPTS = 60  # at an image, before the class is given up
USED = ("image", "mask", "clean")  # of what a model gives


class Drawer:
    """Renders the blocks of a plan.

    sampler: sampling.sampler.Sampler. ranges: vary.Ranges of the plan. opened: sources.Opened.
    checks: checks.Checks. checkpoint: what every record says of the model.
    """

    def __init__(self, sampler, plan, ranges, opened, checks, checkpoint):
        self._sampler, self._plan, self._checks = sampler, plan, checks
        self._limits, self._checkpoint, config = opened.limits, checkpoint, sampler.config
        self._config, self._method, self._projected = config, sampler.method, opened.projected
        self._defects, self._surfaces = opened.cached
        self._places = None
        if opened.pictures:
            source, masks = opened.defects, checks.masks
            self._places = Places(opened.pictures, source, masks, plan.settings, opened.limits)
        # One program for all: strength is in a request always or never.
        varied = ranges.strength != vary.PRESETS["none"].strength
        self._with_strength = varied or plan.settings.strength != 1.0

    def block(self, block):
        """Render a block: (records, {path: picture}); see `dataset.Dataset.write`.

        A record: file, mask, soft_mask, twin (paths), class, label, size (height, width), box
        (x, y, width, height) and area (pixels) of the mask, instances (a box and area each, see
        `annotations.instances`), defect, surface (ids of the sources), surface_index, varied (see
        `vary.Variation`), second (defect and varied of a second one, where there is one), strength
        (times that of `varied`), seed, number, contrast (see `metrics.contrast`), copy_score,
        recognised (by the run's own classifier; null where one of these cannot be had),
        projection_error (of a surface that was searched for, grey levels), refused
        (attempts that were not kept, by reason: `tally.REASONS`), checkpoint, synthetic. What the
        model neither makes nor needs is left out: mask, soft_mask, box, area and instances without
        a mask, twin without a clean image. Of whole pictures see `records.make_whole`.
        Raises ConfigError where ATTEMPTS at an image are refused.
        """
        numbers = list(self._plan.numbers(block))
        refused = {number: dict.fromkeys(tally.REASONS, 0) for number in numbers}
        kept, pictures = {}, self._plan.pictures(block)
        for slot in range(max(map(len, pictures))):
            asked = {own[slot]: own[:slot] for own in pictures if len(own) > slot}
            self._fill(asked, kept, refused)
        made, files = [], {}
        for own in pictures:
            entries = [kept[number] for number in own if number in kept]
            told = {number: refused[number] for number in own}
            record, new = self._write(entries, told)
            made.append(record | {"checkpoint": self._checkpoint})
            files |= new
        return made, files

    def _write(self, entries, refused):
        """Make (record, {path: picture}) of the entries of a picture; refused: by number."""
        sources = self._plan, self._sampler.classes, self._defects
        if self._places:
            return records.make_whole(entries, *sources, self._places.pictures, refused)
        record, files = records.make(entries[0], *sources, self._surfaces)
        if self._projected:
            error = self._projected.error[record["surface_index"]]
            record["projection_error"] = round(float(error), 2)
        return record | {"refused": refused[entries[0].candidate.number]}, files

    def _fill(self, asked, kept, refused):
        """Draw until every number has an entry in `kept`; counts in `refused` what was not kept.

        asked: {number: the numbers before it of the same picture}. A further window of a picture
        is given up after ATTEMPTS, not the set.
        """
        tried = dict.fromkeys(asked, 0)
        while waiting := [number for number in asked if number not in kept]:
            for number in waiting:
                if tried[number] == ATTEMPTS and not asked[number]:
                    self._give_up(number, refused[number])
            waiting = [number for number in waiting if tried[number] < ATTEMPTS]
            if not waiting:
                return
            for entry in self._draw(self._candidates(waiting, tried, asked, kept)):
                number = entry.candidate.number
                if number in kept:
                    continue  # drawn in vain, to fill the rows
                if entry.reason:
                    refused[number][entry.reason] += 1
                else:
                    kept[number] = entry

    def _candidates(self, waiting, tried, asked, kept):
        """List the next attempts at the waiting images, in turns; counts them in `tried`.

        As many as fill whole batches, without those that are cut: a row that is computed anyway may
        as well be a further attempt. asked, kept: as of `_fill`.
        """
        found, rows, wanted = [], 0, -(-len(waiting) // RENDER) * RENDER
        for number in itertools.cycle(waiting):
            if rows == wanted or all(tried[number] == ATTEMPTS for number in waiting):
                return found
            if tried[number] < ATTEMPTS:
                candidate = self._fitted(self._plan.candidate(number, tried[number]))
                others = [kept[other].candidate for other in asked[number] if other in kept]
                found.append(self._placed(candidate, others))
                tried[number] += 1
                rows += not self._left_out(found[-1])

    def _fitted(self, candidate):
        """Keep the variations within what their pictures allow; see `vary.fit`."""
        if candidate.box:
            return candidate
        masks = self._checks.masks
        fitted = (
            (index, vary.fit(variation, masks[index]) if index in masks else variation)
            for index, variation in candidate.defects
        )
        return candidate._replace(defects=tuple(fitted))

    def _placed(self, candidate, others):
        """Place a candidate on a whole picture, which is that of the others, beside them."""
        if not self._places or candidate.box:
            return candidate
        if others:
            candidate = candidate._replace(surface=others[0].surface)
        taken, rng = [other.window for other in others], self._plan.window_rng(candidate)
        return candidate._replace(window=self._places.place(candidate, taken, rng))

    def _left_out(self, candidate):
        """Tell why a candidate need not be drawn, None where it need be.

        "cut": too much of a defect leaves the picture; "room": there is no place for it.
        """
        masks = self._checks.masks
        if any(
            index in masks and vary.lost(masks[index], variation) > vary.CUT
            for index, variation in candidate.defects
        ):
            return "cut"
        return "room" if self._places and candidate.window is None else None

    def _draw(self, candidates):
        """Render and judge candidates, in their order: records.Entry each."""
        entries, groups = [], {}
        for candidate in candidates:
            entries.append(records.Entry(candidate, {}))
            entries[-1].reason = self._left_out(candidate)
            if not entries[-1].reason:
                groups.setdefault(len(candidate.defects), []).append(entries[-1])
        for count, group in groups.items():
            size = max(1, RENDER // max(1, count) ** 2)  # E and G see every defect by itself
            for start in range(0, len(group), size):
                self._render(group[start : start + size], size)
        self._judge(_passed(entries))
        return entries

    def _render(self, entries, size):
        """Draw the pictures of at most `size` entries, of as many defects each."""
        settings, candidates = self._plan.settings, [entry.candidate for entry in entries]
        batch, request = self._request(candidates)
        # The noise of an attempt is its own.
        numbers = np.array([c.number * ATTEMPTS + c.attempt for c in candidates])
        drawn = self._sampler(
            request,
            pipeline.stream_seed(settings.seed, "noise"),
            numbers,
            outputs=[name for name in USED if name in self._method.gives],
            batch_size=size,
        )
        if self._projected:  # what the defect changes, on the surface itself
            change = drawn["image"] - drawn["clean"]
            drawn["clean"] = images.to_float(batch["normal"])
            drawn["image"] = drawn["clean"] + change
        pictures = {"image": images.to_uint8(drawn["image"])}
        if "clean" in drawn:
            pictures["clean"] = images.to_uint8(drawn["clean"])
        if "normal" in batch:
            pictures["surface"] = batch["normal"]
        if "mask" in drawn:
            hard = np.where(drawn["mask"] > settings.mask_threshold, np.uint8(255), np.uint8(0))
            soft = np.round(255.0 * np.clip(drawn["mask"], 0.0, 1.0)).astype(np.uint8)
            pictures |= {"hard": hard, "soft": soft}
        for row, entry in enumerate(entries):
            entry.pictures = {name: array[row] for name, array in pictures.items()}
            if "mask" in drawn:
                entry.area = int(np.count_nonzero(entry.pictures["hard"]))
            if self._places:
                change = drawn["image"][row] - drawn["clean"][row]
                where = entry.candidate.window, entry.candidate.box
                entry.mark = Mark(where[0], change, drawn["mask"][row, ..., 0], where[1])

    def _request(self, candidates):
        """Load what candidates are made of: (batch as of `pairs.Pairs`, request to the model)."""
        label = np.array([self._plan.label(c.number) for c in candidates])
        batch, several = {"label": label}, len(candidates[0].defects) > 1
        if self._defects is not None:
            defects = [[self._defect(*defect) for defect in c.defects] for c in candidates]
            for k, name in enumerate(("image", "mask")):
                stacked = np.array([[defect[k] for defect in row] for row in defects])
                batch[name] = stacked if several else stacked[:, 0]
        if self._places:
            batch["normal"] = self._places.load(candidates)
        elif self._surfaces is not None:
            j = [c.surface for c in candidates]
            batch["normal"] = pipeline.load_records(self._config, self._surfaces, j)["image"]
        request = requests.of_pairs(self._method.needs, self._sampler.classes, batch)
        if self._projected:
            request["style"] = self._projected.style[[c.surface for c in candidates]]
        if self._with_strength:
            strength = [[v.strength for _, v in c.defects] or [1.0] for c in candidates]
            strength = self._plan.settings.strength * np.array(strength, np.float32)
            request["strength"] = strength if several else strength[:, 0]
        if "truncation" in self._method.controls:
            request["truncation"] = np.full(len(label), self._plan.settings.truncation, np.float32)
        limit = None
        if self._places and self._places.confined and limited(self._method):
            limit = self._places.allowed(candidates)
        elif not self._places and self._limits is not None:
            limit = self._limits.of_crops([c.surface for c in candidates])
        if limit is not None:
            request |= requests.bounds(self._method, request, limit)
        return batch, request

    def _defect(self, index, variation):
        """Load a defect and vary it: (image, mask)."""
        x1 = pipeline.load_records(self._config, self._defects, index)
        if "defect_mask" in self._method.needs and not x1["has_mask"][0]:
            raise ConfigError(
                f"method={self._config.method} cuts defects out by their masks, and "
                f"{self._defects[index]['id']} has none; give --references with masks, or leave "
                "its class out with --classes"
            )
        known = self._checks.masks.get(index, x1["mask"][0])
        return vary.warp(x1["image"][0], x1["mask"][0], variation, known)

    def _judge(self, entries):
        """Say of entries why they are refused, and what the checks measure of those that are not.

        Each check sees those that the one before it let pass.
        """
        checks, settings = self._checks, self._plan.settings
        for entry in entries:
            if entry.area is not None and entry.area < instances.MIN_PIXELS:
                entry.reason = "empty"
            elif self._places:
                label = self._plan.label(entry.candidate.number)
                entry.reason = self._places.fault(entry, label)
        if (left := _passed(entries)) and checks.visibility:
            names = ("image", "clean", "soft" if "mask" in self._method.gives else "image")
            image, clean, matte = (_stack(left, name) for name in names)
            if "mask" not in self._method.gives:
                matte = np.full_like(matte[..., :1], 255)
            found = checks.visibility(image, clean, matte, self._labels(left))
            for entry, value, visible in zip(left, *found, strict=True):
                entry.contrast = round(float(value), 3)
                entry.reason = None if visible else "invisible"
        if (left := _passed(entries)) and checks.copies:
            image = _stack(left, "image")
            hard = np.zeros_like(image[..., :1])
            if "mask" in self._method.gives:
                hard = _stack(left, "hard")
            for entry, score, flagged in zip(left, *checks.copies(image, hard), strict=True):
                entry.copy_score = round(float(score), 4)
                entry.reason = "copied" if flagged and settings.copy_filter else None
        if (left := _passed(entries)) and checks.recognition:
            told = checks.recognition(_stack(left, "image"), self._labels(left))
            for entry, recognised in zip(left, told.tolist(), strict=True):
                entry.recognised = recognised

    def _labels(self, entries):
        return [self._plan.label(entry.candidate.number) for entry in entries]

    def _give_up(self, number, refused):
        name = self._sampler.classes[self._plan.label(number)]
        raise ConfigError(
            f"class {name!r}: {ATTEMPTS} hybrids in a row were refused ({tally.listed(refused)}); "
            "train longer, raise --strength, lower --mask_threshold or --min_contrast, vary less, "
            "or leave the class out with --classes"
        )


def _passed(entries):
    return [entry for entry in entries if not entry.reason]


def _stack(entries, name):
    return np.stack([entry.pictures[name] for entry in entries])
