"""Three toy families that hold the contract at its corners, and how they join the others.

dots: noise alone makes the image, nothing is needed. square: no parameters, needs a surface and
labels. tail: two phases of different rhythm, an extra in the state, starts from a run of dots.
"""

import contextlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from dtgan.config import ConfigError, families
from dtgan.images import to_float
from dtgan.methods.base import Method, Phase
from dtgan.methods.registry import METHODS
from dtgan.methods.updates import (
    adam,
    adopt_all,
    ema_update,
    new_state,
    params_of,
    step_key,
    update,
    without_parameters,
)


def dots(config, classes):
    """A learned mean image plus noise times a learned gain."""
    side, tx = (
        (config.data.res, config.data.res, config.data.channels),
        {"G": adam(config.optim.lr, 0.9, 0.99)},
    )

    def paint(net, z):
        return net["mean"][None] + z[:, :, None, None] * net["gain"][None]

    def init(key, batch_spec):
        net = {"mean": jnp.zeros(side), "gain": jnp.full(side, 0.1)}
        return new_state(key, {"G": net}, tx, ("G",))

    def step(state, batch):
        z = jax.random.normal(step_key(state, "noise"), (len(batch["image"]), 1))

        def loss(params):
            return jnp.mean(jnp.square(paint(params["G"], z) - to_float(batch["image"])))

        value, grads = jax.value_and_grad(loss)(params_of(state.nets, "G"))
        nets = update(tx, state.nets, grads)
        ema = ema_update(state.ema, params_of(nets, "G"), 0.5)
        return state._replace(nets=nets, ema=ema), {"loss/rec": value}

    return Method(
        reads=("image",),
        init=init,
        phases=(Phase("step", 1, step),),
        infer=lambda ema, request, noise: {"image": jnp.clip(paint(ema["G"], noise["z"]), -1, 1)},
        noise=lambda key, n: {"z": jax.random.normal(key, (n, 1))},
        shown=("loss/rec",),
    )


def square(config, classes):
    """A square on the surface, as bright as the number of the label."""

    def infer(ema, request, noise):
        surface = to_float(request["surface"])
        inside = np.zeros((1, *surface.shape[1:3], 1), np.float32)
        inside[:, 8:16, 8:16] = 1.0
        matte = jnp.broadcast_to(inside, (surface.shape[0], *inside.shape[1:]))
        tone = jnp.linspace(-1.0, 1.0, request["labels"].shape[1])
        tone = jnp.sum(request["labels"] * tone[None], axis=1)[:, None, None, None]
        image = jnp.where(matte > 0, tone, surface)
        return {"image": image, "mask": matte, "clean": surface}

    return without_parameters(
        infer,
        needs=("surface", "labels"),
        gives=("image", "mask", "clean"),
        keeps_surface=True,
    )


def tail(config, classes):
    """Dots whose gain learns in every second step only; counts these steps in the state."""
    whole = dots(config, classes)

    def init(key, batch_spec):
        return whole.init(key, batch_spec)._replace(extra={"seen": jnp.zeros(())})

    def only(state, new, name):
        """The new state in which one parameter alone has moved."""
        net, old = new.nets["G"], state.nets["G"].params
        params = {**old, name: net.params[name]}
        return new._replace(nets={"G": net._replace(params=params)})

    def mean_phase(state, batch):
        new, losses = whole.phases[0].run(state, batch)
        return only(state, new, "mean"), losses

    def gain_phase(state, batch):
        new, losses = whole.phases[0].run(state, batch)
        seen = {"seen": state.extra["seen"] + 1.0}
        return only(state, new, "gain")._replace(extra=seen), {"loss/gain": losses["loss/rec"]}

    def adopt(state, donor):
        if donor.method != "dots":
            raise ConfigError(f"init.workdir holds a run of method={donor.method}; tail takes dots")
        return adopt_all(state, donor)

    phases = (Phase("mean", 1, mean_phase), Phase("gain", 2, gain_phase, at=1))
    return whole._replace(init=init, phases=phases, adopt=adopt)


TOYS = {"dots": dots, "square": square, "tail": tail}
FOLDER = str(pathlib.Path(__file__).with_name("toy_families"))


def register():
    """Add the toys to the families, for this process."""
    METHODS.update(TOYS)
    families.__path__.append(FOLDER)


@contextlib.contextmanager
def registered():
    """The toys are families within this context."""
    register()
    try:
        yield
    finally:
        families.__path__.remove(FOLDER)
        for name in TOYS:
            del METHODS[name]


if __name__ == "__main__":  # python -m tests.methods.toys: dtgan.main with the toys
    from dtgan import main

    register()
    main.run()
