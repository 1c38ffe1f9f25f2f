"""Try a run by hand: choose, paint, draw, keep, on a page in the browser.

    python -m dtgan.studio --workdir=runs/quickstart --out=kept

opens http://127.0.0.1:7860 for this machine alone; it needs no network and sends nothing. What is
kept is a labelled set in --out, with the layout and manifest of python -m dtgan.generate.
"""

import pathlib
import sys

from dtgan import cli
from dtgan.config import ConfigError

UPLOAD = 200  # megabytes of a file, at most


def main(argv=None):
    """Parse flags, serve the page until interrupted; returns the exit code."""
    args = _parser().parse_args(argv)
    cli.start(args)
    return cli.exit_code(lambda: _run(args))


def _run(args):
    from dtgan.studio import server
    from dtgan.studio.kept import Kept

    step, opened = cli.step(args.step), server.listen(args.port)
    renderer, stock, about = _model(args, step)
    out = pathlib.Path(args.out or pathlib.Path(args.workdir) / "kept")
    kept = Kept(out, renderer.classes, "mask" in renderer.method.gives)
    try:
        server.quiet(kept.cache)
        from dtgan.studio import page
        from dtgan.studio.session import Studio

        report = pathlib.Path(args.workdir).absolute() / "report.html"
        blocks = page.build(Studio(renderer, stock, kept, about), args.workdir, report)
        app = server.application(blocks, report, UPLOAD)
        renderer.warm_up()
        host, port = opened.getsockname()
        print(f"the studio is open at http://{host}:{port}; Ctrl+C ends it", flush=True)
        server.serve(app, opened)
    finally:
        kept.close()
        opened.close()


def _model(args, step):
    """Load the model and its pictures: (Renderer, Stock, what records say of the model)."""
    from dtgan.runs import checkpoints
    from dtgan.sampling.sampler import load
    from dtgan.studio.render import Renderer
    from dtgan.studio.stock import Stock

    if not args.max_megapixels >= 0:
        raise ConfigError(f"--max_megapixels={args.max_megapixels:g} is below 0; leave it out")
    sampler = load(args.workdir, step)
    data = sampler.config.data
    data.path = args.data_path or data.path
    data.max_megapixels = args.max_megapixels or data.max_megapixels
    renderer = Renderer(sampler)
    stock = Stock(sampler.config, sampler.classes, renderer.whole)
    digest = checkpoints.step_digest(args.workdir, sampler.step)
    about = {"checkpoint": digest, "step": sampler.step, "method": sampler.config.method}
    return renderer, stock, about


def _parser():
    parser = cli.parser("studio", __doc__)
    add = parser.add_argument
    add("--workdir", required=True, help="directory of the run that draws")
    add("--out", default="", help="directory of what is kept; default WORKDIR/kept")
    add("--step", default="latest", help="latest (default), best, or N")
    add("--port", type=int, default=7860, help="of 127.0.0.1 (default 7860); 0 = any free one")
    add("--max_megapixels", type=float, default=0.0, help="of a file; default as the run has it")
    add("--data_path", default="", help="where the run's data are now, if they were moved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
