"""From a workdir to a complete labelled set."""

import logging
import math
import time

import numpy as np

from dtgan.annotations import mvtec
from dtgan.config import ConfigError
from dtgan.data import account, catalog, pipeline
from dtgan.data.folders import loose
from dtgan.data.source import normals_of
from dtgan.data.splits import free_split
from dtgan.generation.dataset import Dataset
from dtgan.generation.draw import CopyCheck, Drawer
from dtgan.generation.plan import Plan
from dtgan.runs import checkpoints
from dtgan.sampling import requests
from dtgan.sampling.sampler import load

log = logging.getLogger("dtgan")

LOG_SECONDS = 10.0


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
    trained = open_trained(config)
    if tuple(trained.classes) != tuple(classes):
        raise ConfigError(
            f"the data have the classes {', '.join(trained.classes)}, the run was trained on "
            f"{', '.join(classes)}; give the run's data with --data_path"
        )
    defects, surfaces = _sources(sampler, settings, trained)
    plan = Plan(
        settings,
        classes,
        pipeline.kinds_of(method.needs),
        () if defects is None else defects.labels,
        0 if surfaces is None else len(surfaces),
    )
    blocks = plan.shard(shard)
    if with_mvtec:
        _check_mvtec(settings.classes or classes[1:], plan, surfaces)
    digest = checkpoints.step_digest(workdir, sampler.step)
    described = settings._asdict() | {
        "backgrounds": surfaces and surfaces.fingerprint,  # of the images, wherever they lie
        "references": defects and defects.fingerprint,
        "checkpoint": digest,
        "step": sampler.step,
        "mvtec": with_mvtec,
    }
    dataset = Dataset(out, described)
    if dataset.complete:
        log.info("%s is complete already", out)
    else:
        check = _copy_check(sampler, trained, defects if settings.references else None)
        drawer = Drawer(sampler, plan, defects, surfaces, check, digest)
        _draw_all(dataset, drawer, plan, blocks)
    return dataset.finish(plan.num_blocks, classes[1:], settings.instances, with_mvtec)


def _check_mvtec(classes, plan, surfaces):
    """Raise ConfigError where the set fills no MVTec tree; see `annotations.mvtec`."""
    if mvtec.GOOD in classes:
        raise ConfigError(
            f"--mvtec: the class {mvtec.GOOD!r} is in that tree what has no defect; rename the "
            "class, or leave --mvtec out"
        )
    used = min(plan.num, 0 if surfaces is None else len(surfaces))
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


def _sources(sampler, settings, trained):
    """Open (source of defects, source of surfaces); None for what the model does not need."""
    config, classes = sampler.config, sampler.classes
    kinds = pipeline.kinds_of(sampler.method.needs)
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
        catalog.check_sizes(surfaces, config)
    return defects, surfaces


def _copy_check(sampler, trained, references):
    """Make the CopyCheck against training defects and references; None if none are held out."""
    config = sampler.config
    split = free_split(config.data.split)
    held_out = catalog.open_source(config, split) if split else ()
    held_out = pipeline.FixedWindows(held_out, config) if len(held_out) else ()
    rows = [k for k, label in enumerate(held_out.labels) if label] if len(held_out) else []
    if not rows:
        log.warning("no copy scores: there are no held-out defects to calibrate them on")
        return None
    known = [
        (source, [k for k, label in enumerate(source.labels) if label])
        for source in (pipeline.FixedWindows(trained, config), references)
        if source is not None
    ]
    parts = [pipeline.load_records(config, source, indices) for source, indices in known]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    held_out = pipeline.load_records(config, held_out, rows)
    return CopyCheck(joined, held_out, "mask" in sampler.method.gives)


def _draw_all(dataset, drawer, plan, blocks):
    """Render the missing blocks; files of one block are written while the next is rendered."""
    missing = [block for block in blocks if not dataset.has(block)]
    if len(missing) < len(blocks):
        log.info("%d of %d blocks are there already", len(blocks) - len(missing), len(blocks))
    start = told = time.monotonic()
    finish, done, refused = None, 0, {"empty": 0, "copied": 0}
    for block in missing:
        records, pictures = drawer.block(block)
        if finish:
            finish()
        finish = dataset.write(block, records, pictures)
        done += len(records)
        for name in refused:
            refused[name] += sum(record["refused"][name] for record in records)
        if time.monotonic() - told > LOG_SECONDS:
            told = time.monotonic()
            total = sum(len(plan.numbers(block)) for block in missing)
            rate = done / (told - start)
            log.info(
                "%d of %d images, %.1f images/s, %.0f s to go",
                done,
                total,
                rate,
                math.ceil((total - done) / rate),
            )
    if finish:
        finish()
        seconds = time.monotonic() - start
        log.info(
            "%d images in %.0f s (%.1f images/s); replaced: %d empty, %d copies",
            done,
            seconds,
            done / seconds,
            refused["empty"],
            refused["copied"],
        )
