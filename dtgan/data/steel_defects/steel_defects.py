"""TFDS builder of steel defects: a folder of files, or the procedural set, as array_record.

Works without TensorFlow: images are stored as encoded PNG bytes, and the file format is always
array_record, because TFDS's default one needs TensorFlow.

    python -m dtgan.data.steel_defects --data_dir=DIR [--folder=PATH]
"""

import argparse
import contextlib
import dataclasses
import io
import json
import pathlib
import shlex
import sys

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from dtgan import images
from dtgan.config import ConfigError, base_config
from dtgan.data.folders.folder import FolderSource
from dtgan.data.procedural import ProceduralSteel
from dtgan.data.splits import SPLITS
from dtgan.data.tfds import METADATA
from dtgan.progress import each

_READING = (  # fields of config.data, by the same names
    *("source", "images", "csv_columns"),
    *("channels", "fractions", "group", "skip_bad"),
    *("range", "mask_values", "mask_invert", "max_megapixels"),
)


def _field(default, text):
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(kw_only=True)
class SteelConfig(tfds.core.BuilderConfig):
    """The images to prepare: those under `folder`, or the procedural set where that is empty."""

    folder: str = _field("", "directory of images/<class>/*; without it the procedural set")
    source: str = _field("folder", "folder: its layout, folder, coco, yolo or csv")
    images: str = _field("", "coco, csv: folder of the pictures")
    csv_columns: str = _field("", "csv: file:ImageId,class:ClassId,rle:EncodedPixels")
    channels: int = _field(1, "of the stored images: 1 grey, 3 RGB")
    seed: int = _field(0, "of the procedural set, or of the folder's division into splits")
    fractions: tuple = _field((0.7, 0.15, 0.15), "folder: train, val and test, by commas")
    group: str = _field("", "folder: regular expression on the stem; equal matches stay together")
    skip_bad: bool = _field(False, "folder: go on without the files the audit rejects")
    range: int = _field(65535, "folder: what becomes white of 16-bit files")
    mask_values: str = _field("", "folder: kinds by mask value, 100:scratch,200:stain")
    mask_invert: bool = _field(False, "folder: masks are 0 where the defect is")
    max_megapixels: float = _field(179.0, "folder: limit of a file")
    res: int = _field(64, "procedural: image side in pixels")
    shortcut: float = _field(0.0, "procedural: 0..1, how far surface gives the class away (train)")
    scale_counts: float = _field(1.0, "procedural: times the thesis's class counts")

    def open(self, split):
        """Open the source of one split (`dtgan.data.source.Source`)."""
        if self.folder:
            data = base_config().data
            data.path = self.folder
            for name in _READING:
                data[name] = getattr(self, name)
            return FolderSource(data, split, self.seed)
        return ProceduralSteel(
            split=split,
            size=self.res,
            channels=self.channels,
            seed=self.seed,
            shortcut=self.shortcut,
            scale_counts=self.scale_counts,
        )


class SteelDefects(tfds.core.GeneratorBasedBuilder):
    """Steel surfaces with a class, and a mask of the defect where one is known."""

    VERSION = tfds.core.Version("1.0.0")
    # The config of `tfds.builder("steel_defects")`. `make_builder` uses other names, because TFDS
    # accepts no changed config under a listed name.
    BUILDER_CONFIGS = (
        SteelConfig(name="thesis", description="Procedural steel in the thesis's class counts."),
    )

    def _info(self):
        opened = {split: self.builder_config.open(split) for split in SPLITS}
        # TFDS cannot write an empty split, and a folder may lack one.
        self.sources = {split: source for split, source in opened.items() if len(source)}
        channels = self.builder_config.channels
        classes = next(iter(self.sources.values())).classes
        return tfds.core.DatasetInfo(
            builder=self,
            description="Steel defects: image, class, and mask of the defect where known.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(None, None, channels), encoding_format="png"
                    ),
                    # All zero, or of boxes, where has_mask is False: TFDS has no optional images.
                    "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "has_mask": np.bool_,
                    "label": tfds.features.ClassLabel(names=list(classes)),
                    "id": tfds.features.Text(),
                }
            ),
            # The order of the sources is kept, so that the metadata can hold labels and sizes:
            # a reader then needs no pass over the images.
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(_metadata(self.sources)),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(source) for split, source in self.sources.items()}

    def _generate_examples(self, source):
        for index in each(range(len(source)), "converting", "images"):
            record = source[index]
            yield (
                index,
                {
                    "image": _png(record["image"]),
                    "mask": _png(record["mask"]),
                    "has_mask": bool(record["has_mask"]),
                    "label": int(record["label"]),
                    "id": record["id"],
                },
            )


