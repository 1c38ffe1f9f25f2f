"""What CDC (Ojha et al., CVPR 2021) adds to StyleGAN2: D's patch head, and features of all layers.

The patch head reads the output of the second convolution of the block that makes 32 pixels of 64,
before the skip is added.
"""

from dtgan.models.stylegan2 import sides
from dtgan.nn.layers import EqualConv

PATCH_SIDE = 64  # of the block whose second convolution the patch head reads; res, where smaller


def patch_head(dtype):
    """Make the patch head: features [N, h, w, C] -> [N, h, w, 1], with bias and leaky ReLU."""
    return EqualConv(1, pad=1, dtype=dtype)


def judge(D, d, x, label=None):
    """Apply D once -> (logits [N], the features [N, h, w, C] that the patch head reads)."""
    logits, seen = D.apply(d, x, label, capture_intermediates=_second, mutable="intermediates")
    block = seen["intermediates"][f"b{min(PATCH_SIDE, x.shape[1])}"]
    return logits, block["conv2"]["__call__"][0]


def features(G, g, ws, noise):
    """List the outputs of G's convolutions for styles ws [N, slots, W], from 4x4 pixels on."""
    how = {"capture_intermediates": _convolution, "mutable": "intermediates", "method": "draw"}
    _, seen = G.apply(g, ws, noise, **how)
    blocks = seen["intermediates"]["synthesis"]
    named = [(f"b{side}", name) for side in sides(G.res) for name in ("conv0", "conv1")]
    return [blocks[b][name]["__call__"][0] for b, name in named if name in blocks[b]]


def _second(module, method):
    return method == "__call__" and module.name == "conv2"


def _convolution(module, method):
    return method == "__call__" and module.name in ("conv0", "conv1")
