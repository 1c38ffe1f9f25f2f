"""A report told three ways: JSON, scalars for TensorBoard, a table for people."""

import json
import re
from math import isfinite

from dtgan.reporting.tables import columns

PARTS = (  # with scores, of a report
    *("overall", "per_class", "floor"),
    *("transfer", "translation", "twins", "probes", "copies"),
)
CLASS_COLUMNS = (  # heading, key, digits; "floor." columns come from the floor
    ("real", "num_real", 0),
    ("fake", "num_fake", 0),
    ("FID", "fid", 1),
    ("95 %", "fid_ci95", 1),
    ("FID@n", "fid_matched", 1),
    ("floor", "floor.fid", 1),
    ("KID x1e3", "kid_x1e3", 1),
    ("95 %", "kid_ci95", 0),
    ("floor", "floor.kid_x1e3", 1),
    ("prec.@n", "precision_matched", 2),
    ("floor", "floor.precision", 2),
    ("recall@n", "recall_matched", 2),
    ("floor", "floor.recall", 2),
    ("cLPIPS@n", "clustered_lpips_matched", 3),
    ("floor", "floor.clustered_lpips", 3),
    ("n", "floor.num_fake", 0),
    ("recogn.", "recognised", 2),
)
TRANSFER_COLUMNS = (
    ("skill", "skill", 3),
    ("skill 95 %", "skill_ci95", 3),
    ("removal", "removal_skill", 3),
    ("error", "error", 2),
    ("background", "background_mae", 2),
    ("its max", "background_max", 0),
    ("IoU", "mask_iou", 3),
    ("mask prec.", "mask_precision", 3),
    ("mask rec.", "mask_recall", 3),
    ("texture corr.", "texture_correlation", 3),
)
PROBE_COLUMNS = (
    ("accuracy", "accuracy", 3),
    ("95 %", "accuracy_ci95", 3),
    ("chance", "chance", 3),
    ("balanced", "balanced_accuracy", 3),
    ("chance", "chance_balanced", 3),
)


