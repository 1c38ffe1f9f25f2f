"""Random defect layers for rehearsal: artificial scars on normal images, without labels.

They give E, G and F exact targets: the matte, the material and the surface underneath are known.
Shapes are strokes, blobs and bites out of a border, with an opaque or a torn body, bands, a rim and
a relief; nothing in them is taken from a data set. After DRAEM (Zavrtanik et al. 2021), which
trains segmentation on artificial anomalies in this way.
"""

import math

import jax
import jax.numpy as jnp

from dtgan.models.surfaces import grain, over, paint

ELEMENTS = 3  # at most, in a layer
FAINTEST = 0.1  # matte of a layer, times that of its shape


class _Draws:
    """Independent random numbers and smooth fields for n samples, in the order of the calls."""

    def __init__(self, key, n, res):
        self._key, self.n, self.res = key, n, res

    def _next(self):
        self._key, key = jax.random.split(self._key)
        return key

    def uniform(self, low=0.0, high=1.0):
        """Draw [N, 1, 1, 1], uniform in [low, high)."""
        return jax.random.uniform(self._next(), (self.n, 1, 1, 1), minval=low, maxval=high)

    def log_uniform(self, low, high):
        """Draw [N, 1, 1, 1] in [low, high), its logarithm uniform."""
        return jnp.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability):
        """Draw bool [N, 1, 1, 1], True with `probability`."""
        return self.uniform() < probability

    def normal(self):
        """Draw [N, 1, 1, 1] from N(0, 1)."""
        return jax.random.normal(self._next(), (self.n, 1, 1, 1))

    def field(self, knots):
        """Draw smooth noise [N, R, R, 1] of about unit variance with `knots` knots a side."""
        coarse = jax.random.normal(self._next(), (self.n, knots, knots, 1))
        return jax.image.resize(coarse, (self.n, self.res, self.res, 1), "cubic")


def draw_layer(key, n, res, channels=1, vertical=False):
    """Draw a random layer for n samples: (reflectance, matte).

    reflectance: [n, R, R, channels] in 0..1.05; matte: [n, R, R, 1] in 0..1. One to ELEMENTS
    elements, each with a rim behind its body, laid over each other. vertical: the rolling
    direction, which many strokes follow, runs along the columns.
    """
    # vmap over the elements instead of a loop: a third of the program to compile.
    key, *keys = jax.random.split(key, 1 + ELEMENTS)
    tones, covers = jax.vmap(lambda k: _element(_Draws(k, n, res), channels))(jnp.stack(keys))
    there = jax.random.uniform(key, (ELEMENTS, n, 1, 1, 1)) < 0.4
    there = there.at[0].set(True)
    matte, paint = jnp.zeros((n, res, res, 1)), jnp.zeros((n, res, res, channels))
    for i in range(ELEMENTS):
        for tone, cover in zip(tones[i], covers[i], strict=True):
            cover = cover * there[i]
            paint = paint * (1.0 - cover) + tone * cover  # matte x reflectance
            matte = matte * (1.0 - cover) + cover
    reflectance = jnp.clip(paint / (matte + 1e-6), 0.0, 1.05)
    if vertical:
        return jnp.swapaxes(reflectance, 1, 2), jnp.swapaxes(matte, 1, 2)
    return reflectance, matte


def fainter(matte, key):
    """Make every other matte [N, R, R, 1] more transparent, by FAINTEST to 1, log-uniform.

    Real defects are often hardly darker than what they lie on. As a thin veil of a dark material
    they stay darker on every surface; as an opaque one of nearly its brightness they would not.
    """
    draw = _Draws(key, *matte.shape[:2])
    return matte * jnp.where(draw.chance(0.5), draw.log_uniform(FAINTEST, 1.0), 1.0)


def visible(reflectance, matte, surface):
    """Fade a matte where its layer cannot be seen on the surface: E must not learn to guess.

    It is fainter where nothing within two pixels changes by twice the grain of the surface.
    reflectance, surface: [N, R, R, C]; matte, and what is returned: [N, R, R, 1].
    """
    laid = over(surface, paint(reflectance, surface), matte)
    change = jnp.mean(jnp.abs(laid - surface), axis=-1, keepdims=True)
    near = jax.lax.reduce_window(change, 0.0, jax.lax.max, (1, 5, 5, 1), (1, 1, 1, 1), "SAME")
    return matte * jnp.minimum(1.0, near / (2.0 * grain(surface)))


