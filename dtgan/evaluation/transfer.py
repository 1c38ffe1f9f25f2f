"""Exact transfer error on held-out pairs, and what the codes and the anchor hold."""

import numpy as np

from dtgan.evaluation.fakes import draw
from dtgan.metrics import probes, transfer
from dtgan.sampling import sampler as sampling

THRESHOLD_PAIRS = 128
BATCH = 64  # pairs measured at once


def transfer_scores(bench, sampler):
    """The figures of transfer.summarise, those of the references beside them: (report, notes)."""
    settings, notes = bench.settings, {}
    threshold = mask_threshold(bench, sampler)
    if threshold is None:
        notes["transfer.mask_iou"] = (
            f"no masks in the split {bench.held_out!r} to choose the mask's threshold on"
        )
    rows, labels = {}, []
    for batch, pairs in enumerate(_pairs(bench, settings.split, settings.num_pairs)):
        drawn = {"model": _draw(sampler, pairs, settings.seed, f"{settings.split}/{batch}")}
        for name, images in (drawn | transfer.references(pairs)).items():
            cut = threshold if name == "model" and threshold is not None else 0.5
            rows.setdefault(name, []).append(transfer.measure(pairs, images, threshold=cut))
        labels.append(pairs["label"])
    labels = np.concatenate(labels)
    summaries = {
        name: transfer.summarise(_join(parts), labels, bench.classes, settings.seed)
        for name, parts in rows.items()
    }
    model = summaries.pop("model")
    if model["overall"]["skill"] is None:
        notes["transfer.skill"] = "the truth is known for uncropped procedural data only"
    normals = int(np.sum(bench.split(settings.split).label == 0))
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


def mask_threshold(bench, sampler):
    """The threshold of the model's mask with the best IoU on held-out pairs that are not scored.

    None where there are no such pairs with masks.
    """
    soft, true, labels = [], [], []
    for batch, pairs in enumerate(_pairs(bench, bench.held_out, THRESHOLD_PAIRS)):
        drawn = _draw(sampler, pairs, bench.settings.seed, f"{bench.held_out}/{batch}")
        soft.append(drawn["mask"][pairs["has_mask"]])
        true.append(pairs["mask"][pairs["has_mask"]])
        labels.append(pairs["label"][pairs["has_mask"]])
    if not any(mask.any() for mask in true):
        return None
    return transfer.choose_threshold(*map(np.concatenate, (soft, true, labels)))


def probe_scores(bench, sampler):
    """Linear probes of both codes and the anchor's collapse, JSON-able: (report, notes).

    class_from_texture and family_from_structure should be at chance, the other two far above it.
    """
    report, notes = {}, {}
    if sampler.method.probe is None:
        notes["probes"] = f"the method {bench.config.method!r} has no codes to probe"
    else:
        names = (bench.config.data.split, bench.held_out, bench.settings.split)
        sets = [bench.split(name).defects for name in names]
        if min(len(images.label) for images in sets):
            codes = [_codes(sampler, images.image) for images in sets]
            classes = [images.label - 1 for images in sets]
            questions = {"class": (classes, len(bench.classes) - 1)}
            sources = [bench.sources[name] for name in names]
            if all(hasattr(source, "families") for source in sources):
                families = [s.families[x.index] for s, x in zip(sources, sets, strict=True)]
                questions["family"] = (families, 1 + max(f.max() for f in families))
            else:
                notes["probes.family"] = "the surface families of these data are not known"
            for code in codes[0]:
                for question, (answers, number) in questions.items():
                    data = [(c[code], a) for c, a in zip(codes, answers, strict=True)]
                    report[f"{question}_from_{code}"] = probes.linear_probe(*data, number)
        else:
            notes["probes"] = f"one of the splits {', '.join(map(str, names))} holds no defects"
    report["anchor"] = _anchor(bench, sampler)
    if bench.config.method == "layered":
        notes["probes.anchor"] = "x4 is x2 by construction in this method: nothing to collapse"
    return report, notes


def _anchor(bench, sampler):
    """Whether x4 is nearer to another normal image than to its own x2."""
    held = bench.split(bench.settings.split)
    normals = np.flatnonzero(held.label == 0)[: bench.lpips_limit() // 2]
    defects = np.flatnonzero(held.label > 0)
    x2 = held.image[normals]
    x1 = held.image[np.resize(defects, len(normals))]
    x4 = draw(sampler, {"image": x1, "normal": x2}, bench.settings.seed, "anchor")["clean"]
    return probes.anchor_collapse(bench.embed(x4), bench.embed(x2))


def _codes(sampler, images):
    parts = [sampler.codes(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pairs(bench, split, number):
    """sampling.Pairs of distinct defects of a split; () where it lacks one kind of image."""
    images = bench.split(split)
    if not np.any(images.label == 0) or not np.any(images.label > 0):
        return ()
    return sampling.Pairs(
        *(bench.config, bench.sources[split], number, BATCH, bench.settings.seed), distinct=True
    )


def _draw(sampler, pairs, seed, name):
    return draw(sampler, sampling.request_of(pairs), seed, name)


def _join(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
