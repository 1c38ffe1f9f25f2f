"""Fields of Defect-GAN and of StarGAN below it; the defaults are the paper's."""

from dtgan.config import decay
from dtgan.config.errors import ConfigError
from dtgan.config.tree import merge

FIELDS = merge(
    decay.FIELDS,
    {
        "model": {
            "ch": 64,  # width of G
            "d_ch": 0,  # width of D; 0 = ch
            "blocks": 6,  # residual blocks, the second half of them with SPADE
            "scc": True,  # the class map enters by SPADE; else concatenated to the image
            "ani": True,  # adaptive noise after every convolution
            "lwc": True,  # layer-wise composition: f is painted over the image where m says
            # Share of normal images for which the map says where, a box at random, while training;
            # 0 in the paper.
            "places": 0.0,
        },
        "loss": {  # one weight per term, logged under the same name
            "adv_d": 1.0,  # Wasserstein
            "gp": 10.0,  # gradient penalty of D
            "cls_d": 2.0,  # labels of real images
            "adv_g": 1.0,
            "cls_g": 5.0,  # labels of painted and restored images
            "rec": 5.0,  # an image after both translations
            "sd_cyc": 5.0,  # both translations paint at the same place
            "sd_con": 1.0,  # and paint little: the mean of m
        },
        "optim": {
            "lr": 0.0002,  # of both nets
            "lr_end": 0.000001,
            "b1": 0.5,
            "b2": 0.999,
            "n_critic": 5,  # steps of D for one of G
            "ema": 0.0,  # decay of G's running mean, per step of G; 0 = none, as in the paper
        },
    },
)


def check(config):
    """Raise ConfigError for fields that cannot work."""
    for group, name in (("model", "ch"), ("model", "blocks"), ("optim", "n_critic")):
        if config[group][name] < 1:
            raise ConfigError(f"{group}.{name}={config[group][name]} is below 1")
    if not 0 <= config.model.places <= 1:
        raise ConfigError(f"model.places={config.model.places} is not between 0 and 1")
    if config.model.places and not (config.model.scc and config.model.lwc):
        raise ConfigError(
            f"model.places={config.model.places}: a place needs the class map and the mask, "
            "model.scc=True and model.lwc=True; or set model.places=0"
        )
    for name in ("b1", "b2", "ema"):
        if config.optim[name] >= 1:
            raise ConfigError(f"optim.{name}={config.optim[name]} is not below 1; for example 0.5")
    for name in ("sd_cyc", "sd_con"):
        if config.loss[name] and not config.model.lwc:
            raise ConfigError(
                f"loss.{name}={config.loss[name]} is of the mask, which there is not with "
                f"model.lwc=False; set loss.{name}=0"
            )
    decay.check(config)
