"""Do two checkouts compute the same bits? Trains, generates and evaluates with the commands alone.

    python benchmarks/parity.py run --checkout=OLD --out=runs/parity/old
    python benchmarks/parity.py run --checkout=. --out=runs/parity/new
    python benchmarks/parity.py run --checkout=. --out=runs/parity/new-on-old --runs=runs/parity/old
    python benchmarks/parity.py compare runs/parity/old runs/parity/new

`run` trains 20 steps of the smoke config of every method, draws a set of 66 images and evaluates,
with the code of a checkout; `--runs` takes the runs (checkpoints, domain classifier) of another
OUT instead of training, and then resumes a copy of each for two steps. Every file it leaves is
hashed into OUT/digests.json; `compare` lists what differs. Left out of reports and manifests: the
times, and the digest of the checkpoint, which covers the times that Orbax notes in it.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp

CONFIGS = {  # method -> places of its smoke config, the first that exists
    "dtgan": ("configs/dtgan.py:smoke",),
    "layered": ("configs/layered.py:smoke", "configs/dtgan.py:layered,smoke"),
}
STEPS = 20  # R1 at 0 and 16
LEFT_OUT = ("seconds", "images_per_second", "checkpoint")


def main():
    """Parse flags, run or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run")
    one.add_argument("--checkout", required=True)
    one.add_argument("--out", required=True)
    one.add_argument("--runs", default="")
    two = commands.add_parser("compare")
    two.add_argument("outs", nargs=2)
    args = parser.parse_args()
    if args.command == "run":
        run(pathlib.Path(args.checkout).resolve(), pathlib.Path(args.out).resolve(), args.runs)
    else:
        sys.exit(compare(*map(pathlib.Path, args.outs)))


def run(checkout, out, runs):
    """Leave OUT/<method>/{run,set} and OUT/digests.json."""
    digests = {}
    for method, places in CONFIGS.items():
        folder = out / method
        folder.mkdir(parents=True)
        config = next(c for c in places if (checkout / c.partition(":")[0]).exists())
        train = ["dtgan.main", f"--config={config}", f"--workdir={folder / 'run'}"]
        train += ["--config.checkpoint.every=10"]
        if runs:
            ignore = shutil.ignore_patterns("eval")
            source = pathlib.Path(runs).resolve() / method / "run"
            shutil.copytree(source, folder / "run", ignore=ignore)
        else:
            call(checkout, *train, f"--config.train.duration={STEPS}steps")
        digests[f"{method}/parameters"] = parameters(folder / "run")
        call(
            checkout,
            *("dtgan.generate", f"--workdir={folder / 'run'}", f"--out={folder / 'set'}"),
            *("--num_per_class=11", "--mask_threshold=0.001"),
        )
        digests[f"{method}/set"] = pictures(folder / "set")
        call(checkout, *("dtgan.evaluate", f"--workdir={folder / 'run'}", "--num_fake=64"))
        digests[f"{method}/report"] = report(folder / "run" / "eval" / f"{STEPS}.json")
        if runs:
            call(checkout, *train, f"--config.train.duration={STEPS + 2}steps")
            digests[f"{method}/resumed"] = parameters(folder / "run")
    (out / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")


def call(checkout, module, *flags):
    """Run a verb with the code and the environment of a checkout."""
    command = [str(checkout / "launch" / "run.sh"), "python", "-m", module, *flags]
    print(*command[1:], flush=True)
    env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "XLA_FLAGS")}
    subprocess.run(command, cwd=checkout, env=env, check=True)


def parameters(workdir):
    """{path of an array: digest} of the newest checkpoint: nets, optimizers, EMA, keys."""
    step = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
    found = {}
    for item in ("state", "ema"):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(workdir / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            found[item + jax.tree_util.keystr(path)] = digest(np.asarray(leaf).tobytes())
    return found


def pictures(folder):
    """{file: digest} of a generated set, records without LEFT_OUT."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("plan.json", "manifest.jsonl"):
            found[str(path.relative_to(folder))] = digest(path.read_bytes())
    for number, line in enumerate((folder / "manifest.jsonl").read_text().splitlines()):
        record = {k: v for k, v in json.loads(line).items() if k not in LEFT_OUT}
        found[f"manifest/{number}"] = digest(json.dumps(record, sort_keys=True).encode())
    return found


def report(path):
    """{part: text} of an evaluation report without LEFT_OUT."""
    return {
        name: json.dumps(value, sort_keys=True)
        for name, value in json.loads(path.read_text()).items()
        if name not in LEFT_OUT
    }


def digest(content):
    """16 hexadecimal digits of bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def compare(old, new):
    """Print what differs between the parts that both have; returns the exit code."""
    first, second = (json.loads((out / "digests.json").read_text()) for out in (old, new))
    differ = 0
    for part in [name for name in first if name in second]:
        a, b = first[part], second[part]
        wrong = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
        print(f"{part}: {len(a)} entries, {len(wrong)} differ {wrong[:8]}")
        differ += len(wrong)
    return 1 if differ else 0


if __name__ == "__main__":
    main()
