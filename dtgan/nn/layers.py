"""Equalised-learning-rate convolution and dense layers, leaky ReLU (Karras et al. 2018, 2020).

A parameter is drawn from N(0, 1) and used as w / sqrt(fan_in): all layers learn at one rate.
All tensors are NHWC, kernels HWIO. `dtype` is the compute type; parameters are float32.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

SQRT2 = math.sqrt(2.0)
normal_init = nn.initializers.normal(1.0)


def lrelu(x):
    """Leaky ReLU with slope 0.2 and gain sqrt(2), applied after the bias."""
    return nn.leaky_relu(x, 0.2) * SQRT2


def add_bias(x, bias):
    """x [..., C] + bias [C], in x's type."""
    return x + bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def conv(x, kernel, stride=1, pad=0):
    """Convolve x [N, H, W, I], zero-padded by `pad` on each side, with kernel [h, w, I, O]."""
    k, size = kernel.shape[0], (x.shape[1] + 2 * pad - kernel.shape[0]) // stride + 1
    if k > 1 and size <= 2:
        # Few output pixels: one product of matrices, 10 times faster to differentiate on CPU.
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        span = stride * (size - 1) + 1
        taps = [
            x[:, i : i + span : stride, j : j + span : stride] for i in range(k) for j in range(k)
        ]
        return jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
    if k == 1 and stride == 1 and not pad:
        # A product of matrices, with its gradients 1.5 times faster on CPU.
        return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], -1)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def conv_transpose(x, kernel):
    """Transposed 3x3 convolution of stride 2: x [N, H, W, I], kernel [3, 3, I, O] -> 2H + 1.

    Along an axis an even output is w[0] x[i-1] + w[2] x[i], an odd one w[1] x[i]. Written as one
    product of matrices and shifted adds: the weight gradient of a dilated convolution takes XLA:CPU
    10 to 20 times longer.
    """
    n, h, w, i = x.shape
    o = kernel.shape[-1]
    taps = x.reshape(-1, i) @ kernel.transpose(2, 0, 1, 3).reshape(i, 9 * o)
    taps = taps.reshape(n, h, w, 3, 3, o)
    rows = _interleave_taps(taps, axis=1, tap_axis=3)  # [N, 2H + 1, W, 3, O]
    return _interleave_taps(rows, axis=2, tap_axis=3)


def _interleave_taps(taps, axis, tap_axis):
    """Sum the 3 products of every pixel along `axis` where a stride-2 kernel puts them."""
    first, middle, last = (
        jax.lax.index_in_dim(taps, k, tap_axis, keepdims=False) for k in range(3)
    )

    def shift(x, widths):
        return jnp.pad(x, [widths if a == axis else (0, 0) for a in range(x.ndim)])

    even = shift(first, (1, 0)) + shift(last, (0, 1))
    odd = shift(middle, (0, 1))
    n = even.shape[axis]
    both = jnp.stack([even, odd], axis + 1)
    both = both.reshape(*even.shape[:axis], 2 * n, *even.shape[axis + 1 :])
    return jax.lax.slice_in_dim(both, 0, 2 * n - 1, axis=axis)


class EqualConv(nn.Module):
    """Equalised convolution [N, H, W, I] -> [N, H', W', features]."""

    features: int
    kernel: int = 3
    stride: int = 1
    pad: int = 0  # zeros on each side; pad x itself for anything else
    bias: bool = True
    act: bool = True  # leaky ReLU after the bias
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        scale = 1.0 / math.sqrt(math.prod(shape[:3]))
        kernel = self.param("kernel", normal_init, shape) * scale
        x = conv(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.pad)
        if self.bias:
            x = add_bias(x, self.param("bias", nn.initializers.zeros, (self.features,)))
        return lrelu(x) if self.act else x


class EqualDense(nn.Module):
    """Equalised dense layer [..., I] -> [..., features]."""

    features: int
    bias_init: float = 0.0
    act: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", normal_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias_init), (self.features,))
        kernel = kernel * (1.0 / math.sqrt(x.shape[-1]))
        x = add_bias(x.astype(self.dtype) @ kernel.astype(self.dtype), bias)
        return lrelu(x) if self.act else x
