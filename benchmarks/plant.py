"""A plant's own pictures from audit to verdict: strips, 16-bit plates, coloured parts on a table.

    launch/run.sh python -m benchmarks.plant --out=runs/plant

Makes three sets with planted defects and masks: grey strips of 1600 x 256, plates of 4096 x 4096 in
16 bits, RGB parts of 1200 x 900 on a dark table. Each is audited, a small layered model trained at
native scale, whole pictures generated, the run evaluated, the set classified; then every synthetic
picture is compared with its surface: pixels changed outside of its mask, intersection over union of
what changed and the mask, mode and depth. Writes benchmarks/results/plant.json. --layout=coco,
coco_outlines, coco_counts, yolo, severstal or mvtec starts from labels in that layout.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
from PIL import Image
from scipy import ndimage

from tests.data import formats

RESULTS = pathlib.Path(__file__).parent / "results" / "plant.json"
CLASSES = ("pit", "streak")


KINDS = {
    "strips": ((256, 1600), "L", 24, ".png"),
    "plates": ((4096, 4096), "I;16", 12, ".tif"),
    "parts": ((900, 1200), "RGB", 18, ".png"),
}


def main(argv=None):
    """Go through all kinds, write and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--steps", type=int, default=1500, help="of training (default 1500)")
    parser.add_argument("--num_per_class", type=int, default=34, help="synthetic pictures")
    parser.add_argument("--layout", default="folder", help="of the labels (default folder)")
    args = parser.parse_args(argv)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for kind in args.kinds.split(","):
        name = kind if args.layout == "folder" else f"{kind}, {args.layout}"
        found[name] = chain(kind, args.layout, args.out / name, args.steps, args.num_per_class)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def chain(kind, layout, out, steps, number):
    """Run every verb on a set of a kind, its labels in a layout: what came of it."""
    data, run, fakes = out / "data", out / "run", out / "set"
    if not data.exists():
        plant(kind, data)
    labels = data if layout == "folder" else out / layout
    given = written(data, KINDS[kind][0], layout, labels)
    seconds = {}

    def verb(name, *given):
        start = time.monotonic()
        with open(out / f"{name}.log", "w") as log:
            command = [sys.executable, "-m", f"dtgan.{name}", *given]
            subprocess.run(command, check=True, stdout=log, stderr=log)
        seconds[name] = round(time.monotonic() - start, 1)

    channels = 3 if KINDS[kind][1] == "RGB" else 1
    fields = [f"--config.data.scale={0.25 if kind == 'plates' else 0.5}", *given]
    verb("audit", *(flag.replace("--config.data.path", "--path") for flag in fields))
    recipe = ["--config=configs/layered.py:smoke", *fields, f"--config.data.channels={channels}"]
    recipe += ["--config.loss.mask=1", f"--config.train.duration={steps}steps"]
    recipe += [f"--config.checkpoint.every={steps}", "--config.train.log_every=100"]
    verb("main", *recipe, f"--workdir={run}")
    flags = ["--surface_above=40"] if kind == "parts" else []
    # A model of so few steps draws faint defects, with mattes that are rarely quite clear.
    flags += ["--mask_threshold=0.3", "--no_visibility", "--vary=none"]
    given = ["--size=native", "--windows=2", f"--num_per_class={number}", *flags]
    verb("generate", f"--workdir={run}", f"--out={fakes}", *given)
    verb("evaluate", f"--workdir={run}", "--num_fake=32")
    # On crops of 32 px most plates look like copies of each other.
    res = 64 if kind == "plates" else 32
    verdict = ["--config=configs/classifier.py:quick", f"--config.data.res={res}", "--seeds=1"]
    verdict += [f"--config.data.channels={channels}", "--config.train.steps=50", *fields]
    verdict += ["--arms=real+classic,real+synthetic+classic", "--drop_leaks"]
    verb("classify", f"--out={out / 'verdict'}", f"--synthetic={fakes}", *verdict)
    return {**compared(fakes), "seconds": seconds}


