"""Kills at random moments: is the result the same to the bit, and how much is done twice?

    launch/run.sh python -m benchmarks.faults --trials=1000 --out=runs/faults

A trial starts train, generate, evaluate or classify, ends it by SIGKILL after a share, drawn from
the trial's number, of the processor time of an undisturbed run, one time in four the next start,
too, and lets the last start end. All that it made is compared with what an undisturbed run made.
The families are toys (tests/methods/toys.py), so that nearly all of a trial is what kills can harm:
the loop, the data, the disk. A line of OUT/trials.jsonl is a trial; the same command goes on where
it was, and writes benchmarks/results/faults.json.
"""

import argparse
import collections
import hashlib
import json
import math
import pathlib
import random
import shutil
import statistics

import numpy as np

from benchmarks import record
from benchmarks.warm import Warm
from dtgan.files import write_atomic

RESULTS = pathlib.Path(__file__).parent / "results" / "faults.json"
PREPARE = "tests.faults.quick:prepare"
ENVIRONMENT = {  # of the tests (tests/conftest.py): compilation is what costs most
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_max_isa=AVX",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
VERBS = (*("train", "generate", "classify") * 5, "evaluate")  # of trials in turn
STEPS, EVERY = 20, 4  # of a training
_TIMES = ("seconds", "images_per_second")  # of reports, differ anyway
PAUSE = 0.1  # seconds at most, in which the processor may rest while the disk works
AGAIN = 0.25  # chance of a second kill
# Of configs/quickstart.py, for the formula: seconds a step, a save (of one CPU core, this machine)
# and from the start of a process to its first new step.
QUICKSTART = {"step": 0.166, "save": 1.2, "restart": 20.0}


def main():
    """Run the trials that are missing, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "trials.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    with Warm(ENVIRONMENT, PREPARE) as warm:
        stage = Stage(warm, args.out)
        for number in range(len(rows), args.trials):
            rows.append(stage.trial(VERBS[number % len(VERBS)], number))
            write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows))
    result = summarise(rows) | {
        "processor_s_undisturbed": stage.seconds,
        "goodput": goodput_table(),
    }
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


class Stage:
    """What trials need: runs to draw from, and what undisturbed commands make."""

    def __init__(self, warm, root, verbs=frozenset(VERBS)):
        self.warm, self.root = warm, pathlib.Path(root).absolute()
        self.log = self.root / "log"
        known = self.root / "reference.json"
        found = json.loads(known.read_text()) if known.exists() else {}
        self.seconds, self.made = found.get("seconds", {}), found.get("made", {})
        if "dots" not in self.seconds:
            self._prepare()
        for verb in sorted(verbs - set(self.made)):
            out = self.root / f"whole-{verb}"
            shutil.rmtree(out, ignore_errors=True)
            self._place(verb, out)
            self._run(verb, out)  # compiles
            shutil.rmtree(out)
            self._place(verb, out)
            self.seconds[verb] = self._run(verb, out)
            self.made[verb] = made(verb, out)
        write_atomic(known, json.dumps({"seconds": self.seconds, "made": self.made}))

    def trial(self, verb, number):
        """Kill a command, start it again until it ends, compare: a row of the result."""
        rng, out, kills = random.Random(number), self.root / f"trial-{number}", []
        shutil.rmtree(out, ignore_errors=True)  # of a trial that did not end
        for log in self.root.glob(f"{out.name}.*"):
            log.unlink()
        self._place(verb, out)
        for start in range(1 + (rng.random() < AGAIN)):
            after, more = rng.random() * self.seconds[verb], rng.random() * PAUSE
            started = self.warm.start(*self.command(verb, out), f"{out}.{start}")
            if not started.kill_after(after, more):
                break  # it had ended
            kills.append({"after_s": round(after, 2), "reached": last_step(out)})
        self.warm.run(*self.command(verb, out), f"{out}.{len(kills)}")
        for start, kill in enumerate(kills, 1):
            if verb == "train" and (at := resumed_at(f"{out}.{start}")) is not None:
                kill["lost"] = kill["reached"] - at
        found, whole = made(verb, out), self.made[verb]
        changed = sorted(n for n in whole.keys() | found.keys() if whole.get(n) != found.get(n))
        if not changed:
            shutil.rmtree(out)
        return {"trial": number, "verb": verb, "kills": kills, "changed": changed}

    def command(self, verb, out):
        """(module, arguments) of a verb that writes to `out`."""
        cache = f"--compilation_cache={self.root / 'xla'}"
        square, own = f"--workdir={self.root / 'square'}", f"--out={out}"
        return {
            "train": ("dtgan.main", [*self._training("tail"), f"--workdir={out}", cache]),
            "generate": ("dtgan.generate", [square, own, "--num_per_class=40", cache]),
            "evaluate": ("dtgan.evaluate", [f"--workdir={out}", "--num_fake=40", cache]),
            "classify": ("dtgan.classify", [*self._experiment(), own, cache]),
        }[verb]

    def _prepare(self):
        """Train a donor for `train`, and what the others draw from."""
        for family in ("dots", "square"):
            args = [*self._training(family), f"--workdir={self.root / family}"]
            self.seconds[family] = self.warm.run(
                "dtgan.main", [*args, f"--compilation_cache={self.root / 'xla'}"], self.log
            )
        self._run("generate", self.root / "set")

    def _run(self, verb, out):
        return self.warm.run(*self.command(verb, out), self.log)

    def _training(self, family):
        donor = [f"--config.init.workdir={self.root / 'dots'}"] if family == "tail" else []
        return [
            f"--config=tests/smoke.py:{family}",
            "--config.data.classes=tear",
            f"--config.train.duration={STEPS}steps",
            "--config.train.log_every=1",
            "--config.train.sample_every=10",
            f"--config.checkpoint.every={EVERY}",
            *donor,
        ]

    def _experiment(self):
        return [
            "--config=configs/classifier.py:quick",
            "--config.data.source=procedural",
            "--config.data.res=32",
            "--config.data.scale_counts=0.03",
            "--config.data.classes=tear",
            f"--synthetic={self.root / 'set'}",
            "--seeds=3",
        ]

    def _place(self, verb, out):
        if verb == "evaluate":  # its classifier and its report go into the workdir
            shutil.copytree(self.root / "square", out)


def last_step(out):
    """Read the last step that a killed run has logged; 0 where there is none."""
    file = out / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def resumed_at(log):
    """Read from a log where a run went on; 0 where it began anew, None where it was killed before.

    A run that had ended says neither.
    """
    for line in pathlib.Path(log).read_text().splitlines():
        if "resuming at step" in line:
            return int(line.rpartition(" ")[2])
        if f"/{STEPS} (" in line:
            return 0
    return None


def made(verb, out):
    """Digest all that a command made, but times: {name: SHA-256}."""
    found = {}
    if verb == "train":
        found |= _arrays(out)
        lines = (out / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        found["metrics"] = [
            {k: v for k, v in row.items() if not k.startswith("rate/")} for row in rows
        ]
    if verb == "evaluate":
        out = out / "eval"
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if name.startswith("checkpoints/"):
            continue  # their files hold times; what they restore is above
        if path.suffix in (".png", ".npy", ".npz", ".safetensors") or verb == "generate":
            found[name] = path.read_bytes() if path.is_file() else b""
        elif path.suffix == ".json":
            content = json.loads(path.read_text())
            found[name] = {k: v for k, v in content.items() if k not in _TIMES}
    return {name: _digest(content) for name, content in found.items()}


def _arrays(workdir):
    """Restore the arrays of the last checkpoint of a training: {name: bytes}."""
    import jax
    import orbax.checkpoint as ocp

    found = {}
    for item in ("state", "ema"):
        folder = workdir / "checkpoints" / str(STEPS) / item
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(folder.absolute())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            found[item + jax.tree_util.keystr(path)] = np.asarray(leaf).tobytes()
    return found


def _digest(content):
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def summarise(rows):
    """Count kills, changed results and lost steps."""
    kills = [kill for row in rows for kill in row["kills"]]
    lost = [kill["lost"] for kill in kills if "lost" in kill]
    return {
        "trials": len(rows),
        "seeds": f"0 to {len(rows) - 1}, the numbers of the trials",
        "trials_by_verb": dict(collections.Counter(row["verb"] for row in rows)),
        "kills": len(kills),
        "corrupted_resumes": sum(bool(row["changed"]) for row in rows),
        "steps_between_saves": EVERY,
        "steps_lost_per_kill": {
            "kills": len(lost),
            "mean": lost and round(statistics.mean(lost), 2),
            "most": lost and max(lost),
        },
    }


def goodput(work, save, restart, mean_time):
    """Compute the share of the time that is useful when kills come by chance (a Poisson process).

    work: seconds between saves; save, restart: seconds of each; mean_time: seconds between kills.
    Of e^(restart/m) m (e^((work + save)/m) - 1) seconds that an interval takes on the mean, `work`
    are useful (J. Daly, A higher order estimate of the optimum checkpoint interval, 2006).
    """
    m = mean_time
    return work / (math.exp(restart / m) * m * math.expm1((work + save) / m))


def goodput_table():
    """Compute the goodput of the quickstart at a kill a minute and an hour, by interval."""
    found = {"by": "formula", "seconds": QUICKSTART, "intervals": {}}
    for every in (50, 200, 1000):
        work = every * QUICKSTART["step"]
        found["intervals"][f"checkpoint.every={every}"] = {
            name: round(goodput(work, QUICKSTART["save"], QUICKSTART["restart"], seconds), 3)
            for name, seconds in (("a kill a minute", 60.0), ("a kill an hour", 3600.0))
        }
    return found


if __name__ == "__main__":
    main()
