"""From a workdir to a complete labelled set."""

import logging
import time

import numpy as np

from dtgan.annotations import instances, mvtec
from dtgan.config import ConfigError
from dtgan.data import account, catalog, pipeline, windows
from dtgan.data.clean import PART
from dtgan.data.folders import loose
from dtgan.data.source import Selected, normals_of
from dtgan.data.splits import free_split
from dtgan.generation import boxes, tally, vary
from dtgan.generation import checks as checks_lib
from dtgan.generation import surfaces as surfaces_lib
from dtgan.generation.dataset import THREADS, Dataset
from dtgan.generation.draw import Drawer
from dtgan.generation.native import Pictures
from dtgan.generation.places import Places
from dtgan.generation.plan import Plan, check
from dtgan.progress import track
from dtgan.runs import checkpoints
from dtgan.sampling import projection, requests
from dtgan.sampling.sampler import load, load_classifier

log = logging.getLogger("dtgan")

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
    _check_truncation(settings, method, config.method)
    ranges = vary.ranges(settings.vary, settings.ranges(), method, config.method)
    measured = _can_measure(sampler, settings)
    trained = _trained(workdir, sampler)
    whole = settings.size == "native"
    scale = _scale(sampler, trained) if whole else None
    defects, surfaces = _sources(sampler, settings, trained, scale)
    likeness = limits = None
    if settings.limits:
        if not whole:
            surfaces_lib.check_limits(f"--limits={settings.limits}", method, config.method)
        limits = surfaces_lib.Limits(settings.limits, surfaces, config)
    cached = [s and pipeline.CachedSource.of(s, config) for s in (defects, surfaces)]
    if settings.surfaces == "like":
        found = [surfaces_lib.describe(sampler, source) for source in cached]
        likeness = surfaces_lib.Likeness(*found, settings.surface_temperature)
    pictures, kinds = None, kinds_of(method, settings)
    if whole:
        pictures = Pictures(surfaces, config.data, scale, settings.mask_threshold)
    labels = () if defects is None else defects.labels
    if settings.boxes:
        asked = boxes.read(settings.boxes, pictures, classes)
        plan = boxes.BoxPlan(settings, classes, kinds, asked, pictures, labels, ranges, config.data)
    else:
        number = 0 if surfaces is None else len(surfaces)
        plan = Plan(settings, classes, kinds, labels, number, ranges, config.data, likeness)
    blocks = plan.shard(shard)
    if with_mvtec:
        _check_mvtec(settings.classes or classes[1:], plan, surfaces)
    digest = checkpoints.step_digest(workdir, sampler.step)
    described = settings._asdict() | {
        "backgrounds": surfaces and surfaces.fingerprint,  # of the images, wherever they lie
        "references": defects and defects.fingerprint,
        "limits": limits and limits.fingerprint,
        "boxes": settings.boxes and plan.fingerprint,
        "vary": ranges._asdict(),
        "checkpoint": digest,
        "step": sampler.step,
        "mvtec": with_mvtec,
        "scale": scale,  # of the training, in pixels per pixel of a picture
    }
    dataset = Dataset(out, described, 1 if whole else THREADS)  # whole pictures shall not add up
    if dataset.complete:
        log.info("%s is complete already", out)
        return dataset.records()
    known = defects if settings.references else None
    checks = _checks(workdir, sampler, plan, trained, known, (defects, cached[0]), measured)
    if defects is not None:
        plan = _without_unseen(plan, checks.masks, defects)
    projected = None
    if surfaces is not None and "normal" not in pipeline.kinds_of(method.needs):
        rows = pipeline.load_records(config, cached[1], np.arange(len(surfaces)))
        projected = projection.project(sampler, rows["image"], settings.projection_steps)
    places = Places(pictures, defects, checks.masks, settings, limits) if whole else None
    if settings.boxes:
        plan = plan.seeing(checks.masks)
    drawer = Drawer(sampler, plan, ranges, *cached, limits, checks, digest, projected, places)
    _draw_all(dataset, drawer, plan, blocks)
    if whole:
        pictures.forget(0)
    records = dataset.finish(plan.num_blocks, classes[1:], settings.instances, with_mvtec)
    if records:
        _tell(records, checks, classes)
    return records


