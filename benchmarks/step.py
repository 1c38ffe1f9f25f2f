"""Cost and speed of the training step: compilation, steps/s, FLOPs, share of the peak.

    launch/run.sh python benchmarks/step.py --config=configs/quickstart.py
    launch/run.sh python benchmarks/step.py --config=configs/dtgan.py:res=256,ch=32 --batch=1

Every phase of a step is a program and is timed by itself; what a step costs is the sum over phases,
each divided by how rarely it runs. Every figure is the median over rounds, with the least and the
largest. The peak is that of a large matrix product (bfloat16) on GPU and TPU, of a 3x3 convolution
on CPU, measured in the same run.
`--kinds` profiles the phases and sums their seconds by kind of operation: on CPU start that on one
core (`taskset -c 0`), where an operation ends before the next one begins.
The compilation is timed twice, with an empty and a filled cache of programs, in processes of their
own. Results go to benchmarks/results/step.json, an entry a config, batch, type and device.
"""

import argparse
import collections
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
from dtgan.methods.registry import make_method
from dtgan.training.programs import Programs, flops, init_state, per_step

RESULTS = pathlib.Path(__file__).parent / "results" / "step.json"
KINDS = ("convolution", "custom-call", "dot", "transpose", "reduce", "copy")


def main(argv=None):
    """Measure one config, add it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/quickstart.py", help="FILE:ARGUMENTS")
    parser.add_argument("--batch", type=int, default=0, help="pairs a step; default the config's")
    parser.add_argument("--dtype", default="", help="float32 or bfloat16; default the config's")
    parser.add_argument("--rounds", type=int, default=10, help="timed runs of every phase")
    parser.add_argument("--kinds", action="store_true", help="profile the phases, too")
    parser.add_argument("--compile_only", default="", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    config = read_config(args)
    source, info = catalog.open_checked(config, config.data.split)
    method = make_method(config, info.classes)
    if not method.phases:
        parser.error(f"method={config.method} has nothing to train")
    if args.compile_only:
        jax.config.update("jax_compilation_cache_dir", args.compile_only)
        print(json.dumps(Bench(config, method, source).programs.seconds))
        return
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = compile_seconds(sys.argv[1:] if argv is None else argv, cache)
        jax.config.update("jax_compilation_cache_dir", cache)
        bench = Bench(config, method, source)
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
    """(cold, warm) seconds that compiling all phases takes, each in a new process, first with the
    empty directory `cache`."""
    command = [sys.executable, __file__, *argv, f"--compile_only={cache}"]
    found = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(2)
    ]
    return [round(sum(seconds.values()), 2) for seconds in found]


class Bench:
    """The compiled phases of a method's step, its state and a batch on the device."""

    def __init__(self, config, method, source):
        self.config, self.method, mesh = config, method, sharding.make_mesh()
        self.state = init_state(method, config, mesh)
        self.programs = Programs(method, config, mesh, self.state)
        stream = pipeline.train_iterator(config, source, method.reads)
        self.batch = sharding.put_batch(next(stream), mesh)
        stream.close()

    def run(self, phase):
        """Run a phase once, to its end -> seconds."""
        program, start = self.programs.compiled[phase.name], time.perf_counter()
        self.state, _ = jax.block_until_ready(program(self.state, self.batch))
        return time.perf_counter() - start

    def step(self, rounds):
        """Seconds and FLOPs of each phase; rates, memory and share of the peak of the step."""
        phases = self.method.phases
        rows = [[self.run(phase) for phase in phases] for _ in range(rounds + 1)]
        columns = zip(*rows[1:], strict=True)  # without the first round, which warms up
        seconds = {phase.name: spread(c) for phase, c in zip(phases, columns, strict=True)}
        whole = per_step(phases, {name: found["median"] for name, found in seconds.items()})
        counted = flops(self.method, self.config, self.state)
        total, pairs = per_step(phases, counted), self.config.data.batch_size
        found, ceiling = total / whole / jax.device_count(), peak()
        return {
            "seconds": seconds,
            "phases": {
                phase.name: {"every": phase.every, "gflop": counted[phase.name] / 1e9}
                for phase in phases
            },
            "steps_per_second": 1 / whole,
            "pairs_per_second": pairs / whole,
            "images_per_second": pipeline.images_per_row(self.method.reads) * pairs / whole,
            "gflop_per_step": total / 1e9,
            "gflop_per_pair": total / pairs / 1e9,
            "gflop_per_second": found / 1e9,
            "peak_gflop_per_second": ceiling / 1e9,
            "utilisation": found / ceiling,
            "peak_memory_mb": peak_memory() / 2**20,
        }

    def kinds(self, rounds=3):
        """{phase: {kind of operation: seconds a run}}, the longest first."""
        return {phase.name: self._kinds(phase, rounds) for phase in self.method.phases}

    def _kinds(self, phase, rounds):
        text = self.programs.compiled[phase.name].as_text()
        opcodes = dict(re.findall(r"%(\S+) = \S+ ([\w-]+)\(", text))
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, create_perfetto_trace=True):
                for _ in range(rounds):
                    self.run(phase)
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
                seconds[kind] += event["dur"] / 1e6 / rounds
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
