"""DiffAugment (Zhao et al., NeurIPS 2020): every image of D is changed by a policy, always.

The policy is a list of "color", "translation" and "cutout", done in that order.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dtgan.nn.augment import move, stretch


class Draws(NamedTuple):
    """The random numbers of N images; u are uniform in 0..1."""

    brightness: jax.Array  # u [N]
    saturation: jax.Array  # u [N]
    contrast: jax.Array  # u [N]
    shift: jax.Array  # rows and columns, whole pixels [2, N]
    hole: jax.Array  # row and column of the middle of what is cut out, whole pixels [2, N]


def draw(key, x):
    """Draw the random numbers of images x [N, H, W, C]."""
    keys, n = jax.random.split(key, 5), len(x)
    side = jnp.array(x.shape[1:3])[:, None]
    reach = (side + 4) // 8
    return Draws(
        *(jax.random.uniform(k, (n,)) for k in keys[:3]),
        shift=jax.random.randint(keys[3], (2, n), -reach, reach + 1),
        hole=jax.random.randint(keys[4], (2, n), 0, side + 1),
    )


def augment(key, x, policy=("color", "translation", "cutout")):
    """Change images x [N, H, W, C] in [-1, 1] at random by the parts of a policy."""
    return apply(x, draw(key, x), policy)


def apply(x, draws, policy):
    """Change images x [N, H, W, C] as drawn."""
    for name in policy:
        x = PARTS[name](x, draws)
    return x


def color(x, draws):
    """Add -0.5..0.5, then stretch colours about grey by 0..2 and values about the mean by
    0.5..1.5."""
    brightness, saturation, contrast = (u.reshape(-1, 1, 1, 1) for u in draws[:3])
    x = x + (brightness - 0.5)
    x = stretch(x, (3,), 2.0 * saturation)
    return stretch(x, (1, 2, 3), contrast + 0.5)


def translation(x, draws):
    """Move images by up to an eighth of their sides."""
    return move(x[:, None], *draws.shift)[:, 0]


def cutout(x, draws):
    """Set to 0 what a square of half the sides covers, its middle anywhere in the image."""

    def covered(middle, size):
        low = jnp.arange(size)[None] - (middle[:, None] - size // 4)
        return (low >= 0) & (low < size // 2)

    rows, columns = (covered(o, s) for o, s in zip(draws.hole, x.shape[1:3], strict=True))
    kept = ~(rows[:, :, None] & columns[:, None, :])
    return x * kept[..., None].astype(x.dtype)


PARTS = {"color": color, "translation": translation, "cutout": cutout}
