"""Fields of the judges D, Dpatch and C and of what trains against them; see `methods.judges`."""

from dtgan.config.errors import ConfigError
from dtgan.config.tree import flatten

FIELDS = {
    "model": {
        "ch": 16,  # width; 32 is the thesis base
        "d_base": 0,  # D channels are min(d_base / res, d_cap); 0 = 512 ch
        "d_cap": 0,  # 0 = 16 ch
    },
    "loss": {  # one weight per term, logged under the same name
        "rec": 1.0,
        "adv_g": 0.5,
        "cooccur_g": 1.0,
        "structure": 1.0,
        "feature": 1.0,
        "cls_g": 1.0,
        "anchor": 0.0,  # E agrees with the anchor on normals
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
        "lr": 0.002,  # of all nets but C; D and Dpatch before the lazy correction
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
}


def check(config):
    """Raise ConfigError for fields of the judges that cannot work."""
    flat = flatten(config)
    for name in ("model.ch", "patches.count", "patches.reference"):
        if flat[name] < 1:
            raise ConfigError(f"{name}={flat[name]} is below 1")
    for name in ("optim.ema", "optim.b1", "optim.b2"):
        if flat[name] >= 1:
            raise ConfigError(f"{name}={flat[name]} is not below 1; for example 0.99")
    for name in ("augment.prob", "augment.contrast", "augment.shift"):
        if flat[name] > 1:
            raise ConfigError(f"{name}={flat[name]} is outside 0..1")
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
