"""Ahead-of-time compilation of the training step for a TPU topology that is not attached.

Memory, FLOPs and collectives per chip, and a roofline estimate of a step's time.
"""

import hashlib
import json
import os
import pathlib
import re
import time
from typing import NamedTuple

import jax

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.data import catalog
from dtgan.files import read_json, write_atomic
from dtgan.methods.registry import abstract_state, make_method
from dtgan.training import collectives
from dtgan.training import programs as programs_lib


class Chip(NamedTuple):
    """Peaks of one chip, as its maker states them."""

    flops: float  # bfloat16, 1/s
    hbm_bytes: float
    hbm_rate: float  # bytes/s
    link_rate: float  # bytes/s to its neighbours, all links together


CHIPS = {
    "v4": Chip(275e12, 32 * 2**30, 1228e9, 300e9),
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 200e9),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 600e9),
    "v6e": Chip(918e12, 32 * 2**30, 1640e9, 448e9),
}


def describe(config, topology, cache=""):
    """Estimate the training step of `config` on a chip of a TPU topology such as "v5e:2x4".

    Compiles for minutes without a TPU; the result for a phase of the step is kept in the directory
    `cache`, if any, under a hash of its program.
    Returns {"topology", "chips", "pairs_per_chip", "phases": {name: {"every", ...} as `measure`
    gives}, "memory_bytes" (of the largest phase), "hbm_bytes", "fits"}, and means over the steps:
    {"flops", "bytes", "seconds" (estimate, see `roofline`), "pairs_per_second", "utilisation"};
    all but the rates are of one chip.
    Raises ConfigError for an unknown topology, and where libtpu is missing.
    """
    chip, count = parse(topology)
    config_lib.validate(config, count)
    pairs, phases, measured = config.data.batch_size, *lower_for(config, devices_of(topology))
    if not phases:
        raise ConfigError(f"method={config.method} has no step to compile")
    found = {}
    for phase in phases:
        lowered = measured[phase.name]
        found[phase.name] = {"every": phase.every, **_measure_cached(lowered, topology, cache)}
    return {
        "topology": topology,
        "chips": count,
        "pairs_per_chip": pairs // count,
        "phases": found,
        **whole_step(phases, found, chip, pairs),
    }


def whole_step(phases, measured, chip, pairs):
    """Combine the `measure` of every phase, {name: figures}, into the figures of a whole step."""

    def mean(values):
        return programs_lib.per_step(phases, {name: values(x) for name, x in measured.items()})

    memory = max(x["memory_bytes"] for x in measured.values())
    flops = mean(lambda x: x["flops"])
    parts = ("compute", "memory", "links")
    seconds = {part: mean(lambda x, part=part: x["seconds"][part]) for part in parts}
    return {
        "memory_bytes": memory,
        "hbm_bytes": chip.hbm_bytes,
        "fits": memory <= chip.hbm_bytes,
        "flops": flops,
        "bytes": mean(lambda x: x["bytes"]),
        "seconds": seconds,
        "pairs_per_second": pairs / sum(seconds.values()),
        "utilisation": flops / chip.flops / sum(seconds.values()),
    }


def _measure_cached(lowered, topology, cache):
    """Compile and `measure` a lowered program, or read its figures from the directory `cache`."""
    file = None
    if cache:
        key = json.dumps([lowered.as_text(), topology, jax.__version__, CHIPS_VERSION])
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        file = pathlib.Path(cache).expanduser() / f"aot-{name}.json"
        if known := read_json(file):
            return known
    start = time.monotonic()
    compiled = lowered.compile()
    found = measure(compiled, *parse(topology))
    found["compile_seconds"] = round(time.monotonic() - start, 1)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(found, indent=2) + "\n")
    return found


CHIPS_VERSION = 2  # raise it when `measure` or CHIPS changes: it enters the cache's key


def parse(topology):
    """Parse "v5e:2x4" into (Chip, number of chips). Raises ConfigError for other text."""
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", topology)
    if not match or match[1] not in CHIPS:
        raise ConfigError(
            f"--topology={topology} is not KIND:SHAPE with KIND one of {', '.join(CHIPS)}; "
            "for example v5e:2x4"
        )
    count = 1
    for side in match[2].split("x"):
        count *= int(side)
    return CHIPS[match[1]], count


def devices_of(topology):
    """List the devices of a TPU topology, which need not be attached."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # else it asks a metadata server for minutes
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # it only compiles: no chip to lock
    from jax.experimental import topologies

    # A host has 2 x 2 chips unless told otherwise; one chip alone is a host of its own.
    single = parse(topology)[1] == 1
    options = {"chips_per_host_bounds": (1, 1, 1)} if single else {}
    try:
        return topologies.get_topology_desc(
            topology_name=topology, platform="tpu", **options
        ).devices
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        if "libtpu" in text or "plugin" in text:
            raise ConfigError(f"no compiler for TPUs ({text}); pip install 'dtgan[tpu]'") from error
        raise ConfigError(f"--topology={topology} is not known to libtpu ({text})") from error


def lower_for(config, devices):
    """Lower the step of `config` for `devices`, attached or not: (phases, {name: program})."""
    _, info = catalog.open_checked(config, config.data.split)
    method = make_method(config, info.classes)
    state = abstract_state(method, config)
    mesh = sharding.make_mesh(list(devices))
    lowered = {p.name: programs_lib.lower(p, method, config, mesh, state) for p in method.phases}
    return method.phases, lowered


def measure(compiled, chip, chips):
    """Measure a compiled program on one of `chips` chips.

    Returns {"memory_bytes", "flops", "bytes", "collectives", "seconds" (see `roofline`)}.
    """
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    taken = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    talk = collectives.collectives(compiled.as_text())
    flops, moved = float(cost.get("flops", 0.0)), float(cost.get("bytes accessed", 0.0))
    return {
        "memory_bytes": taken,
        "flops": flops,
        "bytes": moved,
        "collectives": talk,
        "seconds": roofline(chip, chips, flops, moved, sum(x["bytes"] for x in talk.values())),
    }


def roofline(chip, chips, flops, moved, talk):
    """Estimate the seconds of a step on a chip: {"compute", "memory", "links"}, to be added up.

    compute: at the peak; memory: what moving bytes takes beyond that, since both overlap; links: a
    ring all-reduce of `talk` bytes, not overlapped. The compiler's own "bytes accessed" counts a
    buffer each time it is read: the estimate is a cautious one.
    """
    compute, memory = flops / chip.flops, moved / chip.hbm_rate
    ring = 2.0 * (chips - 1) / chips * talk / chip.link_rate
    return {"compute": compute, "memory": max(0.0, memory - compute), "links": ring}
