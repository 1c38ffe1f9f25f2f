"""Discriminators of whole images and of patches."""

import itertools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn.blocks import ResBlock, Trunk
from dtgan.nn.layers import EqualConv, EqualDense


class MultiTaskDiscriminator(nn.Module):
    """D: image [N, R, R, C] -> one real/fake logit per class, [N, num_classes] (choice 6).

    Only the logit of the image's own class enters the losses: see `select`.
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
    """Select the logit of each image's label: [N, K], int [N] -> [N]."""
    return jnp.take_along_axis(logits, label[:, None], axis=1)[:, 0]


class PatchDiscriminator(nn.Module):
    """Dpatch: does a crop share its texture with reference crops? (co-occurrence)

    Crops are [N, P, S, S, C] with S = R / 4; references come as [N, P * K, S, S, C].
    """

    ch: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, *crops):
        """Compute features [N, P_i, 12 ch] of sets of crops [N, P_i, S, S, C] in one pass."""
        x = jnp.concatenate(crops, axis=1)
        n, total, side = x.shape[:3]
        x = x.reshape(n * total, *x.shape[2:])
        multipliers = {64: (2, 4, 8, 12, 12), 32: (2, 4, 8, 12), 16: (2, 4, 8), 8: (2, 4)}[side]
        x = EqualConv(self.ch, 1, dtype=self.dtype, name="stem")(x)
        for i, m in enumerate(multipliers):
            x = ResBlock(m * self.ch, dtype=self.dtype, name=f"down{i}")(x)
        x = ResBlock(24 * self.ch, down=False, dtype=self.dtype, name="wide")(x)
        x = EqualConv(12 * self.ch, 2, dtype=self.dtype, name="out")(x)
        x = x.reshape(n, total, -1).astype(jnp.float32)
        bounds = [0]
        for c in crops:
            bounds.append(bounds[-1] + c.shape[1])
        return [x[:, a:b] for a, b in itertools.pairwise(bounds)]


class PairHead(nn.Module):
    """Dpatch's logits [N, P]: crop features [N, P, F] against the mean of K reference features."""

    ch: int

    @nn.compact
    def __call__(self, features, references):
        n, p, f = features.shape
        reference = jnp.mean(references.reshape(n, p, -1, f), axis=2)
        x = jnp.concatenate([features, reference], axis=-1)
        for i, width in enumerate((32, 32, 16)):
            x = EqualDense(width * self.ch, act=True, name=f"fc{i}")(x)
        return EqualDense(1, name="fc3")(x)[..., 0]
