"""Pins the closed forms of the losses and the gradient of R1."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from dtgan import losses


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_structure_vanishes_for_the_ideal_transfer():
    x1, x1a, x2 = (random(2, 4, 4, 1, seed=i) for i in range(3))
    x3 = x2 + (x1 - x1a)
    assert_allclose(losses.structure(x1, x1, x1a, x2, x3), 0, atol=1e-6)
    assert float(losses.structure(x1, x1, x1a, x2, x3 + 1)) > 1


def test_feature_vanishes_for_an_oracle_encoder_and_detaches_its_targets():
    z_s, z_t = random(2, 4), random(2, 5)
    assert float(losses.feature(z_s, z_t, z_s, z_t, z_t)) == 0
    gradients = jax.grad(lambda a, b: losses.feature(a, b, a + 1, b, b), argnums=(0, 1))
    gradient, _ = gradients(z_s, z_t)
    # Only through z_s3 = z_s + 1: 2 * 1 / 8 each; a target with gradient would cancel it.
    assert_allclose(gradient, np.full((2, 4), 2 / 8), rtol=1e-6)


def test_reconstruction_adds_two_means():
    a, b = jnp.zeros((2, 3)), jnp.full((2, 3), 2.0)
    assert float(losses.reconstruction(a, b, b, b)) == 2
    assert float(losses.reconstruction(a, b, b, a)) == 4


def test_adversarial_losses_equal_the_log_forms():
    real, fake = random(5), random(5, seed=1)
    d = -np.mean(np.log(jax.nn.sigmoid(real))) - np.mean(np.log(1 - jax.nn.sigmoid(fake)))
    assert_allclose(losses.adversarial_d(real, fake), d, rtol=1e-5)
    g = -np.log(jax.nn.sigmoid(fake))
    assert_allclose(losses.adversarial_g(fake), g, rtol=1e-5)


def test_r1_of_a_linear_score_is_half_its_squared_weight():
    a = random(6)
    real = random(4, 6)
    assert_allclose(losses.r1(lambda x: x @ a, real), 0.5 * jnp.sum(a**2), rtol=1e-5)
    patches = random(4, 3, 6)
    assert_allclose(losses.r1(lambda x: x @ a, patches), 0.5 * jnp.sum(a**2), rtol=1e-5)


def test_r1_gradient_agrees_with_finite_differences():
    """A two-layer toy D, with the R1 differentiated through an augmentation as well."""
    real, flat = random(3, 5), random(5 * 7 + 7, seed=1)
    with jax.enable_x64(True):
        real, flat = real.astype(jnp.float64), flat.astype(jnp.float64)

        def penalty(w, augment):
            def score(x):
                x = x * 1.7 + x**2 if augment else x
                return jnp.tanh(x @ w[:35].reshape(5, 7)) @ w[35:]

            output, pullback = jax.vjp(score, real)
            (g,) = pullback(jnp.ones_like(output))
            exact = 0.5 * jnp.sum(g**2) / 3
            return losses.r1(score, real), exact

        for augment in (False, True):
            ours, exact = penalty(flat, augment)
            assert_allclose(ours, exact, rtol=1e-5)  # losses.r1 sums in float32
            gradient = jax.grad(lambda w, a=augment: penalty(w, a)[0])(flat)
            for i in (0, 17, 34, 36, 41):
                step = 1e-4 * jnp.zeros(42).at[i].set(1)
                slope = (penalty(flat + step, augment)[1] - penalty(flat - step, augment)[1]) / 2e-4
                assert_allclose(gradient[i], slope, rtol=1e-3, atol=1e-5)


def test_cross_entropy_of_uniform_logits():
    assert_allclose(losses.cross_entropy(jnp.zeros((3, 7)), jnp.arange(3)), np.log(7), rtol=1e-6)


def test_present_asks_the_surest_cells_alone():
    """Of 200 cells 0.5 % are one: the largest logit decides, and only it has a gradient."""
    logits = jnp.full((2, 10, 20, 1), -3.0).at[0, 4, 5, 0].set(2.0)
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(3.0))) / 2
    assert_allclose(losses.present(logits), expected, rtol=1e-6)
    grad = jax.grad(losses.present)(logits)
    assert np.count_nonzero(grad[0]) == 1 and grad[0, 4, 5, 0] < 0


def test_the_gradient_penalty_of_a_linear_critic_is_its_slope_less_1_squared():
    a, mixed = random(6), random(4, 6)
    a = a / jnp.linalg.norm(a)
    for slope, expected in ((1.0, 0.0), (3.0, 4.0), (0.0, 1.0)):
        found = losses.gradient_penalty(lambda x, s=slope: x @ (s * a), mixed)
        assert_allclose(found, expected, atol=1e-5)
    # Scores of one sample are summed: two halves make a whole.
    halves = losses.gradient_penalty(lambda x: jnp.stack([x @ a, x @ a], 1) / 2, mixed)
    assert_allclose(halves, 0.0, atol=1e-5)
    slope = jax.grad(lambda s: losses.gradient_penalty(lambda x: x @ (s * a), mixed))(0.0)
    assert np.isfinite(slope)


def test_multi_label_sums_over_labels_and_averages_over_images():
    logits = jnp.zeros((3, 5))
    assert_allclose(losses.multi_label(logits, jnp.ones((3, 5))), 5 * np.log(2), rtol=1e-6)
    assert_allclose(losses.critic(jnp.ones((2, 3)), jnp.full((4,), 3.0)), 2.0)


def test_a_standard_normal_code_costs_nothing():
    zero = jnp.zeros((3, 4))
    assert float(losses.normal_divergence(zero, zero)) == 0
    # KL(N(2, e^2) | N(0, 1)) = (4 + e^2 - 1 - 2) / 2
    found = losses.normal_divergence(jnp.full((3, 4), 2.0), jnp.full((3, 4), 2.0))
    assert_allclose(found, (1 + np.exp(2)) / 2, rtol=1e-6)


def test_colours_of_constant_images():
    """Their covariance is 0, whatever their size, and the coarse one gets no gradient."""
    fine, coarse = jnp.full((2, 8, 8, 3), 0.5), jnp.full((2, 4, 4, 3), 0.25)
    mean, covariance = losses.colour_consistency(fine, coarse)
    assert float(mean) == 0.25**2 and float(covariance) == 0
    both = jax.grad(lambda a, b: losses.colour_consistency(a, b)[0], argnums=(0, 1))(fine, coarse)
    assert float(jnp.abs(both[0]).min()) > 0 and float(jnp.abs(both[1]).max()) == 0


def test_colours_of_two_colours():
    """Half of the pixels (0, 0), half (2, 4): mean (1, 2), covariance ((1, 2), (2, 4))."""
    image = jnp.zeros((1, 2, 2, 2)).at[0, 0].set(jnp.array([2.0, 4.0])[None])
    mean, covariance = losses.colours(image)
    assert_allclose(mean, [[1, 2]])
    assert_allclose(covariance, [[[1, 2], [2, 4]]])
