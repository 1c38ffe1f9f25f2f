"""One checkpoint, one report."""

import importlib.metadata
import json
import logging
import pathlib
import time

from dtgan.config import ConfigError
from dtgan.evaluation import copying, distribution, fakes, transfer
from dtgan.evaluation.context import settings_json
from dtgan.runs import checkpoints
from dtgan.sampling import sampler as sampling

log = logging.getLogger("dtgan")


def score(bench, workdir, step, cache):
    """Judge one good checkpoint: (report, picture of the likeliest copies or None).

    A killed job finds its synthetic images and features again in `cache`; with them, and since all
    else is a function of the seed, the numbers are the same as without the kill.
    """
    start = time.monotonic()
    sampler = sampling.load(workdir, step)
    digest = checkpoints.step_digest(workdir, step)  # now: training may delete the step any time
    log.info("step %d: drawing %d synthetic images", step, bench.settings.num_fake)
    synthetic, surfaces, rate = fakes.synthesise(bench, sampler, digest, cache)
    log.info("step %d: distances to real images (%s)", step, bench.extractor.name)
    scores = distribution.distribution(bench, synthetic, cache)
    log.info("step %d: transfer error and probes", step)
    moved, moved_notes = transfer.transfer_scores(bench, sampler)
    probes, probe_notes = transfer.probe_scores(bench, sampler)
    log.info("step %d: copies of training images", step)
    copies, picture = copying.copy_scores(
        bench, synthetic, surfaces, moved["mask_threshold"], cache
    )
    notes = scores.pop("notes") | moved_notes | probe_notes
    if bench.settings.split in bench.config.data.split.split("+"):
        notes["data.split"] = f"the run was trained on {bench.config.data.split!r}: not held out"
    report = {
        "step": step,
        **identity(bench, digest),
        **scores,
        "transfer": moved,
        "probes": probes,
        "copies": copies,
        "notes": notes,
        "seconds": round(time.monotonic() - start, 1),
        "images_per_second": rate and round(rate, 1),
    }
    return report, picture


def identity(bench, digest):
    """What a report is about: with the same, it is the same report."""
    split, config = bench.settings.split, bench.config
    return {
        "method": config.method,
        "data": {
            "source": config.data.source,
            "fingerprint": bench.fingerprint,
            "split": split,
            "split_fingerprint": bench.sources[split].fingerprint,
            "fake_from": config.data.split,
            "num_real": len(bench.split(split).defects.label),
            "num_fake": bench.settings.num_fake,
        },
        "extractor": _named(bench.extractor),
        "lpips": _named(bench.lpips),
        "settings": settings_json(bench.settings),
        "checkpoint": digest,
        "version": importlib.metadata.version("dtgan"),
    }


def existing(bench, workdir, step, out, force=False):
    """The report of `step` in `out` if it answers the same question, else None.

    Raises ConfigError where it answers another one: overwriting would lose it.
    """
    path = pathlib.Path(out) / f"{step}.json"
    if force or not path.exists():
        return None
    try:
        report = json.loads(path.read_text())
        asked = identity(bench, checkpoints.step_digest(workdir, step))
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
