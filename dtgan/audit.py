"""Check a folder of images before training on it: python -m dtgan.audit --path=DIR

Exit status: 0 = usable, 1 = some files fail, 2 = the folder or an option cannot be used.
"""

import argparse
import sys

from absl import flags
from ml_collections import ConfigDict, config_flags

from dtgan import cli
from dtgan.config import ConfigError, base_config
from dtgan.data.folders.audit import audit
from dtgan.data.splits import SPLITS


def main(argv=None):
    """Print the report of one folder; returns the exit status."""
    args, rest = _parser().parse_known_args(argv)
    # A file name may hold what the terminal's encoding lacks; the report must still come out.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        report = audit(_data(args, rest), args.seed)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(_summary(report) + report.lines()))
    state = "FAILED" if report.errors else "OK"
    print(
        f"{state}: {_number(len(report.records), 'image')}, "
        f"{_number(len(report.classes), 'class')}, {_number(len(report.errors), 'error')}, "
        f"{_number(len(report.warnings), 'warning')}"
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
    cli.check_config_flags(["audit", *rest], config, "")
    own = flags.FlagValues()  # apart from the flags of the process
    config_flags.DEFINE_config_dict("config", config, flag_values=own, sys_argv=["audit", *rest])
    try:
        own(["audit", *rest])
    except (flags.Error, TypeError, ValueError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    data = config.data
    data.path = args.path
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
        "--path", required=True, help="holds images/<class>/* and perhaps masks/<class>/*"
    )
    parser.add_argument(
        "--group",
        default="",
        help="regular expression on the file name without suffix, as config.data.group: images "
        "whose matches (first parenthesis, else all) are equal stay in one split",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the automatic split (default 0)")
    parser.add_argument(
        "--fractions",
        default="",
        help="of train, val, test where there is no splits.csv (default 0.7,0.15,0.15)",
    )
    return parser


def _summary(report):
    """Format counts, sizes, formats and splits as lines; good files only."""
    counts = report.counts
    width = max(map(len, (*counts, "class")))
    lines = ["  ".join([f"{'class':<{width}}", *(f"{h:>6}" for h in ("all", "masks", *SPLITS))])]
    for name in report.classes:
        masks = sum(r.class_name == name and r.mask is not None for r in report.records)
        numbers = [sum(counts[name].values()), masks, *counts[name].values()]
        lines.append("  ".join([f"{name:<{width}}", *(f"{number:>6}" for number in numbers)]))
    sides = [
        f"{side} {least}..{greatest} (median {median})"
        for side, (least, median, greatest) in report.sizes.items()
    ]
    lines.append(f"sizes in pixels: {', '.join(sides)}")
    formats = (f"{number} {kind}" for kind, number in report.formats.items())
    lines.append(f"formats: {', '.join(formats)}")
    if report.records:
        drawn = f"drawn from {report.num_groups} groups" if report.num_groups else "by splits.csv"
        lines.append(f"splits: {drawn}; fingerprint {report.fingerprint}")
    return lines


def _number(count, noun):
    """Format a count: "1 class", "2 classes"."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count} {noun if count == 1 else plural}"


if __name__ == "__main__":
    sys.exit(main())
