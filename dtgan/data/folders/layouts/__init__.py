"""The layouts of sets on disk: folders by class, MVTec AD's tree, COCO, YOLO, CSV."""

import pathlib

from dtgan.config import ConfigError
from dtgan.data.folders.layouts import coco, mvtec, table, tree, yolo

_BY_SOURCE = {"coco": coco, "yolo": yolo, "csv": table}


def find(data):
    """Return the layout, a module as described in `base`, of the set that config.data names.

    Raises ConfigError where there is nothing.
    """
    if data.source in _BY_SOURCE:
        return _BY_SOURCE[data.source]
    root = pathlib.Path(data.path)
    if not root.is_dir():
        raise ConfigError(
            f"data.path={data.path} is not a folder; give one that holds images/<class>/*"
        )
    if mvtec.matches(root):
        return mvtec
    if not (root / "images").is_dir() and (names := mvtec.products(root)):
        raise ConfigError(
            f"data.path={data.path} holds the sets {', '.join(names)}; give one of them: "
            f"--config.data.path={root / names[0]}"
        )
    return tree
