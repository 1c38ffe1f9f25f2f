"""Source of a prepared TFDS data set `steel_defects`, read without TensorFlow."""

import io
import math
import pathlib
import shlex

import numpy as np
import tensorflow_datasets as tfds

from dtgan import images
from dtgan.config import ConfigError
from dtgan.data.names import check_names
from dtgan.data.source import Source
from dtgan.files import parse_object

METADATA = "metadata.json"  # where TFDS writes the metadata of a prepared data set
_FEATURES = {"image", "mask", "has_mask", "label", "id"}
_TFDS_FEATURES = "tensorflow_datasets.core.features."


class TfdsSource(Source):
    """One split of a data set written by `python -m dtgan.data.steel_defects`.

    Labels, sizes, classes and fingerprint come from metadata stored with it, so that opening
    reads no image. Records are those of the source it was prepared from, in the same order.
    """

    def __init__(self, path, split="train", channels=1):
        """`path`: the data_dir of the command, or the version directory below it.

        Raises ConfigError where nothing, or more than one data set, is prepared there.
        """
        directory = _find(path)
        metadata = _described(directory)
        # TFDS stores no empty split; a source of no images is what the folder would give.
        empty = {"labels": [], "sizes": [], "fingerprint": ""}
        stored = metadata["splits"].get(split, empty)
        self.classes = check_names(metadata["classes"], f"data.path={path}")
        self.labels = np.array(stored["labels"], np.int32)
        self.sizes = np.array(stored["sizes"], np.int32).reshape(-1, 2)
        self.fingerprint = stored["fingerprint"]
        self._channels = channels
        # Decoded here, like every other file of dtgan, and not by TFDS, whose decoder depends on
        # which packages are installed.
        skip = tfds.decode.SkipDecoding()
        self._records = []
        if len(self.labels):
            self._records = tfds.builder_from_directory(str(directory)).as_data_source(
                split, decoders={"image": skip, "mask": skip}
            )
        if len(self._records) != len(self.labels):
            raise ConfigError(
                f"data.path={path} split {split!r} has {len(self._records)} records and "
                f"{len(self.labels)} labels; remove {directory} and prepare it again"
            )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} images")
        record = self._records[int(index) % len(self)]
        return {
            "image": _read(record["image"], self._channels),
            "mask": _read(record["mask"], 1),
            "has_mask": np.bool_(record["has_mask"]),
            "label": int(record["label"]),
            "id": record["id"].decode(),
        }


def _described(directory):
    """Read the metadata of a prepared data set, once nothing in it makes TFDS run other code.

    TFDS imports the Python classes that its descriptions name. Raises ConfigError for others than
    those of TFDS itself, for other features than `steel_defects` has, and for damaged files.
    """
    try:
        features = parse_object((directory / "features.json").read_bytes())
        info = parse_object((directory / "dataset_info.json").read_bytes())
        metadata = parse_object((directory / METADATA).read_bytes())
        found = features["featuresDict"]["features"].keys()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"data.path={directory} is damaged ({error}); remove it and prepare it again"
        ) from None
    named = list(_python_names(features))
    foreign = [name for name in named if not str(name).startswith(_TFDS_FEATURES)]
    module = info.get("moduleName", "")
    if foreign or found != _FEATURES or not str(module).startswith("dtgan.data.steel_defects."):
        odd = (foreign or sorted(found ^ _FEATURES) or [module])[0]
        raise ConfigError(
            f"data.path={directory} describes {odd!r}, which steel_defects does not have; it is "
            "not opened, since TFDS would run code for it. Prepare it with python -m "
            "dtgan.data.steel_defects"
        )
    return metadata


def _python_names(node):
    """Yield the Python classes that a description of features names, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            # "type" is how TFDS named them before 4.5; its value is a path only then.
            if name in ("pythonClassName", "python_class_name", "type", "proto_cls"):
                yield value
            yield from _python_names(value)


def _read(content, channels):
    """Decode a stored image of any size: it was examined when the set was prepared."""
    return images.read_image(io.BytesIO(content), channels, max_megapixels=math.inf)


def _find(path):
    """Find the one directory at or below `path` that holds a prepared data set."""
    path = pathlib.Path(path)
    command = f"python -m dtgan.data.steel_defects --data_dir={shlex.quote(str(path))}"
    if not path.is_dir():
        raise ConfigError(f"data.path={path} is not a directory; prepare it with: {command}")
    if (path / METADATA).exists() and (path / "dataset_info.json").exists():
        return path
    # <data_dir>/steel_defects/<config>/<version>; TFDS writes elsewhere until a set is complete.
    found = sorted(file.parent for file in path.glob(f"steel_defects/*/*.*.*/{METADATA}"))
    found = [directory for directory in found if "incomplete" not in directory.name]
    if not found:
        raise ConfigError(f"data.path={path} holds no prepared data; prepare it with: {command}")
    if len(found) > 1:
        raise ConfigError(
            f"data.path={path} holds {len(found)} data sets; set data.path to one of "
            + ", ".join(map(str, found))
        )
    return found[0]
