"""Find the styles of given surfaces in a model of noise, so that they can get defects."""

import logging
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dtgan.config import ConfigError
from dtgan.images import to_float, to_uint8

log = logging.getLogger("dtgan")

PART = 8  # surfaces searched for at a time
RATE = 0.05  # of Adam, falling to 0 along a half wave
MOST = 5000  # steps
SCALES = 4  # at which pictures are compared: each of half the sides
SECONDS = 10.0  # between two lines of progress


class Projected(NamedTuple):
    """What was found of N surfaces.

    style: float32 [N, slots, W]. image: uint8 [N, R, R, C], drawn of it. error: mean absolute
    difference of image and surface in grey levels [N].
    """

    style: np.ndarray
    image: np.ndarray
    error: np.ndarray


def project(sampler, surfaces, steps=300):
    """Search styles for uint8 surfaces [N, R, R, C] by `steps` steps of Adam: `Projected`.

    It begins at the mean style and compares pictures without noise, at several scales. A row
    depends on its own surface alone. Raises ConfigError for a model without styles, and for other
    steps than 1..MOST.
    """
    styles = sampler.method.styles
    if styles is None:
        raise ConfigError(f"method={sampler.config.method} has no styles to search surfaces in")
    if not 1 <= steps <= MOST:
        raise ConfigError(f"projection of {steps} steps is not within 1..{MOST}; 300 is usual")
    tx = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def loss(style, ema, x):
        return jnp.sum(_distance(styles.draw(ema, style), x))

    @jax.jit
    def step(style, opt_state, ema, x):
        value, grads = jax.value_and_grad(loss)(style, ema, x)
        updates, opt_state = tx.update(grads, opt_state)
        return optax.apply_updates(style, updates), opt_state, value

    draw, found, told = jax.jit(styles.draw), [], time.monotonic()
    for first in range(0, len(surfaces), PART):
        x = surfaces[first : first + PART]
        count = len(x)
        x = to_float(np.concatenate([x, np.repeat(x[:1], PART - count, axis=0)]))
        style = styles.start(sampler.ema, PART)
        opt_state = tx.init(style)
        for k in range(steps):
            style, opt_state, value = step(style, opt_state, sampler.ema, x)
            if time.monotonic() - told > SECONDS:
                told, done = time.monotonic(), first * steps + count * (k + 1)
                log.info(
                    "projection: %.0f %%, distance %.4f",
                    100 * done / (len(surfaces) * steps),
                    float(value) / PART,
                )
        image = to_uint8(draw(sampler.ema, style))[:count]
        difference = np.abs(image.astype(np.int16) - surfaces[first : first + PART])
        error = difference.mean(axis=(1, 2, 3))
        found.append(Projected(np.asarray(style)[:count], image, error))
    joined = Projected(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    log.info(
        "%d surfaces projected in %d steps: mean absolute error %.1f grey levels, at most %.1f",
        len(surfaces),
        steps,
        joined.error.mean(),
        joined.error.max(),
    )
    return joined


def _distance(a, b):
    """Compute the mean squared difference of images [N, R, R, C], summed over scales: [N]."""
    total = jnp.zeros(len(a))
    for _ in range(SCALES):
        total = total + jnp.mean(jnp.square(a - b), axis=(1, 2, 3))
        a, b = _halved(a), _halved(b)
    return total


def _halved(x):
    """Average cells of 2 x 2 pixels: [N, R, R, C] -> [N, R / 2, R / 2, C]."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
