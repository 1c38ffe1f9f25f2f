"""One pure function per loss term: arrays in, float32 scalar out.

The reduction is the mean over all elements unless stated. Equations: docs/dtgan.md.
"""

import jax
import jax.numpy as jnp
import optax


def l1(a, b):
    """mean |a - b|."""
    return jnp.mean(jnp.abs(a - b))


def mse(a, b):
    """mean (a - b)^2."""
    return jnp.mean(jnp.square(a - b))


def adversarial_d(real, fake):
    """Non-saturating GAN loss of a discriminator, mean softplus(-real) + mean softplus(fake).

    Equals -(log D(x) + log(1 - D(G))) on sigmoid outputs. Logits of any shapes.
    """
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def adversarial_g(fake):
    """Non-saturating GAN loss of the generator, softplus(-fake) per element: reduce it yourself."""
    return jax.nn.softplus(-fake)


def cross_entropy(logits, label):
    """mean -log softmax(logits)[label]; logits [N, K], label int [N]."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))


def reconstruction(x1, x1r, x2, x4):
    """L_rec = |x1 - x1r|_1 + |x2 - x4|_1."""
    return l1(x1, x1r) + l1(x2, x4)


def structure(x1, x1r, x1a, x2, x3):
    """L_structure: what the defect adds is the same on both surfaces.

    |(x1 - x1a) - (x3 - x2)|_1 + |(x1r - x1a) - (x3 - x2)|_1
    """
    return l1(x1 - x1a, x3 - x2) + l1(x1r - x1a, x3 - x2)


def feature(z_s1, z_t2, z_s3, z_t3, z_t4):
    """L_feature = MSE(z_s3, z_s1) + MSE(z_t3, z_t2) + MSE(z_t4, z_t2).

    Targets carry no gradient: codes without normalisation could shrink to zero.
    """
    z_s1, z_t2 = jax.lax.stop_gradient((z_s1, z_t2))
    return mse(z_s3, z_s1) + mse(z_t3, z_t2) + mse(z_t4, z_t2)


def r1(score, real):
    """R1 without its weight: mean over samples of 1/2 |d score / d real|^2 (Mescheder et al. 2018).

    score: function of `real` [N, ...] with one number per sample, [N] or [N, P] for [N, P, ...]
    inputs, into which only its own sample may enter; then the mean is over all N P of them.
    """
    output, pullback = jax.vjp(score, real)
    (gradient,) = pullback(jnp.ones_like(output))
    return 0.5 * jnp.sum(jnp.square(gradient.astype(jnp.float32))) / output.size


def matte(soft, target):
    """How far a matte is from another one: mean cross-entropy + Dice loss, both in 0..1.

    soft, target: [N, R, R, 1]. Dice weighs a small defect like a large one; the cross-entropy
    tells every pixel its side. L1 would not do: the median of a sparse map is zero.
    """
    soft = jnp.clip(soft, 1e-4, 1.0 - 1e-4)
    entropy = -jnp.mean(target * jnp.log(soft) + (1.0 - target) * jnp.log(1.0 - soft))
    overlap = jnp.sum(soft * target, axis=(1, 2, 3))
    size = jnp.sum(jnp.square(soft) + jnp.square(target), axis=(1, 2, 3))
    return entropy + 1.0 - jnp.mean((2.0 * overlap + 1.0) / (size + 1.0))


def weighted_l1(a, b, weight):
    """sum w |a - b| / sum w over all elements, 0 without weight; weight [N, R, R, 1] or as a, b."""
    weight = jnp.broadcast_to(weight, a.shape)
    return jnp.sum(weight * jnp.abs(a - b)) / (jnp.sum(weight) + 1e-6)


def variation(soft):
    """Mean |difference| of neighbouring pixels of [N, R, R, 1], along both axes."""
    return l1(soft[:, 1:], soft[:, :-1]) + l1(soft[:, :, 1:], soft[:, :, :-1])


def binary_cross_entropy(logits, target, weight=1.0):
    """Mean weight x sigmoid cross-entropy; target 0..1 and weight broadcast against the logits."""
    target = jnp.broadcast_to(target, logits.shape)
    return jnp.mean(weight * optax.sigmoid_binary_cross_entropy(logits, target))


def present(logits, share=0.005):
    """-log of the probability that the surest `share` of the cells gives to "here is a defect".

    logits: [N, S, S, 1] of images that have one somewhere: all that a label of the whole image
    says of its pixels (multiple-instance learning).
    """
    flat = logits.reshape(logits.shape[0], -1)
    count = max(1, round(share * flat.shape[1]))
    # Not top_k: on CPU it gathers the rows of all devices.
    least = jnp.sort(jax.lax.stop_gradient(flat), axis=1)[:, -count, None]
    surest = (flat >= least).astype(flat.dtype)
    mean = jnp.sum(flat * surest, axis=1) / jnp.sum(surest, axis=1)
    return jnp.mean(jax.nn.softplus(-mean))
