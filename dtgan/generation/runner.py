"""From a workdir to a complete labelled set."""

import collections
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dtgan.annotations import instances, mvtec
from dtgan.config import ConfigError
from dtgan.data import catalog, crops, pipeline
from dtgan.data.splits import free_split
from dtgan.generation import boxes, sources, tally, vary
from dtgan.generation import checks as checks_lib
from dtgan.generation import surfaces as surfaces_lib
from dtgan.generation.boxes import BoxPlan
from dtgan.generation.dataset import WRITERS, Dataset
from dtgan.generation.draw import Drawer
from dtgan.generation.plan import Plan, check
from dtgan.progress import track
from dtgan.runs import checkpoints
from dtgan.sampling import requests
from dtgan.sampling.sampler import load, load_classifier

log = logging.getLogger("dtgan")

DRAWERS = min(4, os.cpu_count() or 1)  # blocks that are drawn at once
UNSEEN = (
    "; what is drawn of a class that the model sees this little of rarely shows it: leave it out "
    "with --classes, or train with more pixels a defect (data.scale_to=-1, a larger data.res)"
)


def generate(
    workdir,
    out,
    settings,
    step="latest",
    shard="0/1",
    data_path="",
    with_mvtec=False,
    max_megapixels=0.0,
):
    """Make the set that `settings` (plan.Settings) asks for, or a shard's part of it.

    The job that finds all blocks finished completes the set. The same command after a kill goes on
    where it was. max_megapixels: of a file that is read; 0 = as in the run. Returns the records of
    the complete set, None while other shards have blocks to finish.
    Raises ConfigError for what cannot be had, before anything is rendered where possible.
    """
    sampler = load(workdir, step)
    config, method, classes = sampler.config, sampler.method, sampler.classes
    if data_path:
        config.data.path = data_path
    if max_megapixels:
        config.data.max_megapixels = float(max_megapixels)
    requests.check_classes(method, config.method, settings.classes or classes[1:])
    check(settings, classes)
    _check_controls(settings, method, config.method)
    ranges = vary.ranges(settings.vary, settings.ranges(), method, config.method)
    measured = _can_measure(sampler, settings)
    opened = sources.open_all(workdir, sampler, settings)
    plan = _plan(sampler, settings, ranges, opened)
    blocks = plan.shard(shard)
    if with_mvtec:
        _check_mvtec(settings.classes or classes[1:], plan, opened.surfaces)
    digest = checkpoints.step_digest(workdir, sampler.step)
    described = settings._asdict() | opened.described()
    described |= {
        "boxes": settings.boxes and plan.fingerprint,
        "vary": ranges._asdict(),
        "checkpoint": digest,
        "step": sampler.step,
        "mvtec": with_mvtec,
    }
    # Whole pictures are drawn and written one at a time, so that their memory does not add up.
    drawers, writers = (1, 1) if opened.pictures else (DRAWERS, WRITERS)
    dataset = Dataset(out, described, writers)
    if dataset.complete:
        log.info("%s is complete already", out)
        return dataset.records()
    checks = _checks(workdir, sampler, plan, opened, measured)
    plan = _without_unseen(plan, checks.masks, opened.defects)
    if settings.boxes:
        plan = plan.seeing(checks.masks)
    opened = sources.project(opened, sampler, settings)
    drawer = Drawer(sampler, plan, ranges, opened, checks, digest)
    _draw_all(dataset, drawer, plan, blocks, drawers)
    if opened.pictures:
        opened.pictures.forget(0)
    records = dataset.finish(plan.num_blocks, classes[1:], settings.instances, with_mvtec)
    if records:
        _tell(records, checks, classes)
        _tell_windows(records, settings.windows)
    return records