def _element(draw, channels):
    """Draw an element: reflectances [2, n, R, R, channels] of rim, body; covers [2, n, R, R, 1]."""
    distance, across, v = _shape(draw)
    torn = jnp.clip(1.0 - draw.uniform(0.0, 0.6) * jax.nn.relu(draw.field(12)), 0.0, 1.0)
    waves = jnp.sin(2 * jnp.pi * (v / draw.uniform(0.03, 0.12) + draw.uniform()) + draw.field(8))
    bands = jnp.where(draw.chance(0.15), jnp.clip(0.5 + 0.8 * waves, 0.0, 1.0), 1.0)
    soft = draw.log_uniform(0.3, 2.0) / draw.res
    body = jax.nn.sigmoid(-2.0 * distance / soft) * draw.uniform(0.4, 1.0) * torn * bands
    relief = 0.2 * draw.normal() * jnp.tanh(across) + 0.05 * (draw.field(20) + draw.field(8))

    width = draw.log_uniform(0.008, 0.03)
    rim = jnp.exp(-jnp.square((distance - 0.7 * width) / width)) * draw.chance(0.5)
    rim = rim * draw.uniform(0.3, 1.0) * jnp.clip(0.5 + 0.7 * draw.field(10), 0.0, 1.0)
    body_tone = _material(draw, channels, 0.6) + relief
    rim_tone = jnp.broadcast_to(_material(draw, channels, 0.35), body_tone.shape)
    return jnp.stack([rim_tone, body_tone]), jnp.stack([rim, body])


def _shape(draw):
    """Draw an outline: (signed distance, across / width, across), each [n, R, R, 1].

    distance: to the outline, in image sides, negative inside. across: signed distance from the
    axis of the shape, in image sides; width: half the width of the shape.
    """
    res = draw.res
    at = (jnp.arange(res) + 0.5) / res
    y, x = at.reshape(1, res, 1, 1), at.reshape(1, 1, res, 1)
    stroke = draw.chance(0.65)
    bite = draw.chance(0.25) & ~stroke
    cx, cy, border = draw.uniform(0.1, 0.9), draw.uniform(0.1, 0.9), draw.uniform(0.0, 4.0)
    on_x, end = border < 2.0, jnp.floor(border) % 2
    cx, cy = jnp.where(bite & on_x, end, cx), jnp.where(bite & ~on_x, end, cy)
    # Many scars follow the rolling direction.
    angle = jnp.where(draw.chance(0.3), draw.uniform(-0.08, 0.08), draw.uniform(0.0, jnp.pi))
    wander = 0.03 * draw.uniform() * draw.field(6)
    jagged = 0.02 * draw.uniform() * draw.field(20) * draw.chance(0.5)
    u = (x - cx) * jnp.cos(angle) + (y - cy) * jnp.sin(angle) + wander
    v = (y - cy) * jnp.cos(angle) - (x - cx) * jnp.sin(angle) + wander + jagged
    length = jnp.where(stroke, draw.uniform(0.1, 0.5), draw.uniform(0.05, 0.25))
    width = jnp.where(
        stroke, draw.log_uniform(0.008, 0.05), length * draw.log_uniform(1 / math.e, 1.0)
    )
    v = v - jnp.where(stroke, draw.uniform(-0.4, 0.4), 0.0) * (u * u / length - length / 3)
    radius = jnp.sqrt(jnp.square(u / length) + jnp.square(v / width) + 1e-8)
    blob = (radius - 1.0) * jnp.minimum(width, length)
    taper = width * jnp.clip(1.0 - (u / length) ** 4, 0.0, 1.0)
    line = jnp.maximum(jnp.abs(v) - taper, jnp.abs(u) - length)
    return jnp.where(stroke, line, blob), v / width, v


def _material(draw, channels, dark):
    """Draw a material: reflectance [N, 1, 1, channels], dark with chance `dark`, else bright."""
    shade = draw.uniform()
    grey = jnp.where(draw.chance(dark), 0.45 * shade**1.5, 1.0 - 0.35 * shade)
    tint = jnp.concatenate([draw.normal() for _ in range(channels)], axis=-1)
    return grey + (0.03 * tint if channels > 1 else 0.0)
