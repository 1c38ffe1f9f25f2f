"""Fields that every run has, and configs in and out of JSON."""

import ast
import json

from ml_collections import ConfigDict

from dtgan.config import families
from dtgan.config.errors import ConfigError, nearest
from dtgan.config.tree import flatten, merge

NORMAL, NORMAL_LABEL = "normal", 0  # the defect-free class
FILE_SOURCES = ("folder", "coco", "yolo", "csv")  # values of data.source: a user's own pictures

SHARED = {
    "method": "",  # name of the family, a file of config/families
    "seed": 0,  # of parameters, data order, augmentation, noise
    "dtype": "float32",  # of activations: float32 | bfloat16; all else stays float32
    "data": {
        "source": "procedural",  # procedural | folder | coco | yolo | csv | tfds
        "path": "",  # holds images/<class>/*, or the file of labels; tfds: the data_dir
        "images": "",  # coco, csv: folder of the pictures, relative to that of the set; "" = found
        "csv_columns": "",  # csv: "file:ImageId,class:ClassId,rle:EncodedPixels"; "" = so called
        "split": "train",  # trained on; joined by "+": "train+val"
        "classes": "",  # defect classes to use, by commas: "tear,mark"; "" = all
        "merged": False,  # all of them as one class "defect", for a family that knows no classes
        "fractions": (0.7, 0.15, 0.15),  # folder: train, val, test, where no splits.csv
        "fold": "",  # folder: "k/K": test on part k, 0 to K-1, of K of all images; "" = off
        "group": "",  # folder: regular expression on the stem; equal matches stay together
        "range": 65535,  # folder: what becomes white of 16-bit files; 4095 of a 12-bit camera
        "mask_values": "",  # folder: kinds by mask value, "100:scratch,200:stain" or "#ff0000:..."
        "mask_invert": False,  # folder: masks are 0 where the defect is
        "masks_from": "",  # folder: a run that finds defects, to draw the masks that are missing
        "masks_above": 0.0,  # of their mattes; 0 = chosen on validation masks, 0.5 without any
        "max_megapixels": 179.0,  # folder: of a file; larger ones are taken for damaged
        "max_compression": 200.0,  # folder: pixels' bytes to the file's, above 35 megapixels
        "res": 64,  # side of a training image in pixels
        "scale": 0.0,  # pixels of training per pixel of the picture; 0 = by the shorter side
        "scale_to": 0,  # shorter side before the crop, pixels; 0 = res, -1 = no scaling
        "clean_parts": False,  # with scale: surfaces also from what masks leave free of defects
        "upscale": False,  # allow enlarging images smaller than that
        "channels": 1,  # 1 = grey, 3 = RGB
        "batch_size": 8,  # (defect, normal) pairs a step, over all devices
        "workers": 2,  # reading threads per process
        "balance": "classes",  # defects: classes | oversample (flips of rare ones) | none
        "oversample_at_most": 40,  # oversample: classes with so few images count 3 times
        "flips": "both",  # along | across (the rolling direction) | both | none
        "rolling": "horizontal",  # rolling direction in the image: horizontal | vertical
        "cache_mb": 1024,  # host memory for decoded images; 0 = decode every time
        "resident": False,  # all images in device memory, where they are cropped
        "skip_bad": False,  # folder: go on without the files the audit rejects
        "shortcut": 0.0,  # procedural: 0..1, how far surface gives the class away (train)
        "counts": "gan",  # procedural: the thesis's: gan (table 4.2) | classifier (4.4)
        "scale_counts": 1.0,  # procedural: times the counts of table 4.2
    },
    "init": {  # a finished run to start from, instead of random parameters
        "workdir": "",  # "" = none
        "step": "latest",  # of its checkpoints: latest | best | a number
    },
    "train": {
        "duration": "800000steps",  # "500steps" | "12epochs" | "800kimg" (kimg: of defects)
        "log_every": 50,  # steps
        "sample_every": 1000,  # steps between sample grids
        "sample_rows": 8,  # pairs in a grid
        "summary_pairs": 256,  # validation pairs of the closing figures
    },
    "checkpoint": {
        "every": 1000,  # steps
        "keep": 2,  # newest checkpoints kept, beside the best
    },
}

