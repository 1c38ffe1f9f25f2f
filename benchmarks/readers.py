"""Readers of others read a set of ours: are pictures, classes, boxes and masks right?

    launch/run.sh python -m benchmarks.readers --out=runs/readers

The readers are those of the extra `readers`; with --python=FILE those of another environment. The
set is planted: strips and plates, 8 and 16 bit, grey and colour, PNG and TIFF, two instances, two
classes, a hole, the border, a line of pixels that touch at corners. Each reader is a process of its
own (benchmarks/reading.py); one that is missing or fails is a row with the reason. A box is right
within a pixel of what was planted, a mask where it differs within a pixel of the outline alone.
Prints the table, writes benchmarks/results/readers.json.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks import record
from benchmarks.reading import ANY, READERS

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results" / "readers.json"
CLASSES = ("scratch", "spot")
LONGEST = 600  # seconds that a reader may take


class Planted(NamedTuple):
    """A picture: file below images/, mode (L, I;16 or RGB), size, and (class, bool [H, W]) of each
    defect; none on a surface."""

    file: str
    mode: str
    size: tuple
    defects: tuple = ()


def main():
    """Make the set, let all read it, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="for the set; made anew")
    parser.add_argument("--python", default=sys.executable, help="that has the readers")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    truth = {pathlib.Path(one.file).stem: one for one in planted()}
    make(args.out, truth.values())
    rows = {}
    for name, reader in READERS.items():
        rows[name] = {"package": reader.package, "call": reader.call, "reads": reader.reads}
        rows[name] |= row(name, args.python, args.out, truth)
        print(" | ".join(map(str, rows[name].values())), flush=True)
    record.write(RESULTS, {"pictures": len(truth), "readers": rows})


def planted():
    """List the pictures of the set: five with defects, and the surfaces that they stand on."""
    strip, plate, wide, part, small = (256, 1600), (480, 480), (300, 420), (200, 320), (160, 240)
    ring = disc(plate, 200, 250, 60) & ~disc(plate, 200, 250, 40)
    line = np.eye(*wide, k=70, dtype=bool)
    line[:40], line[200:] = False, False
    hook = rectangle(part, 20, 30, 6, 200) | rectangle(part, 26, 225, 120, 5)
    edges = rectangle(strip, 0, 0, 9, 700), rectangle(strip, 100, 1500, 156, 12)
    within = disc(part, 90, 90, 25)  # the hook's box
    low = rectangle(wide, 290, 300, 10, 120)
    defects = [
        Planted("scratch/strip.png", "L", strip, (("scratch", edges[0]), ("scratch", edges[1]))),
        Planted("spot/plate.png", "I;16", plate, (("spot", ring),)),
        Planted("scratch/wide.tif", "I;16", wide, (("scratch", line), ("scratch", low))),
        Planted("scratch+spot/part.png", "RGB", part, (("scratch", hook), ("spot", within))),
        Planted("spot/small.tif", "RGB", small, (("spot", disc(small, 0, 120, 30)),)),
    ]
    return defects + [
        one._replace(file=f"normal/on_{pathlib.Path(one.file).name}", defects=()) for one in defects
    ]


def rectangle(size, y, x, height, width):
    """Paint a rectangle: bool of `size` = (height, width)."""
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def disc(size, y, x, radius):
    """Paint a disc: bool of `size` = (height, width)."""
    ys, xs = np.ogrid[: size[0], : size[1]]
    return (ys - y) ** 2 + (xs - x) ** 2 < radius**2


def pixels(one):
    """Draw a Planted: uint8 or uint16 [H, W] or uint8 [H, W, 3], defects darker than the rest."""
    rng = np.random.default_rng(0)
    rough = rng.integers(140, 200, (*one.size, 3) if one.mode == "RGB" else one.size)
    for _, mask in one.defects:
        rough[mask] -= 100
    return (rough * 257 + 40).astype(np.uint16) if one.mode == "I;16" else rough.astype(np.uint8)


def make(out, pictures, with_mvtec=True):
    """Write the set of `pictures`, a Planted each, below `out` as `generate` does."""
    from dtgan import images
    from dtgan.annotations import instances
    from dtgan.generation.dataset import complete

    records = []
    for number, one in enumerate(pictures):
        file = f"images/{one.file}"
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(one)).save(out / file)
        name, (height, width) = pathlib.Path(one.file), one.size
        record = {"file": file, "class": name.parts[0], "size": [height, width]}
        record["surface_index"] = number % 5
        if one.defects:
            record["mask"] = f"masks/{name.with_suffix('.png')}"
            whole = np.any([mask for _, mask in one.defects], axis=0)
            images.write_image(out / record["mask"], np.where(whole, 255, 0)[..., None])
            record["defects"] = [
                {"class": label} | instances.measure(mask) for label, mask in one.defects
            ]
        records.append(record)
    complete(out, records, CLASSES, "parts", with_mvtec)