def plant(kind, root):
    """Write surfaces of a kind, half of each class with planted defects and masks of them."""
    size, mode, number, suffix = KINDS[kind]
    rng = np.random.default_rng(0)
    for name in ("normal", *CLASSES):
        for folder in ("images", "masks"):
            (root / folder / name).mkdir(parents=True)
        for k in range(number):
            surface = rng.normal(0.55, 0.05, [side // 4 for side in size])
            surface = ndimage.zoom(ndimage.gaussian_filter(surface, (0.5, 4)), 4, order=1)
            surface += rng.normal(0.0, 0.01, size)
            if kind == "parts":
                surface[: size[0] // 8] = surface[:, -size[1] // 8 :] = 0.02
            if name in CLASSES:
                mask = _defect(name, size, rng)
                shade = rng.uniform(0.3, 0.6) if name == "pit" else rng.uniform(1.3, 1.7)
                surface = np.where(mask, surface * shade, surface)
                Image.fromarray(255 * mask.astype(np.uint8)).save(
                    root / f"masks/{name}/{name}{k:02d}.png"
                )
            _picture(surface, mode).save(root / f"images/{name}/{name}{k:02d}{suffix}")


def written(data, size, layout, root):
    """Write a planted set in a layout, unless it is there: the flags that read it."""
    if layout == "folder":
        return ["--config.data.source=folder", f"--config.data.path={data}"]
    made = formats.Set(normal=0, defects=0, size=size)
    made.classes = CLASSES
    for file in sorted((data / "images").rglob("*.*")):
        mask = data / "masks" / file.parent.name / f"{file.stem}.png"
        name = f"{file.parent.name}/{file.name}"
        made.pictures[name] = np.array(Image.open(file))
        made.masks[name] = np.array(Image.open(mask)) > 0 if mask.exists() else None
    shutil.rmtree(root, ignore_errors=True)
    read = formats.write(made, getattr(formats, layout), root)
    names = ("source", "path", "images", "csv_columns")
    return [f"--config.data.{name}={read[name]}" for name in names if read[name]]


def _defect(name, size, rng):
    """Draw where a defect is: a round pit, or a streak along the picture: bool [H, W]."""
    y, x = (rng.uniform(0.3, 0.7) * side for side in size)
    scale = max(1, size[0] // 1000)
    across, along = ((5, 12), (5, 12)) if name == "pit" else ((2, 5), (12, 40))
    across, along = scale * rng.uniform(*across), scale * rng.uniform(*along)
    angle = rng.uniform(-0.5, 0.5)
    ys, xs = np.ogrid[: size[0], : size[1]]
    ys, xs = ys - y, xs - x
    down, right = ys * np.cos(angle) + xs * np.sin(angle), xs * np.cos(angle) - ys * np.sin(angle)
    return (down / across) ** 2 + (right / along) ** 2 < 1


def _picture(values, mode):
    """Make a Pillow image of values about 0..1."""
    values = values.clip(0.0, 1.0)
    if mode == "I;16":
        return Image.fromarray(np.uint16(values * 65535))
    grey = np.uint8(values * 255)
    return Image.fromarray(grey if mode == "L" else np.stack([grey, grey, grey // 2], axis=-1))


def compared(fakes):
    """Compare every synthetic picture with its surface."""
    records = [json.loads(line) for line in (fakes / "manifest.jsonl").read_text().splitlines()]
    outside, overlap, modes, defects = 0, [], set(), 0
    Image.MAX_IMAGE_PIXELS = None
    for record in records:
        if not record["synthetic"]:
            continue
        image, twin = (Image.open(fakes / record[name]) for name in ("file", "twin"))
        modes.add(image.mode if image.mode == twin.mode else f"{twin.mode} -> {image.mode}")
        mask = np.array(Image.open(fakes / record["mask"])) > 0
        changed = np.array(image) != np.array(twin)
        changed = changed.any(axis=-1) if changed.ndim == 3 else changed
        outside += int(np.count_nonzero(changed & ~mask))
        overlap.append(np.count_nonzero(changed & mask) / np.count_nonzero(changed | mask))
        defects += len(record["defects"])
    return {
        "pictures": len(overlap),
        "defects": defects,
        "modes": sorted(modes),
        "changed_outside": outside,
        "iou_mean": round(float(np.mean(overlap)), 4),
        "iou_least": round(float(np.min(overlap)), 4),
    }


if __name__ == "__main__":
    main()
