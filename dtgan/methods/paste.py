"""Crop&Paste, a baseline of the thesis and of DFMGAN: the masked pixels of x1 on x2."""

import jax.numpy as jnp

from dtgan.images import paste, to_float
from dtgan.methods.updates import masked_baseline


def infer(ema, request, noise):
    """Paste x1, where its mask is set, on x2: image x3, the mask, and clean = x2."""
    del ema, noise
    x1, x2, mask = request["defect"], request["surface"], request["defect_mask"]
    return {
        "image": to_float(paste(x1, mask, x2)),
        "mask": (mask > 127).astype(jnp.float32),
        "clean": to_float(x2),
    }


def make(config, classes):
    """Make Crop&Paste as a `Method`; neither argument matters."""
    del config, classes
    return masked_baseline(infer)