def to_json(report):
    """Write the report as JSON text; raises ValueError for a NaN or infinity in it."""
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def scalars(report, prefix="eval"):
    """Collect the finite numbers of the parts with scores: {"eval/overall/fid": 1.0, ...}."""
    found = {}

    def walk(name, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{name}/{key}", inner)
        elif isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            found[name] = float(value)

    for part in PARTS:
        walk(f"{prefix}/{part}", report.get(part) or {})
    return found


def table(report):
    """Format the report as lines of text."""
    parts = [
        _head(report),
        _distribution(report),
        _classifier(report),
        _transfer(report["transfer"]),
        _translation(report["translation"]),
        _twins(report.get("twins")),
        _probes(report["probes"]),
        _copies(report["copies"]),
        ["caveats:", *(f"  {key}: {text}" for key, text in _brief(report["notes"]))],
    ]
    return [line.rstrip() for part in parts if part for line in (*part, "")]


def _head(report):
    data, extractor, lpips = report["data"], report["extractor"], report["lpips"]
    return [
        f"step {report['step']}, {report['method']}, data {data['fingerprint']}: "
        f"{data['num_real']} real defects of the split {data['split']!r}, "
        f"{data['num_fake']} synthetic",
        f"features {extractor['name']} {extractor['sha256'][:12]} (resize {extractor['resize']}); "
        f"LPIPS {lpips['name']} {lpips['sha256'][:12]}",
    ]


def _distribution(report):
    floor = report["floor"]
    scores = {**report["per_class"], "overall": report["overall"]}
    floors = {**floor["per_class"], "overall": floor["overall"]}
    rows = [
        (name, {**values, **{f"floor.{key}": x for key, x in floors[name].items()}})
        for name, values in scores.items()
    ]
    collapse = report["control"]["collapse"]
    rows.append(("(collapse)", {f"{key}_matched": x for key, x in collapse.items()} | collapse))
    return [
        *columns("synthetic against real", rows, CLASS_COLUMNS),
        f"floor: n real images of {floor['split']!r} in place of synthetic ones; @n: of n synthetic"
        " ones; (collapse): one image repeated",
    ]


def _classifier(report):
    rows = [
        (kind, {**table, **{name: row["error"] for name, row in table["per_class"].items()}})
        for kind, table in report.get("classifier", {}).items()
    ]
    names = [(name, name, 3) for name in report["per_class"]]
    spec = [("all", "error", 3), ("95 %", "error_ci95", 3), *names]
    return rows and columns("errors of the domain classifier", rows, spec)


def _transfer(transfer):
    if transfer is None:
        return []
    rows = [*transfer["per_class"].items(), ("overall", transfer)]
    if transfer["num_masked"]:
        rows += [(f"({name})", r["overall"]) for name, r in transfer["references"].items()]
    lines = columns(f"transfer, {transfer['num_pairs']} pairs", rows, TRANSFER_COLUMNS)
    lines.append("errors in grey levels 0..255; references in parentheses know the true mask")
    if transfer["mask_miou"]:
        lines.append(f"mask IoU, mean over the classes: {transfer['mask_miou']:.3f}")
    return lines


def _translation(translation):
    if translation is None:
        return []
    titles = {
        "change_mae": "changed, grey levels",
        "painted": "painted, share of pixels",
        "background_mae": "changed elsewhere, grey levels",
        "removal_skill": "removal skill",
    }
    return _estimates(f"translation, {translation['num_pairs']} pairs", translation, titles)


def _twins(twins):
    if twins is None:
        return []
    titles = {
        "masked": "inside the mask, share of pixels",
        "inside_mae": "changed inside, grey levels",
        "outside_mae": "changed outside, grey levels",
        "mask_iou": "IoU of mask and change",
    }
    return [
        *_estimates(f"against the twin, {twins['num']} pictures", twins, titles),
        f"changed: above {twins['threshold']} grey levels (Otsu's threshold); {twins['empty']} "
        f"masks are empty, {twins['empty_changed']} of their pictures differ from their twin",
    ]


def _estimates(heading, values, titles):
    """Format estimates with their intervals, a row each; titles: {name in `values`: of a row}."""
    rows = [
        (title, {"value": values[name], "ci95": values[f"{name}_ci95"]})
        for name, title in titles.items()
    ]
    return columns(heading, rows, [("mean", "value", 3), ("95 %", "ci95", 3)])


def _probes(probes):
    anchor = probes["anchor"]
    rows = [(name.replace("_", " "), x) for name, x in probes.items() if name != "anchor"]
    lines = columns("linear probes", rows, PROBE_COLUMNS) if rows else []
    if anchor is None:
        return lines
    low, high = anchor["collapse_ci95"]
    return [
        *lines,
        f"anchor: {100 * anchor['collapse']:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of "
        f"{anchor['num']} x4 are nearer to another normal image than to their own (chance "
        f"{100 * anchor['chance']:.1f} %); {100 * anchor['largest_share']:.1f} % to one and the "
        "same",
    ]


def _copies(copies):
    """Format the copy check in a few lines."""
    if copies["rate"] is None:
        return [f"copies: not checked ({copies.get('reason', 'no images')})"]

    def percent(part):
        low, high = part["rate_ci95"]
        return f"{100 * part['rate']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"

    held = {"rate": copies["held_out_rate"], "rate_ci95": copies["held_out_rate_ci95"]}
    known = "".join(f", {name} {100 * r:.1f} %" for name, r in copies["references"].items())
    own = copies.get("flagged_own_source")
    source = f"; {100 * own:.0f} % of the flagged resemble their own x1" if own is not None else ""
    planted = ", ".join(f"{kind} {100 * r['rate']:.0f} %" for kind, r in copies["planted"].items())
    return [
        f"flagged as copies of a training image: {percent(copies)} of {copies['num']} synthetic "
        f"ones{known}{source}",
        f"false alarms on {copies['num_held_out']} real held-out images: {percent(held)}, nominal "
        f"{100 * copies['alpha']:.1f} %; planted copies found: {planted}",
    ]


def _brief(notes):
    """Yield one of the notes that differ in numbers alone, with the number of the others."""
    grouped = {}
    for key, text in notes.items():
        grouped.setdefault(re.sub(r"[\d.]+", "0", text), []).append((key, text))
    for (key, text), *others in grouped.values():
        yield key, text + (f" (likewise {len(others)} more)" if others else "")
