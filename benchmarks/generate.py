"""Kept images/s of a labelled set to disk, all of its files included, of one build or of two.

    launch/run.sh python -m benchmarks.generate --workdir=runs/quickstart --num_per_class=334 \\
        --against=../dtgan-before

"checked" is what `python -m dtgan.generate` does: it varies defects and refuses what does not show;
"plain" draws each as it is and keeps it, seen or not. Every set is a process of its own, from its
start to its end; with --against, a clone of another commit, the builds take turns, and their sets
are compared byte by byte. Small sets come first and fill the cache of compiled programs. On cores
that others use as well, only the seconds of the processors mean something. Results go to
benchmarks/results/generate.json.
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import jax

from benchmarks import record

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "generate.json"
WAYS = {"checked": [], "plain": ["--vary=none", "--no_visibility"]}
FIGURES = ("images_per_s", "seconds", "cpu_s", "peak_mb")


def main():
    """Time the sets, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workdir", required=True, type=pathlib.Path, help="directory of the run that draws")
    add("--num_per_class", type=int, default=334)
    add("--rounds", type=int, default=3)
    add("--ways", default=",".join(WAYS), help="which of them (default: %(default)s)")
    add("--against", type=pathlib.Path, help="a clone of another commit, to compare with")
    args = parser.parse_args()
    builds = {"now": HERE.parent} | ({"before": args.against} if args.against else {})
    ways = {}
    with tempfile.TemporaryDirectory() as root:
        for way in args.ways.split(","):
            rows, digests = {name: [] for name in builds}, set()
            for k in range(args.rounds + 1):
                number = args.num_per_class if k else 1
                for name in sorted(builds, reverse=bool(k % 2)):
                    out = pathlib.Path(root) / f"{way}{k}{name}"
                    row, digest = measured(builds[name], args.workdir, out, way, number)
                    shutil.rmtree(out)
                    if k:
                        digests.add(digest)
                        rows[name].append(row)
                        print(way, name, row, flush=True)
            ways[way] = {name: summary(own) for name, own in rows.items()}
            if args.against:
                ways[way]["ratios"] = ratios(rows)
                ways[way]["same_bytes"] = len(digests) == 1
    config = json.loads((args.workdir / "config.json").read_text())
    result = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu_cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "jax": jax.__version__,
        "res": config["data"]["res"],
        "ch": config.get("model", {}).get("ch"),  # None of a family without networks
        "images": rows["now"][0]["images"],
        "commits": {name: record.commit(path) for name, path in builds.items()},
        "ways": ways,
    }
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


def measured(build, workdir, out, way, number):
    """Make a set in a process: (its figures, a digest of all of its files)."""
    command = [sys.executable, "-m", "dtgan.generate", f"--workdir={workdir.absolute()}"]
    command += [f"--out={out}", f"--num_per_class={number}", *WAYS[way]]
    environment = os.environ | {"PYTHONPATH": str(build.absolute())}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=build, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            log.seek(0)
            sys.exit(log.read())
    records = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    images = sum(record["synthetic"] for record in records)
    content = (out / "SHA256SUMS").read_bytes() + (out / "plan.json").read_bytes()
    row = {
        "images": images,
        "images_per_s": round(images / seconds, 2),
        "seconds": round(seconds, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
    }
    return row, hashlib.sha256(content).hexdigest()


def summary(rows):
    """Summarise the figures of equal sets: {figure: median, min, max}."""
    found = {}
    for figure in FIGURES:
        values = [row[figure] for row in rows]
        found[figure] = {
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
        }
    return found


def ratios(rows):
    """Divide the medians of the other build by those of this one: above 1 is a gain."""
    now, before = (summary(rows[name]) for name in ("now", "before"))
    found = {name: before[name]["median"] / now[name]["median"] for name in FIGURES}
    found["images_per_s"] = 1 / found["images_per_s"]
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
