"""The three resizings in use for published FID numbers, each as a pair of matrix products.

    tf1    TensorFlow 1 bilinear: no half-pixel shift, no antialiasing (the original FID code)
    torch  bilinear with half-pixel centres, no antialiasing (pytorch-fid)
    clean  Pillow's bicubic with antialiasing on float channels, clipped to 0..255 (clean-fid)

All are separable and linear, so a resizing is one matrix per axis.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dtgan.config import ConfigError, nearest

MODES = ("tf1", "torch", "clean")


def resize(x, side, mode):
    """Resize float [N, H, W, C] in 0..255 to [N, side, side, C] by one of MODES."""
    rows, columns = matrix(x.shape[1], side, mode), matrix(x.shape[2], side, mode)
    # float32 products even where the hardware would round inputs to fewer bits.
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    x = product("nhwc,vw->nhvc", x, columns)
    x = product("nhvc,uh->nuvc", x, rows)
    return jnp.clip(x, 0.0, 255.0) if mode == "clean" else x


@functools.lru_cache(maxsize=32)
def matrix(size, side, mode):
    """Compute the float32 matrix [side, size] that resizes one axis.

    Raises ConfigError for an unknown mode.
    """
    if mode not in MODES:
        raise ConfigError(f"resize={mode!r} is not {', '.join(MODES)}{nearest(mode, MODES)}")
    if mode == "clean":
        identity = Image.fromarray(np.eye(size, dtype=np.float32))
        return np.asarray(identity.resize((size, side), Image.Resampling.BICUBIC), np.float32)
    position = np.arange(side, dtype=np.float32) * np.float32(size / side)  # TensorFlow's rounding
    if mode == "torch":
        position = np.maximum((np.arange(side) + 0.5) * (size / side) - 0.5, 0.0)
    low = np.minimum(np.floor(position).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    weight = position - low
    result = np.zeros((side, size))
    np.add.at(result, (np.arange(side), low), 1.0 - weight)
    np.add.at(result, (np.arange(side), high), weight)
    return result.astype(np.float32)
