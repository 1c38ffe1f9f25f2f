"""Pieces of an update rule that every family may use: optimizers, averages, keys, batches."""

import zlib

import jax
import jax.numpy as jnp
import optax
from jax.experimental.shard_alike import shard_alike

from dtgan.config import ConfigError, to_steps
from dtgan.images import to_float
from dtgan.methods.base import Method
from dtgan.state import GanState, NetState


def adam(lr, b1, b2, lazy_every=0):
    """Make Adam; lazy regularisation every k steps corrects lr and betas by c = k / (k + 1).

    lr -> lr c, beta -> beta^c: k + 1 updates then act like k (StyleGAN2).
    """
    c = lazy_every / (lazy_every + 1) if lazy_every else 1.0
    return optax.adam(lr * c, b1=b1**c, b2=b2**c, eps=1e-8)


def rate(config, step):
    """Compute the learning rate of a step: optim.lr until the share optim.decay_from of the run is
    over, then in a straight line to optim.lr_end at its end (config.decay)."""
    optim = config.optim
    if optim.decay_from == 1.0:
        return optim.lr
    total = to_steps(config.train.duration, config.data.batch_size, num_defects=0)
    fallen = jnp.clip((step / total - optim.decay_from) / (1.0 - optim.decay_from), 0.0, 1.0)
    return optim.lr + (optim.lr_end - optim.lr) * fallen


def update(tx, nets, grads, rate=1.0):
    """Apply gradients {name: tree} with optimizers {name: tx}; the other nets stay as they are.

    rate: times what the optimizers move, for learning rates that are functions of the step.
    """
    new = dict(nets)
    for name, grad in grads.items():
        net = nets[name]
        updates, opt_state = tx[name].update(grad, net.opt_state, net.params)
        updates = jax.tree.map(lambda x: x * rate, updates)
        new[name] = NetState(optax.apply_updates(net.params, updates), opt_state)
    return new


def params_of(nets, *names):
    """Return {name: parameters} of the named nets; of all nets if no name is given."""
    return {name: nets[name].params for name in names or nets}


def ema_update(ema, params, decay):
    """Return decay * ema + (1 - decay) * params, leaf by leaf."""
    return jax.tree.map(lambda e, p: e * decay + p * (1.0 - decay), ema, params)


def average_decay(step, batch, half_life, ramp=None):
    """Compute the decay of a running mean whose half-life is counted in images (StyleGAN2).

    half_life: images. With a `ramp` it is at most that share of the images seen before this step,
    so that step 0 copies the parameters.
    """
    if ramp is not None:
        half_life = jnp.minimum(half_life, ramp * batch * step)
    return 0.5 ** (batch / jnp.maximum(half_life, 1e-8))


def finite(gradients):
    """Replace what is not finite in gradients: nan by 0, +-inf by +-1e5 (StyleGAN2)."""
    return jax.tree.map(lambda g: jnp.nan_to_num(g, nan=0.0, posinf=1e5, neginf=-1e5), gradients)


def new_state(key, params, tx, averaged, extra=None):
    """Make the GanState of step 0 of {name: parameters} and {name: optimizer}.

    averaged: names of the nets with a running mean. extra: what the family adds to the state.
    """
    nets = {name: NetState(p, tx[name].init(p)) for name, p in params.items()}
    # A copy: the step donates its input, and donated buffers must not be shared.
    ema = jax.tree.map(jnp.copy, {name: params[name] for name in averaged})
    return GanState(jnp.zeros((), jnp.int32), key, nets, ema, extra or {})


def without_parameters(infer, **fields):
    """Make the `Method` of a family that learns nothing; fields: as in `Method`."""

    def init(key, batch_spec):
        del batch_spec
        return new_state(key, {}, {}, ())

    return Method(reads=(), init=init, phases=(), infer=infer, **fields)


def masked_baseline(infer):
    """Make the `Method` of a baseline that carries a defect by its mask to a surface."""
    return without_parameters(
        infer,
        needs=("defect", "defect_mask", "surface"),
        gives=("image", "mask", "clean"),
        keeps_surface=True,
    )


