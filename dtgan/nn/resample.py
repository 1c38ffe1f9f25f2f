"""FIR resampling with the taps [1, 3, 3, 1] / 8 along each axis, zeros outside; other taps below.

Written as shifts and adds over one padded array, which XLA fuses into one loop: a depthwise
convolution is about 20 times slower on CPU. On TPUs it is one: XLA makes two passes of the shifts,
one along each axis, with the array between them in memory. The operators are each other's adjoints,
and their gradients use that: automatic differentiation turns slices into pads before adds, which is
1.5 to 6 times slower. Figures: benchmarks/NOTES.md.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dtgan.nn.convolution import conv, conv_transpose
from dtgan.nn.platforms import by_platform


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def blur(x, pad, gain=1.0):
    """Blur [N, H, W, C] with pads (before, after): H -> H + before + after - 3; DC gain `gain`."""
    return _filter(x, pad, gain / 64.0)


@jax.custom_vjp
def downsample(x):
    """Blur and take every second pixel: [N, H, W, C] -> [N, H/2, W/2, C], unit gain."""
    return _filter(x, (1, 1), 1.0 / 64.0, down=2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def upsample(x, gain=4.0):
    """Insert zeros and blur: [N, H, W, C] -> [N, 2H, 2W, C]; gain 4 keeps the mean.

    Polyphase form: an even output is (x[i-1] + 3 x[i]) / 4, an odd one (3 x[i] + x[i+1]) / 4.
    """
    return _filter(x, (2, 2), gain / 64.0, up=2)


def _define(operator, adjoint):
    """Define the gradient of a linear operator as adjoint(g, *static arguments)."""
    operator.defvjp(
        lambda x, *static: (operator(x, *static), None),
        lambda *args: (adjoint(args[-1], *args[:-2]),),
    )


_define(blur, lambda g, pad, gain: blur(g, (3 - pad[0], 3 - pad[1]), gain))
_define(downsample, lambda g: upsample(g, 1.0))
_define(upsample, lambda g, gain: downsample(g) * gain)


def _filter(x, pad, gain, up=1, down=1):
    """Do what `depthwise` does, in the form that is fast on the backend; up = 2 pads (2, 2)."""

    def shifts(x):
        if up == 2:  # a border of one pixel, before zeros lie between them
            return _double(_double(_border(x, (1, 1)), 1), 2) * gain
        return _fir(_border(x, pad), down) * gain

    return by_platform(x, tpu=lambda x: depthwise(x, pad, gain, up, down), default=shifts)


def _border(x, pad):
    return jnp.pad(x, ((0, 0), pad, pad, (0, 0)))


def _fir(x, stride):
    """Filter x by [1, 3, 3, 1] along both axes, without padding: every stride-th output, times 64.

    The factor 64 = 8 x 8 is left to the caller.
    """
    for axis in (1, 2):
        size = (x.shape[axis] - 4) // stride + 1
        a, b, c, d = (
            jax.lax.slice_in_dim(x, k, k + stride * (size - 1) + 1, stride, axis) for k in range(4)
        )
        x = a + d + 3.0 * (b + c)
    return x


def depthwise(x, pad, gain, up=1, down=1):
    """Filter x [N, H, W, C] by [1, 3, 3, 1] along both axes, times `gain`, as one convolution.

    It inserts up - 1 zeros between pixels, pads by zeros (before, after) and keeps every down-th
    result.
    """
    kernel = np.tile(np.outer((1, 3, 3, 1), (1, 3, 3, 1))[..., None, None], x.shape[3]) * gain
    return jax.lax.conv_general_dilated(
        x,
        jnp.asarray(kernel, x.dtype),
        (down, down),
        (pad, pad),
        lhs_dilation=(up, up),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3],
        precision=jax.lax.Precision.HIGHEST,  # else float32 would be rounded to bfloat16
    )


def _double(x, axis):
    """Interpolate along an axis, times 4: n + 2 entries, a border on each side, -> 2 n."""
    n = x.shape[axis] - 2
    a, b, c = (jax.lax.slice_in_dim(x, k, k + n, axis=axis) for k in range(3))
    pair = jnp.stack([a + 3.0 * b, 3.0 * b + c], axis=axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])


def convolve(x, kernel, sampling=None):
    """Convolve x [N, H, W, I] with kernel [k, k, I, O], k odd, at the same, twice or half the size.

    sampling: None, "up" ([N, 2H, 2W, O], a transposed convolution blurred with gain 4, whose kernel
    lies turned by 180 degrees compared to PyTorch's) or "down" ([N, H/2, W/2, O], a convolution of
    stride 2 of the blurred x). Zeros outside.
    """
    if sampling is None:
        return conv(x, kernel, pad=kernel.shape[0] // 2)
    if kernel.shape[0] == 1:  # the pixels that a stride of 2 leaves out are not worth blurring
        return upsample(conv(x, kernel)) if sampling == "up" else conv(downsample(x), kernel)
    if sampling == "up":
        return blur(conv_transpose(x, kernel), (1, 1), gain=4.0)  # 2H + 1 -> 2H
    return conv(blur(x, (2, 2)), kernel, stride=2)


def fir_matrix(size, taps, up=1, down=1, pad=(0, 0)):
    """Return the matrix [out, size] that resamples `size` pixels by any filter.

    It inserts up - 1 zeros after every pixel, pads by zeros (before, after), or crops where
    negative, convolves with `taps` and keeps every down-th result (StyleGAN2's upfirdn).
    """
    taps = np.asarray(taps, np.float64)[::-1]
    out = (size * up + sum(pad) - len(taps)) // down + 1
    tap = np.arange(size) * up + pad[0] - np.arange(out)[:, None] * down
    inside = (tap >= 0) & (tap < len(taps))
    return np.where(inside, taps[np.clip(tap, 0, len(taps) - 1)], 0.0)


def upfirdn(x, rows, columns):
    """Resample x [N, H, W, C] by matrices of its rows [out, H] and columns [out, W]: `fir_matrix`.

    Products of matrices, in full precision: filters of any length at one cost, on every backend.
    """
    rows, columns = (jnp.asarray(matrix, x.dtype) for matrix in (rows, columns))
    exact = jax.lax.Precision.HIGHEST
    x = jnp.einsum("oh,nhwc->nowc", rows, x, precision=exact)
    return jnp.einsum("ow,nhwc->nhoc", columns, x, precision=exact)
