"""Fields of StyleGAN2-ADA, and of the families that build on it; the defaults are the paper's.

0 or -1 where a comment says so is the authors' "auto": a rule of the resolution and the batch.
"""

from dtgan.config.errors import ConfigError

FIELDS = {
    "data": {
        "learn": "normals",  # images it is trained on: normals (defect-free) | defects
    },
    "init": {
        "required": False,  # a run without init.workdir is refused
    },
    "model": {
        "base": 0,  # channels at side r are min(base / r, cap); 0 = 16384, from 512 px on 32768
        "cap": 512,
        "d_base": 0,  # of D; 0 = base
        "d_cap": 0,  # of D; 0 = cap
        "latent": 512,  # numbers of z and of w
        "mapping": 2,  # layers of the mapping network
        "group": 4,  # images whose deviation D sees
    },
    "loss": {
        "pl": 2.0,  # path length of G; 0 = off
        "r1_gamma": -1.0,  # R1 of D is gamma / 2 |gradient|^2; -1 = 0.0002 res^2 / batch_size
    },
    "augment": {  # of what D sees, real or not
        "kind": "ada",  # ada | diffaug | none
        "policy": "color,translation,cutout",  # of diffaug, in this order
        "target": 0.6,  # ada: of the mean sign of D on real images
        "kimg": 500.0,  # ada: thousands of images in which the chance p may move by 1
        "start": 0.0,  # ada: p at step 0
    },
    "optim": {
        "lr": 0.0025,  # of G and D, before the lazy correction
        "b1": 0.0,
        "b2": 0.99,
        "pl_every": 4,  # steps between updates by the path length
        "r1_every": 16,  # steps between updates by R1
        "mixing": 0.9,  # chance that a batch's images have two styles each
        "ema_kimg": 0.0,  # half-life of G's running mean, thousands of images; 0 = 10/32 batch_size
        "ema_ramp": 0.05,  # at most that share of the images seen; 0 = no ramp, as from a donor
    },
}
CHOICES = {
    "data.learn": ("normals", "defects"),
    "data.res": (32, 64, 128, 256, 512),
    "augment.kind": ("ada", "diffaug", "none"),
}
POLICY = ("color", "translation", "cutout")


def auto_batch(res):
    """Return the batch size that the authors' "auto" takes on one accelerator at `res` pixels."""
    return min(4096 // res, 32)


def check(config):
    """Raise ConfigError for fields that cannot work."""
    model, optim, augment, batch = config.model, config.optim, config.augment, config.data
    for name in ("cap", "latent", "mapping", "group"):
        if model[name] < 1:
            raise ConfigError(f"model.{name}={model[name]} is below 1")
    for name in ("base", "d_base"):
        if 0 < model[name] < config.data.res:
            raise ConfigError(
                f"model.{name}={model[name]} gives no channels at {config.data.res} px; use "
                f"{16 * config.data.res} or more, or 0"
            )
    for name in ("b1", "b2"):
        if optim[name] >= 1:
            raise ConfigError(f"optim.{name}={optim[name]} is not below 1; for example 0.99")
    for name in ("pl_every", "r1_every"):
        if optim[name] < 1:
            raise ConfigError(f"optim.{name}={optim[name]} is below 1")
    if optim.mixing > 1:
        raise ConfigError(f"optim.mixing={optim.mixing} is no chance; 0.9 is the paper's")
    if not 0 < augment.target < 1 or not augment.kimg:
        raise ConfigError(
            f"augment.target={augment.target}, augment.kimg={augment.kimg} are not a target within "
            "0..1 and a length above 0; the paper's are 0.6 and 500"
        )
    unknown = [name for name in augment.policy.split(",") if name not in POLICY]
    if augment.kind == "diffaug" and unknown:
        raise ConfigError(
            f"augment.policy={augment.policy!r}: {unknown[0]!r} is not one of {', '.join(POLICY)}"
        )
    size = batch.batch_size
    if size > model.group and size % model.group:
        raise ConfigError(
            f"data.batch_size={size} is not divisible by the groups of model.group={model.group} "
            f"images that D compares; use {size // model.group * model.group}"
        )
