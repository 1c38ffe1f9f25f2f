"""Score the checkpoints of a run.

    python -m dtgan.evaluate --workdir=runs/quickstart

prints a table and writes eval/<step>.json, TensorBoard scalars and pictures: the likeliest copies
beside their originals, and of every class the best, ordinary and worst hybrids. It needs the
workdir and the data: the config is in the checkpoint. What the numbers mean, and where weights for
Inception come from: docs/evaluation.md.
"""

import logging
import pathlib
import sys
import time

from dtgan import cli
from dtgan.config import ConfigError

log = logging.getLogger("dtgan")


def main(argv=None):
    """Parse flags, score; returns the exit code."""
    args = _parser().parse_args(argv)
    cli.start(args)
    from dtgan.evaluation import context, runner

    def work():
        settings = context.Settings(
            **{name: getattr(args, name) for name in context.Settings._fields}
        )
        if args.watch:
            await_workdir(args.workdir, args.watch_timeout)
        job = runner.Job(args.workdir, args.out, settings, args.force)
        if args.watch and args.step:
            raise ConfigError("--watch scores every step; leave out --step")
        if args.watch:
            job.watch(args.watch_timeout)
        else:
            job.score_steps(cli.step(args.step or "latest", "all"))
        elsewhere = {"eval": args.out} if args.out else {}
        cli.tell_report(workdir=args.workdir, **elsewhere)

    return cli.exit_code(work)


def await_workdir(workdir, timeout, poll=1.0):
    """Wait until a workdir exists: a watch may start before its training.

    Raises ConfigError after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    if not pathlib.Path(workdir).is_dir():
        log.info("waiting for %s", workdir)
    while not pathlib.Path(workdir).is_dir():
        if time.monotonic() > end:
            raise ConfigError(
                f"--workdir={workdir} did not appear in {timeout:g} s (--watch_timeout); give the "
                "directory that python -m dtgan.main writes to"
            )
        time.sleep(min(poll, timeout / 4))


def _parser():
    parser = cli.parser("evaluate", __doc__)
    add = parser.add_argument
    add("--workdir", required=True, help="directory of the run to judge")
    add("--step", default="", help="latest (default), best by validation score, all, or N")
    add("--watch", action="store_true", help="score every new checkpoint until the run ends")
    add(
        "--watch_timeout",
        type=float,
        default=3600.0,
        help="with --watch: stop after so many seconds without a new checkpoint (default 3600)",
    )
    add("--out", default="", help="directory of reports and cache (default WORKDIR/eval)")
    add("--force", action="store_true", help="replace existing reports")
    add(
        "--extractor",
        default="domain",
        help="domain (default): the project's own classifier, trained on the run's training images "
        "and kept in the workdir; inception: the network of FID, needs --weights",
    )
    add(
        "--weights",
        default="",
        help="safetensors file of the extractor, from python -m dtgan.weights.convert (inception) "
        "or from another workdir (domain)",
    )
    add("--weights_sha256", default="", help="accept only this content, whatever its source")
    add("--resize", default="tf1", help="to Inception's 299 px: tf1 (default), torch or clean")
    add(
        "--lpips",
        default="domain",
        help="domain (default; the formula over the project's own classifier), alex, vgg, squeeze",
    )
    add("--lpips_weights", default="", help="safetensors file of that backbone")
    add("--lpips_sha256", default="", help="accept only this content, whatever its source")
    add("--num_fake", type=int, default=5000, help="synthetic images in all (default 5000)")
    add("--num_pairs", type=int, default=256, help="held-out transfer pairs at most (default 256)")
    add("--split", default="test", help="real images to compare with: test (default), val, train")
    add("--seed", type=int, default=0, help="of pairs, noise and resampling (default 0)")
    add("--data_path", default="", help="where the run's data are now, if they were moved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
