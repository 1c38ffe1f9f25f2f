"""Check a set of images before training on it: python -m dtgan.audit --path=DIR

Other layouts than images/<class>/*: --config.data.source=coco, yolo or csv.

Exit status: 0 = usable, 1 = some files fail, 2 = the folder or an option cannot be used.
"""

import argparse
import sys

import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from dtgan import cli, images
from dtgan.config import FILE_SOURCES, ConfigError, base_config
from dtgan.data import account, scales
from dtgan.data.folders.audit import audit
from dtgan.data.folders.files import FileSource
from dtgan.data.splits import SPLITS
from dtgan.metrics import correlation, near

_DRAWN = 40  # pairs of nearly equal pictures in a sheet


def main(argv=None):
    """Print the report of one folder; returns the exit status."""
    args, rest = _parser().parse_known_args(argv)
    # A file name may hold what the terminal's encoding lacks; the report must still come out.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        data = _data(args, rest)
        report = audit(data, args.seed)
        alike = _near(report, data, args.near) if args.near else []
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tables = {split: account.account(_source(report, data, split), data) for split in SPLITS}
    told = [f"{s}: {line}" for s, table in tables.items() for line in account.findings(table, data)]
    told += alike
    told = [f"warning: {line}" for line in told]
    lines = _summary(report, data) + _shown(tables, data) + _proposed(report, data)
    print("\n".join(lines + told + report.lines()))
    state = "FAILED" if report.errors else "OK"
    print(
        f"{state}: {_number(len(report.records), 'image')}, "
        f"{_number(len(report.classes), 'class')}, {_number(len(report.errors), 'error')}, "
        f"{_number(len(report.warnings) + len(told), 'warning')}"
    )
    return 1 if report.errors else 0


