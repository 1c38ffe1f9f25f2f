"""The Inception-v3 of FID (the graph of 2015-12-05) in Flax, for inference.

It differs from the ImageNet classifiers of today: average pooling leaves padding out, and the last
block pools by maximum. Batch normalisation is folded into the convolutions when weights are loaded.
Szegedy et al., Rethinking the Inception Architecture, CVPR 2016; Heusel et al., GANs Trained by a
Two Time-Scale Update Rule, NeurIPS 2017.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dtgan.metrics.features import Extractor
from dtgan.metrics.resize import resize
from dtgan.weights import published

SIDE = 299
BN_EPSILON = 1e-3


class Pointwise(nn.Module):
    """Kernel [I, features] and bias of a 1x1 convolution of an input with I channels."""

    features: int

    @nn.compact
    def __call__(self, channels):
        shape = (1, 1, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return kernel[0, 0], self.param("bias", nn.initializers.zeros, (self.features,))


class Stem(nn.Module):
    """Unpadded 3x3 convolution of stride 2 of an image [N, H, W, 3] with odd sides.

    Computed as a 2x2 convolution of the 2x2 cells of the image (12 channels): with three channels
    the units of CPU and TPU stay idle. 2.5 times faster on CPU.
    """

    features: int

    @nn.compact
    def __call__(self, x):
        n, h, w, c = x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        cells = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        cells = cells.reshape(n, h // 2 + 1, 2, w // 2 + 1, 2, c).transpose(0, 1, 3, 2, 4, 5)
        taps = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
        taps = taps.reshape(2, 2, 2, 2, c, -1).transpose(0, 2, 1, 3, 4, 5)
        y = jax.lax.conv_general_dilated(
            cells.reshape(*cells.shape[:3], 4 * c),
            taps.reshape(2, 2, 4 * c, -1),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + bias.reshape(1, 1, 1, -1)


class Block(nn.Module):
    """Base class of the Inception blocks: layers that a subclass combines to branches."""

    def conv(self, x, name, features, kernel, stride=1, same=True):
        """Apply convolution, bias, ReLU; `same`: zero-padded to the same size, else unpadded."""
        pad = [((k - 1) // 2,) * 2 if same else (0, 0) for k in kernel]
        layer = nn.Conv(features, kernel, (stride, stride), pad, name=f"{name}.conv")
        return nn.relu(layer(x))

    def pointwise(self, x, **branches):
        """Apply the 1x1 convolutions {branch: features} of one input as one matrix product.

        Returns a list of outputs, before their ReLU: the average pooling of a branch may come
        first, see `pooled`.
        """
        parts = [Pointwise(n, name=f"{b}.conv")(x.shape[-1]) for b, n in branches.items()]
        kernel = jnp.concatenate([kernel for kernel, _ in parts], axis=1)
        bias = jnp.concatenate([bias for _, bias in parts]).reshape(1, 1, 1, -1)
        ends = np.cumsum(list(branches.values()))[:-1]
        return jnp.split(x @ kernel + bias, ends, axis=-1)

    def pooled(self, x):
        """Pool by averages, then apply ReLU, after the branch's 1x1 convolution.

        The graph has the pooling first; the two commute, and there are fewer channels to average
        after the convolution.
        """
        return nn.relu(average(x))


class InceptionA(Block):
    """Mixed_5b, 5c, 5d: 35x35."""

    pool: int

    @nn.compact
    def __call__(self, x):
        one, five, three, pool = self.pointwise(
            x, branch1x1=64, branch5x5_1=48, branch3x3dbl_1=64, branch_pool=self.pool
        )
        five = self.conv(nn.relu(five), "branch5x5_2", 64, (5, 5))
        three = self.conv(nn.relu(three), "branch3x3dbl_2", 96, (3, 3))
        three = self.conv(three, "branch3x3dbl_3", 96, (3, 3))
        return jnp.concatenate([nn.relu(one), five, three, self.pooled(pool)], axis=-1)


class ReductionA(Block):
    """Mixed_6a: 35x35 -> 17x17."""

    @nn.compact
    def __call__(self, x):
        three = self.conv(x, "branch3x3", 384, (3, 3), 2, same=False)
        (double,) = self.pointwise(x, branch3x3dbl_1=64)
        double = self.conv(nn.relu(double), "branch3x3dbl_2", 96, (3, 3))
        double = self.conv(double, "branch3x3dbl_3", 96, (3, 3), 2, same=False)
        return jnp.concatenate([three, double, maximum(x, 2)], axis=-1)


class InceptionB(Block):
    """Mixed_6b to 6e: 17x17, 7x7 convolutions in two steps."""

    width: int

    @nn.compact
    def __call__(self, x):
        c = self.width
        one, seven, double, pool = self.pointwise(
            x, branch1x1=192, branch7x7_1=c, branch7x7dbl_1=c, branch_pool=192
        )
        seven = self.conv(nn.relu(seven), "branch7x7_2", c, (1, 7))
        seven = self.conv(seven, "branch7x7_3", 192, (7, 1))
        double = self.conv(nn.relu(double), "branch7x7dbl_2", c, (7, 1))
        double = self.conv(double, "branch7x7dbl_3", c, (1, 7))
        double = self.conv(double, "branch7x7dbl_4", c, (7, 1))
        double = self.conv(double, "branch7x7dbl_5", 192, (1, 7))
        return jnp.concatenate([nn.relu(one), seven, double, self.pooled(pool)], axis=-1)


class ReductionB(Block):
    """Mixed_7a: 17x17 -> 8x8."""

    @nn.compact
    def __call__(self, x):
        three, seven = self.pointwise(x, branch3x3_1=192, branch7x7x3_1=192)
        three = self.conv(nn.relu(three), "branch3x3_2", 320, (3, 3), 2, same=False)
        seven = self.conv(nn.relu(seven), "branch7x7x3_2", 192, (1, 7))
        seven = self.conv(seven, "branch7x7x3_3", 192, (7, 1))
        seven = self.conv(seven, "branch7x7x3_4", 192, (3, 3), 2, same=False)
        return jnp.concatenate([three, seven, maximum(x, 2)], axis=-1)


class InceptionC(Block):
    """Mixed_7b, 7c: 8x8. The last one pools by maximum, a quirk of this graph."""

    max_pool: bool

    @nn.compact
    def __call__(self, x):
        branches = {"branch1x1": 320, "branch3x3_1": 384, "branch3x3dbl_1": 448}
        if self.max_pool:
            one, three, double = self.pointwise(x, **branches)
            (pool,) = self.pointwise(maximum(x, 1), branch_pool=192)
            pool = nn.relu(pool)
        else:
            one, three, double, pool = self.pointwise(x, **branches, branch_pool=192)
            pool = self.pooled(pool)
        three, double = nn.relu(three), self.conv(nn.relu(double), "branch3x3dbl_2", 384, (3, 3))
        outputs = [
            nn.relu(one),
            self.conv(three, "branch3x3_2a", 384, (1, 3)),
            self.conv(three, "branch3x3_2b", 384, (3, 1)),
            self.conv(double, "branch3x3dbl_3a", 384, (1, 3)),
            self.conv(double, "branch3x3dbl_3b", 384, (3, 1)),
            pool,
        ]
        return jnp.concatenate(outputs, axis=-1)


class Inception(Block):
    """float [N, 299, 299, 3] in [-1, 1] -> {"pool": [N, 2048], "tap64": [N, 64]}.

    pool: the last pooling (pool3), of FID and KID; tap64: the mean over the first one's output.
    """

    @nn.compact
    def __call__(self, x):
        x = nn.relu(Stem(32, name="Conv2d_1a_3x3.conv")(x))
        x = self.conv(x, "Conv2d_2a_3x3", 32, (3, 3), same=False)
        x = maximum(self.conv(x, "Conv2d_2b_3x3", 64, (3, 3)), 2)
        tap64 = jnp.mean(x, axis=(1, 2))
        (x,) = self.pointwise(x, Conv2d_3b_1x1=80)
        x = maximum(self.conv(nn.relu(x), "Conv2d_4a_3x3", 192, (3, 3), same=False), 2)
        for name, pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = InceptionA(pool, name=name)(x)
        x = ReductionA(name="Mixed_6a")(x)
        for name, c in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = InceptionB(c, name=name)(x)
        x = ReductionB(name="Mixed_7a")(x)
        x = InceptionC(False, name="Mixed_7b")(x)
        x = InceptionC(True, name="Mixed_7c")(x)
        return {"pool": jnp.mean(x, axis=(1, 2)), "tap64": tap64}


def maximum(x, stride):
    """Pool [N, H, W, C] by 3x3 maxima: unpadded with stride 2, padded with stride 1.

    Shifted maxima over rows, then columns: XLA's windowed reductions are slow on CPU.
    """
    if stride == 1:  # inputs are not negative after ReLU, so zeros never win
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for axis in (1, 2):
        last = x.shape[axis] - 2
        x = functools.reduce(
            jnp.maximum,
            [jax.lax.slice_in_dim(x, i, last + i, stride, axis) for i in range(3)],
        )
    return x


def average(x):
    """Pool [N, H, W, C] by 3x3 averages with stride 1; padding does not count."""
    for axis in (1, 2):
        size = x.shape[axis]
        pad = [(1, 1) if a == axis else (0, 0) for a in range(4)]
        padded = jnp.pad(x, pad)
        total = sum(jax.lax.slice_in_dim(padded, i, size + i, 1, axis) for i in range(3))
        count = np.full(size, 3.0, np.float32)
        count[[0, -1]] = 2.0
        x = total / np.expand_dims(count, [a for a in range(4) if a != axis])
    return x


def fold_batch_norm(state):
    """Fold `<layer>.bn.*` of a state dict into `<layer>.conv.weight` and `.bias`."""
    folded = {}
    for name, kernel in state.items():
        layer, conv, _ = name.rpartition(".conv.weight")
        if not conv:
            continue
        scale, shift, mean, variance = (
            state[f"{layer}.bn.{leaf}"].astype(np.float64)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + BN_EPSILON)
        folded[name] = kernel * scale[:, None, None, None]
        folded[f"{layer}.conv.bias"] = shift - mean * scale
    return folded


def variables_of(state):
    """Make the variables of `Inception` from a state dict."""
    image = jnp.zeros((1, SIDE, SIDE, 3))
    abstract = jax.eval_shape(Inception().init, jax.random.key(0), image)
    return published.to_variables(fold_batch_norm(state), abstract)


def preprocess(images, mode):
    """Resize and scale uint8 [N, H, W, C] to float32 [N, 299, 299, 3] in about [-1, 1].

    mode: as in `extractor`.
    """
    x = resize(images.astype(jnp.float32), SIDE, mode)
    x = x / 255.0 * 2.0 - 1.0 if mode == "torch" else (x - 128.0) / 128.0
    return jnp.broadcast_to(x, (*x.shape[:3], 3))  # grey: three equal channels


def extractor(path, mode="tf1", sha256=""):
    """Build the Extractor of pool [2048] and tap64 [64] with weights from a safetensors file.

    mode: a resizing of `resize.MODES`; "torch" also scales by x / 255 * 2 - 1 as pytorch-fid does,
    the others by (x - 128) / 128. sha256: accept this content digest, whatever its source.
    Raises ConfigError for missing or other weights, or an unknown mode.
    """
    state, digest = published.read(path, "inception", sha256)
    variables = variables_of(state)

    def apply(images):
        with jax.default_matmul_precision("highest"):
            return Inception().apply(variables, preprocess(images, mode))

    return Extractor("inception-2015-12-05", digest, mode, apply)
