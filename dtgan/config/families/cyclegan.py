"""Fields of CycleGAN and, with two critics a domain, of SDGAN; the defaults are CycleGAN's."""

from dtgan.config import decay
from dtgan.config.errors import ConfigError
from dtgan.config.tree import merge

FIELDS = merge(
    decay.FIELDS,
    {
        "model": {
            "ch": 64,  # width of G
            "d_ch": 0,  # width of D; 0 = ch
            "blocks": 6,  # residual blocks; the paper's 9 above 128 px
            "dual": False,  # two critics a domain, one for each side (D2GAN), as in SDGAN
        },
        "loss": {  # one weight per term, logged under the same name
            "adv_d": 0.5,  # of each domain
            "adv_g": 1.0,
            "cyc": 10.0,
            "idt": 5.0,  # an image of its own domain stays as it is
        },
        "optim": {
            "lr": 0.0002,
            "b1": 0.5,
            "b2": 0.999,
            "pool": 50,  # earlier fakes of each domain that its critic sees again; 0 = none
            "ema": 0.0,  # decay of G's running mean, per step; 0 = none, as in the paper
        },
    },
)


def check(config):
    """Raise ConfigError for fields that cannot work."""
    for name in ("ch", "blocks"):
        if config.model[name] < 1:
            raise ConfigError(f"model.{name}={config.model[name]} is below 1")
    for name in ("b1", "b2", "ema"):
        if config.optim[name] >= 1:
            raise ConfigError(f"optim.{name}={config.optim[name]} is not below 1; for example 0.5")
    decay.check(config)
