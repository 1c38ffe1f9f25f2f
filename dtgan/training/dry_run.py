"""Dry run of a config: its fields and parameters, and the cost and speed of its step."""

import time

import jax
import numpy as np
from clu import parameter_overview

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.data import catalog, pipeline
from dtgan.methods.registry import make_method
from dtgan.sampling import requests
from dtgan.training import programs as programs_lib

TIMED_STEPS = 5


def dry_run(config):
    """Print the resolved config, the parameters, and compile time, cost and speed of the step."""
    config_lib.validate(config, jax.device_count())
    source, info = catalog.open_checked(config, config.data.split)
    method, mesh = make_method(config, info.classes), sharding.make_mesh()
    if "image" in method.reads:  # it learns defects
        requests.check_classes(method, config.method, info.classes[1:])
    pipeline.need_kinds(source, pipeline.kinds_of((*method.reads, *method.needs)))
    print(config_lib.to_json(config))
    print(f"data: {info.counts}, fingerprint {info.fingerprint}")
    state = programs_lib.init_state(method, config, mesh)
    for name, net in state.nets.items():
        print(f"\n{name}")
        print(parameter_overview.get_parameter_overview(net.params, include_stats=False))
    if not method.phases:
        print(f"\nmethod={config.method} has nothing to train")
        return

    flops = programs_lib.flops(method, config, state)
    programs = programs_lib.Programs(method, config, mesh, state)
    stream = pipeline.train_iterator(
        config, source, method.reads, jax.process_index(), jax.process_count()
    )
    seconds = {phase.name: [] for phase in method.phases}
    for _ in range(1 + TIMED_STEPS):
        batch = sharding.put_batch(next(stream), mesh)
        for name, program in programs.compiled.items():
            start = time.monotonic()
            state, _ = jax.block_until_ready(program(state, batch))
            seconds[name].append(time.monotonic() - start)
    stream.close()
    print(f"\ncompile: {', '.join(f'{k} {v:.1f} s' for k, v in programs.seconds.items())}")
    timed = {name: values[1:] for name, values in seconds.items()}  # the first call warms up
    for phase in method.phases:
        values = timed[phase.name]
        print(
            f"{phase.name}, every {phase.every} step(s): {flops[phase.name] / 1e9:.1f} GFLOP on "
            f"{jax.device_count()} device(s), {np.median(values):.3f} s (median of {TIMED_STEPS}, "
            f"{min(values):.3f}-{max(values):.3f})"
        )
    medians = {name: float(np.median(values)) for name, values in timed.items()}
    step = programs_lib.per_step(method.phases, medians)
    batch, rows = config.data.batch_size, pipeline.images_per_row(method.reads)
    kinds = pipeline.kinds_of(method.reads)
    number = info.num_defects if "defect" in kinds else info.num_normals
    steps = config_lib.to_steps(config.train.duration, batch, number)
    print(
        f"speed: {1 / step:.2f} steps/s, {rows * batch / step:.1f} images/s; "
        f"{steps} steps take about {steps * step / 60:.0f} minutes"
    )
