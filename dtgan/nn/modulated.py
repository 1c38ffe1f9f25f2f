"""Modulated convolution of StyleGAN2 (Karras et al. 2020), without grouped convolutions.

The style scales the input channels, one shared kernel convolves, the demodulation scales the output
channels: equal to a kernel of its own for every sample, at the price of one convolution.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.layers import EqualDense, bias_act, full, normal_init, scale
from dtgan.nn.resample import convolve


def modulated_conv(x, kernel, style, sampling=None, demodulate=True):
    """Convolve x [N, H, W, I] with kernel * style, a kernel per sample.

    kernel [h, w, I, O], style [N, I], both float32; sampling: as in `resample.convolve`.
    Demodulation gives every output of every sample a kernel of norm 1.
    """
    y = convolve(scale(x, style), kernel.astype(x.dtype), sampling)
    if demodulate:
        norm = jnp.square(style) @ jnp.sum(jnp.square(kernel), axis=(0, 1))
        y = scale(y, jax.lax.rsqrt(norm + 1e-8))
    return y


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    x [N, H, W, I], w [N, W], noise [N or 1, H', W', 1] of N(0, 1) or None
    -> [N, H', W', features].
    """

    features: int
    up: bool = False
    noisy: bool = True  # has a learned strength of noise
    equalised: bool = True  # the kernel is divided by sqrt(fan_in), which demodulation undoes
    clamp: float | None = None  # bound of what comes out
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, w, noise=None):
        in_ch, w = x.shape[-1], full(w)
        style = EqualDense(in_ch, bias_init=1.0, dtype=w.dtype, name="style")(w)
        kernel = self.param("kernel", normal_init, (3, 3, in_ch, self.features))
        kernel = kernel / math.sqrt(9 * in_ch) if self.equalised else kernel
        x = modulated_conv(x.astype(self.dtype), kernel, style, "up" if self.up else None)
        if self.noisy:
            strength = self.param("noise", nn.initializers.zeros, ())
            if noise is not None:
                x = x + (strength * noise).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return bias_act(x, bias, clamp=self.clamp)


class ToImage(nn.Module):
    """Read `features` numbers a pixel off x [N, H, W, I] as w [N, W] says, linearly; float32.

    A modulated 1x1 convolution without demodulation, whose style is divided by sqrt(I).
    """

    features: int
    clamp: float | None = None
    bias_init: float = 0.0

    @nn.compact
    def __call__(self, x, w):
        in_ch, x, w = x.shape[-1], full(x), full(w)
        style = EqualDense(in_ch, bias_init=1.0, dtype=w.dtype, name="style")(w)
        kernel = self.param("kernel", normal_init, (1, 1, in_ch, self.features))
        x = modulated_conv(x, kernel, style / math.sqrt(in_ch), demodulate=False)
        bias = self.param("bias", nn.initializers.constant(self.bias_init), (self.features,))
        return bias_act(x, bias, act=False, clamp=self.clamp)
