"""Write a network of a run for users without this package.

    python -m dtgan.export --workdir=runs/quickstart --out=exported --what=generator,encoder
    python -m dtgan.export --workdir=runs/verdict --out=exported --what=classifier --arm=real

StableHLO (JAX, any device), safetensors (the parameters; a classifier's under torchvision's names,
for load_state_dict) and ONNX (onnxruntime). Every file is loaded again and compared with the
network before model.json says what it takes and gives.
"""

import json
import pathlib
import sys

from dtgan import cli
from dtgan.files import write_atomic


def main(argv=None):
    """Parse flags, export; returns the exit code."""
    args = _parser().parse_args(argv)
    cli.start(args)
    what, formats = args.what.split(","), args.format.split(",")

    def work():
        export(args.workdir, args.out, what, formats, cli.step(args.step), args.arm)

    return cli.exit_code(work)


def export(workdir, out, what, formats, step="latest", arm=""):
    """Write every network of `what` in every format below `out`, then model.json of each.

    Raises ConfigError for what does not exist, and for a file that computes something else.
    """
    from dtgan.exporting import files as formats_lib
    from dtgan.exporting import networks

    out = pathlib.Path(out)
    for name in formats:
        formats_lib.check(name)
    for name in what:
        network = networks.load(workdir, name, step, arm)
        out.mkdir(parents=True, exist_ok=True)
        files = {kind: formats_lib.write(network, out, kind) for kind in formats}
        described = {
            "name": network.name,
            **network.about,
            "inputs": {
                key: {"shape": ["batch", *shape], "dtype": dtype.__name__}
                for key, (shape, dtype) in network.inputs.items()
            },
            "files": files,
        }
        write_atomic(out / f"{network.name}.json", json.dumps(described, indent=2) + "\n")
        for file in files.values():
            print(
                f"{out / file['file']}: {file['bytes'] / 1e6:.2f} MB, equal to "
                f"{file['difference']:.1e} of the largest value"
            )


def _parser():
    parser = cli.parser("export", __doc__)
    add = parser.add_argument
    add("--workdir", required=True, help="directory of a run, or of a verdict")
    add("--out", required=True, help="directory of the files")
    add("--what", default="generator", help="generator, encoder, classifier; by commas")
    add("--format", default="stablehlo,safetensors", help="stablehlo, safetensors, onnx; by commas")
    add("--step", default="latest", help="latest (default), best, or N")
    add("--arm", default="", help="of a verdict's classifiers, where there are several")
    return parser


if __name__ == "__main__":
    sys.exit(main())