def _plan(sampler, settings, ranges, opened):
    """Make the plan of a set: of the boxes that the user asks for, or of images of each class."""
    data, kinds = sampler.config.data, sources.kinds_of(sampler.method, settings)
    labels = () if opened.defects is None else opened.defects.labels
    if settings.boxes:
        asked = boxes.read(settings.boxes, opened.pictures, sampler.classes)
        whole = opened.pictures
        return BoxPlan(settings, sampler.classes, kinds, asked, whole, labels, ranges, data)
    likeness, number = None, 0 if opened.surfaces is None else len(opened.surfaces)
    if settings.surfaces == "like":
        found = [surfaces_lib.describe(sampler, source) for source in opened.cached]
        likeness = surfaces_lib.Likeness(*found, settings.surface_temperature)
    return Plan(settings, sampler.classes, kinds, labels, number, ranges, data, likeness)


def _check_controls(settings, method, name):
    """Raise ConfigError for what a method of this name cannot be told of its defects."""
    for field in (*vary.FIXED, "defects"):
        value = getattr(settings, field)
        if value is not None and "defect" not in method.needs:
            raise ConfigError(
                f"--{field}={value}: method={name} draws from no defect images; leave it out"
            )
    if (settings.defects or 1) > 1 and not method.several:
        raise ConfigError(
            f"--defects={settings.defects}: method={name} draws one defect an image; leave it out"
        )
    if settings.truncation != 1.0 and "truncation" not in method.controls:
        raise ConfigError(
            f"--truncation={settings.truncation}: method={name} has no such control; leave it out"
        )


def _can_measure(sampler, settings):
    """Tell whether visibility is checked; raises ConfigError where that is asked for in vain."""
    if "clean" in sampler.method.gives:
        return settings.visibility
    reason = f"method={sampler.config.method} draws no picture without the defect to compare with"
    if settings.min_contrast is not None:
        raise ConfigError(f"--min_contrast={settings.min_contrast}: {reason}; leave it out")
    if settings.visibility:
        log.warning("not checked whether defects show: %s", reason)
    return False


def _checks(workdir, sampler, plan, opened, measured):
    """Make the Checks of a set; measured: whether visibility is checked."""
    config, settings, defects = sampler.config, plan.settings, opened.defects
    looks, visibility = checks_lib.Looks({}, {}), None
    with ThreadPoolExecutor(1) as pool:  # defects are looked at while the other checks are made
        if defects is not None:
            contrasts = measured and settings.min_contrast is None
            how = settings.mask_threshold, settings.strength, contrasts
            looking = pool.submit(
                checks_lib.look, sampler, defects, opened.cached[0], plan.labels, *how
            )
        held_out = _held_out(config)
        recognition, classify = None, load_classifier(workdir, sampler)
        if classify:
            recognition = checks_lib.Recognition(classify, held_out["image"], held_out["label"])
        copies = _copy_check(sampler, opened, settings, held_out)
        if defects is not None:
            looks = looking.result()
    if measured:
        labels = () if defects is None else defects.labels
        visibility = checks_lib.Visibility.calibrated(
            labels, plan.labels, looks.contrasts, settings.min_contrast
        )
        if not looks.contrasts and settings.min_contrast is None:
            log.warning(
                "defects have to exceed the grain of their surface (contrast %.2f): how much the "
                "training defects do is not known to this model",
                checks_lib.LEAST,
            )
    return checks_lib.Checks(copies, visibility, recognition, looks.masks)


def _without_unseen(plan, masks, defects):
    """Leave out the defects that the model does not find: hybrids of them would be empty."""
    if defects is None:
        return plan
    unseen = {i for i, mask in masks.items() if np.count_nonzero(mask) < instances.MIN_PIXELS}
    for label in plan.labels:
        rows = np.flatnonzero(np.asarray(defects.labels) == label)
        if number := len(unseen.intersection(rows.tolist())):
            log.warning(
                "%s: %d of %d defects are not found in their own images; not drawn from%s",
                defects.classes[label],
                number,
                len(rows),
                UNSEEN if number > (1.0 - tally.FOUND) * len(rows) else "",
            )
    return plan.without(unseen) if unseen else plan


