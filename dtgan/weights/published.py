"""Published weights: safetensors files with PyTorch's state-dict names, checked by SHA-256.

Flax modules that carry published weights are named like the layers of the state dict ("layer1.0",
"conv1"), so that one rule maps all of them: kernel and scale are `weight`, mean and var are
`running_mean` and `running_var`, kernels HWIO are stored OIHW. Files come from
`python -m dtgan.weights.convert`; nothing is ever downloaded.
"""

import hashlib
import json
import pathlib
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dtgan.config import ConfigError
from dtgan.files import write_atomic


class Published(NamedTuple):
    """A file that users download themselves, known by its SHA-256 or the first digits of it."""

    file: str
    sha256: str


# The names are torch.hub's: the digits before .pth begin the file's SHA-256.
PUBLISHED = {
    "inception": Published(
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    "alex": Published("alexnet-owt-7be5be79.pth", "7be5be79"),
    "vgg": Published("vgg16-397923af.pth", "397923af"),
    "squeeze": Published("squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
    "resnet18": Published("resnet18-f37072fd.pth", "f37072fd"),
    "resnet34": Published("resnet34-b627a593.pth", "b627a593"),
    "resnet50": Published("resnet50-11ad3fa6.pth", "11ad3fa6"),
    "densenet121": Published("densenet121-a639ec97.pth", "a639ec97"),
}


def read(path, network, sha256=""):
    """Read a safetensors file for `network`: (state {name: array}, content digest).

    network: a key of PUBLISHED, whose source the file must then name, or another name.
    sha256: accept only this content digest, and with it a file of any source.
    Raises ConfigError for a missing, damaged or other file, naming the file that is needed.
    """
    from safetensors import SafetensorError, safe_open

    if not str(path):
        raise ConfigError(f"a file with the weights of {network} is needed; {how_to_get(network)}")
    path = pathlib.Path(path)
    if not path.is_file():
        raise ConfigError(f"weights {path} do not exist; {how_to_get(network)}")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"weights {path} are no safetensors file ({error}); {how_to_get(network)}"
        ) from None
    found = digest(state)
    if metadata.get("sha256") != found:
        raise ConfigError(
            f"weights {path} are damaged: their content has SHA-256 {found}, the file says "
            f"{metadata.get('sha256', 'nothing')}; {how_to_get(network)}"
        )
    if sha256 and found != sha256:
        raise ConfigError(f"weights {path} have SHA-256 {found}, asked for was {sha256}")
    if metadata.get("network") != network:
        raise ConfigError(
            f"weights {path} are of network {metadata.get('network')!r}, needed is {network!r}"
        )
    if network in PUBLISHED and not sha256:
        source = metadata.get("source_sha256", "")
        if not source.startswith(PUBLISHED[network].sha256):
            raise ConfigError(
                f"weights {path} were made from a file with SHA-256 {source or 'unknown'}, the "
                f"published one begins with {PUBLISHED[network].sha256}; {how_to_get(network)}"
            )
    return state, found


def metadata(path):
    """Read the metadata {name: text} of a safetensors file. Raises ConfigError for no file."""
    from safetensors import SafetensorError, safe_open

    if not pathlib.Path(path).is_file():
        raise ConfigError(f"weights {path} do not exist")
    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path} is no safetensors file ({error})") from None


def write(path, state, network, **metadata):
    """Write {name: array} as safetensors with its digest; returns the digest. Atomic.

    metadata: further strings to record. Raises OSError where `path` cannot be written.
    """
    from safetensors.numpy import save

    # safetensors writes wrong data for arrays that are not contiguous, without a word.
    state = {name: np.asarray(array, order="C") for name, array in state.items()}
    found = digest(state)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save(state, metadata={"network": network, "sha256": found, **metadata})
    write_atomic(path, _in_order(content))
    return found


def _in_order(content):
    """Sort the metadata of a safetensors file, which its library writes in an order of chance."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # what follows is aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def digest(state):
    """Compute the SHA-256 over names, shapes, types and bytes of {name: array}."""
    total = hashlib.sha256()
    for name in sorted(state):
        array = np.asarray(state[name])
        total.update(f"{name} {array.shape} {array.dtype} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def how_to_get(network):
    """Return instructions for a user who lacks the weights of a network."""
    if network not in PUBLISHED:
        return "see --help for where they come from"
    known = PUBLISHED[network]
    rest = "..." if len(known.sha256) < 64 else ""
    return (
        f"nothing is downloaded: get {known.file} (SHA-256 {known.sha256}{rest}), run "
        f"python -m dtgan.weights.convert --network={network} --source={known.file} "
        f"--out={network}.safetensors and give that file"
    )


def to_variables(state, abstract):
    """Make Flax variables {"params", "batch_stats"} shaped like `abstract` from a state dict.

    abstract: a tree of shapes, from jax.eval_shape(module.init, ...). Entries of `state` that the
    module lacks (heads, counters) are left out. Raises ConfigError for a missing or misshaped one.
    """
    variables = {}
    for path, leaf in flatten_dict(abstract).items():
        name = torch_name(path)
        if name not in state:
            raise ConfigError(f"the weights lack {name!r}; they are of another network")
        array = _transpose(np.asarray(state[name], np.float32), (2, 3, 1, 0))
        if array.shape != leaf.shape:
            raise ConfigError(
                f"the weights hold {name!r} of shape {array.shape}, needed is {leaf.shape}"
            )
        variables[path] = array
    return unflatten_dict(variables)


def from_variables(variables):
    """Make a state dict {name: float32 array} of Flax variables; the inverse of `to_variables`."""
    return {
        torch_name(path): _transpose(np.asarray(jax.device_get(leaf)), (3, 2, 0, 1))
        for path, leaf in flatten_dict(variables).items()
    }


_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def torch_name(path):
    """Return torch's name: ("params", "layer1.0", "conv1", "kernel") -> "layer1.0.conv1.weight"."""
    *modules, leaf = path[1:]
    return ".".join([*modules, _LEAVES.get(leaf, leaf)])


def _transpose(array, axes):
    return {4: lambda: array.transpose(axes), 2: lambda: array.T}.get(array.ndim, lambda: array)()
