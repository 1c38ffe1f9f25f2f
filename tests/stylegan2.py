"""The golden weights of StyleGAN2 and DFMGAN, between PyTorch's names and layouts and ours."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import goldens

EXACTLY = pytest.mark.parametrize("golden", ["float64"], indirect=True)

LAST = {"style/kernel": "affine.weight", "style/bias": "affine.bias", "noise": "noise_strength"}
LAST |= {"kernel": "weight", "bias": "bias"}
OF_D = {"stem": "b{}.fromrgb", "last": "b4.conv", "fc": "b4.fc", "out": "b4.out"}


def name_of(path, res):
    """PyTorch's name of the parameter at a path, "synthesis/b8/conv0/kernel"."""
    if path == "synthesis/const":
        return "synthesis.b4.const"
    last = next(end for end in LAST if path.endswith("/" + end))
    layer = path.removesuffix("/" + last)
    if layer in OF_D:
        layer = OF_D[layer].format(res)
    elif match := re.fullmatch(r"(b\d+)/(conv|skip)(\d?)", layer):  # of D, counted from 1
        layer = f"{match[1]}.{match[2]}" + (str(int(match[3]) - 1) if match[3] else "")
    else:
        layer = re.sub(r"rgb(\d+)$", r"b\1.torgb", layer)
        layer = re.sub(r"^res(\d+)", r"synthesis/res_b\1", layer)
        layer = layer.replace("to_mask", "synthesis/res_b16/torgb")
    return f"{layer.replace('/', '.')}.{LAST[last]}"


def theirs(path, x):
    """Turn a parameter, or its gradient, to PyTorch's layout."""
    x = np.asarray(x)
    if path == "fc/kernel":
        return x.reshape(4, 4, -1, x.shape[1]).transpose(3, 2, 0, 1).reshape(x.shape[1], -1)
    if path == "synthesis/const":
        return x[0].transpose(2, 0, 1)
    if x.ndim == 4:
        x = x[::-1, ::-1] if _turned(path) else x
        return x.transpose(3, 2, 0, 1)
    return x.T


def _turned(path):
    return path.endswith("conv0/kernel")  # in D the first convolution is conv1


def _ours(path, x, shape):
    """Undo `theirs`."""
    if path == "fc/kernel":
        return x.reshape(len(x), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(x))
    if path == "synthesis/const":
        return x.transpose(1, 2, 0)[None]
    if x.ndim == 4:
        x = x.transpose(2, 3, 1, 0)
        return x[::-1, ::-1] if _turned(path) else x
    return x.T


def _value(key, shape):
    value = goldens.drawn(key, shape)
    slow = np.float32(100) if "mapping." in key else np.float32(1)
    if key.endswith("affine.bias"):
        return np.float32(1) + np.float32(0.1) * value
    if key.endswith("noise_strength"):
        return np.float32(0.1) * value
    if key.endswith("bias"):
        return (np.float32(10) if "mapping." in key else np.float32(0.1)) * value
    return slow * value


def filled(shapes, tag, res, dtype):
    """A tree of parameters with the golden weights of the net `tag` at `res` pixels."""
    flat = {}
    for path, leaf in goldens.flatten(shapes).items():
        shape = theirs(path, np.zeros(leaf.shape)).shape
        value = _value(f"{tag}/{name_of(path, res)}", shape)
        flat[path] = jnp.asarray(_ours(path, value, leaf.shape).copy(), dtype)
        assert flat[path].shape == leaf.shape
    return goldens.tree(flat)


def named(gradients, res):
    """{PyTorch's name: gradient in its layout} of a tree of gradients."""
    flat = goldens.flatten(gradients)
    return {name_of(path, res): theirs(path, x) for path, x in flat.items()}


def noise(tag, sides, dtype, prefix="b"):
    """The constant noise maps [1, H, W, 1] of the blocks of these sides."""
    return [
        tuple(
            jnp.asarray(
                goldens.drawn(f"{tag}/synthesis.{prefix}{side}.{conv}.noise_const", (side, side)),
                dtype,
            )[None, :, :, None]
            for conv in (["conv1"] if side == 4 else ["conv0", "conv1"])
        )
        for side in sides
    ]


def images(key, shape, size, dtype):
    """size N(key, [N, C, H, W]) as [N, H, W, C]."""
    x = np.float32(size) * goldens.drawn(key, shape)
    return jnp.asarray(x.transpose(0, 2, 3, 1), dtype)


def in_both_precisions(make):
    """A fixture of make(precision), in float32 and, where all is float64, in that."""

    @pytest.fixture(params=["float32", "float64"], scope="module")
    def golden(request):
        with jax.enable_x64(request.param == "float64"):
            yield make(request.param)

    return golden


def check_norms(gradients, res, stored, step, names, tolerance):
    """Compare the norms of a tree of gradients with those of a step -> `named` gradients."""
    flat = named(gradients, res)
    norms = [np.linalg.norm(flat[name]) for name in names]
    goldens.assert_golden(norms, stored, f"{step}.gradnorm", tolerance)
    return flat
