"""Images/s of the input pipeline alone: procedural, folder and array_record, by reading threads.

    launch/run.sh python -m benchmarks.input --res=256

A pair is two images. `first` reads every image from its source, `cached` from host memory, as in
all later epochs of a set that fits (data.cache_mb). Results go to benchmarks/results/input.json.
"""

import argparse
import os
import pathlib
import platform
import statistics
import tempfile
import time

from benchmarks import record
from dtgan import images
from dtgan.config import base_config
from dtgan.data import catalog, pipeline
from dtgan.data.procedural import CLASSES, ProceduralSteel
from dtgan.data.steel_defects import steel_defects

READS = ("image", "label", "mask", "has_mask", "normal")  # of a batch: all there is
AHEAD = 40  # batches, more than the pipeline prepares ahead
RESULTS = pathlib.Path(__file__).parent / "results" / "input.json"


def main():
    """Time all sources, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--res", type=int, default=256)
    parser.add_argument("--images", type=int, default=40, help="of every class")
    parser.add_argument("--workers", default="1,2,4", help="reading threads, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as root:
        for name, fields in sources(pathlib.Path(root), args).items():
            for workers in map(int, args.workers.split(",")):
                config = base_config()
                config.data.res = args.res
                for field, value in (fields | {"workers": workers}).items():
                    config.data[field] = value
                found[f"{name}, {workers} threads"] = {
                    "first": rate(config, args.rounds, cache_mb=0),
                    "cached": rate(config, args.rounds, cache_mb=4096),
                }
                print(name, workers, found[f"{name}, {workers} threads"], flush=True)
    result = {
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        **vars(args),
        "images_per_second": found,
    }
    record.write(RESULTS, result)


def sources(root, args):
    """{name: fields of config.data} of the same images in three forms."""
    source = ProceduralSteel("train", args.res, counts=dict.fromkeys(CLASSES, args.images))
    lines = ["file,split"]
    for k, item in enumerate(source):
        name = f"{CLASSES[item['label']]}/{k:05d}.png"
        images.write_image(root / "folder/images" / name, item["image"])
        images.write_image(root / "folder/masks" / name, item["mask"])
        lines.append(f"{name},train")
    (root / "folder/splits.csv").write_text("\n".join(lines) + "\n")
    steel_defects.prepare(str(root / "tfds"), folder=str(root / "folder"))
    scale = len(source) / len(ProceduralSteel("train", args.res))
    return {
        "procedural": {"source": "procedural", "scale_counts": scale},
        "folder": {"source": "folder", "path": str(root / "folder")},
        "array_record": {"source": "tfds", "path": str(root / "tfds")},
    }


def rate(config, rounds, cache_mb):
    """{"median", "min", "max"} images/s over rounds of two seconds."""
    config.data.cache_mb = cache_mb
    source = catalog.open_source(config, "train")
    stream, batch = pipeline.train_iterator(config, source, READS), config.data.batch_size
    # First empty what was prepared ahead, or fill the cache.
    for _ in range(max(AHEAD, 3 * len(source) // batch if cache_mb else 0)):
        next(stream)
    rates = []
    for _ in range(rounds):
        start, count = time.perf_counter(), 0
        while (seconds := time.perf_counter() - start) < 2.0:
            next(stream)
            count += 1
        rates.append(2 * batch * count / seconds)
    stream.close()
    return {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}


if __name__ == "__main__":
    main()