def _scale(sampler, trained):
    """Compute at which scale a run has seen its defects, in pixels per pixel of their pictures.

    It is the median of the training defects: without data.scale each picture has its own. Raises
    ConfigError for a method that does not draw a defect on a given surface.
    """
    method, name = sampler.method, sampler.config.method
    if "surface" not in method.needs or not {"mask", "clean"} <= set(method.gives):
        raise ConfigError(
            f"--size=native: method={name} does not draw a defect and its mask on a given surface; "
            "use --size=crop"
        )
    rows = np.flatnonzero(trained.labels)
    sizes = [trained.sizes[row] for row in rows]
    return float(np.median([windows.scale_of(size, sampler.config.data) for size in sizes]))


def _check_truncation(settings, method, name):
    """Raise ConfigError where a method of this name has no truncation to set."""
    if settings.truncation != 1.0 and "truncation" not in method.controls:
        raise ConfigError(
            f"--truncation={settings.truncation}: method={name} has no such control; leave it out"
        )


def _trained(workdir, sampler):
    """Open the data that a run was trained on. Raises ConfigError where they are others now."""
    config, classes = sampler.config, sampler.classes
    trained = open_trained(config)
    if tuple(trained.classes) != tuple(classes):
        raise ConfigError(
            f"the data have the classes {', '.join(trained.classes)}, the run was trained on "
            f"{', '.join(classes)}; give the run's data with --data_path"
        )
    fingerprint = checkpoints.read_json_item(workdir, sampler.step, "data")["fingerprint"]
    if trained.fingerprint != fingerprint:
        raise ConfigError(
            f"the data in {config.data.path or config.data.source} are not those of the run "
            f"(fingerprint {fingerprint}, now {trained.fingerprint}); restore them, or name their "
            "new place with --data_path=DIR"
        )
    return trained


def kinds_of(method, settings):
    """List the kinds of images that are drawn from: those that a method needs, and surfaces that
    are searched for among its styles."""
    kinds = pipeline.kinds_of(method.needs)
    searched = settings.backgrounds and method.styles and "clean" in method.gives
    return (*kinds, "normal") if searched else kinds


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


def _checks(workdir, sampler, plan, trained, references, defects, measured):
    """Make the Checks of a set.

    defects: (source, the same cached), None each where the model draws none; references: that
    source where it is the user's own, else None. measured: whether visibility is checked.
    """
    config, settings = sampler.config, plan.settings
    held_out = _held_out(config)
    looks, visibility = checks_lib.Looks({}, {}), None
    if defects[0] is not None:
        how = settings.mask_threshold, settings.strength
        looks = checks_lib.look(sampler, *defects, plan.labels, *how)
    if measured:
        labels = () if defects[0] is None else defects[0].labels
        visibility = checks_lib.Visibility.calibrated(
            labels, plan.labels, looks.contrasts, settings.min_contrast
        )
        if not looks.contrasts and settings.min_contrast is None:
            log.warning(
                "defects have to exceed the grain of their surface (contrast %.2f): how much the "
                "training defects do is not known to this model",
                checks_lib.LEAST,
            )
    recognition, classify = None, load_classifier(workdir, sampler.step)
    if classify:
        recognition = checks_lib.Recognition(classify, held_out["image"], held_out["label"])
    copies = _copy_check(sampler, trained, references, held_out)
    return checks_lib.Checks(copies, visibility, recognition, looks.masks)


def _without_unseen(plan, masks, defects):
    """Leave out the defects that the model does not find: hybrids of them would be empty."""
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


def _check_mvtec(classes, plan, surfaces):
    """Raise ConfigError where the set fills no MVTec tree; see `annotations.mvtec`."""
    if mvtec.GOOD in classes:
        raise ConfigError(
            f"--mvtec: the class {mvtec.GOOD!r} is in that tree what has no defect; rename the "
            "class, or leave --mvtec out"
        )
    used = min(plan.num, 0 if surfaces is None else len(np.unique(surfaces.pictures)))
    if used < 2:
        raise ConfigError(
            f"--mvtec: the set stands on {used} surfaces, train/good and test/good need one each; "
            "draw more on more --backgrounds, or leave --mvtec out"
        )