def _data(args, rest):
    """Make config.data from the parsed flags and `rest`, flags --config.data.FIELD=VALUE.

    Raises ConfigError for other flags, unknown fields and values of another type.
    """
    for arg in rest:
        if not arg.startswith("--config.data.") or "=" not in arg:
            raise ConfigError(
                f"{arg} is not a flag; write --config.data.FIELD=VALUE, or see --help"
            )
    config = ConfigDict({"data": base_config().data})
    config.data.source = "folder"
    cli.check_config_flags(["audit", *rest], config, "")
    own = flags.FlagValues()  # apart from the flags of the process
    config_flags.DEFINE_config_dict("config", config, flag_values=own, sys_argv=["audit", *rest])
    try:
        own(["audit", *rest])
    except (flags.Error, TypeError, ValueError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    data = config.data
    data.path = args.path
    if data.source not in FILE_SOURCES:
        raise ConfigError(
            f"data.source={data.source} has no files to check; use one of {', '.join(FILE_SOURCES)}"
        )
    data.group = args.group or data.group
    if args.fractions:
        data.fractions = tuple(args.fractions.split(","))
    return data


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m dtgan.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any field of config.data is a flag, as in dtgan.main: --config.data.FIELD=VALUE",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--path", required=True, help="holds images/<class>/*, or the file of labels"
    )
    parser.add_argument(
        "--group",
        default="",
        help="regular expression on the file name without suffix, as config.data.group: images "
        "whose matches (first parenthesis, else all) are equal stay in one split",
    )
    parser.add_argument(
        "--near",
        default="",
        metavar="FILE.png",
        help="also search for pictures of different splits or classes that are nearly the same "
        "(flips, crops, second shots), and draw them in this file; about 30 s for 5,000 pictures",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the automatic split (default 0)")
    parser.add_argument(
        "--fractions",
        default="",
        help="of train, val, test where there is no splits.csv (default 0.7,0.15,0.15)",
    )
    return parser


def _summary(report, data):
    """Format counts, sizes, formats and splits as lines; good files only."""
    counts = report.counts
    width = max(map(len, (*counts, "class")))
    boxes = any(record.boxed for record in report.records)
    head = ("all", "masks", *(["boxes"] if boxes else []), *SPLITS)
    lines = ["  ".join([f"{'class':<{width}}", *(f"{h:>6}" for h in head)])]
    for name in report.classes:
        boxed = [r.boxed for r in report.records if r.class_name == name and r.mask is not None]
        marked = [len(boxed) - sum(boxed), sum(boxed)][: 2 if boxes else 1]
        numbers = [sum(counts[name].values()), *marked, *counts[name].values()]
        lines.append("  ".join([f"{name:<{width}}", *(f"{number:>6}" for number in numbers)]))
    sides = [
        f"{side} {least}..{greatest} (median {median})"
        for side, (least, median, greatest) in report.sizes.items()
    ]
    lines.append(f"sizes in pixels: {', '.join(sides)}")
    formats = (f"{number} {kind}" for kind, number in report.formats.items())
    lines.append(f"formats: {', '.join(formats)}")
    if report.records:
        drawn = f"drawn from {report.num_groups} groups"
        if not report.num_groups:
            drawn = "by splits.csv" if (report.root / "splits.csv").exists() else "as labelled"
        drawn = f"fold {data.fold}, {drawn}" if data.fold else drawn
        lines.append(f"splits: {drawn}; fingerprint {report.fingerprint}")
    return lines


def _source(report, data, split):
    """Open the good files of a split, "" for all, as a source."""
    records = [r for r in report.records if split in ("", r.split)]
    return FileSource(records, report.classes, data, report.has_masks, report.fingerprint)


def _shown(tables, data):
    """Format what scaling and cropping leave of the defects that have masks, as lines."""
    names = {"pixels_in_file": "in file", "pixels_scaled": "scaled", "pixels_in_crops": "in crops"}
    head = ["masks", "crops", *names.values(), "lost", "thinnest"]
    lines = []
    for split, table in tables.items():
        for name, part in table.items():
            if part["with_mask"]:
                numbers = [part["with_mask"], part["crops"], *(part[key] for key in names)]
                lost = 1 - part["pixels_in_crops"] / max(part["pixels_scaled"], 1)
                numbers += [f"{100 * lost:.0f} %", f"{part['least_width']:.2g} px"]
                lines.append((f"{split} {name}", *map(str, numbers)))
    if not lines:
        return []
    return _aligned([(f"defect pixels at data.res={data.res}", *head), *lines])


def _proposed(report, data):
    """Format what the scales that could be set make of the defects, and the proposed one."""
    proposal = scales.propose(_source(report, data, ""), data)
    if proposal is None:
        return []
    rows = [("data.scale", "thinnest", "class median", "fit a crop", "too small")]
    for name, option in (("now", proposal.now), *((None, option) for option in proposal.options)):
        least, greatest = option.scale
        scale = f"{least:.2g}" if least == greatest else f"{least:.2g} to {greatest:.2g}"
        rows.append(
            (
                f"{name}: {scale}" if name else f"{least:g}",
                f"{option.least:.2g} px" if option.thinnest else "-",
                f"{option.width:.2g} px ({option.thinnest})" if option.thinnest else "-",
                f"{100 * option.fit:.0f} %",
                str(option.small),
            )
        )
    return [*_aligned(rows), f"proposed: --config.data.scale={proposal.scale:g}: {proposal.why}"]


def _aligned(rows):
    """Format rows of words as lines with columns of equal width, all but the first to the right."""
    width = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(width[0]), *map(str.rjust, row[1:], width[1:])]) for row in rows
    ]


def _near(report, data, path):
    """Find nearly equal pictures across splits and classes, draw them in a file: lines."""
    source = _source(report, data, "")
    side = (correlation.SIDE, correlation.SIDE)
    pictures = np.stack([images.resize(source[k]["image"], side) for k in range(len(source))])
    found = near.pairs(pictures, [(r.split, r.class_name) for r in report.records])
    if found:
        large = [pair[:2] for pair in found[:_DRAWN]]
        shown = {k: images.resize(source[k]["image"], (192, 192)) for k in set(sum(large, ()))}
        images.write_image(path, near.sheet(shown, found[:_DRAWN]))
    names = [f"{record.split}: {record.id}" for record in report.records]
    lines = [f"nearly equal: {names[p.first]}, {names[p.second]} ({p.ncc:.3f})" for p in found]
    return lines and [*lines, f"the first {min(len(found), _DRAWN)} pairs are drawn in {path}"]


def _number(count, noun):
    """Format a count: "1 class", "2 classes"."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count} {noun if count == 1 else plural}"


if __name__ == "__main__":
    sys.exit(main())
