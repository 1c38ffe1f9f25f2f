"""Pins what is DT-GAN's own: the thesis's weights, images drawn once a step, noise as input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dtgan.config import base_config
from dtgan.data.procedural import CLASSES
from dtgan.methods import dtgan
from dtgan.methods.judges import READS
from dtgan.methods.updates import inputs, params_of, step_key
from tests.methods.families import batch_of, start, tiny

TERMS = ("rec", "adv_g", "cooccur_g", "structure", "feature", "cls_g", "anchor")


def test_the_weights_of_the_thesis():
    weight = base_config("dtgan").loss
    assert [weight[n] for n in TERMS] == [1, 0.5, 1, 1, 1, 1, 0]


def test_the_images_of_a_step_are_drawn_once_and_give_the_gradients_of_drawing_them_again():
    """E's and G's gradients equal those of L_G as one function, after D has learned."""
    config = tiny("dtgan", data__batch_size=2)
    m = dtgan.DTGAN(config, CLASSES)
    _, state = start(config)
    batch = batch_of(config, READS)
    x1, x2, y1 = inputs(batch)
    key = functools.partial(step_key, state)
    new, _ = jax.jit(m.step)(state, batch)

    def whole(params, judges):
        drawn = m.draw(params, x1, x2, m.G.draw_noise(key("noise"), len(x1)))
        return m.g_loss(params["E"], drawn, judges, x1, x2, y1, key)[0]

    params, judges = (params_of(n, *names) for n, names in (
        (state.nets, ("E", "G")), (new.nets, ("D", "Dpatch", "C")),
    ))  # fmt: skip
    gradients = jax.jit(jax.grad(whole))(params, judges)
    for name, gradient in gradients.items():
        learned = jax.tree.leaves(new.nets[name].opt_state[0].mu)  # b1 is 0
        scale = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
        for a, b in zip(learned, jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * scale)


def test_equal_noise_gives_equal_images_and_other_noise_others():
    config = tiny("dtgan", data__batch_size=2)
    method, state = start(config)
    # Noise strengths start at 0.
    ema = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 0.5 if "noise" in jax.tree_util.keystr(path) else x, state.ema
    )
    batch = batch_of(config, READS)
    request = {"defect": batch["image"], "surface": batch["normal"]}
    infer = jax.jit(method.infer)
    one, other = (method.draw_noise(jax.random.key(seed), 2) for seed in (0, 1))
    first, again, differs = (infer(ema, request, noise)["image"] for noise in (one, one, other))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - differs).max()) > 1e-3
