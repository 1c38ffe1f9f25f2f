"""One checkpoint, one report."""

import importlib.metadata
import json
import logging
import pathlib
import time

from dtgan.config import ConfigError
from dtgan.evaluation import (
    copying,
    distribution,
    fakes,
    gallery,
    probes,
    transfer,
    translation,
    twins,
)
from dtgan.evaluation.context import settings_json
from dtgan.runs import checkpoints
from dtgan.sampling.sampler import load

log = logging.getLogger("dtgan")


def score(context, workdir, step, cache):
    """Judge one good checkpoint: (report, {name: picture}).

    The pictures, uint8 [H, W, C], are "copies", the likeliest ones beside their originals, and
    "hybrids", see `gallery`; one that there is nothing to draw of is left out.

    A killed job finds its synthetic images and features again in `cache`; with them, and since all
    else is a function of the seed, the numbers are the same as without the kill.
    """
    start = time.monotonic()
    sampler = load(workdir, step)
    digest = checkpoints.step_digest(workdir, step)  # now: training may delete the step any time
    log.info("step %d: drawing %d synthetic images", step, context.settings.num_fake)
    synthetic = fakes.synthesise(context, sampler, digest, cache)
    log.info("step %d: distances to real images (%s)", step, context.extractor.name)
    scores = distribution.distribution(context, synthetic.records, cache)
    log.info("step %d: errors on pairs, and probes", step)
    moved, moved_notes = transfer.transfer_scores(context, sampler)
    painted, painted_notes = translation.translation_scores(context, sampler)
    twinned = twins.twin_scores(context, sampler)
    probed, probe_notes = probes.probe_scores(context, sampler)
    log.info("step %d: copies of training images", step)
    threshold = moved["mask_threshold"] if moved else None
    copies, pairs = copying.copy_scores(context, sampler.method, synthetic, threshold, cache)
    described, hybrids = gallery.gallery(context, sampler.method, synthetic, cache)
    notes = scores.pop("notes") | moved_notes | painted_notes | probe_notes
    if context.settings.split in context.config.data.split.split("+"):
        notes["data.split"] = f"the run was trained on {context.config.data.split!r}: not held out"
    report = {
        "step": step,
        **identity(context, digest),
        **scores,
        "transfer": moved,
        "translation": painted,
        "twins": twinned,
        "probes": probed,
        "copies": copies,
        "gallery": described,
        "findings": context.findings,
        "notes": notes,
        "seconds": round(time.monotonic() - start, 1),
        "images_per_second": synthetic.rate and round(synthetic.rate, 1),
    }
    pictures = {"copies": pairs, "hybrids": hybrids}
    return report, {name: sheet for name, sheet in pictures.items() if sheet is not None}


def identity(context, digest):
    """Collect all that a report depends on; two reports with equal identity are equal."""
    split, config = context.settings.split, context.config
    return {
        "method": config.method,
        "data": {
            "source": config.data.source,
            "fingerprint": context.fingerprint,
            "split": split,
            "split_fingerprint": context.sources[split].fingerprint,
            "fake_from": config.data.split,
            "num_real": len(context.split(split).defects.label),
            "num_fake": context.settings.num_fake,
        },
        "extractor": _named(context.extractor),
        "lpips": _named(context.lpips),
        "settings": settings_json(context.settings),
        "checkpoint": digest,
        "version": importlib.metadata.version("dtgan"),
    }


def existing(context, workdir, step, out, force=False):
    """Read the report of `step` in `out` if it answers the same question, else None.

    Raises ConfigError where it answers another one: overwriting would lose it.
    """
    path = pathlib.Path(out) / f"{step}.json"
    if force or not path.exists():
        return None
    try:
        report = json.loads(path.read_text())
        asked = identity(context, checkpoints.step_digest(workdir, step))
        different = [name for name, value in asked.items() if report[name] != value]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path} is no report of this version; use --force to replace it or another --out"
        ) from None
    if different:
        raise ConfigError(
            f"{path} was made with other {' and '.join(different)}; use another --out to keep it, "
            "or --force to replace it"
        )
    return report


def _named(extractor):
    return {"name": extractor.name, "sha256": extractor.sha256, "resize": extractor.resize}
