"""ResNet (He et al. 2016, arXiv 1512.03385), and the parts common to torchvision's classifiers.

Topology, layer names and start values are torchvision's, so `published.to_variables` reads its
state dicts; only dense biases start at 0. The stride of a bottleneck sits in the 3x3 convolution
("v1.5"), and padding is symmetric.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn import layers as layers_lib
from dtgan.nn.norm import BatchNorm

HE_FAN_OUT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's start of a dense kernel.
DENSE_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Outputs(NamedTuple):
    """Outputs of a classifier; under jit XLA drops those that the caller does not use.

    logits: float32 [N, num_classes].
    pooled: float32 [N, F], the spatial mean of the last stage.
    stages: four maps [N, H/s, W/s, C] of strides s = 4, 8, 16, 32, each after its ReLU.
    """

    logits: Any
    pooled: Any
    stages: tuple


def layers(train, dtype, kernel_init):
    """Return (conv, norm), constructors of a network's bias-free convolutions and BatchNorms."""
    conv = functools.partial(
        nn.Conv,
        use_bias=False,
        kernel_init=kernel_init,
        dtype=dtype,
        conv_general_dilated=_conv,
    )
    return conv, functools.partial(BatchNorm, train, dtype)


def _conv(x, kernel, strides, padding, **_):
    """Adapt dtgan.nn.layers.conv to Flax; stride and padding are the same on every side.

    Small images end in 2x2 maps, which it convolves 100 times faster on CPU than Flax's own.
    """
    return layers_lib.conv(x, kernel, strides[0], padding[0][0])


def max_pool(x):
    """Pool by 3x3 maxima of stride 2, with one pixel of -inf on each side.

    As maxima of shifted maps: the gradient of a window reduction takes 7 times as long on CPU.
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    x = functools.reduce(jnp.maximum, (x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2]))
    return functools.reduce(jnp.maximum, (x[:, :, :-2:2], x[:, :, 1:-1:2], x[:, :, 2::2]))


def head(stages, num_classes, name):
    """Make Outputs from the stages: spatial mean, then a dense layer `name`, both in float32."""
    pooled = jnp.mean(stages[-1], axis=(1, 2), dtype=jnp.float32)
    logits = nn.Dense(num_classes, kernel_init=DENSE_INIT, name=name)(pooled)
    return Outputs(logits, pooled, tuple(stages))


class Block(nn.Module):
    """ReLU(x + f(x)): f is two 3x3 convolutions, or 1x1, 3x3, 1x1 to 4 `width` channels."""

    conv: Callable
    norm: Callable
    width: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x):
        w, s = self.width, self.stride
        plan = [(w, 1, 1), (w, 3, s), (4 * w, 1, 1)] if self.bottleneck else [(w, 3, s), (w, 3, 1)]
        y = x
        for i, (features, k, stride) in enumerate(plan, start=1):
            y = self.conv(features, (k, k), stride, padding=k // 2, name=f"conv{i}")(y)
            y = self.norm(name=f"bn{i}")(y)
            if i < len(plan):
                y = nn.relu(y)
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], (1, 1), s, padding=0, name="downsample.0")(x)
            x = self.norm(name="downsample.1")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Float image [N, H, W, C] -> Outputs; C is 3 for published weights, else any.

    depths: blocks of layer1 to layer4; width: channels of the stem, 64 in torchvision. `dtype` is
    the compute type; parameters, pooling and logits are float32. With train=True,
    BatchNorm uses the batch and updates "batch_stats".
    """

    stem = "conv1.weight"  # in a state dict, the kernel that sees the image

    depths: tuple[int, ...]
    bottleneck: bool
    num_classes: int
    dtype: Any = jnp.float32
    width: int = 64

    @nn.compact
    def __call__(self, x, train=False):
        conv, norm = layers(train, self.dtype, HE_FAN_OUT)
        x = conv(self.width, (7, 7), 2, padding=3, name="conv1")(x)
        x = max_pool(nn.relu(norm(name="bn1")(x)))
        stages = []
        for i, depth in enumerate(self.depths, start=1):
            for j in range(depth):
                stride = 2 if i > 1 and j == 0 else 1
                width, name = self.width << (i - 1), f"layer{i}.{j}"
                x = Block(conv, norm, width, stride, self.bottleneck, name=name)(x)
            stages.append(x)
        return head(stages, self.num_classes, "fc")
