"""DenseNet (Huang et al. 2017, arXiv 1608.06993); topology, names, start values as torchvision."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dtgan.models.resnet import head, layers, max_pool

HE_FAN_IN = nn.initializers.he_normal()


class DenseLayer(nn.Module):
    """Append `growth` channels to x: norm, 1x1 to 4 growth channels, norm, 3x3."""

    conv: Callable
    norm: Callable
    growth: int

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm(name="norm1")(x))
        y = self.conv(4 * self.growth, (1, 1), padding=0, name="conv1")(y)
        y = nn.relu(self.norm(name="norm2")(y))
        y = self.conv(self.growth, (3, 3), padding=1, name="conv2")(y)
        return jnp.concatenate([x, y], axis=-1)


class DenseNet(nn.Module):
    """Float image [N, H, W, C] -> Outputs; C is 3 for published weights, else any.

    depths: layers of the four dense blocks. A stage ends after the norm and ReLU that follow its
    block, before the 1x1 convolution of the transition. `dtype` and `train` are as in ResNet.
    """

    stem = "features.conv0.weight"  # in a state dict, the kernel that sees the image

    depths: tuple[int, ...]
    num_classes: int
    growth: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        conv, norm = layers(train, self.dtype, HE_FAN_IN)
        x = conv(2 * self.growth, (7, 7), 2, padding=3, name="features.conv0")(x)
        x = max_pool(nn.relu(norm(name="features.norm0")(x)))
        stages = []
        for i, depth in enumerate(self.depths, start=1):
            if stages:
                name = f"features.transition{i - 1}.conv"
                x = conv(x.shape[-1] // 2, (1, 1), padding=0, name=name)(x)
                x = nn.avg_pool(x, (2, 2), (2, 2))
            for j in range(1, depth + 1):
                name = f"features.denseblock{i}.denselayer{j}"
                x = DenseLayer(conv, norm, self.growth, name=name)(x)
            last = i == len(self.depths)
            name = "features.norm5" if last else f"features.transition{i}.norm"
            x = nn.relu(norm(name=name)(x))
            stages.append(x)
        return head(stages, self.num_classes, "classifier")
