"""Make weights usable: python -m dtgan.weights.convert --network=NAME --source=FILE.pth --out=FILE

Reads a published PyTorch file, checks that it is the published one, and writes the safetensors file
that dtgan reads without PyTorch. Nothing is downloaded; PyTorch is needed for this step alone.
"""

import argparse
import hashlib
import pathlib
import re
import sys
from typing import NamedTuple

from dtgan.config import ConfigError
from dtgan.weights import published


class Signature(NamedTuple):
    """Signature of a network's state dict: first kernel, its shape, and the number of arrays."""

    kernel: str
    shape: tuple[int, ...]
    arrays: int


SIGNATURES = {
    "inception": Signature("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3), 472),
    "alex": Signature("features.0.weight", (64, 3, 11, 11), 10),
    "vgg": Signature("features.0.weight", (64, 3, 3, 3), 26),
    "squeeze": Signature("features.0.weight", (64, 3, 3, 3), 50),
    "resnet18": Signature("conv1.weight", (64, 3, 7, 7), 102),
    "resnet34": Signature("conv1.weight", (64, 3, 7, 7), 182),
    "resnet50": Signature("conv1.weight", (64, 3, 7, 7), 267),
    "densenet121": Signature("features.conv0.weight", (64, 3, 7, 7), 606),
}
WITHOUT_HEAD = ("alex", "vgg", "squeeze")  # LPIPS compares features
RENAMED = (
    (re.compile(r"^net\.slice\d+\."), "features."),  # state dicts of LPIPS itself
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),  # the published DenseNet
)


def select(state, network):
    """Select the entries {name: array} of a PyTorch state dict for `network`, with current names.

    Drops the batch counters and, for the backbones of LPIPS, all but `features.*`.
    Raises ConfigError where the entries are not those of `network`, a key of SIGNATURES.
    """
    kept = {}
    for name, array in state.items():
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        dropped = network in WITHOUT_HEAD and not name.startswith("features.")
        if not dropped and not name.endswith(".num_batches_tracked"):
            kept[name] = array
    kernel, shape, arrays = SIGNATURES[network]
    if kernel not in kept or kept[kernel].shape != shape or len(kept) != arrays:
        found = kept[kernel].shape if kernel in kept else "missing"
        raise ConfigError(
            f"the state dict is not that of {network}: {kernel} is {found} among {len(kept)} "
            f"arrays, needed is {shape} among {arrays}; give the --network of the file"
        )
    return kept


def checked_sha256(source, network, any_source=False):
    """Return the SHA-256 of the file `source`, which must be the published one unless any_source.

    Raises ConfigError for another file.
    """
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = published.PUBLISHED[network].sha256
    if not any_source and not found.startswith(expected):
        raise ConfigError(
            f"{source} has SHA-256 {found}, that of {network} begins with {expected}; get "
            f"{published.PUBLISHED[network].file}, or accept this file with --any_source"
        )
    return found


def load_pth(source):
    """Load {name: float32 array} from a PyTorch file that holds a state dict and nothing else.

    Raises ConfigError for any other file, and without PyTorch.
    """
    try:
        import torch
    except ImportError:
        raise ConfigError("PyTorch is not installed; pip install 'dtgan[torch]'") from None
    try:
        state = torch.load(source, weights_only=True, map_location="cpu")
        return {name: tensor.detach().float().numpy() for name, tensor in state.items()}
    except Exception as error:  # damaged and foreign files raise errors of any type
        raise ConfigError(
            f"{source} is damaged or holds more than a state dict ({type(error).__name__}); "
            "get it again"
        ) from None


def convert(network, source, out, any_source=False):
    """Write the weights of `network` from the .pth file `source` to the safetensors file `out`.

    any_source: accept a file that is not the published one; its SHA-256 is recorded.
    Returns (number of arrays, content digest). Raises ConfigError for a wrong or damaged file.
    """
    source = pathlib.Path(source)
    if not source.is_file():
        raise ConfigError(f"--source={source} is not a file; {published.how_to_get(network)}")
    sha256 = checked_sha256(source, network, any_source)
    state = select(load_pth(source), network)
    return len(state), published.write(
        out, state, network, source=source.name, source_sha256=sha256
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.exit(f"error: {message}; see --help")


def main(argv=None):
    """Convert a file as asked on the command line."""
    parser = _Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="published files:\n"
        + "\n".join(f"  {name:12} {known.file}" for name, known in published.PUBLISHED.items()),
        allow_abbrev=False,
    )
    parser.add_argument("--network", required=True, choices=published.PUBLISHED, metavar="NAME")
    parser.add_argument("--source", required=True, metavar="FILE", help="the published .pth file")
    parser.add_argument("--out", required=True, metavar="FILE", help="safetensors, overwritten")
    parser.add_argument(
        "--any_source", action="store_true", help="accept another file than the published one"
    )
    args = parser.parse_args(argv)
    try:
        arrays, digest = convert(args.network, args.source, args.out, args.any_source)
    except (ConfigError, OSError) as error:
        sys.exit(f"error: {error}")
    size = pathlib.Path(args.out).stat().st_size / 1e6
    print(f"{args.network}: {arrays} arrays, {size:.1f} MB, SHA-256 {digest} -> {args.out}")


if __name__ == "__main__":
    main()
