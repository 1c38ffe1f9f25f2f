"""Cost and speed of the training step: compilation, steps/s, FLOPs, share of the peak, parts.

    launch/run.sh python benchmarks/step.py --config=configs/quickstart.py
    launch/run.sh python benchmarks/step.py --config=configs/dtgan.py:res=256,ch=32 --batch=1

Every figure is the median over rounds, with the least and the largest. The peak is that of a large
matrix product (bfloat16) on GPU and TPU, of a 3x3 convolution on CPU, measured in the same run.
`--parts` times the phases as programs of their own; what fuses in the whole step costs more there.
`--kinds` profiles the step and sums its seconds by kind of operation: on CPU start that on one core
(`taskset -c 0`), where an operation ends before the next one begins.
The compilation is timed twice, with an empty and a filled cache of programs, in processes of their
own. Results go to benchmarks/results/step.json, an entry a config, batch, type and device.
"""

import argparse
import collections
import functools
import gzip
import importlib.util
import json
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.data import catalog, pipeline
from dtgan.methods import dtgan, layered
from dtgan.methods.base import ema_update, params_of
from dtgan.methods.registry import make_method
from dtgan.training.loop import compile_steps, step_flops

RESULTS = pathlib.Path(__file__).parent / "results" / "step.json"
KINDS = ("convolution", "custom-call", "dot", "transpose", "reduce", "copy")
ALGORITHMS = {"dtgan": dtgan.DTGAN, "layered": layered.LayeredDTGAN}


