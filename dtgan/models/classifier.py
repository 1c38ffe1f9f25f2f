"""The classifier C that DT-GAN trains beside itself on real images (docs/dtgan.md, choice 8)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.nn.blocks import Trunk
from dtgan.nn.layers import EqualDense


class Classifier(nn.Module):
    """C: image [N, R, R, C] -> class logits [N, num_classes]; D's trunk at half its width."""

    num_classes: int
    base: int
    cap: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = Trunk(self.base // 2, self.cap // 2, self.dtype, name="trunk")(x)
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return EqualDense(self.num_classes, name="fc")(x)
