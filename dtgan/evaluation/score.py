"""One checkpoint, one report."""

import importlib.metadata
import json
import logging
import pathlib
import time

from dtgan import checkpoints, images, sampling
from dtgan import workdir as workdir_lib
from dtgan.config import ConfigError
from dtgan.evaluation import copying, distribution, fakes, held_out
from dtgan.evaluation import report as report_lib
from dtgan.evaluation.bench import StepCache, settings_json

log = logging.getLogger("dtgan")


def score(bench, workdir, step, out):
    """Judge one good checkpoint: writes out/<step>.json and its picture, returns the report.

    A killed job finds its synthetic images and features again; with them, and since everything
    else is a function of the seed, the numbers are the same as without the kill.
    """
    start = time.monotonic()
    out, cache = pathlib.Path(out), StepCache(out, step)
    sampler = sampling.load(workdir, step)
    log.info("step %d: drawing %d synthetic images", step, bench.settings.num_fake)
    synthetic = fakes.synthesise(bench, sampler, workdir, cache)
    drawn = time.monotonic()
    log.info("step %d: distances to real images (%s)", step, bench.extractor.name)
    scores = distribution.distribution(bench, synthetic, cache)
    log.info("step %d: transfer error and probes", step)
    transfer, transfer_notes = held_out.transfer_scores(bench, sampler)
    probes, probe_notes = held_out.probe_scores(bench, sampler)
    log.info("step %d: copies of training images", step)
    copies, picture = copying.copy_scores(bench, synthetic, transfer["mask_threshold"], cache)
    notes = scores.pop("notes") | transfer_notes | probe_notes
    if bench.settings.split in bench.config.data.split.split("+"):
        notes["data.split"] = f"the run was trained on {bench.config.data.split!r}: not held out"
    report = {
        "step": step,
        "method": bench.config.method,
        "data": {
            "source": bench.config.data.source,
            "fingerprint": bench.fingerprint,
            "split": bench.settings.split,
            "fake_from": bench.config.data.split,
            "num_real": len(bench.split(bench.settings.split).defects.label),
            "num_fake": len(synthetic.label),
        },
        "extractor": _named(bench.extractor),
        "lpips": _named(bench.lpips),
        **scores,
        "transfer": transfer,
        "probes": probes,
        "copies": copies,
        "notes": notes,
        "settings": settings_json(bench.settings),
        "checkpoint": checkpoints.step_digest(workdir, step),
        "version": importlib.metadata.version("dtgan"),
        "seconds": round(time.monotonic() - start, 1),
        "images_per_second": round(len(synthetic.label) / max(drawn - start, 1e-9), 1),
    }
    if picture is not None:
        images.write_image(out / f"{step}-copies.png", picture)
    out.mkdir(parents=True, exist_ok=True)
    workdir_lib.write_text(out / f"{step}.json", report_lib.to_json(report))
    cache.remove()
    return report


def existing(bench, workdir, step, out, force=False):
    """The report of `step` in `out` if it answers the same question, else None.

    Raises ConfigError where it answers another one: overwriting would lose it.
    """
    path = pathlib.Path(out) / f"{step}.json"
    if force or not path.exists():
        return None
    try:
        report = json.loads(path.read_text())
        asked = {
            "settings": settings_json(bench.settings),
            "extractor": _named(bench.extractor),
            "lpips": _named(bench.lpips),
            "checkpoint": checkpoints.step_digest(workdir, step),
        }
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
