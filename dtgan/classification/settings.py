"""The configuration of a classifier experiment: every field once, and its checks."""

from ml_collections import ConfigDict

from dtgan import config as config_lib
from dtgan.config import ConfigError, nearest
from dtgan.models.backbones import BACKBONES

CHOSEN = "real+chosen+classic"  # the classes and the share of `choosing`
ARMS = {  # name -> (real defects, synthetic ones, pasted ones, classic augmentation)
    "real": (True, False, False, False),
    "real+classic": (True, False, False, True),
    "real+paste": (True, False, True, True),
    "real+synthetic": (True, True, False, False),
    "real+synthetic+classic": (True, True, False, True),
    "synthetic": (False, True, False, True),
    CHOSEN: (True, True, False, True),
}
BASELINE = "real+classic"  # the arm that synthetic images have to beat


def base_config():
    """Return the configuration of all fields with their defaults."""
    config = ConfigDict(
        {
            "net": "resnet18",  # or resnet34, resnet50, densenet121, resnet18w32, resnet18w16
            "weights": "",  # safetensors of an ImageNet network (dtgan.weights.convert); "" = none
            "dtype": "float32",  # of activations: float32 | bfloat16
            "multi_label": False,  # a class named "a+b" shows a and b; right = every label right
            "arms": tuple(name for name in ARMS if name != CHOSEN),
            "synthetic_counts": "",  # "crack=40,spot=12": so many synthetic images; "" = all
            "seeds": 5,  # runs of every arm
            "together": 0,  # seeds trained in one program (vmap); 0 = all on GPU and TPU, 1 on CPU
            "data": config_lib.base_config().data,
            "train": {
                "steps": 600,
                "batch_size": 32,
                "val_every": 50,  # steps between looks at the validation images
                "balance": 0.5,  # 0: classes as frequent as they are, 1: equally frequent
                # Share of synthetic images among those shown of a defect class that has both kinds;
                # -1 = every image alike.
                "synthetic_share": 0.5,
                # Share of the steps in which synthetic images are shown; after it, real ones alone,
                # where a class has some. 1 = to the end.
                "synthetic_until": 0.6,
            },
            "choose": {  # of the arm real+chosen+classic
                "shares": (0.2, 0.5),  # train.synthetic_share: the one of less expected error
                # train.synthetic_until in a search: harm shows most where they stay to the end.
                "synthetic_until": 1.0,
                "least": 5,  # validation images of a class, below which it is not judged
                "level": 0.9,  # confidence that a class does harm, from which on it is left out
                "repeats": 1,  # of the design: 12 trainings for up to 7 classes, 20 for up to 15
            },
            "optim": {
                "name": "adamw",  # adamw | sgd (with momentum 0.9)
                "lr": 0.001,  # falls to 0 along a cosine
                "weight_decay": 0.0001,
            },
            "augment": {  # the classic arms; each change is drawn for every image
                "flip": True,  # along data.flips
                "shift": 0.0625,  # up to, of the image side
                "brightness": 0.2,  # +-, of the range [-1, 1]
                "contrast": 0.25,  # +-, relative
                "blur": 0.25,  # chance
                "noise": 0.02,  # deviation up to, of the range [-1, 1]
                "cutout": 0.25,  # side of a square set to mid-grey, up to, of the image side
            },
            "source": {  # Defect-GAN 3.2: features shall not tell synthetic from real
                "weight": 0.0,  # of its loss; 0 = off
                "width": 512,
            },
        }
    )
    return config.lock()


def get_config():
    """Return the config of `python -m dtgan.classify` without --config."""
    return base_config()


def validate(config):
    """Raise ConfigError for the first field with an impossible value."""
    for name in config.arms:
        if name not in ARMS:
            raise ConfigError(
                f"arm {name!r} does not exist{nearest(name, ARMS)}: {', '.join(ARMS)}"
            )
    if len(set(config.arms)) < len(config.arms) or not config.arms:
        raise ConfigError(f"arms={','.join(config.arms)}: name each arm once, and at least one")
    if config.net not in BACKBONES:
        raise ConfigError(
            f"net={config.net!r} is not one of {', '.join(BACKBONES)}"
            + nearest(config.net, BACKBONES)
        )
    positive = {
        "seeds": config.seeds,
        "train.steps": config.train.steps,
        "train.batch_size": config.train.batch_size,
        "train.val_every": config.train.val_every,
        "choose.least": config.choose.least,
        "choose.repeats": config.choose.repeats,
        "optim.lr": config.optim.lr,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{name}={value} is not above 0")
    shares = {
        "train.balance": config.train.balance,
        "train.synthetic_share": abs(config.train.synthetic_share),  # -1 has a meaning
        "train.synthetic_until": config.train.synthetic_until,
        "choose.synthetic_until": config.choose.synthetic_until,
        "augment.blur": config.augment.blur,
        "augment.shift": config.augment.shift,
        "augment.cutout": config.augment.cutout,
    }
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name}={value} is outside 0..1")
    if not 0 < config.choose.level < 1:
        raise ConfigError(f"choose.level={config.choose.level} is not between 0 and 1")
    low_high = config.choose.shares
    if len(low_high) != 2 or not 0 < low_high[0] < low_high[1] < 1:
        raise ConfigError(
            f"choose.shares={low_high} is not two shares 0 < low < high < 1; for example (0.2,0.5)"
        )
    if config.optim.name not in ("adamw", "sgd"):
        raise ConfigError(f"optim.name={config.optim.name!r} is not adamw or sgd")
    config_lib.check_scaling(config.data)
    if config.data.masks_from:
        raise ConfigError(
            f"data.masks_from={config.data.masks_from} is for training generators; copy the masks "
            "of such a run into masks/ of the folder, or leave it out"
        )
    if config.together < 0 or config.source.weight < 0 or config.optim.weight_decay < 0:
        raise ConfigError("together, source.weight and optim.weight_decay must not be negative")