def main(argv=None):
    """Measure one config, add it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/quickstart.py", help="FILE:ARGUMENTS")
    parser.add_argument("--batch", type=int, default=0, help="pairs a step; default the config's")
    parser.add_argument("--dtype", default="", help="float32 or bfloat16; default the config's")
    parser.add_argument("--rounds", type=int, default=10, help="timed steps")
    parser.add_argument("--parts", action="store_true", help="time the phases, too")
    parser.add_argument("--kinds", action="store_true", help="profile the step, too")
    parser.add_argument("--compile_only", default="", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    config = read_config(args)
    if args.compile_only:
        jax.config.update("jax_compilation_cache_dir", args.compile_only)
        print(json.dumps(Bench(config).programs.seconds))
        return
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = compile_seconds(sys.argv[1:] if argv is None else argv, cache)
        jax.config.update("jax_compilation_cache_dir", cache)
        bench = Bench(config)
    result = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu_cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "jax": jax.__version__,
        "config": args.config,
        "batch": config.data.batch_size,
        "dtype": config.dtype,
        "compile_seconds": {"cold": cold, "warm": warm},
        **bench.step(args.rounds),
    }
    if args.parts:
        result["parts_seconds"] = bench.parts(args.rounds)
    if args.kinds:
        result["kinds_seconds"] = bench.kinds()
    name = ", ".join(str(result[k]) for k in ("config", "batch", "dtype", "device", "cpu_cores"))
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known | {name: result}, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def read_config(args):
    """The config of the flags."""
    path, _, argument = args.config.partition(":")
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(argument)
    config.data.batch_size = args.batch or config.data.batch_size
    config.dtype = args.dtype or config.dtype
    config_lib.validate(config, jax.device_count())
    return config


def compile_seconds(argv, cache):
    """(cold, warm) seconds that compiling step and regularize takes, each in a new process, first
    with the empty directory `cache`."""
    command = [sys.executable, __file__, *argv, f"--compile_only={cache}"]
    found = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(2)
    ]
    return [round(sum(seconds.values()), 2) for seconds in found]


class Bench:
    """The compiled step of a config, its state and a batch on the device."""

    def __init__(self, config):
        self.config, mesh = config, sharding.make_mesh()
        source, info = catalog.open_checked(config, config.data.split)
        self.num_classes = len(info.classes)
        self.method = make_method(config, self.num_classes)
        init = functools.partial(self.method.init, batch_spec=pipeline.batch_spec(config))
        whole = sharding.replicated(mesh)
        self.state = jax.jit(init, out_shardings=whole)(jax.random.key(config.seed))
        self.flops = step_flops(self.method, config, self.state)
        self.programs = compile_steps(self.method, config, mesh, self.state)
        stream = pipeline.train_iterator(config, source, 0, 1)
        self.batch = sharding.put_batch(next(stream), mesh)
        stream.close()

    def step(self, rounds):
        """Seconds, rates, FLOPs, memory and share of the peak of the whole step."""
        seconds = {"step": [], "regularize": []}
        for _ in range(rounds + 1):
            for name in [n for n in seconds if n in self.programs.seconds]:
                start = time.perf_counter()
                program = getattr(self.programs, name)
                self.state, _ = jax.block_until_ready(program(self.state, self.batch))
                seconds[name].append(time.perf_counter() - start)
        timed = {name: spread(values[1:]) for name, values in seconds.items() if values}
        whole = timed["step"]["median"]
        if self.method.lazy_every:
            whole += timed["regularize"]["median"] / self.method.lazy_every
        pairs, flops = self.config.data.batch_size, self.flops
        found, ceiling = flops / timed["step"]["median"] / jax.device_count(), peak()
        return {
            "seconds": timed,
            "steps_per_second": 1 / whole,
            "pairs_per_second": pairs / whole,
            "images_per_second": 2 * pairs / whole,
            "gflop_per_pair": flops / pairs / 1e9,
            "gflop_per_second": found / 1e9,
            "peak_gflop_per_second": ceiling / 1e9,
            "utilisation": found / ceiling,
            "peak_memory_mb": peak_memory() / 2**20,
        }

    def parts(self, rounds):
        """Seconds of the phases as programs of their own."""
        m, own = ALGORITHMS[self.config.method](self.config, self.num_classes), list(self.state.ema)

        def g_phase(state, batch):
            x1, x2, y1 = dtgan.inputs(batch)
            key, judges = dtgan.step_keys(state), params_of(state.nets, "D", "Dpatch", "C")

            def loss(params):
                if self.config.method == "layered":
                    pixels = (x1[..., :1], batch["has_mask"])
                    return m.g_loss(params, judges, x1, x2, y1, pixels, key)
                drawn = m.draw(params, x1, x2, m.net.G.draw_noise(key["noise"], len(x1)))
                return m.g_loss(params["E"], drawn, judges, x1, x2, y1, key)

            return jax.value_and_grad(loss, has_aux=True)(params_of(state.nets, *own))

        def d_phase(state, batch):
            x1, x2, y1 = dtgan.inputs(batch)
            fakes = (x1, (x1, x2), (y1, y1))
            return m.d_phase(state.nets, x1, x2, y1, fakes, dtgan.step_keys(state)["d_crops"])

        def encoder(state, batch):
            return m.encode(state.nets["E"].params, *dtgan.inputs(batch)[:2])

        def crops(state, batch):
            key = dtgan.step_keys(state)["g_crops"]
            return m.crops(key, dtgan.inputs(batch)[0], m.patches.count)

        def means(state, batch):
            return ema_update(state.ema, params_of(state.nets, *own), 0.99)

        programs = {
            "G phase, forward and backward": g_phase,
            "D phase and its updates": d_phase,
            "E, forward, two images": encoder,
            "patch crops of x1": crops,
            "running means": means,
        }
        found = {}
        for name, function in programs.items():
            program, values = jax.jit(function), []
            for _ in range(rounds + 1):
                start = time.perf_counter()
                jax.block_until_ready(program(self.state, self.batch))
                values.append(time.perf_counter() - start)
            found[name] = spread(values[1:])
        return found

    def kinds(self, steps=3):
        """{kind of operation: seconds a step}, the longest first."""
        opcodes = dict(re.findall(r"%(\S+) = \S+ ([\w-]+)\(", self.programs.step.as_text()))
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, create_perfetto_trace=True):
                for _ in range(steps):
                    self.state, _ = jax.block_until_ready(
                        self.programs.step(self.state, self.batch)
                    )
            (file,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
            events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
        seconds = collections.Counter()
        for event in events:
            name = event.get("args", {}).get("hlo_op", event.get("name"))
            opcode = opcodes.get(name)
            # Loops and calls hold operations that are counted themselves.
            if opcode and "dur" in event and opcode not in ("while", "call", "conditional"):
                # A fusion is called after what it computes, such as transpose_copy_fusion.
                kind = next((k for k in KINDS if k in f"{opcode} {name}"), "elementwise")
                seconds[kind] += event["dur"] / 1e6 / steps
        return dict(seconds.most_common())


def peak():
    """FLOP/s that one device reaches in its favourite operation, the best of five."""
    if jax.default_backend() == "cpu":
        x, kernel = jnp.ones((8, 32, 32, 128)), jnp.ones((3, 3, 128, 128))
        numbers = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        program = jax.jit(
            lambda a, b: jax.lax.conv_general_dilated(a, b, (1, 1), "SAME", **numbers)
        )
        flops = 2.0 * x.size * 128 * 9
    else:
        x = kernel = jnp.ones((8192, 8192), jnp.bfloat16)
        program, flops = jax.jit(jnp.matmul), 2.0 * 8192**3
    best = 0.0
    for _ in range(6):
        start = time.perf_counter()
        for _ in range(5):
            out = program(x, kernel)
        jax.block_until_ready(out)
        best = max(best, 5 * flops / (time.perf_counter() - start))
    return best


def peak_memory():
    """Bytes: of the device where it tells, else of this process."""
    stats = jax.devices()[0].memory_stats() or {}
    return (
        stats.get("peak_bytes_in_use") or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )


def spread(values):
    """{"median", "min", "max"}."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
