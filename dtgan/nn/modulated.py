"""Modulated convolution of StyleGAN2 (Karras et al. 2020), without grouped convolutions.

The style scales the input channels, one shared kernel convolves, the demodulation scales the output
channels: equal to a kernel of its own for every sample, at the price of one convolution.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dtgan.nn.convolution import conv, conv_transpose
from dtgan.nn.layers import EqualDense, add_bias, lrelu, normal_init, scale
from dtgan.nn.resample import blur


def modulated_conv(x, kernel, style, up=False, demodulate=True):
    """Convolve x [N, H, W, I] with kernel * style, a kernel per sample.

    kernel [h, w, I, O] already scaled by 1/sqrt(fan_in), style [N, I]. `up` doubles H and W by a
    transposed convolution followed by a blur of gain 4.
    """
    y = scale(x, style)
    if up:
        y = blur(conv_transpose(y, kernel.astype(x.dtype)), (1, 1), gain=4.0)  # 2H + 1 -> 2H
    else:
        y = conv(y, kernel.astype(x.dtype), pad=kernel.shape[0] // 2)
    if demodulate:
        norm = jnp.square(style) @ jnp.sum(jnp.square(kernel), axis=(0, 1))
        y = scale(y, jax.lax.rsqrt(norm + 1e-8))
    return y


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    x [N, H, W, I], z_t [N, Z], noise [N, H', W', 1] of N(0, 1) or None -> [N, H', W', features].
    `noisy`: whether the layer has a learned strength of noise.
    """

    features: int
    up: bool = False
    noisy: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, z_t, noise=None):
        in_ch = x.shape[-1]
        style = EqualDense(in_ch, bias_init=1.0, name="style")(z_t.astype(jnp.float32))
        kernel = self.param("kernel", normal_init, (3, 3, in_ch, self.features))
        kernel = kernel / math.sqrt(9 * in_ch)
        x = modulated_conv(x.astype(self.dtype), kernel, style, self.up)
        if self.noisy:
            strength = self.param("noise", nn.initializers.zeros, ())
            if noise is not None:
                x = x + (strength * noise).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return lrelu(add_bias(x, bias))
