"""Masks for defects that have none: another run's mattes, cut at a threshold (data.masks_from).

They are drawn once, into workdir/masks, and described in workdir/masks.json, which is written last;
a resumed run reads those files. Ours: no paper takes its masks from another model.
"""

import collections
import itertools
import json
import logging
import pathlib
import shutil

import jax
import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data import catalog, crops, pipeline
from dtgan.data.drawn import DrawnMasks, digest, file_of
from dtgan.data.splits import free_split
from dtgan.data.windows import cut, scaled_size
from dtgan.files import read_json, write_atomic
from dtgan.metrics import transfer
from dtgan.runs import checkpoints
from dtgan.sampling import requests
from dtgan.sampling import sampler as sampler_lib
from dtgan.sampling.pairs import Pairs

log = logging.getLogger("dtgan")

FOLDER, RECORD = "masks", "masks.json"
THRESHOLD_PAIRS = 128  # held-out pairs that a threshold is chosen on
BATCH = 64  # of them, and of windows, drawn at a time
USUAL = 0.5  # threshold where no mask is there to choose it on
DRAWN = 0.1  # threshold of the masks that dtgan.generate writes, if it is told no other


def with_masks(config, source, workdir, resumed=False):
    """Give the defects of a source without a mask those that the run data.masks_from draws.

    resumed: whether workdir holds checkpoints, so that its masks may not be drawn anew. Returns a
    `DrawnMasks`, or the source where no masks are asked for or none is missing. Raises ConfigError,
    before anything is drawn, for a run that cannot draw them or has changed since.
    """
    run, workdir = config.data.masks_from, pathlib.Path(workdir)
    if not run:
        return source
    wanted = {"run": run, "data": source.fingerprint}
    wanted |= {name: config.data[name] for name in ("split", "res", "scale_to", "masks_above")}
    if config.data.scale:  # which records of older runs do not know
        wanted["scale"] = config.data.scale
    known = read_json(workdir / RECORD)
    if known and wanted.items() <= known.items():
        _check_unchanged(known)
        log.info("%s", _line(known))
        return DrawnMasks(source, workdir / FOLDER, known)
    bare, own = _without_mask(source)
    if not bare:
        log.info("data.masks_from: all %d defects have masks of their own, none is drawn", own)
        return source
    if resumed:
        raise ConfigError(
            f"{workdir / RECORD}, which tells of the masks that this run began with, is missing or "
            "of other data; restore it, or use another workdir"
        )
    step = _check(config, source.classes)
    _check_files(bare)
    shutil.rmtree(workdir / FOLDER, ignore_errors=True)  # of a start that was killed
    sampler = sampler_lib.load(run, step)
    threshold, split = _threshold(config, sampler)
    table, empty = {}, []
    for index, mask in _draw(config, source, list(bare), sampler, threshold):
        images.write_image(workdir / FOLDER / bare[index], mask)
        part = table.setdefault(source.classes[source.labels[index]], {"drawn": 0, "empty": 0})
        part["drawn"] += 1
        if not mask.any():
            part["empty"] += 1
            empty.append(bare[index])
    record = {
        **wanted,
        "step": step,
        "checkpoint": checkpoints.step_digest(run, step),
        "threshold": threshold,
        "chosen_on": split,
        "own": own,
        "classes": table,
        "empty": sorted(empty),
        "files": digest(workdir / FOLDER),
    }
    write_atomic(workdir / RECORD, json.dumps(record, indent=2) + "\n")
    log.info("%s", _line(record))
    return DrawnMasks(source, workdir / FOLDER, record)


def note(source):
    """Return what a checkpoint says of the drawn masks of its data: {} where there are none."""
    return {"masks": source.drawn["files"]} if source.drawn else {}


def check_resumed(source, saved, workdir):
    """Raise ConfigError where the masks are not those of a checkpoint that says `saved`."""
    if saved.get("masks") != note(source).get("masks"):
        raise ConfigError(
            f"the drawn masks are not those that this run began with; restore {FOLDER} and "
            f"{RECORD} in {workdir}, or use another workdir"
        )


def choose_threshold(pairs, draw):
    """Choose the threshold of mattes with the best IoU: (it, number of masks), None without masks.

    pairs: batches of `Pairs` that are neither trained on nor scored; draw: (number of a batch, the
    batch) -> mattes float32 [N, R, R, 1].
    """
    soft, true, labels = [], [], []
    for number, batch in enumerate(pairs):
        known = batch["has_mask"]
        soft.append(draw(number, batch)[known])
        true.append(batch["mask"][known])
        labels.append(batch["label"][known])
    number = sum(int(mask.any((1, 2, 3)).sum()) for mask in true)
    if not number:
        return None, 0
    return transfer.choose_threshold(*map(np.concatenate, (soft, true, labels))), number


def _check(config, classes):
    """Find the step of the run data.masks_from. Raises ConfigError where it cannot draw masks."""
    run, data = config.data.masks_from, config.data
    if not pathlib.Path(run).is_dir():
        raise ConfigError(f"data.masks_from={run} is not a directory; give that of a finished run")
    step = sampler_lib.find_step(run, "latest")
    other, known, method, _ = sampler_lib.describe(run, step)
    if not draws_masks(method):
        raise ConfigError(
            f"data.masks_from={run} is a run of method={other.method}, which finds no defect in a "
            "given image; use a run of the layered model or another that does"
        )
    if lacking := [name for name in classes if name not in known]:
        raise ConfigError(
            f"data.masks_from={run} does not know the class {lacking[0]!r}, only "
            f"{', '.join(known[1:])}; use a run of the same classes"
        )
    for name in ("res", "channels"):
        if other.data[name] != data[name]:
            raise ConfigError(
                f"data.masks_from={run} has data.{name}={other.data[name]}, this run "
                f"{data[name]}; use a run with the same"
            )
    return step


