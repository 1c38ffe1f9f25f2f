"""Pins the judges by themselves: a frozen patch discriminator."""

import jax
import jax.numpy as jnp
import numpy as np

from dtgan.data.procedural import CLASSES
from dtgan.methods.judges import READS, Judges
from dtgan.methods.updates import inputs
from tests.methods.families import JUDGED, batch_of, tiny


def test_a_frozen_patch_discriminator_gives_the_same_logits_and_gradients():
    # Undisguised: a disguise takes the mean over the images of a sample, which a frozen reference
    # leaves out of the gradient.
    config = tiny(JUDGED[0], data__batch_size=2, augment__prob=0.0)
    court = Judges(config, CLASSES)
    image = jnp.zeros((1, 32, 32, 1))
    params = jax.jit(court.init)(jax.random.split(jax.random.key(0), 4), image)["Dpatch"]
    x1, x2, _ = inputs(batch_of(config, READS))
    key = jax.random.key(1)

    def total(x3, frozen):
        (logits,) = court.compare(params, key, (x3,), x2, frozen)
        return jnp.sum(jnp.sin(logits)), logits

    (gradient, logits), (plain, expected) = (
        jax.jit(jax.grad(lambda x, f=frozen: total(x, f), has_aux=True))(x1)
        for frozen in (True, False)
    )
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, plain, atol=1e-5 * float(jnp.abs(plain).max()))
