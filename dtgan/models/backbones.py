"""Classifiers by name, and how images and published weights reach them."""

import functools

import jax.numpy as jnp
import numpy as np

from dtgan.config import ConfigError
from dtgan.models.densenet import DenseNet
from dtgan.models.resnet import ResNet

RESNET18 = functools.partial(ResNet, (2, 2, 2, 2), bottleneck=False)
BACKBONES = {
    "resnet18": RESNET18,
    "resnet34": functools.partial(ResNet, (3, 4, 6, 3), bottleneck=False),
    "resnet50": functools.partial(ResNet, (3, 4, 6, 3), bottleneck=True),
    "densenet121": functools.partial(DenseNet, (6, 12, 24, 16)),
    "resnet18w32": functools.partial(RESNET18, width=32),  # a quarter of the arithmetic
    "resnet18w16": functools.partial(RESNET18, width=16),
}
# Of ImageNet's training images in [0, 1], R G B; the published weights expect them.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def make(name, num_classes, dtype=jnp.float32):
    """Build the Flax module `name`, a key of BACKBONES; module(x [N, H, W, C], train) -> Outputs.

    dtype: compute type; parameters stay float32. Raises ConfigError for an unknown name.
    """
    if name not in BACKBONES:
        raise ConfigError(f"backbone {name!r} does not exist; take one of {', '.join(BACKBONES)}")
    return BACKBONES[name](num_classes=num_classes, dtype=dtype)


def normalise(images):
    """Normalise uint8 [N, H, W, C] by ImageNet's mean and standard deviation: float32 [N, H, W, 3].

    Grey images (C = 1) become three equal channels first: the means and deviations differ by
    channel and convolutions pad with 0 after them, so no one-channel kernel does quite the same.
    """
    x = jnp.broadcast_to(images, (*images.shape[:-1], 3)).astype(jnp.float32) / 255.0
    return (x - MEAN.reshape(1, 1, 1, 3)) / STD.reshape(1, 1, 1, 3)


def grey_stem(state, stem):
    """Make a state dict fit one channel: the kernel `stem` [O, 3, h, w] is summed to [O, 1, h, w].

    stem: `make(...).stem`. On x [N, H, W, 1] the network then computes what it did on three
    channels equal to x. Not for the output of `normalise`, whose channels differ.
    """
    return state | {stem: state[stem].sum(axis=1, keepdims=True)}
