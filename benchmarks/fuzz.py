"""Feeds the readers of strangers' files with strange bytes: nothing may come but findings.

    pip install atheris
    MALLOC_MMAP_THRESHOLD_=131072 launch/run.sh python benchmarks/fuzz.py --target=pictures \\
        --seconds=600 --corpus=runs/fuzz

pictures: a file as the picture and as the mask of a set, examined and, if it passes, read; splits:
a splits.csv. atheris changes files of the corpus, which begins with small valid ones, and keeps
there what reaches new code. An input that ends in another exception than ConfigError is left in the
corpus as crash-*, with its traceback on stderr, and so is one that takes more memory than MEMORY;
the setting of malloc gives large pictures back to the system. A process lasts PIECE seconds, since
atheris keeps pictures that pass through instrumented code.
"""

import argparse
import io
import json
import os
import pathlib
import sys
import tempfile
import time

import atheris

with atheris.instrument_imports(include=["PIL", "csv", "dtgan.images", "dtgan.data"]):
    import numpy as np

    from dtgan import images
    from dtgan.config import ConfigError, base_config
    from dtgan.data.folders import assign, examine, files, scan

LARGEST = 4096  # bytes of an input
MEMORY = 2048  # MB of one input, above which it counts as a crash
PIECE = 60  # seconds


def main():
    """Run one target for a while; print how many inputs it had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=sorted(TARGETS), required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    args = parser.parse_args()
    corpus = args.corpus / args.target
    corpus.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS[args.target]():
        (corpus / name).write_bytes(content)
    told = {"inputs": 0, "seconds": 0, "largest_mb": 0}
    file = args.corpus / f"{args.target}.json"
    file.write_text(json.dumps(told) + "\n")
    for begun in range(0, args.seconds, PIECE):
        child = os.fork()
        if child == 0:
            fuzz(args, corpus, file, min(PIECE, args.seconds - begun))
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"error: an input fails; it is in {corpus}")
    print(file.read_text())


def fuzz(args, corpus, file, seconds):
    """Run the target for a while, add what it had to the figures in `file`; never returns."""
    told, begun = json.loads(file.read_text()), time.monotonic()
    before = dict(told)
    with tempfile.TemporaryDirectory(dir=args.corpus) as root:
        run = TARGETS[args.target](pathlib.Path(root))

        def one(content):
            pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            start = status("VmRSS")
            run(content)
            taken = status("VmHWM") - start
            assert taken <= MEMORY, f"one input takes {taken} MB"
            told["inputs"] += 1
            told["largest_mb"] = max(told["largest_mb"], taken)
            if not told["inputs"] % 200:  # libFuzzer ends the process by itself
                told["seconds"] = before["seconds"] + round(time.monotonic() - begun)
                file.write_text(json.dumps(told) + "\n")

        flags = {
            "max_total_time": seconds,
            "max_len": LARGEST,
            "rss_limit_mb": 0,
            "timeout": 120,
            "artifact_prefix": f"{corpus}/",
        }
        given = [f"-{name}={value}" for name, value in flags.items()]
        atheris.Setup([sys.argv[0], *given, str(corpus)], one)
        atheris.Fuzz()


def status(name):
    """Read a figure of this process's memory, in MB."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))


def pictures(root):
    """Make the function that reads bytes as a picture, and as the mask of a good one."""
    data = base_config().data
    good = scan.Record("crack", "crack", "good.png", root / "good.png", root / "x.png")
    images.write_image(good.image, np.full((8, 8, 1), 128, np.uint8))
    strange = scan.Record("crack", "crack", "x.png", root / "x.png", None)

    def run(content):
        (root / "x.png").write_bytes(content)
        for entry in (strange, good):
            records, _, _ = examine.examine(root, entry, data)
            source = files.FileSource(records, ("normal", "crack"), data, True, "")
            for index in range(len(source)):
                item = source[index]
                assert item["image"].shape[:2] == item["mask"].shape[:2]

    return run


def splits(root):
    """Make the function that reads bytes as a splits.csv."""

    def run(content):
        (root / "splits.csv").write_bytes(content)
        try:
            rows = assign.read_csv(root / "splits.csv")
        except ConfigError:
            return
        assert all(isinstance(text, str) for _, *texts in rows for text in texts)

    return run


def _pictures():
    """Yield small valid pictures: (name, content)."""
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for kind in images.FORMATS:
        for mode in ("L", "RGB", "1", "P", "I;16", "RGBA"):
            picture = images.Image.fromarray(ramp).convert("L")
            content = io.BytesIO()
            try:
                picture = (
                    images.Image.fromarray(ramp.astype(np.uint16) * 900)
                    if ";" in mode
                    else (picture.convert(mode))
                )
                picture.save(content, kind)
            except (OSError, ValueError, KeyError):
                continue  # a format that has no such mode
            yield f"{kind}-{mode.replace(';', '')}", content.getvalue()


def _tables():
    """Yield small tables: (name, content)."""
    yield "plain", b"file,split\ncrack/a.png,train\nnormal/b.png,val\n"
    yield "marked", b'\xef\xbb\xbffile, split\r\n"crack/a, b.png",test\r\n'
    yield "swapped", b"split,file,other\nval,images\\crack\\a.png,x\n"


TARGETS = {"pictures": pictures, "splits": splits}
SEEDS = {"pictures": _pictures, "splits": _tables}

if __name__ == "__main__":
    main()