def _tell(records, checks, classes):
    """Log what came of the drawing, by class."""
    limits = real = None
    if checks.visibility:
        limits = {classes[label]: limit for label, limit in checks.visibility.limits.items()}
    if checks.recognition:
        real = {classes[label]: share for label, share in checks.recognition.shares.items()}
    said, doubts = tally.lines(tally.counts(records), limits, real)
    for line in said:
        log.info("%s", line)
    for line in doubts:
        log.warning("%s", line)


def _tell_windows(records, asked):
    """Log how many windows of whole pictures hold a defect, where several were asked for."""
    found = [len(record["defects"]) for record in records if "defects" in record]
    if asked > 1 and found:
        log.info("%d of %d windows hold a defect", sum(found), asked * len(found))


def _check_mvtec(classes, plan, surfaces):
    """Raise ConfigError where the set fills no MVTec tree; see `annotations.mvtec`."""
    if mvtec.GOOD in classes:
        raise ConfigError(
            f"--mvtec: the class {mvtec.GOOD!r} is in that tree what has no defect; rename the "
            "class, or leave --mvtec out"
        )
    there = 0 if surfaces is None else len(surfaces)
    if there and surfaces.cropped:
        there = len(np.unique(surfaces.pictures))
    used = min(plan.num, there)
    if used < 2:
        raise ConfigError(
            f"--mvtec: the set stands on {used} surfaces, train/good and test/good need one each; "
            "draw more on more --backgrounds, or leave --mvtec out"
        )


def _held_out(config):
    """Load the defects of a split that was not trained on, as records; none where there is none."""
    split = free_split(config.data.split)
    source = catalog.open_source(config, split) if split else ()
    source = crops.FixedWindows(source, config) if len(source) else ()
    rows = np.flatnonzero(source.labels) if len(source) else []
    if len(rows):
        return pipeline.load_records(config, source, rows)
    shape = (0, config.data.res, config.data.res, config.data.channels)
    return {"image": np.zeros(shape, np.uint8), "label": np.zeros(0, np.int32)}


def _copy_check(sampler, opened, settings, held_out):
    """Make the CopyCheck against training defects and references; None if none are held out."""
    config, known = sampler.config, [opened.cached[0]]
    if not len(held_out["image"]):
        log.warning("no copy scores: there are no held-out defects to calibrate them on")
        return None
    if opened.defects is None or settings.references:  # else those are the training defects
        known.insert(0, crops.FixedWindows(opened.trained, config))
    parts = [
        pipeline.load_records(config, source, np.flatnonzero(source.labels))
        for source in known
        if source is not None
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return checks_lib.CopyCheck(joined, held_out, "mask" in sampler.method.gives)


def _draw_all(dataset, drawer, plan, blocks, at_once):
    """Render the missing blocks, some at once; files of one are written while others are drawn."""
    missing = [block for block in blocks if not dataset.has(block)]
    if len(missing) < len(blocks):
        log.info("%d of %d blocks are there already", len(blocks) - len(missing), len(blocks))
    start, finish, made = time.monotonic(), None, []
    total = sum(len(plan.pictures(block)) for block in missing)
    with track("drawing", total, "images") as done:
        drawn = _ahead(drawer.block, missing, at_once)
        for block, (records, pictures) in zip(missing, drawn, strict=True):
            if finish:
                finish()
            finish = dataset.write(block, records, pictures)
            made += records
            done(len(records))
    if finish:
        finish()
        seconds = time.monotonic() - start
        log.info(
            "%d images in %.0f s (%.1f images/s); replaced: %s",
            len(made),
            seconds,
            len(made) / seconds,
            tally.total(made) or "none",
        )


def _ahead(work, items, at_once):
    """Yield work(item) of the items, in their order; `at_once` of them are worked on at a time.

    Where that is more than one, each has a thread: while one is checked, another is rendered.
    """
    if at_once == 1:
        yield from map(work, items)
        return
    waiting = collections.deque()
    with ThreadPoolExecutor(at_once) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
