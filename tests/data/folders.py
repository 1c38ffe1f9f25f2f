"""Small folders of images for the tests of this folder, and what is read of them."""

import numpy as np
from PIL import Image

from dtgan.config import base_config
from dtgan.data.folders import audit
from dtgan.data.folders.folder import FolderSource
from dtgan.data.splits import SPLITS


def picture(seed, size=(20, 24)):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make(root, normal=6, crack=6, masks=True):
    """A clean set of grey PNG images, with one mask for every crack if asked."""
    for i in range(normal):
        save(root / "images/normal" / f"n{i}.png", picture(i))
    for i in range(crack):
        save(root / "images/crack" / f"c{i}.png", picture(100 + i))
        if masks:
            mask = np.zeros((20, 24), np.uint8)
            mask[3:6, 4:9] = 255
            save(root / "masks/crack" / f"c{i}.png", mask)
    return root


def data_of(path, **fields):
    """config.data of a folder, or of another source of files."""
    data = base_config().data
    data.update(**{"source": "folder", "path": str(path), **fields})
    return data


def open_split(path, split="train", seed=0, **fields):
    return FolderSource(data_of(path, **fields), split, seed)


def audit_of(path, **fields):
    return audit.audit(data_of(path, **fields))


def split_of(path, **options):
    return {item["id"]: name for name in SPLITS for item in open_split(path, name, **options)}


def errors_of(path, **fields):
    return [(f.file, f.reason) for f in audit_of(path, **fields).errors]


def warnings_of(path, **fields):
    return [(f.file, f.reason) for f in audit_of(path, **fields).warnings]


def plant(root, number=3):
    """Bad files: one unreadable, one empty, one with a mask of another size, `number` >= 3."""
    (root / "images/crack/text.png").write_text("not a picture")
    (root / "images/normal/empty.bmp").touch()
    save(root / "masks/crack/c0.png", np.full((10, 10), 255, np.uint8))
    for i in range(number - 3):
        (root / f"images/normal/empty{i}.png").touch()
