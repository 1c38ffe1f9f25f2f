"""Discriminators of whole images."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn.blocks import Trunk
from dtgan.nn.layers import EqualDense


class MultiTaskDiscriminator(nn.Module):
    """D: image [N, R, R, C] -> one real/fake logit per class, [N, num_classes] (choice 6).

    The logit of an image's own class is the one that counts: see `select`.
    """

    num_classes: int
    base: int
    cap: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = Trunk(self.base, self.cap, self.dtype, name="trunk")(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        x = EqualDense(min(self.base // 4, self.cap), act=True, name="fc0")(x)
        return EqualDense(self.num_classes, name="fc1")(x)


def select(logits, label):
    """The logit of each image's label: [N, K], int [N] -> [N]."""
    return jnp.take_along_axis(logits, label[:, None], axis=1)[:, 0]
