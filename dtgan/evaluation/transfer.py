"""Exact transfer error on held-out pairs."""

import numpy as np

from dtgan import mattes
from dtgan.evaluation.fakes import render
from dtgan.metrics import transfer
from dtgan.progress import track
from dtgan.sampling import requests
from dtgan.sampling.pairs import Pairs

BATCH = 64  # pairs measured at once
LEAST_MASKS = 64  # that a threshold is chosen on; one of 16 or 25 was worse than mattes.DRAWN


def transfer_scores(context, sampler):
    """Measure the model and its references by `transfer.summarise`: (report, notes).

    (None, notes) for a model that carries no defect of an image to the surface of another.
    """
    method, settings, notes = sampler.method, context.settings, {}
    if not method.transfers:
        name = context.config.method
        return None, {"transfer": f"method={name} carries no defect from one image to another"}
    lacking = [name for name in ("mask", "clean", "removed", "rec") if name not in method.gives]
    if lacking:
        notes["transfer.lacking"] = (
            f"method={context.config.method} draws no {', '.join(lacking)}: their figures are left "
            "out"
        )
    threshold, noted = mask_threshold(context, sampler)
    notes |= noted
    rows, labels = {}, []
    with track("carrying defects", settings.num_pairs, "pairs") as done:
        for batch, pairs in enumerate(_pairs(context, settings.split, settings.num_pairs)):
            drawn = {"model": _render(context, sampler, pairs, f"{settings.split}/{batch}")}
            for name, images in (drawn | transfer.references(pairs)).items():
                cut = threshold if name == "model" and threshold is not None else 0.5
                rows.setdefault(name, []).append(transfer.measure(pairs, images, threshold=cut))
            labels.append(pairs["label"])
            done(len(pairs["label"]))
    labels = np.concatenate(labels)
    summaries = {
        name: transfer.summarise(_join(parts), labels, context.classes, settings.seed)
        for name, parts in rows.items()
    }
    model = summaries.pop("model")
    if model["overall"]["skill"] is None:
        notes["transfer.skill"] = "the truth is known for uncropped procedural data only"
    normals = int(np.sum(context.split(settings.split).label == 0))
    if len(labels) > normals:
        notes["transfer.skill_ci95"] = (
            f"{len(labels)} pairs share {normals} surfaces: intervals are somewhat too narrow"
        )
    report = {
        **model["overall"],
        **{f"{name}_skill": summaries[name]["overall"]["skill"] for name in ("paste", "poisson")},
        "mask_threshold": threshold,
        "split": settings.split,
        "per_class": model["per_class"],
        "references": summaries,
    }
    return report, notes


def mask_threshold(context, sampler):
    """Choose the mask's threshold of best IoU on held-out pairs that are not scored: (it, notes).

    Where fewer than LEAST_MASKS of them have a mask, it is that of dtgan.generate; None where none
    has one, and for a model without a mask.
    """
    if "mask" not in sampler.method.gives:
        return None, {}

    def draw(number, pairs):
        return _render(context, sampler, pairs, f"{context.held_out}/{number}")["mask"]

    split = repr(context.held_out)
    pairs = _pairs(context, context.held_out, mattes.THRESHOLD_PAIRS)
    threshold, masks = mattes.choose_threshold(pairs, draw)
    if not masks:
        note = f"no masks in the split {split} to choose the mask's threshold on"
        return None, {"transfer.mask_iou": note}
    if masks >= LEAST_MASKS:
        return threshold, {}
    note = (
        f"{mattes.DRAWN}, as dtgan.generate has it: {masks} masks in the split {split} are too few "
        f"to choose it on ({LEAST_MASKS})"
    )
    return mattes.DRAWN, {"transfer.mask_threshold": note}


def _pairs(context, split, number):
    """Choose pairs of distinct defects of a split; () where it lacks one kind of image."""
    images = context.split(split)
    if not np.any(images.label == 0) or not np.any(images.label > 0):
        return ()
    source, seed = context.sources[split], context.settings.seed
    return Pairs(context.config, source, number, BATCH, seed, distinct=True)


def _render(context, sampler, pairs, name):
    request = requests.of_pairs(sampler.method.needs, context.classes, pairs)
    return render(sampler, request, context.settings.seed, name)


def _join(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