def open_trained(config):
    """Open the data that a run was trained on; a ConfigError names the flag of their new place."""
    try:
        return catalog.open_source(config, config.data.split)
    except ConfigError as error:
        raise catalog.with_new_place(error, config.data) from error


def _sources(sampler, settings, trained, scale):
    """Open (source of defects, source of surfaces); None for what the model does not need.

    scale: of the training, of whole pictures alone; see `_scale`.
    """
    config, classes = sampler.config, sampler.classes
    kinds = kinds_of(sampler.method, settings)
    for kind, flag in (("defect", "references"), ("normal", "backgrounds")):
        if getattr(settings, flag) and kind not in kinds:
            raise ConfigError(
                f"--{flag}={getattr(settings, flag)}: method={config.method} draws from no "
                f"{kind} images; leave it out"
            )
    defects = surfaces = None
    if "defect" in kinds:
        defects, role = trained, config.data.split
        if settings.references:
            defects = loose.open_labelled(settings.references, classes, config.data, "--references")
            role = "--references"
        catalog.check_sizes(defects, config)
        account.tell({role: defects}, config.data)
        defects = pipeline.FixedWindows(defects, config)
    if "normal" in kinds:
        surfaces = trained
        if settings.backgrounds:
            surfaces = loose.open_surfaces(settings.backgrounds, classes, config.data)
        surfaces = normals_of(surfaces)
        if settings.size == "native":
            surfaces = surfaces if settings.backgrounds else _pictures(surfaces, scale, config)
        else:
            catalog.check_sizes(surfaces, config)
            surfaces = pipeline.FixedWindows(surfaces, config)
    return defects, surfaces


def _pictures(surfaces, scale, config):
    """Leave out of a run's own surfaces those that are no whole pictures, or too small for one.

    scale: of the training, in pixels per pixel of a picture.
    """
    whole = [row for row in range(len(surfaces)) if not surfaces.id(row).endswith(PART)]
    least = config.data.res / scale
    kept = [row for row in whole if min(surfaces.sizes[row]) >= least]
    if len(kept) < len(whole):
        log.warning(
            "%d of %d surfaces are smaller than the %.0f pixels of a window; not drawn on",
            *(len(whole) - len(kept), len(whole), least),
        )
    if not kept:
        raise ConfigError(
            "--size=native: no surface of the run is a whole picture and large enough; give "
            "--backgrounds"
        )
    return Selected(surfaces, kept)


def _held_out(config):
    """Load the defects of a split that was not trained on, as records; none where there is none."""
    split = free_split(config.data.split)
    source = catalog.open_source(config, split) if split else ()
    source = pipeline.FixedWindows(source, config) if len(source) else ()
    rows = np.flatnonzero(source.labels) if len(source) else []
    if len(rows):
        return pipeline.load_records(config, source, rows)
    shape = (0, config.data.res, config.data.res, config.data.channels)
    return {"image": np.zeros(shape, np.uint8), "label": np.zeros(0, np.int32)}


def _copy_check(sampler, trained, references, held_out):
    """Make the CopyCheck against training defects and references; None if none are held out."""
    config = sampler.config
    if not len(held_out["image"]):
        log.warning("no copy scores: there are no held-out defects to calibrate them on")
        return None
    known = [
        (source, [k for k, label in enumerate(source.labels) if label])
        for source in (pipeline.FixedWindows(trained, config), references)
        if source is not None
    ]
    parts = [pipeline.load_records(config, source, indices) for source, indices in known]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return checks_lib.CopyCheck(joined, held_out, "mask" in sampler.method.gives)


def _draw_all(dataset, drawer, plan, blocks):
    """Render the missing blocks; files of one block are written while the next is rendered."""
    missing = [block for block in blocks if not dataset.has(block)]
    if len(missing) < len(blocks):
        log.info("%d of %d blocks are there already", len(blocks) - len(missing), len(blocks))
    start, finish, made = time.monotonic(), None, []
    total = sum(len(plan.pictures(block)) for block in missing)
    with track("drawing", total, "images") as done:
        for block in missing:
            records, pictures = drawer.block(block)
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
