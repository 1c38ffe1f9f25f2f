"""What train.py and sampling.py know about a family, and the pieces that families share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dtgan.state import NetState


class Method(NamedTuple):
    """A family of GANs as pure functions.

    init:  (rng, batch_spec) -> GanState; works under jax.eval_shape.
    step:  (GanState, batch) -> (GanState, {"loss/rec": f32[], ...}); sees the global batch.
    infer: (ema, request, rng) -> images, see the family. A request holds "image" and "normal",
        and may hold what `controls` names.
    score: (ema, request, rng) -> f32[], what chooses the best checkpoint on validation pairs; lower
        is better.
    probe: (ema, uint8 images [N, R, R, C]) -> {"structure", "texture"}, the codes of the family,
        float32 [N, d], to ask what they hold; None where a family has no codes.
    classify: (nets, uint8 images) -> class logits [N, num_classes] of the family's classifier.
    regularize: like step, without counting one: the lazy regularisers, run before every
        `lazy_every`-th step from step 0 on (0 = never). A program of its own that the loop calls,
        since convolution gradients inside `cond` are 40-60 times slower on CPU.
    """

    init: Callable
    step: Callable
    infer: Callable
    score: Callable
    classify: Callable
    probe: Callable | None = None
    regularize: Callable | None = None
    lazy_every: int = 0
    controls: tuple = ()


def adam(lr, b1, b2, lazy_every=0):
    """Adam; with lazy regularisation every k steps, lr and betas are corrected by c = k / (k + 1).

    lr -> lr c, beta -> beta^c: k + 1 updates then act like k (StyleGAN2).
    """
    c = lazy_every / (lazy_every + 1) if lazy_every else 1.0
    return optax.adam(lr * c, b1=b1**c, b2=b2**c, eps=1e-8)


def update(tx, nets, grads):
    """Apply gradients {name: tree} with optimizers {name: tx}; the other nets stay as they are."""
    new = dict(nets)
    for name, grad in grads.items():
        net = nets[name]
        updates, opt_state = tx[name].update(grad, net.opt_state, net.params)
        new[name] = NetState(optax.apply_updates(net.params, updates), opt_state)
    return new


def params_of(nets, *names):
    """{name: parameters} of the named nets (all of them without names)."""
    return {name: nets[name].params for name in names or nets}


def ema_update(ema, params, decay):
    """decay * ema + (1 - decay) * params, leaf by leaf."""
    return jax.tree.map(lambda e, p: e * decay + p * (1.0 - decay), ema, params)


def join(*parts):
    """Interleave P batches [N, ...] as [N * P, ...], keeping the rows of one sample together.

    Concatenating along the batch axis, which is split over devices, would move data between chips;
    stacking on a new axis beside it leaves every chip with its own samples.
    """
    return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])


def part(joined, count):
    """The inverse of `join`: [N * P, ...] -> P arrays [N, ...]."""
    stacked = joined.reshape(-1, count, *joined.shape[1:])
    return tuple(stacked[:, i] for i in range(count))
