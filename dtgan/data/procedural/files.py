"""Procedural steel as folders of PNG files: real sets with their splits, and synthetic ones."""

import pathlib

from dtgan import images
from dtgan.data.procedural.source import CLASSES, ProceduralSteel

NORMALS = 3  # for each defect of a class


def write_real(root, size, counts, seed=0, masks=False, normals=0):
    """Write images/<class>/, splits.csv and, if asked, masks/<class>/ of the defects.

    size: side in pixels; counts: {split: defects a class}; seed: of the whole set. normals: of the
    training split, instead of NORMALS for each defect of a class.
    """
    root, lines = pathlib.Path(root), ["file,split"]
    for split, number in counts.items():
        own = dict.fromkeys(CLASSES, number) | {"normal": NORMALS * number}
        if normals and split == "train":
            own["normal"] = normals
        for k, item in enumerate(ProceduralSteel(split, size, seed=seed, counts=own)):
            name = f"{CLASSES[item['label']]}/{split}_{k:04d}.png"
            images.write_image(root / "images" / name, item["image"])
            if masks and item["label"]:
                images.write_image(root / "masks" / name, item["mask"])
            lines.append(f"{name},{split}")
    (root / "splits.csv").write_text("\n".join(lines) + "\n")


def write_set(root, source, shown):
    """Write items of a source as images/<class>/; shown: (class, index) of each."""
    for name, index in shown:
        path = pathlib.Path(root) / "images" / name / f"{index:04d}.png"
        images.write_image(path, source[index]["image"])