def adopt_same(config, classes):
    """Make the `Adopt` of a family that starts from its own runs with the same classes only."""

    def adopt(state, donor):
        workdir = config.init.workdir
        if donor.method != config.method:
            raise ConfigError(
                f"init.workdir={workdir} holds a run of method={donor.method}; "
                f"method={config.method} starts from its own runs only"
            )
        if tuple(donor.classes) != tuple(classes):
            raise ConfigError(
                f"init.workdir={workdir} knows the classes {', '.join(donor.classes)}, this run "
                f"{', '.join(classes)}; method={config.method} starts from the same ones only"
            )
        return adopt_all(state, donor)

    return adopt


def adopt_all(state, donor):
    """Replace parameters and running means of the state of step 0 by the donor's, net by net.

    Optimizers start anew. Raises ConfigError where the donor has other nets or shapes.
    """
    for part, own, given in (
        ("", {name: net.params for name, net in state.nets.items()}, donor.nets),
        ("running mean of ", state.ema, donor.ema),
    ):
        for name in sorted(own.keys() | given.keys()):
            _same_shapes(f"{part}{name}", own.get(name), given.get(name))
    nets = {name: NetState(donor.nets[name], net.opt_state) for name, net in state.nets.items()}
    return state._replace(nets=nets, ema=donor.ema)


def adopt_net(name, own, given, anew=()):
    """Take the donor's parameters `given` in place of `own`, those of the net `name` -> a tree.

    anew: parts of paths, "['out']"; what lies there keeps its own values where the donor has none
    of that shape. Raises ConfigError where something else differs.
    """
    _same_shapes(name, own, given, anew)
    have = {jax.tree_util.keystr(path): x for path, x in leaves(given)}

    def taken(path, x):
        found = have.get(jax.tree_util.keystr(path), x)
        return found if found.shape == x.shape else x

    return jax.tree_util.tree_map_with_path(taken, own)


def _same_shapes(name, own, given, but=()):
    """Raise ConfigError unless two trees of arrays have the same structure and shapes.

    but: parts of paths at which they may differ.
    """
    own, given = ({jax.tree_util.keystr(k): x.shape for k, x in leaves(t)} for t in (own, given))
    for path in [*own, *given]:
        if own.get(path) != given.get(path) and not any(part in path for part in but):
            raise ConfigError(
                f"init.workdir: {name}{path} is {given.get(path, 'missing')} there and "
                f"{own.get(path, 'missing')} here; use a run with the same data.res, "
                "data.channels, data.classes and model.*"
            )


def leaves(tree):
    """List (path, leaf) of every array of a tree; None counts as no array."""
    return jax.tree_util.tree_leaves_with_path(tree)


def join(*parts):
    """Interleave P batches [N, ...] as [N * P, ...], keeping the rows of one sample together.

    Concatenating along the batch axis, which is split over devices, would move data between chips;
    stacking on a new axis beside it leaves every chip with its own samples.
    """
    return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])


def part(joined, count):
    """Undo `join`: [N * P, ...] -> P arrays [N, ...]."""
    stacked = joined.reshape(-1, count, *joined.shape[1:])
    return tuple(stacked[:, i] for i in range(count))


def like_rows(x, batch):
    """Lay out x [N, ...], drawn at random, over devices as the rows of a batch [N, R, R, C] are.

    Networks that read noise alone would else be computed whole on every device.
    """
    rows = batch[:, :1, :1, :1].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
    return shard_alike(x, jnp.broadcast_to(rows, x.shape))[0]


def inputs(batch):
    """Return x1, x2 in [-1, 1] and y1 of a batch."""
    return to_float(batch["image"]), to_float(batch["normal"]), batch["label"]


def step_key(state, name):
    """Derive a key of this step by name: fold_in(fold_in(rng, step), CRC-32 of the name)."""
    step = jax.random.fold_in(state.rng, state.step)
    return jax.random.fold_in(step, zlib.crc32(name.encode()))


def weigh(terms, weight):
    """Sum weight * term; terms of weight 0 are left out of the gradient's graph."""
    weighed = (weight[name] * term for name, term in terms.items() if weight[name])
    return sum(weighed, start=jnp.zeros(()))


def named(terms):
    """Rename {"rec": ...} to {"loss/rec": ...}, as the weights in the config are named."""
    return {f"loss/{name}": term for name, term in terms.items()}