# Fields that a resumed run may change: the rest decides what the saved arrays and positions mean.
# A family adds its own (CHANGEABLE).
_CHANGEABLE_GROUPS = ("optim", "loss", "augment", "train", "checkpoint", "dtype")
_CHANGEABLE = (
    *("data.path", "data.images", "data.workers", "data.cache_mb", "data.resident"),
    *("data.skip_bad", "data.max_megapixels", "data.max_compression"),
)

# Fields that each config.json held before families had fields of their own. A file with those of
# another family is such an old one, in which they had no effect.
_ONCE_SHARED = (
    "model.anchor_input",
    "model.skip_gain",
    "model.code_stride",
    "model.margin",
    "model.removal",
    "loss.fill",
    "loss.present",
    "loss.area",
    "loss.smooth",
    "loss.rehearse",
    "loss.mask",
)


def base_config(method=""):
    """Make a config of a family's fields with their defaults; without a name the shared ones.

    Raises ConfigError for an unknown family.
    """
    own = families.load(method).FIELDS if method else {}
    config = ConfigDict(merge(SHARED, own))
    config.method = method
    return config.lock()


def parse_arg(arg, **defaults):
    """Read a config argument such as "res=128,ch=32,smoke" into a ConfigDict.

    A bare name is a switch. Raises ConfigError for a name that `defaults` lacks.
    """
    values = dict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, equals, text = item.partition("=")
        if name not in defaults:
            raise ConfigError(
                f"config argument {name!r} is unknown{nearest(name, defaults)}; "
                f"known: {', '.join(sorted(defaults))}"
            )
        try:
            values[name] = type(defaults[name])(ast.literal_eval(text)) if equals else True
        except (ValueError, SyntaxError):
            if not isinstance(defaults[name], str):
                raise ConfigError(
                    f"config argument {item!r} needs a value like {defaults[name]!r}"
                ) from None
            values[name] = text
    return ConfigDict(values)


def flip_axes(flips, rolling):
    """List the image axes that data.flips and data.rolling allow to reverse, of 0 and 1.

    "along" reverses the coordinate along the rolling direction: axis 1 where that is horizontal.
    """
    along = 1 if rolling == "horizontal" else 0
    return {"along": (along,), "across": (1 - along,), "both": (0, 1), "none": ()}[flips]


def is_changeable(name, method):
    """Tell whether a run of a family may resume with another value of this field."""
    own = getattr(families.load(method), "CHANGEABLE", ())
    return name.partition(".")[0] in _CHANGEABLE_GROUPS or name in (*_CHANGEABLE, *own)


def to_dict(config):
    """Convert the config to nested dicts of JSON types."""
    return json.loads(config.to_json())


def from_dict(fields):
    """Undo `to_dict`, with today's fields and types; others raise ConfigError.

    Fields that the dict lacks, since it was written before they existed, have their defaults.
    """
    config = base_config(_family_of(fields))
    known = flatten(config)
    for name, value in flatten(fields).items():
        group, _, leaf = name.partition(".")
        if name not in known:
            if name in _ONCE_SHARED:
                continue
            raise ConfigError(
                f"config field {name!r} is unknown to method={config.method}{nearest(name, known)}"
            )
        value = tuple(value) if isinstance(value, list) else value
        try:
            if leaf:
                config[group][leaf] = value
            else:
                config[name] = value
        except TypeError:
            expected = type(known[name]).__name__
            raise ConfigError(
                f"config field {name}={value!r} is not of type {expected}; the config is damaged, "
                "or not one of dtgan"
            ) from None
    return config


def _family_of(fields):
    """Read the name of the family of a config. Raises ConfigError for what is no config."""
    method = fields.get("method", "") if isinstance(fields, dict) else None
    if not isinstance(method, str):
        raise ConfigError(f"{str(fields)[:60]!r} is no config of dtgan: it names no method")
    return method


def to_json(config):
    """Write the config as JSON text, fields in order."""
    return json.dumps(to_dict(config), indent=2, sort_keys=True)


def from_json(text):
    """Undo `to_json`; raises ValueError for other text."""
    return from_dict(json.loads(text))
