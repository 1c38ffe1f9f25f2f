"""What a config means before it is trained: fields, parameters, cost and speed of its step."""

import functools
import time

import jax
import numpy as np
from clu import parameter_overview

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.data import catalog, pipeline
from dtgan.methods.registry import make_method
from dtgan.training.loop import compile_steps, step_flops

TIMED_STEPS = 5


def dry_run(config):
    """Print the resolved config, the parameters, and compile time, cost and speed of the step."""
    config_lib.validate(config, jax.device_count())
    source, info = catalog.open_checked(config, config.data.split)
    print(config_lib.to_json(config))
    print(f"data: {info.counts}, fingerprint {info.fingerprint}")

    method, mesh = make_method(config, len(info.classes)), sharding.make_mesh()
    init = functools.partial(method.init, batch_spec=pipeline.batch_spec(config))
    state = jax.jit(init, out_shardings=sharding.replicated(mesh))(jax.random.key(config.seed))
    for name, net in state.nets.items():
        print(f"\n{name}")
        print(parameter_overview.get_parameter_overview(net.params, include_stats=False))

    programs = compile_steps(method, config, mesh, state)
    stream = pipeline.train_iterator(config, source, jax.process_index(), jax.process_count())
    seconds = {"step": [], "regularize": []}
    for _ in range(1 + TIMED_STEPS):
        batch = sharding.put_batch(next(stream), mesh)
        for name in [n for n in seconds if n in programs.seconds]:
            start = time.monotonic()
            state, _ = jax.block_until_ready(getattr(programs, name)(state, batch))
            seconds[name].append(time.monotonic() - start)
    stream.close()
    timed = seconds["step"][1:]  # the first call warms up
    median = float(np.median(timed))
    if method.lazy_every:
        median += float(np.median(seconds["regularize"][1:])) / method.lazy_every
    steps = config_lib.to_steps(config.train.duration, config.data.batch_size, info.num_defects)
    print(f"\ncompile: {', '.join(f'{k} {v:.1f} s' for k, v in programs.seconds.items())}")
    flops = step_flops(method, config, state)
    print(f"step: {flops / 1e9:.1f} GFLOP on {jax.device_count()} device(s)")
    print(
        f"speed: {1 / median:.2f} steps/s, {2 * config.data.batch_size / median:.1f} images/s "
        f"(median of {TIMED_STEPS}, {min(timed):.3f}-{max(timed):.3f} s a step); "
        f"{steps} steps take about {steps * median / 60:.0f} minutes"
    )
