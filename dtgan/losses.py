"""Loss terms, a pure function each: arrays in, float32 scalar out.

The reduction is the mean over all elements unless stated. Equations: docs/dtgan.md.
"""

import jax
import jax.numpy as jnp
import optax


def l1(a, b):
    """Compute mean |a - b|."""
    return jnp.mean(jnp.abs(a - b))


def mse(a, b):
    """Compute mean (a - b)^2."""
    return jnp.mean(jnp.square(a - b))


def adversarial_d(real, fake):
    """Compute a discriminator's GAN loss, mean softplus(-real) + mean softplus(fake).

    Equals -(log D(x) + log(1 - D(G))) on sigmoid outputs. Logits of any shapes.
    """
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def adversarial_g(fake):
    """Compute the generator's non-saturating GAN loss softplus(-fake), per element, not reduced."""
    return jax.nn.softplus(-fake)


def cross_entropy(logits, label):
    """Compute mean -log softmax(logits)[label]; logits [N, K], label int [N]."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))


def reconstruction(x1, x1r, x2, x4):
    """Compute L_rec = |x1 - x1r|_1 + |x2 - x4|_1."""
    return l1(x1, x1r) + l1(x2, x4)


def structure(x1, x1r, x1a, x2, x3):
    """Compute L_structure = |(x1 - x1a) - (x3 - x2)|_1 + |(x1r - x1a) - (x3 - x2)|_1.

    It is 0 where the defect changes both surfaces by the same amount.
    """
    return l1(x1 - x1a, x3 - x2) + l1(x1r - x1a, x3 - x2)


def feature(z_s1, z_t2, z_s3, z_t3, z_t4):
    """Compute L_feature = MSE(z_s3, z_s1) + MSE(z_t3, z_t2) + MSE(z_t4, z_t2).

    Targets carry no gradient: codes without normalisation could shrink to zero.
    """
    z_s1, z_t2 = jax.lax.stop_gradient((z_s1, z_t2))
    return mse(z_s3, z_s1) + mse(z_t3, z_t2) + mse(z_t4, z_t2)


def r1(score, real):
    """Compute R1, unweighted: mean of 1/2 |d score / d real|^2 (Mescheder et al. 2018).

    score: function of `real` [N, ...] with one number per sample, [N] or [N, P] for [N, P, ...]
    inputs; a number depends on its own sample alone, but for what a minibatch deviation adds.
    The mean is over all N or N P samples.
    """
    output, pullback = jax.vjp(score, real)
    (gradient,) = pullback(jnp.ones_like(output))
    gradient = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
    return 0.5 * jnp.sum(jnp.square(gradient)) / output.size


def path_length(image, ws, y, mean, share=0.01):
    """Compute StyleGAN2's path length penalty, unweighted, and the new mean length a.

    J_w^T y is the gradient of sum(image(ws) y); its length is the root of the mean over slots of
    the squares' sums. The penalty is the mean of (|J_w^T y| - a)^2. The batch enters `mean` by its
    `share` first, and the gradient flows through that share, too.
    image: function of ws [N, slots, W]; y: N(0, 1) / sqrt(H W), as the images.
    """
    _, pullback = jax.vjp(image, ws)
    (gradient,) = pullback(y)
    lengths = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradient), axis=2), axis=1))
    mean = mean + share * (jnp.mean(lengths) - mean)
    return jnp.mean(jnp.square(lengths - mean)), mean


def mode_seeking(w1, w2, m1, m2, eps=1e-5):
    """Compute L_ms = mean |w1 - w2| / (mean |m1 - m2| + eps), small where masks follow styles.

    m1, m2: masks of the same objects with the defect styles w1, w2 (DFMGAN, equation 6; there
    without eps, which keeps it finite for equal masks).
    """
    return l1(w1, w2) / (l1(m1, m2) + eps)


def critic(real, fake):
    """Compute a Wasserstein critic's loss, mean D(fake) - mean D(real); G's is -mean D(fake)."""
    return jnp.mean(fake) - jnp.mean(real)


def gradient_penalty(score, mixed):
    """Compute WGAN-GP's penalty, mean (|d score / d mixed|_2 - 1)^2 (Gulrajani et al. 2017).

    score: function of `mixed` [N, ...] with any outputs per sample, which are summed; mixed: points
    between real and fake samples.
    """
    output, pullback = jax.vjp(score, mixed)
    (gradient,) = pullback(jnp.ones_like(output))
    squares = jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim)))
    return jnp.mean(jnp.square(jnp.sqrt(squares + 1e-12) - 1.0))  # the root has no slope at 0


def multi_label(logits, target):
    """Compute the sigmoid cross-entropy of [N, A], summed over labels, averaged over images."""
    return jnp.mean(jnp.sum(optax.sigmoid_binary_cross_entropy(logits, target), axis=-1))


def matte(soft, target):
    """Compute the loss of a matte against its target: mean cross-entropy + Dice loss.

    soft, target: [N, R, R, 1] in 0..1. Dice weighs a small defect like a large one; the
    cross-entropy gives every pixel a gradient. L1 is no alternative: its minimum for a sparse map
    is the median, zero.
    """
    soft = jnp.clip(soft, 1e-4, 1.0 - 1e-4)
    entropy = -jnp.mean(target * jnp.log(soft) + (1.0 - target) * jnp.log(1.0 - soft))
    overlap = jnp.sum(soft * target, axis=(1, 2, 3))
    size = jnp.sum(jnp.square(soft) + jnp.square(target), axis=(1, 2, 3))
    return entropy + 1.0 - jnp.mean((2.0 * overlap + 1.0) / (size + 1.0))


def weighted_l1(a, b, weight):
    """Compute sum w |a - b| / sum w over all elements; weight [N, R, R, 1] or as a, b.

    0 where all weights are 0.
    """
    weight = jnp.broadcast_to(weight, a.shape)
    return jnp.sum(weight * jnp.abs(a - b)) / (jnp.sum(weight) + 1e-6)


def variation(soft):
    """Compute the total variation of [N, R, R, 1]: mean |difference| of neighbours, both axes."""
    return l1(soft[:, 1:], soft[:, :-1]) + l1(soft[:, :, 1:], soft[:, :, :-1])


def binary_cross_entropy(logits, target, weight=1.0):
    """Compute mean weight x sigmoid cross-entropy; target 0..1, weight broadcast to the logits."""
    target = jnp.broadcast_to(target, logits.shape)
    return jnp.mean(weight * optax.sigmoid_binary_cross_entropy(logits, target))


def present(logits, share=0.005):
    """Compute -log sigmoid of the mean logit over the `share` of cells with the largest logits.

    logits: [N, S, S, 1] of "here is a defect", of images that have one. Multiple-instance
    learning: the label of an image says only that some of its cells show the defect.
    """
    flat = logits.reshape(logits.shape[0], -1)
    count = max(1, round(share * flat.shape[1]))
    # Not top_k: on CPU it gathers the rows of all devices.
    least = jnp.sort(jax.lax.stop_gradient(flat), axis=1)[:, -count, None]
    surest = (flat >= least).astype(flat.dtype)
    mean = jnp.sum(flat * surest, axis=1) / jnp.sum(surest, axis=1)
    return jnp.mean(jax.nn.softplus(-mean))


def relations(features, layers):
    """Compute how alike the images of a batch are, each at a layer of its own: cosines [N, N - 1].

    features: of every layer, [N, ...]; layers: int [N], the layer at which image n is compared with
    the others, which come in ascending order.
    """
    cosines = []
    for x in features:
        x = x.reshape(len(x), -1)
        x = x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=1, keepdims=True), 1e-16))
        cosines.append(x @ x.T)
    n = len(x)
    chosen = jnp.stack(cosines)[layers, jnp.arange(n)]
    others = [[j for j in range(n) if j != i] for i in range(n)]
    return jnp.take_along_axis(chosen, jnp.array(others), axis=1)


def correspondence(source, adapted):
    """Compute the cross-domain correspondence (Ojha et al., CVPR 2021) of `relations` [N, N - 1].

    The mean over all N (N - 1) pairs, as the authors' code has it, of the terms of
    KL(softmax(source) | softmax(adapted)); the paper sums over the others.
    """
    log_p, log_q = jax.nn.log_softmax(source), jax.nn.log_softmax(adapted)
    return jnp.mean(jnp.exp(log_p) * (log_p - log_q))


def normal_divergence(mean, log_variance):
    """Compute KL(N(mean, exp(log_variance)) | N(0, 1)), the mean over all numbers."""
    return 0.5 * jnp.mean(jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance)


def colours(image):
    """Compute the mean [N, C] and the covariance (biased) [N, C, C] of the colours of images."""
    pixels = image.reshape(image.shape[0], -1, image.shape[-1])
    mean = jnp.mean(pixels, axis=1)
    centred = pixels - mean[:, None]
    return mean, jnp.einsum("npc,npd->ncd", centred, centred) / pixels.shape[1]


def colour_consistency(fine, coarse):
    """Compute StackGAN++'s MSE of `colours` of the same pictures at two scales: (mean, covariance).

    The coarse pictures lead: they get no gradient.
    """
    of_fine, of_coarse = colours(fine), jax.lax.stop_gradient(colours(coarse))
    return tuple(mse(a, b) for a, b in zip(of_fine, of_coarse, strict=True))
