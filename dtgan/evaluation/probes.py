"""Probes of the codes, and of the anchor's collapse to one and the same image."""

import numpy as np

from dtgan.evaluation.fakes import render
from dtgan.metrics import probes
from dtgan.sampling import requests

BATCH = 64  # images encoded at once


def probe_scores(context, sampler):
    """Probe both codes linearly, and the anchor for collapse: (report, notes), JSON-able.

    class_from_texture and family_from_structure should be at chance, the other two far above it.
    """
    report, notes = {}, {}
    if not sampler.method.codes:
        notes["probes"] = f"the method {context.config.method!r} has no codes to probe"
    else:
        names = (context.config.data.split, context.held_out, context.settings.split)
        sets = [context.split(name).defects for name in names]
        if min(len(images.label) for images in sets):
            codes = [_codes(sampler, images.image) for images in sets]
            classes = [images.label - 1 for images in sets]
            questions = {"class": (classes, len(context.classes) - 1)}
            families = [context.sources[name].families for name in names]
            if all(known is not None for known in families):
                families = [f[x.index] for f, x in zip(families, sets, strict=True)]
                questions["family"] = (families, 1 + max(f.max() for f in families))
            else:
                notes["probes.family"] = "the surface families of these data are not known"
            for code in codes[0]:
                for question, (answers, number) in questions.items():
                    data = [(c[code], a) for c, a in zip(codes, answers, strict=True)]
                    report[f"{question}_from_{code}"] = probes.linear_probe(*data, number)
        else:
            notes["probes"] = f"one of the splits {', '.join(map(str, names))} holds no defects"
    report["anchor"], reason = _anchor(context, sampler)
    return report, notes | reason


def _anchor(context, sampler):
    """Test whether x4 is nearer to another normal image than to its own x2: (report, notes)."""
    method = sampler.method
    if not (method.transfers and "clean" in method.gives):
        return None, {"probes.anchor": f"method={context.config.method} draws no x4 of an x2"}
    held = context.split(context.settings.split)
    normals = np.flatnonzero(held.label == 0)[: context.lpips_limit() // 2]
    defects = np.resize(np.flatnonzero(held.label > 0), len(normals))
    batch = {
        "image": held.image[defects],
        "mask": held.mask[defects],
        "label": held.label[defects],
        "normal": held.image[normals],
    }
    request = requests.of_pairs(method.needs, context.classes, batch)
    x4 = render(sampler, request, context.settings.seed, "anchor")["clean"]
    notes = {}
    if method.keeps_surface:
        notes["probes.anchor"] = "x4 is x2 by construction in this method: nothing to collapse"
    return probes.anchor_collapse(context.embed(x4), context.embed(batch["normal"])), notes


def _codes(sampler, images):
    parts = [sampler.codes(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