def make_builder(data_dir, **fields):
    """Make the builder of a SteelConfig(**fields) under `data_dir`, set to array_record."""
    name = "folder" if fields.get("folder") else "procedural"
    return SteelDefects(
        data_dir=str(data_dir),
        config=SteelConfig(name=name, **fields),
        file_format="array_record",
    )


def prepare(data_dir, **fields):
    """Write the data set of SteelConfig(**fields) under `data_dir`; returns its builder.

    An equal data set already there is kept. Raises ConfigError for another one there, and for
    images that the source rejects.
    """
    with _quiet():
        try:
            builder = make_builder(data_dir, **fields)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"cannot prepare steel_defects: {error}") from error
        stored = pathlib.Path(builder.data_dir) / METADATA
        if stored.exists() and json.loads(stored.read_text()) != _metadata(builder.sources):
            raise ConfigError(
                f"{builder.data_dir} already holds another data set; remove it or use another "
                "data_dir"
            )
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return builder


def main(argv=None):
    """Prepare a data set from flags; print its counts and the flags that train on it."""
    parser = argparse.ArgumentParser(
        prog="python -m dtgan.data.steel_defects", description="Prepare the TFDS set steel_defects."
    )
    parser.add_argument("--data_dir", required=True, help="directory to write to")
    for field in dataclasses.fields(SteelConfig):
        if "help" not in field.metadata:
            continue  # a field of TFDS's own BuilderConfig
        how = {"action": "store_true"} if field.type is bool else {"type": field.type}
        if field.type is tuple:
            how = {"type": _numbers}
        parser.add_argument(
            f"--{field.name}", default=field.default, help=field.metadata["help"], **how
        )
    fields = vars(parser.parse_args(argv))
    data_dir = fields.pop("data_dir")
    try:
        builder = prepare(data_dir, **fields)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    metadata = json.loads((pathlib.Path(builder.data_dir) / METADATA).read_text())
    for split, stored in metadata["splits"].items():
        counts = [stored["labels"].count(label) for label in range(len(metadata["classes"]))]
        named = zip(metadata["classes"], counts, strict=True)
        print(f"{split}: {sum(counts)} images; " + ", ".join(f"{name} {n}" for name, n in named))
    print(
        f"train on it with --config.data.source=tfds --config.data.path={shlex.quote(data_dir)}"
        + (f" --config.data.channels={fields['channels']}" if fields["channels"] != 1 else "")
        + (f" --config.data.res={fields['res']}" if not fields["folder"] else "")
    )


def _metadata(sources):
    """Collect the metadata by which a reader opens the set without reading an image.

    Classes, and per split, in its order, the fingerprint, labels and sizes (height, width).
    """
    return {
        "classes": list(next(iter(sources.values())).classes),
        "splits": {
            split: {
                "fingerprint": source.fingerprint,
                "labels": [int(label) for label in source.labels],
                "sizes": [[int(h), int(w)] for h, w in source.sizes],
            }
            for split, source in sources.items()
        },
    }


@contextlib.contextmanager
def _quiet():
    """Silence TFDS's log lines (but errors), prints and progress bars, which fill log files."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _png(image):
    file = io.BytesIO()
    images.as_pillow(image).save(file, format="PNG")
    file.seek(0)
    return file


def _numbers(text):
    return tuple(float(part) for part in text.split(","))
