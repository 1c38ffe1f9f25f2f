"""The training step compiled for chips that are not here: memory, cost, talk, an estimate."""

import functools
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
from dtgan.data import catalog, pipeline
from dtgan.methods.registry import make_method
from dtgan.training import collectives


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
    """What the step of `config` takes on every chip of a TPU topology such as "v5e:2x4".

    Compiles for minutes without a TPU; a result is kept in the directory `cache`, if any, under a
    hash of the program.
    Returns {"topology", "chips", "pairs_per_chip", "memory_bytes", "hbm_bytes", "fits", "flops",
    "bytes", "collectives", "seconds" (estimate, see `roofline`), "pairs_per_second",
    "utilisation", "compile_seconds"}; all but the rates are of one chip.
    Raises ConfigError for an unknown topology, and where libtpu is missing.
    """
    chip, count = parse(topology)
    config_lib.validate(config, count)
    start = time.monotonic()
    lowered = lower_for(config, devices_of(topology))
    file = None
    if cache:
        key = json.dumps([lowered.as_text(), topology, jax.__version__, CHIPS_VERSION])
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        file = pathlib.Path(cache).expanduser() / f"aot-{name}.json"
        if file.exists():
            return json.loads(file.read_text())
    compiled = lowered.compile()
    found = {
        "topology": topology,
        "chips": count,
        "pairs_per_chip": config.data.batch_size // count,
        **measure(compiled, chip, count, config.data.batch_size),
        "compile_seconds": round(time.monotonic() - start, 1),
    }
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=2) + "\n")
    return found


CHIPS_VERSION = 1  # raise it when `measure` or CHIPS changes: it enters the cache's key


def parse(topology):
    """(Chip, number of chips) of "v5e:2x4". Raises ConfigError for other text."""
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
    """The devices of a TPU topology, none of which need be here."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # else it asks a metadata server for minutes
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # it compiles: no chip to be alone on
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
    """The lowered step of `config` for a mesh of `devices`, which need not be here."""
    mesh = sharding.make_mesh(list(devices))
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    _, info = catalog.open_checked(config, config.data.split)
    method, spec = make_method(config, len(info.classes)), pipeline.batch_spec(config)
    state = jax.eval_shape(functools.partial(method.init, batch_spec=spec), jax.random.key(0))
    batch = {k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows) for k, x in spec.items()}
    step = jax.jit(method.step, donate_argnums=0, in_shardings=(whole, rows), out_shardings=whole)
    return step.lower(state, batch)


def measure(compiled, chip, chips, pairs):
    """The figures of `describe` that a compiled step on a mesh of `chips` gives."""
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
    seconds = roofline(chip, chips, flops, moved, sum(x["bytes"] for x in talk.values()))
    return {
        "memory_bytes": taken,
        "hbm_bytes": chip.hbm_bytes,
        "fits": taken <= chip.hbm_bytes,
        "flops": flops,
        "bytes": moved,
        "collectives": talk,
        "seconds": seconds,
        "pairs_per_second": pairs / sum(seconds.values()),
        "utilisation": flops / chip.flops / sum(seconds.values()),
    }


def roofline(chip, chips, flops, moved, talk):
    """Seconds of a step on every chip: {"compute", "memory", "links"}, to be added up.

    compute: at the peak; memory: what moving bytes takes beyond that, since both overlap; links: a
    ring all-reduce of `talk` bytes, not overlapped. The compiler's own "bytes accessed" counts a
    buffer each time it is read: the estimate is a cautious one.
    """
    compute, memory = flops / chip.flops, moved / chip.hbm_rate
    ring = 2.0 * (chips - 1) / chips * talk / chip.link_rate
    return {"compute": compute, "memory": max(0.0, memory - compute), "links": ring}
