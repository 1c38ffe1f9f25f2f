"""The configuration: every field once, its checks, and JSON in and out.

`configs/x.py` builds a config as `base_config()` plus a diff. The result is locked and typed:
an unknown field fails with the nearest right one, a wrong type fails at once.
"""

import ast
import difflib
import json
import math
import re

from ml_collections import ConfigDict

NORMAL = "normal"  # the defect-free class; always label 0


class ConfigError(ValueError):
    """A user's mistake: one line that names the value, the rule and the remedy."""


# Every field with its default, that of the thesis where it has one.
_FIELDS = {
    "method": "dtgan",  # dtgan (the thesis) | layered (docs/dtgan.md)
    "seed": 0,  # of parameters, data order, augmentation, noise
    "dtype": "float32",  # of activations: float32 | bfloat16; all else stays float32
    "data": {
        "source": "procedural",  # procedural | folder | tfds
        "path": "",  # folder: holds images/<class>/*; tfds: the data_dir
        "split": "train",  # trained on; joined by "+": "train+val"
        "fractions": (0.7, 0.15, 0.15),  # folder: train, val, test, where no splits.csv
        "group": "",  # folder: regular expression on the stem; equal matches stay together
        "res": 64,  # side of a training image in pixels
        "scale_to": 0,  # shorter side before the crop, pixels; 0 = res, -1 = no scaling
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
    "model": {
        "ch": 16,  # width; 32 is the thesis base
        "d_base": 0,  # D channels are min(d_base / res, d_cap); 0 = 512 ch
        "d_cap": 0,  # 0 = 16 ch
        "anchor_input": "zero",  # dtgan: added to z_s: zero (faithful) | learned | fourier
        "skip_gain": 4.0,  # dtgan: gain of the skip's up-blur; 1.0 = attenuated
        "code_stride": 1,  # layered: pixels per cell of z_s along an axis: 1 | 2 | 4
        "margin": 0.5,  # layered: doubt, in amplitude, in which E's defects are not carried
        "removal": True,  # layered: F fills the surface under the defect
    },
    "loss": {  # one weight per term, logged under the same name
        "rec": 1.0,
        "adv_g": 0.5,
        "cooccur_g": 1.0,
        "structure": 1.0,
        "feature": 1.0,
        "cls_g": 1.0,
        "anchor": 0.0,  # E agrees with the anchor on normals: mean(z_s2^2); layered: CE
        "fill": 5.0,  # layered, from here on: F restores hidden parts of normals
        "present": 0.0,  # somewhere in x1 there is a defect
        "area": 1.0,  # small matte
        "smooth": 0.1,  # even matte
        "rehearse": 1.0,  # matte and material of drawn layers, whose answer is known
        "mask": 0.0,  # matte against the pixel mask, where an image has one
        "adv_d": 1.0,
        "cooccur_d": 1.0,
        "cls_c": 1.0,
        "r1_d": -1.0,  # gamma of R1 on D; -1 = 10 (res/256)^2
        "r1_dpatch": 1.0,  # gamma of R1 on Dpatch
    },
    "augment": {  # of what D and Dpatch see (DiffAugment), flips as in data.flips
        "prob": 0.0,  # of each change; 0 = off
        "brightness": 0.2,  # added, of the range [-1, 1]
        "contrast": 0.25,  # around the mean, relative
        "shift": 0.125,  # of the image side
    },
    "optim": {
        "lr": 0.002,  # E, G, F, and D and Dpatch before the lazy correction
        "lr_c": 0.001,  # classifier
        "b1": 0.0,
        "b2": 0.99,
        "r1_every": 16,  # steps between lazy R1 updates; 0 = never
        "ema": 0.5 ** (32 / 10000),  # decay of the running means, per step
    },
    "patches": {  # co-occurrence crops, per image
        "count": 8,  # crops of a hybrid, and of a real surface
        "reference": 4,  # reference crops for every one of them
        "min_side": 1 / 8,  # of the image side
        "max_side": 1 / 4,
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

# Defaults of a method that differ from the thesis's.
_OWN = {
    "layered": {
        "loss.rec": 4.0,
        "loss.structure": 0.0,
        "loss.anchor": 1.0,
        "loss.present": 0.3,
        "augment.prob": 0.5,
        "optim.lr": 0.004,
        "optim.b1": 0.5,
    }
}


def base_config(method="dtgan"):
    """Every field with its default: those of the thesis, or of `method` where it has its own."""
    config = ConfigDict(_FIELDS)
    config.method = method
    for name, value in _OWN.get(method, {}).items():
        group, field = name.split(".")
        config[group][field] = value
    return config.lock()


# Fields that a resumed run may change: the rest decides what the saved arrays and positions mean.
_CHANGEABLE = ("optim", "loss", "augment", "train", "checkpoint", "dtype")
_CHANGEABLE_FIELDS = (
    *("data.path", "data.workers", "data.cache_mb", "data.resident", "data.skip_bad"),
    "model.margin",
)

_CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "data.source": ("procedural", "folder", "tfds"),
    "data.counts": ("gan", "classifier"),
    "data.channels": (1, 3),
    "data.balance": ("classes", "oversample", "none"),
    "data.flips": ("along", "across", "both", "none"),
    "data.rolling": ("horizontal", "vertical"),
    "data.res": (32, 64, 128, 256),
    "model.anchor_input": ("zero", "learned", "fourier"),
    "model.code_stride": (1, 2, 4),
}


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


def nearest(name, names):
    """' (did you mean x?)', or '' where nothing is near."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def to_steps(duration, batch_size, num_defects):
    """Steps in "500steps", "12epochs" (over the defect images) or "800kimg" (thousands of them)."""
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*(steps|epochs|kimg)\s*", str(duration))
    if not match or not float(match[1]):
        raise ConfigError(
            f"train.duration={duration!r} is not a duration; write 500steps, 12epochs or 800kimg"
        )
    amount = float(match[1])
    images = {"steps": batch_size, "epochs": num_defects, "kimg": 1000}[match[2]] * amount
    return max(1, math.ceil(images / batch_size - 1e-9))


def validate(config, num_devices=1):
    """Raise ConfigError for values that cannot work; cheap, before anything is read or compiled."""
    flat = flatten(config)
    for name, allowed in _CHOICES.items():
        if flat[name] not in allowed:
            raise ConfigError(
                f"{name}={flat[name]!r} is not one of {', '.join(map(str, allowed))}"
                + nearest(str(flat[name]), map(str, allowed))
            )
    for name, value in flat.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name}={value} is not finite")
        if (
            name.startswith(("loss.", "optim.", "augment.", "model.d_", "model.margin"))
            and value < 0
            and name != "loss.r1_d"
        ):
            raise ConfigError(f"{name}={value} is negative; use 0 to switch it off")
        if name in ("optim.ema", "optim.b1", "optim.b2") and value >= 1:
            raise ConfigError(f"{name}={value} is not below 1; for example {0.99}")
    for name in (
        *("data.batch_size", "model.ch", "train.log_every", "train.sample_every"),
        *("train.sample_rows", "train.summary_pairs", "checkpoint.every", "checkpoint.keep"),
        *("data.workers", "patches.count", "patches.reference"),
    ):
        if flat[name] < 1:
            raise ConfigError(f"{name}={flat[name]} is below 1")
    smallest, largest = config.patches.min_side, config.patches.max_side
    if not 0.0 < smallest <= largest <= 1.0:
        raise ConfigError(
            f"patches.min_side={smallest}, patches.max_side={largest} are not 0 < min <= max <= 1"
        )
    base, res = config.model.d_base or 512 * config.model.ch, config.data.res
    if base < 2 * res:  # C has half of min(d_base / res, d_cap) channels at full resolution
        raise ConfigError(
            f"model.d_base={base} gives no channels at {res} px; use {2 * res} or more"
        )
    if config.method == "layered" and 16 * config.model.code_stride > res:
        raise ConfigError(
            f"model.code_stride={config.model.code_stride} leaves fewer than 16 cells along "
            f"data.res={res}; use {res // 16} or less"
        )
    for name in ("data.shortcut", "augment.prob", "augment.contrast", "augment.shift"):
        if not 0.0 <= flat[name] <= 1.0:
            raise ConfigError(f"{name}={flat[name]} is outside 0..1")
    if config.data.source in ("folder", "tfds") and not config.data.path:
        raise ConfigError(
            f"data.source={config.data.source} needs a directory: --config.data.path=DIR"
        )
    batch = config.data.batch_size
    if batch % num_devices:
        lower, upper = batch // num_devices * num_devices, -(-batch // num_devices) * num_devices
        remedy = f"{lower} or {upper}" if lower else f"{upper}"
        raise ConfigError(
            f"data.batch_size={batch} is not divisible by {num_devices} devices; use {remedy}"
        )
    to_steps(config.train.duration, batch, 1)


def flip_axes(flips, rolling):
    """The image axes that data.flips and data.rolling allow to reverse: a tuple of 0 and 1.

    "along" reverses the coordinate along the rolling direction: axis 1 where that is horizontal.
    """
    along = 1 if rolling == "horizontal" else 0
    return {"along": (along,), "across": (1 - along,), "both": (0, 1), "none": ()}[flips]


def flatten(config, prefix=""):
    """{"data.res": 64, ...} of a ConfigDict or nested dict."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, (dict, ConfigDict)):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def diff(old, new):
    """Fields that differ: {name: (old, new)}; a field absent on one side shows as None there."""
    old, new = flatten(old), flatten(new)
    pairs = {name: (_plain(old.get(name)), _plain(new.get(name))) for name in {**old, **new}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def is_changeable(name):
    """Whether a run may resume with another value of this field."""
    return name.partition(".")[0] in _CHANGEABLE or name in _CHANGEABLE_FIELDS


def to_dict(config):
    """The config as nested dicts of JSON types."""
    return json.loads(config.to_json())


def from_dict(fields):
    """The config of `to_dict`, with today's fields and types; unknown fields raise ConfigError."""
    config = base_config(fields.get("method", "dtgan"))
    known = flatten(config)
    for name, value in flatten(fields).items():
        if name not in known:
            raise ConfigError(f"config field {name!r} is unknown{nearest(name, known)}")
        node, leaf = config, name
        while "." in leaf:
            head, leaf = leaf.split(".", 1)
            node = node[head]
        node[leaf] = tuple(value) if isinstance(value, list) else value
    return config


def to_json(config):
    """The config as JSON text, fields in order."""
    return json.dumps(to_dict(config), indent=2, sort_keys=True)


def from_json(text):
    """The config of `to_json`; raises ValueError for other text."""
    return from_dict(json.loads(text))


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value
