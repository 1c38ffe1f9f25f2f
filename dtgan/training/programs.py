"""The phases of a training step as programs, for loop, dry run, benchmarks and estimates."""

import logging
import time

import jax

from dtgan import sharding
from dtgan.data import pipeline
from dtgan.methods.registry import init_of

log = logging.getLogger("dtgan")


def init_state(method, config, mesh):
    """Make the GanState of step 0, replicated over the devices of the mesh."""
    # Not device_put: it may alias its input, which the step's donation would delete.
    init = jax.jit(init_of(method, config), out_shardings=sharding.replicated(mesh))
    return init(jax.random.key(config.seed))


def lower(phase, method, config, mesh, state):
    """Lower the program of one phase for the global batch and the devices of the mesh.

    The devices need not be attached. state: a GanState, or its shapes.
    """
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    spec = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows)
        for name, x in pipeline.batch_spec(config, method.reads).items()
    }
    program = jax.jit(phase.run, donate_argnums=0, in_shardings=(whole, rows), out_shardings=whole)
    return program.lower(state, spec)


class Programs:
    """The compiled phases of a method's step, and the seconds that compiling each took."""

    def __init__(self, method, config, mesh, state):
        self.phases, self.compiled, self.seconds = method.phases, {}, {}
        for phase in method.phases:
            start = time.monotonic()
            self.compiled[phase.name] = lower(phase, method, config, mesh, state).compile()
            self.seconds[phase.name] = time.monotonic() - start
            log.info("compiled %s in %.1f s", phase.name, self.seconds[phase.name])
        self._count = jax.jit(lambda step: step + 1, out_shardings=sharding.replicated(mesh))

    def step(self, state, batch, number):
        """Run the phases that are due, in order: one training step -> (GanState, losses).

        number: of the step, counted from 0; equal to `state.step`, which lies on the device.
        """
        losses = {}
        for phase in self.phases:
            if phase.due(number):
                state, found = self.compiled[phase.name](state, batch)
                losses |= found
        return state._replace(step=self._count(state.step)), losses


def flops(method, config, state):
    """Count the FLOPs of the phases over the global batch, as the equations have them.

    Returns {phase name: FLOPs} of the program for a TPU, before it is compiled: the one for a CPU
    also multiplies zeros (dtgan/nn/convolution.py), and the one for a GPU calls libraries.
    """
    spec = pipeline.batch_spec(config, method.reads)
    found = {}
    for phase in method.phases:
        traced = jax.jit(phase.run).trace(state, spec)
        cost = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
        found[phase.name] = cost["flops"]
    return found


def per_step(phases, values):
    """Average {phase name: value} over steps: a phase runs in one step of `phase.every`."""
    return sum(values[phase.name] / phase.every for phase in phases)
