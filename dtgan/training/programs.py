"""The phases of a training step as programs, for loop, dry run, benchmarks and estimates."""

import concurrent.futures
import functools
import logging
import time

import jax

from dtgan import sharding
from dtgan.data import pipeline
from dtgan.methods.registry import init_of
from dtgan.nn import platforms

log = logging.getLogger("dtgan")


def seldom(run, mesh):
    """Jit what runs once or a few times, replicated: on a CPU it compiles soon and runs slower."""
    soon = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    options = soon if jax.default_backend() == "cpu" else None
    return jax.jit(run, out_shardings=sharding.replicated(mesh), compiler_options=options)


def init_state(method, config, mesh):
    """Make the GanState of step 0, replicated over the devices of the mesh."""
    # Not device_put: it may alias its input, which the step's donation would delete.
    return seldom(init_of(method, config), mesh)(jax.random.key(config.seed))


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
    with platforms.target(platforms.target_of(mesh.devices.flat[0])):
        return program.lower(state, spec)


class Programs:
    """The phases of a method's step, compiling from now on; the first use of one waits for all.

    state: a GanState, or its shapes.
    """

    def __init__(self, method, config, mesh, state):
        self.phases, self._compiling = method.phases, {}
        pool = concurrent.futures.ThreadPoolExecutor()
        # One compiles while the next is traced; that of every step, the longest, is the first.
        for phase in sorted(method.phases, key=lambda phase: phase.every):
            start = time.monotonic()
            lowered = lower(phase, method, config, mesh, state)
            self._compiling[phase.name] = pool.submit(_compile, phase.name, lowered, start)
        pool.shutdown(wait=False)
        self._count = jax.jit(lambda step: step + 1, out_shardings=sharding.replicated(mesh))

    @functools.cached_property
    def compiled(self):
        """The compiled phases: {name: program}."""
        return {phase.name: self._compiling[phase.name].result()[0] for phase in self.phases}

    @functools.cached_property
    def seconds(self):
        """The seconds from tracing to the end of compiling: {name: seconds}."""
        return {phase.name: self._compiling[phase.name].result()[1] for phase in self.phases}

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


def _compile(name, lowered, start):
    """Compile a lowered program: (program, seconds since `start`)."""
    program, seconds = lowered.compile(), time.monotonic() - start
    log.info("compiled %s in %.1f s", name, seconds)
    return program, seconds


def flops(method, config, state):
    """Count the FLOPs of the phases over the global batch, as the equations have them.

    Returns {phase name: FLOPs} of the program for a TPU, before it is compiled: the one for a CPU
    also multiplies zeros (dtgan/nn/convolution.py), and the one for a GPU calls libraries.
    """
    spec = pipeline.batch_spec(config, method.reads)
    found = {}
    for phase in method.phases:
        with platforms.target("tpu"):
            traced = jax.jit(phase.run).trace(state, spec)
            lowered = traced.lower(lowering_platforms=("tpu",))
        found[phase.name] = lowered.cost_analysis()["flops"]
    return found


def per_step(phases, values):
    """Average {phase name: value} over steps: a phase runs in one step of `phase.every`."""
    return sum(values[phase.name] / phase.every for phase in phases)
