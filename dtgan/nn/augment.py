"""Differentiable augmentation of the discriminators' inputs for surfaces with a direction.

Real and synthetic images are changed in the same way, so a discriminator cannot learn a small data
set by heart, and gradients pass through it to the generator (Zhao et al. 2020). No rotation, and
flips only along axes that the data may be flipped on, since rolled steel has a direction.
"""

import jax
import jax.numpy as jnp


def augment(key, images, prob, axes=(), brightness=0.2, contrast=0.25, shift=0.125):
    """Augment images [N, R, R, C] in [-1, 1] at random; [N, P, R, R, C] by one change a row.

    prob: chance of every single change: brightness (added, +-`brightness`), contrast (times
    1 +- `contrast` around the image mean), shift (up to `shift` of the side along both axes, edges
    filled with zeros, mid-grey), a flip of each of the `axes` (1 rows, 2 columns).
    """
    together = images.ndim == 5
    x = images if together else images[:, None]
    n, size = x.shape[0], x.shape[2]
    keys = iter(jax.random.split(key, 8 + len(axes)))

    def on():
        return jax.random.uniform(next(keys), (n, 1, 1, 1, 1)) < prob

    def number(limit):
        return jax.random.uniform(next(keys), (n, 1, 1, 1, 1), minval=-limit, maxval=limit)

    for axis in axes:
        flipped = jnp.flip(x, axis + 1)
        half = jax.random.uniform(next(keys), (n, 1, 1, 1, 1)) < 0.5 * prob
        x = jnp.where(half, flipped, x)
    # From the mean of the row: its P images change alike.
    x = stretch(x, (1, 2, 3, 4), jnp.where(on(), 1.0 + number(contrast), 1.0))
    x = x + jnp.where(on(), number(brightness), 0.0)
    rows, columns = (jnp.where(on(), jnp.round(number(shift) * size), 0.0) for _ in range(2))
    x = move(x, rows[:, 0, 0, 0, 0], columns[:, 0, 0, 0, 0])
    return x if together else x[:, 0]


def stretch(x, axes, factor):
    """Stretch values about their mean over `axes`, by a factor that broadcasts."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return mean + (x - mean) * factor


def move(x, rows, columns):
    """Read images x [N, P, H, W, C] at i + rows, j + columns [N], whole pixels; zeros outside."""

    # Products with shifted identities: gathers are slow on CPU.
    def moved(offset, size):
        at = jnp.arange(size)
        same = at[None, :, None] + offset[:, None, None] == at[None, None, :]
        return same.astype(x.dtype)

    exact = jax.lax.Precision.HIGHEST
    x = jnp.einsum("nij,npjkc->npikc", moved(rows, x.shape[2]), x, precision=exact)
    return jnp.einsum("nkl,npilc->npikc", moved(columns, x.shape[3]), x, precision=exact)
