"""Write what is known of a run as one HTML file to look at, or to send.

    python -m dtgan.report --workdir=runs/quickstart --out=report.html

shows the data, the training, the sample grids over time and the newest evaluation with its
pictures, a generated set (--set) and a verdict (--verdict) with or without a run, and says what to
do next. The file needs no network. Several --workdir give a page that compares the runs.
"""

import argparse
import pathlib
import sys

from dtgan import cli
from dtgan.config import ConfigError
from dtgan.files import write_atomic


def main(argv=None):
    """Parse flags, write the page; returns the exit code."""
    args = _parser().parse_args(argv)
    cli.setup_logging()
    out = pathlib.Path(args.out)
    try:
        if out.is_dir():
            raise ConfigError(f"--out={out} is a directory; name a file: {out / 'report.html'}")
        text = render(args)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {len(text) / 1e6:.1f} MB; open it in a browser")
    return 0


def render(args):
    """Make the page that the flags ask for: text. Raises ConfigError for what cannot be had."""
    from dtgan.pages import read

    given = [f"--{name}" for name in ("verdict", "set", "eval") if getattr(args, name)]
    if len(args.workdir) > 1 and given:
        raise ConfigError(
            f"{given[0]} goes with one --workdir; {len(args.workdir)} make a comparison"
        )
    runs = [read.run(workdir, args.eval) for workdir in args.workdir]
    made = read.generated(args.set) if args.set else None
    told = read.verdict(args.verdict) if args.verdict else None
    from dtgan.pages import comparison, data, page  # slow; a mistake is told before

    if len(runs) > 1:
        return comparison.render(runs)
    run = runs[0] if runs else None
    return page.single(run, run and data.describe(run, args.data_path), made, told)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m dtgan.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--workdir",
        action="append",
        default=[],
        help="directory of a run; several make a comparison",
    )
    add("--out", required=True, help="the file to write, such as report.html")
    add("--set", default="", help="directory of a generated set")
    add("--verdict", default="", help="directory of a verdict, the --out of dtgan.classify")
    add("--eval", default="", help="directory of reports of dtgan.evaluate (default WORKDIR/eval)")
    add("--data_path", default="", help="where the run's data are now, if they were moved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
