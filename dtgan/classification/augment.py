"""Classic augmentation of a classifier's training images, on the device."""

import jax
import jax.numpy as jnp

from dtgan.nn import augment as differentiable
from dtgan.nn.resample import blur


def classic(key, images, settings, axes):
    """Augment images float [N, R, R, C] in [-1, 1], each at random, by `config.augment`.

    settings: `config.augment`. axes: those that may be flipped (1 rows, 2 columns). Flip, contrast,
    brightness, shift, blur (1-3-3-1), noise, and one square of mid-grey.
    """
    n, size = images.shape[:2]
    keys = jax.random.split(key, 6)
    limits = settings.brightness, settings.contrast, settings.shift
    axes = axes if settings.flip else ()
    x = differentiable.augment(keys[0], images, 1.0, axes, *limits)
    softened = blur(x, (1, 2))
    chosen = jax.random.uniform(keys[1], (n, 1, 1, 1)) < settings.blur
    x = jnp.where(chosen, softened, x)
    level = jax.random.uniform(keys[2], (n, 1, 1, 1), maxval=max(settings.noise, 1e-9))
    x = x + level * jax.random.normal(keys[3], x.shape)
    side = jax.random.uniform(keys[4], (n, 1), maxval=max(settings.cutout, 1e-9)) * size
    centre = jax.random.uniform(keys[5], (n, 2), maxval=size)
    inside = jnp.abs(jnp.arange(size)[None, None] + 0.5 - centre[:, :, None]) < side[:, :, None] / 2
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    return jnp.clip(jnp.where(hole[..., None], 0.0, x), -1.0, 1.0)
