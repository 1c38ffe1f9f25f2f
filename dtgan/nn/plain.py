"""Plain convolutions of StarGAN, CycleGAN and StackGAN++, with their initial values.

All tensors are NHWC, kernels HWIO. `dtype` is the compute type; parameters are float32.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.convolution import conv, conv_double, conv_transpose
from dtgan.nn.layers import add_bias


def uniform(fan_in):
    """Make PyTorch's default (kernel, bias) initialisers: U(-b, b), b = 1 / sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fan_in)

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw, draw


def normal(fan_in):
    """Make the (kernel, bias) initialisers of CycleGAN, whatever fan_in is: N(0, 0.02), and 0."""
    del fan_in
    return nn.initializers.normal(0.02), nn.initializers.zeros


def orthogonal(fan_in):
    """Make the (kernel, bias) initialisers of StackGAN++: orthogonal, and 0."""
    del fan_in
    return nn.initializers.orthogonal(), nn.initializers.zeros


class Conv(nn.Module):
    """Convolution [N, H, W, I] -> [N, H', W', features]."""

    features: int
    kernel: int = 3
    stride: int = 1
    pad: int = 0  # zeros on each side; pad x itself for anything else
    bias: bool = True
    init: Callable = uniform  # fan_in -> initialisers of kernel and bias
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        of_kernel, of_bias = self.init(math.prod(shape[:3]))
        kernel = self.param("kernel", of_kernel, shape).astype(self.dtype)
        x = conv(x.astype(self.dtype), kernel, self.stride, self.pad)
        return add_bias(x, self.param("bias", of_bias, (self.features,))) if self.bias else x


class ConvUp(nn.Module):
    """Transposed convolution of stride 2: [N, H, W, I] -> [N, 2H, 2W, features].

    Kernel 4 as in StarGAN (PyTorch: padding 1), or 3 as in CycleGAN (padding and output padding 1;
    the kernel lies here turned by 180 degrees).
    """

    features: int
    kernel: int = 4
    bias: bool = False
    init: Callable = uniform
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        # PyTorch takes the output's channels of a transposed convolution for those of its input.
        of_kernel, of_bias = self.init(self.kernel**2 * self.features)
        kernel = self.param("kernel", of_kernel, shape).astype(self.dtype)
        x = x.astype(self.dtype)
        x = conv_double(x, kernel) if self.kernel == 4 else conv_transpose(x, kernel)[:, 1:, 1:]
        return add_bias(x, self.param("bias", of_bias, (self.features,))) if self.bias else x