def _without_mask(source):
    """List the defects without a mask: ({index: file of a mask}, number of the others)."""
    bare, own = {}, 0
    for index in np.flatnonzero(source.labels).tolist():
        record = source[index]
        if record["has_mask"]:
            own += 1
        else:
            bare[index] = file_of(record["id"])
    return bare, own


def draws_masks(method):
    """Tell whether a `Method` finds the defect of a given image by itself."""
    return method.transfers and "mask" in method.gives and "defect_mask" not in method.needs


def _check_files(files):
    """Raise ConfigError where a mask would be of two images; several processes cannot draw."""
    names = collections.Counter(files.values())
    name, number = names.most_common(1)[0]
    if number > 1:
        raise ConfigError(
            f"data.masks_from: {number} images would have the mask {name}, since only the endings "
            "of their names differ; rename them"
        )
    if jax.process_count() > 1:
        raise ConfigError(
            "data.masks_from: masks are drawn by one process; start this workdir with one first, "
            "and go on with several"
        )


def _check_unchanged(record):
    """Raise ConfigError where the run that drew the masks has changed; tell if it is gone."""
    try:
        found = checkpoints.step_digest(record["run"], record["step"])
    except OSError:
        log.info(
            "data.masks_from: step %d of %s is gone; its masks stay", record["step"], record["run"]
        )
        return
    if found != record["checkpoint"]:
        raise ConfigError(
            f"data.masks_from={record['run']} has changed: step {record['step']} is another one "
            "than drew the masks of this workdir; restore it, or use another workdir"
        )


def _threshold(config, sampler):
    """Find the threshold: (number, the split on whose masks it was chosen or None).

    As the evaluation of a run does that is scored on test images: on others that are held out.
    """
    if config.data.masks_above:
        return config.data.masks_above, None
    split = free_split(config.data.split, "test")
    source = split and catalog.open_checked(config, split, needed=False)[0]
    if source is None or len(set(np.asarray(source.labels) > 0)) < 2:
        return USUAL, None
    windows = crops.FixedWindows(source, config)
    pairs = Pairs(config, windows, THRESHOLD_PAIRS, BATCH, distinct=True)
    found, _ = choose_threshold(pairs, lambda _, batch: _mattes(sampler, batch))
    return (USUAL, None) if found is None else (found, split)


def _mattes(sampler, batch):
    request = requests.of_pairs(sampler.method.needs, sampler.classes, batch)
    return sampler(request, outputs=("mask",), batch_size=BATCH)["mask"]


def _draw(config, source, rows, sampler, threshold):
    """Yield (row, mask uint8 [H, W, 1] of {0, 255}) in the order of `rows`, sized as the image.

    Windows of data.res pixels cover the scaled image; what one of them marks is marked. All lie on
    one surface: where a defect is does not depend on it.
    """
    cached, data = crops.CachedSource.of(source, config), config.data
    surface = np.flatnonzero(np.asarray(source.labels) == 0)[:1]
    surface = pipeline.load_records(config, cached, surface)["image"]
    labels = [sampler.classes.index(name) for name in source.classes]
    sizes = {row: scaled_size(source.sizes[row], data)[0] for row in rows}
    places = [
        (row, *corner)
        for row in rows
        for corner in itertools.product(*(_starts(side, data.res) for side in sizes[row]))
    ]
    found = {}
    for start in range(0, len(places), BATCH):
        part, after = places[start : start + BATCH], places[start + BATCH : start + BATCH + 1]
        batch = {
            "image": np.stack([cut(cached[row]["image"], y, x, data.res) for row, y, x in part]),
            "label": np.array([labels[source.labels[row]] for row, _, _ in part]),
            "normal": np.repeat(surface, len(part), axis=0),
        }
        for (row, y, x), matte in zip(part, _mattes(sampler, batch), strict=True):
            mask = found.setdefault(row, np.zeros((*sizes[row], 1), np.uint8))
            cut(mask, y, x, data.res)[matte > threshold] = 255
        for row in [row for row in found if row not in {place[0] for place in after}]:
            yield row, images.resize_mask(found.pop(row), tuple(source.sizes[row]))


def _starts(side, res):
    """List where windows of `res` pixels start that cover `side` pixels."""
    return [*range(0, side - res, res), side - res]


def _line(record):
    """Say in one line what was drawn."""
    classes = ", ".join(f"{name} {part['drawn']}" for name, part in record["classes"].items())
    chosen = "data.masks_above" if record["masks_above"] else "no masks to choose it on"
    chosen = f"chosen on {record['chosen_on']}" if record["chosen_on"] else chosen
    return (
        f"masks drawn by {record['run']}, step {record['step']}, above {record['threshold']:.3g} "
        f"({chosen}): {classes}; {len(record['empty'])} empty; {record['own']} defects keep masks "
        "of their own"
    )
