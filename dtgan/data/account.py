"""The account of a data set: which pictures still show their label after scaling and cropping.

A label must not outlive its defect. What is lost is counted by class where masks say where the
defect is, told in one line a finding before anything is compiled, and kept with the run.
"""

import collections
import logging
import shlex

import numpy as np

from dtgan.config import ConfigError, base_config
from dtgan.data.windows import scaled_size

log = logging.getLogger("dtgan")

LOST = 0.1  # share of a class's defect pixels outside of its fixed crops, from which on it is told
LARGE = 4.0  # crops that a picture without a mask may be large, before that is told
_TOLD = (  # fields that change what the audit finds
    *("source", "images", "csv_columns"),
    *("group", "fold", "fractions", "range", "mask_values", "mask_invert"),
    *("max_megapixels", "max_compression", "res", "scale", "scale_to", "upscale"),
)


def account(source, data):
    """Count for each class of a source what scaling and the fixed crops leave of its defects.

    data: config.data. Returns {class: {"pictures", "with_mask", "crops", "pixels_in_file",
    "pixels_scaled", "pixels_in_crops", "lost": pictures that show nothing of their mask,
    "least_width": of the thinnest defect after scaling, in pixels; None without masks,
    "a_pixel_at": data.scale, or data.res where that is 0, from which on that is one; None likewise,
    "largest": crops that the largest picture without a mask or a box has the area of}}. The normal
    class has no entry.
    """
    table = {}
    for label, name in enumerate(source.classes):
        rows = np.flatnonzero(np.asarray(source.labels) == label)
        if label and len(rows):
            table[name] = _of_class(source, rows, data)
    return table


def _of_class(source, rows, data):
    shown = [source.shown(row, data) for row in rows]
    masked = [one for one in shown if one.in_file and not one.boxed]
    widths = [one.width for one in masked]
    least = int(np.argmin(widths)) if masked else None
    areas = [
        np.prod(scaled_size(source.sizes[row], data)[0]) / data.res**2
        for row, one in zip(rows, shown, strict=True)
        if not one.in_file
    ]
    return {
        "pictures": len(rows),
        "with_mask": len(masked),
        "crops": sum(len(one.windows) for one in shown),
        "pixels_in_file": sum(one.in_file for one in masked),
        "pixels_scaled": sum(one.scaled for one in masked),
        "pixels_in_crops": sum(one.cropped for one in masked),
        "lost": sum(one.cropped == 0 for one in masked),
        "least_width": None if least is None else round(widths[least], 2),
        "a_pixel_at": None if least is None else _a_pixel_at(widths[least], data),
        "largest": round(float(max(areas, default=0.0)), 1),
    }


def _a_pixel_at(width, data):
    """Compute the data.scale or data.res, rounded up, at which a defect's width becomes a pixel."""
    field, step = ("scale", 100) if data.scale else ("res", 1)
    return float(np.ceil(step * data[field] / width) / step)


def findings(table, data):
    """Say in one line each what a user should know of an `account`."""
    found, res, field = [], data.res, "scale" if data.scale else "res"
    for name, part in table.items():
        masked, crops = part["with_mask"], part["crops"]
        if part["lost"]:
            found.append(
                f"{name}: {part['lost']} of {masked} pictures show no pixel of their mask at "
                f"data.res={res}; train at a larger data.res, or cut the pictures smaller"
            )
        outside = 1 - part["pixels_in_crops"] / max(part["pixels_scaled"], 1)
        if masked and outside > LOST:
            found.append(
                f"{name}: the fixed crops of {res} px leave {100 * outside:.0f} % of the defect "
                f"outside ({masked} pictures, {crops} crops); use a larger data.res, or a smaller "
                f"data.{'scale' if data.scale else 'scale_to'}"
            )
        if crops > part["pictures"]:
            found.append(
                f"{name}: {part['pictures']} pictures give {crops} fixed crops, since parts of "
                "their defects lie too far apart for one"
            )
        if masked and part["least_width"] < 1:
            found.append(
                f"{name}: the thinnest defect is {part['least_width']:.2g} pixels wide at "
                f"data.{field}={data[field]:g}; from data.{field}={part['a_pixel_at']:g} on it is "
                "one"
            )
        if part["largest"] > LARGE:
            found.append(
                f"{name}: pictures without masks are up to {part['largest']:.0f} crops of {res} px "
                "large, so most crops of them show no defect; add masks, or cut the pictures"
            )
    return found


def refuse_lost(table, data, split):
    """Raise ConfigError where a class has no picture left that shows it."""
    for name, part in table.items():
        if part["lost"] == part["pictures"]:
            others = ",".join(other for other in table if other != name)
            raise ConfigError(
                f"none of the {part['pictures']} pictures of class {name!r} in {split} shows a "
                f"pixel of its mask at data.res={data.res}; use a larger data.res, or leave the "
                f"class out with --config.data.classes={others or '...'} (of generate: --classes)"
            )


def tell(sources, data):
    """Log what a user should know of some sources, a line a finding; return {"accounts", ...}.

    sources: {role: source}, roles such as "train" or "--references". Returns the `account` of each,
    how masks were drawn of those where they were ("drawn"), the lines ("findings") and what the
    audit of the files warns of ("audit"), JSON-able. Raises ConfigError where a class has no
    picture left that shows it.
    """
    tables = {role: account(source, data) for role, source in sources.items()}
    for role, table in tables.items():
        refuse_lost(table, data, role)
    lines = [f"{role}: {line}" for role, table in tables.items() for line in findings(table, data)]
    drawn = {role: source.drawn for role, source in sources.items() if source.drawn}
    for role, record in drawn.items():
        for name, part in record["classes"].items():
            if part["empty"]:
                lines.append(
                    f"{role}: {name}: {part['empty']} of {part['drawn']} drawn masks are empty; "
                    "these pictures count as without a mask (a lower data.masks_above marks more)"
                )
    audit = list(dict.fromkeys(x for source in sources.values() for x in source.warnings))
    if audit:
        kinds = collections.Counter(warning.split(": ")[1] for warning in audit)
        counts = ", ".join(f"{number} x {kind}" for kind, number in kinds.most_common())
        lines.append(f"the audit warns: {counts}; {audit_command(data)} lists them")
    for line in lines:
        log.warning("%s", line)
    return {"accounts": tables, "drawn": drawn, "findings": lines, "audit": audit}


def tell_single(counts):
    """Log the classes of a single picture. counts: {class: pictures}, the normal one first."""
    for name in [name for name, count in list(counts.items())[1:] if count == 1]:
        log.warning("%s: one picture, of which a model can learn little but to repeat it", name)


def tell_masks(source, method):
    """Log how many defect images have no mask, of which a method of this name learns.

    source: read once as a whole. Raises ConfigError where none has one.
    """
    rows = np.flatnonzero(np.asarray(source.labels))
    missing = sum(not source[row]["has_mask"] for row in rows)
    if missing == len(rows):
        raise ConfigError(
            f"none of the {missing} defect images has a mask, and method={method} learns of masks; "
            "put some into masks/<class>, or choose another method"
        )
    if missing:
        text = "%d of %d defect images have no mask: masks are learnt of the others"
        log.warning(text, missing, len(rows))


def audit_command(data):
    """Write the command that audits the same files in the same way."""
    command, usual = f"python -m dtgan.audit --path={shlex.quote(data.path)}", base_config().data
    for name in _TOLD:
        if data[name] != usual[name] and (name, data[name]) != ("source", "folder"):
            flag = "--group" if name == "group" else f"--config.data.{name}"
            command += f" {flag}={shlex.quote(str(data[name]))}"
    return command
