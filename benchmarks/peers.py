"""Speed and memory of the training step beside StyleGAN2s in PyTorch, channels layer for layer.

    launch/run.sh python benchmarks/peers.py --python=VENV/bin/python

compares configs/stylegan2.py:quick with the packages stylegan2-torch and stylegan2-pytorch, which
VENV has beside torch (benchmarks/peer_stylegan2.py tells what they need). Each runs in a process of
its own, on the same cores, with the allocator's settings of launch/run.sh, and waits while another
one runs. A round is a whole period of the schedule, 16 steps: G and D in each, the path length in
every 4th, R1 in the 16th, the running mean in each; nobody augments, for the packages have no ADA.
The order turns around in every second round. Figures are medians over rounds with the least and
the largest, ratios those of the same round, by the clock and by seconds of the processor, which
tell something where others use the machine. Memory is the largest resident size of the process:
when networks and programs are built, and after all steps; what steps take is the difference. Ours
is taken with the programs from the cache of compiled programs, as a run that goes on has them, and
once more with the compilation.

With stylegan2-torch the networks are the same to the last parameter. What cannot be matched with
stylegan2-pytorch: it enlarges bilinearly and blurs in D alone, by [1, 2, 1], reads and makes three
channels, has no deviation over the batch, and one block more in D.
Results go to benchmarks/results/peers.json, an entry a number of cores.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "peers.json"
CONFIG = "configs/stylegan2.py:quick"
PACKAGES = ("stylegan2_torch", "stylegan2_pytorch")
PERIOD = 16
EVERY = {"g": 1, "g_reg": 4, "d": 1, "d_reg": 16, "ema": 1}


def main():
    """Compare, add an entry to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", help="interpreter that has torch and the packages")
    parser.add_argument("--packages", default=",".join(PACKAGES), help="to compare with")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of 16 steps a side")
    parser.add_argument("--ours", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        return ours(args.ours)
    if not args.python:
        parser.error("--python is missing: the interpreter of an environment with torch")
    python = os.path.abspath(args.python)  # a link stays one: it tells the environment
    found = compare(python, args.packages.split(","), args.rounds)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known[f"{found['cpu_cores']} cores"] = found
    RESULTS.write_text(json.dumps(known, indent=2) + "\n")
    print(json.dumps(found, indent=2))


# --- a side: a process that runs phases at a command --------------------------------------------


def serve(run, about):
    """Answer lines of JSON until there are no more: a list of phases is run, one after another.

    run: takes the name of a phase, returns when it has ended. The first line out is `about`.
    """
    print(json.dumps(about | {"built_mb": peak_mb()}), flush=True)
    for line in sys.stdin:
        seconds, cpu = dict.fromkeys(EVERY, 0.0), time.process_time()
        for phase in json.loads(line):
            start = time.perf_counter()
            run(phase)
            seconds[phase] += time.perf_counter() - start
        cpu = time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_mb()}), flush=True)


def peak_mb():
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_config():
    """Our config: without augmentation, which the packages do not have."""
    sys.path.insert(0, str(HERE.parent))
    from benchmarks import step

    flags = argparse.Namespace(config=CONFIG, batch=0, dtype="")
    config = step.read_config(flags)
    config.augment.kind = "none"
    return config


def ours(cache):
    """Serve our phases, with the cache of compiled programs in a directory."""
    config = read_config()
    import jax

    from benchmarks import step
    from dtgan.data import catalog
    from dtgan.methods.registry import make_method

    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    source, info = catalog.open_checked(config, config.data.split)
    method = make_method(config, info.classes)
    bench = step.Bench(config, method, source)
    phases = {phase.name: phase for phase in method.phases}
    nets = {name: net.params for name, net in bench.state.nets.items()}
    counts = {name: sum(x.size for x in jax.tree.leaves(net)) for name, net in nets.items()}
    serve(lambda name: bench.run(phases[name]), {"parameters": counts, "jax": jax.__version__})


class Side:
    """A process that serves, from outside."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[:2]} ended with code {self.process.wait()}")
        return json.loads(line)

    def round(self):
        """Run a period of the schedule -> as `serve` answers."""
        due = [name for n in range(PERIOD) for name, every in EVERY.items() if n % every == 0]
        self.process.stdin.write(json.dumps(due) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# --- the comparison -----------------------------------------------------------------------------


def compare(python, packages, rounds):
    """Run all sides in turn -> the entry of the results."""
    settings = settings_of(read_config())
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as stack:
        own = [sys.executable, __file__, f"--ours={cache}"]
        compiling = Side(own)
        compiled = compiling.round()["peak_mb"]
        compiling.close()
        commands = {"dtgan": own}
        for name in packages:
            file = str(HERE / "peer_stylegan2.py")
            commands[name] = [python, file, name, json.dumps(settings)]
        sides = {name: Side(command) for name, command in commands.items()}
        for side in sides.values():
            stack.callback(side.close)
            side.round()  # warms up
        answers = {name: [] for name in sides}
        for number in range(rounds):
            for name in list(sides)[:: -1 if number % 2 else 1]:
                answers[name].append(sides[name].round())
    found = {name: figures(answers[name], settings["batch"], sides[name].about) for name in sides}
    found["dtgan"]["peak_mb_with_compilation"] = compiled
    fastest = min(packages, key=lambda name: found[name]["seconds"]["median"])
    grown = {name: side["peak_mb"] - side["built_mb"] for name, side in found.items()}
    return {
        "cpu_cores": settings["threads"],
        "settings": settings,
        "sides": found,
        "fastest_package": fastest,
        "times_as_fast": ratios(answers[fastest], answers["dtgan"], wall),
        "times_as_fast_cpu": ratios(answers[fastest], answers["dtgan"], lambda x: x["cpu"]),
        "share_of_memory": found["dtgan"]["peak_mb"] / found[fastest]["peak_mb"],
        "share_of_memory_of_steps": grown["dtgan"] / grown[fastest],
    }


def settings_of(config):
    """What the packages are to match."""
    model, optim, data = config.model, config.optim, config.data
    sides = [4 << k for k in range(data.res.bit_length() - 2) if 4 << k <= data.res]
    return {
        "res": data.res,
        "batch": data.batch_size,
        "channels": {str(side): min(model.base // side, model.cap) for side in sides},
        "latent": model.latent,
        "mapping": model.mapping,
        "mixing": optim.mixing,
        "pl_every": optim.pl_every,
        "r1_every": optim.r1_every,
        "r1_gamma": 0.0002 * data.res**2 / data.batch_size,
        "threads": len(os.sched_getaffinity(0)),
    }


def wall(answer):
    """Seconds of a round."""
    return sum(answer["seconds"].values())


def figures(answers, batch, about):
    """Medians, least and largest over the rounds of a side; seconds of a step."""
    seconds = spread([wall(answer) / PERIOD for answer in answers])
    phases = {
        name: statistics.median(answer["seconds"][name] for answer in answers) / (PERIOD / every)
        for name, every in EVERY.items()
    }
    return {
        "seconds": seconds,
        "cpu_seconds": spread([answer["cpu"] / PERIOD for answer in answers]),
        "images_per_second": batch / seconds["median"],
        "phase_seconds": phases,
        "peak_mb": answers[-1]["peak_mb"],
        **about,
    }


def ratios(others, own, value):
    """How many times as fast we are, round by round."""
    return spread([value(a) / value(b) for a, b in zip(others, own, strict=True)])


def spread(values):
    """{"median", "min", "max"}."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