def row(name, python, out, truth):
    """Let one reader read the set: a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "read.npz"
        command = [python, HERE / "reading.py", name, out.absolute(), file]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=LONGEST, cwd=folder
            )
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            return {"version": "-", "verdict": said[-1][:200]}
        with np.load(file) as arrays:
            read = dict(arrays)
    told = json.loads(str(read["told"]))
    expected = set(truth)
    if "mvtec" in name:  # some are left out of this tree
        expected = {path.stem for path in (out / "mvtec").glob("t*/*/*")}
    judged = [
        judge(truth[stem], picture(read, number), READERS[name].outlines)
        for stem, number in told["numbers"].items()
        if stem in expected
    ]
    return {"version": told["version"]} | summarise(judged, len(expected))


def picture(read, number):
    """Gather what was read of a picture by its number; see `reading.main`."""
    keys = ("image", "label", "mask", "labels", "boxes", "masks")
    return {key: read[f"{key}{number}"] for key in keys if f"{key}{number}" in read}


def judge(one, found, outlines):
    """Compare what was read of a picture with what was planted: its part of the figures.

    outlines: whether a mask is told by its outer line alone.
    """
    judged = {"classes": [0, 0], "box_error": [], "masks": []}
    if one.mode == "I;16":
        judged["depth"] = depth(found["image"], pixels(one))
    if "label" in found:
        folder = one.file.partition("/")[0]
        known = ANY if found["label"] == ANY and one.defects else folder
        judged["classes"] = [int(found["label"] == known), 1]
    if "mask" in found:
        whole = np.any([mask for _, mask in one.defects], axis=0)
        judged["masks"].append(compare(whole, found["mask"]))
    if "labels" not in found:
        return judged
    left = list(range(len(found["labels"])))
    for label, mask in one.defects:
        own = np.array(box(mask))
        same = [k for k in left if found["labels"][k] == label]
        judged["classes"][1] += 1
        if not same:
            continue
        nearest = min(same, key=lambda k: np.abs(found["boxes"][k] - own).max())
        left.remove(nearest)
        judged["classes"][0] += 1
        x, y, width, height = found["boxes"][nearest]
        ends = own[:2] + own[2:] - (x + width, y + height)
        judged["box_error"].append(float(np.abs([*(own[:2] - (x, y)), *ends]).max()))
        if "masks" in found:
            filled = ndimage.binary_fill_holes(mask) if outlines else mask
            judged["masks"].append(compare(filled, found["masks"][nearest]))
    judged["classes"][1] += len(left)  # that nobody planted
    return judged


def box(mask):
    """The bounding box (x, y, width, height) of a mask."""
    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


def compare(mask, found):
    """Compare masks: (IoU, whether they differ within a pixel of the outline alone)."""
    found, near = np.asarray(found, bool), np.ones((3, 3), bool)
    iou = (mask & found).sum() / (mask | found).sum()
    most = ndimage.binary_dilation(mask, near)
    least = ndimage.binary_erosion(mask, near, border_value=1)
    return float(iou), bool((most >= found).all() and (found >= least).all())


def depth(image, values):
    """Tell what became of 16-bit grey values."""
    image = np.asarray(image, np.float64)
    image = image[..., 0] if image.ndim == 3 else image
    image = 255 * image if image.max() <= 1 else image
    if np.array_equal(image, values):
        return "16 bit"
    if np.abs(image - values / 257).max() <= 1.01:
        return "8 bit"
    ways = {"cut at 255": values.clip(max=255), "modulo 256": values % 256}
    return next((way for way, seen in ways.items() if np.array_equal(image, seen)), "changed")


def summarise(judged, expected):
    """Join the figures of pictures to those of a reader, and the verdict on it."""
    boxes = [error for one in judged for error in one["box_error"]]
    masks = [told for one in judged for told in one["masks"]]
    depths = sorted({one["depth"] for one in judged if "depth" in one})
    right, planted = (sum(one["classes"][k] for one in judged) for k in (0, 1))
    held = {
        "images": len(judged) == expected,
        "classes": right == planted,
        "boxes": max(boxes, default=0) <= 1,
        "masks": all(near for _, near in masks),
    }
    wrong = [name for name, well in held.items() if not well]
    return {
        "images": [len(judged), expected],
        "classes": [right, planted],
        "box_error_px": round(max(boxes), 3) if boxes else None,
        "mask_iou": _of([iou for iou, _ in masks]),
        "grey_16_bit": ", ".join(depths) or None,
        "verdict": "wrong " + ", ".join(wrong) if wrong else "right",
    }


def _of(values):
    """Round the mean and the least of values; None where there are none."""
    if not values:
        return None
    return {"mean": round(float(np.mean(values)), 4), "least": round(min(values), 4)}


if __name__ == "__main__":
    main()
